"""What a deployment would change. Nothing in here touches the network.

model.py             a Plan: the changes of every stack in the tree, of policies, and notices
compare.py           resources before and after -> changes
recreation.py        which changed properties replace a resource
resource_schemas.py  the schemas of resource types, and those that hold data
moves.py             removals and additions that may be one resource
iam.py               resources before and after -> policy statements added and removed
traffic.py           how CodeDeploy shifts invocations to a new version
widenings.py         rights that widen, alarms that go: what nobody should have to search for
openings.py          what becomes public by a property that is no policy
spurious.py          joins listed and compared changes, marks those that do not change anything
danger.py            changes -> the resources whose data would be lost
losses.py            changed properties that delete data, or what protects it
whole_values.py      lists of rules and replicas, which only the whole tells to lose data
version_fields.py    the parts of a Lambda version's description, by name
serialization.py     plans as JSON
"""

"""What a deployment would change. Nothing in here touches the network.

model.py       a Plan: the changes of every stack in the tree, what they do to policies, and what was noticed
compare.py     resources before and after -> changes
recreation.py  which changed properties replace a resource
iam.py         resources before and after -> statements added and removed
spurious.py    the service's changes and the comparison -> which of the service's change nothing
serialization.py  plans as JSON
danger.py      changes -> what is lost with its data
"""

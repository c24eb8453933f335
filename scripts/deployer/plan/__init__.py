"""What a deployment would change. Nothing in here touches the network.

model.py       a Plan: the changes of every stack in the tree, what they do to policies, and what was noticed
templates.py   a Tree: the templates of a stack and of those nested in it
evaluate.py    a Tree and its parameters -> resources whose properties are values
compare.py     resources before and after -> changes
recreation.py  which changed properties replace a resource
iam.py         resources before and after -> statements added and removed
phantom.py     the service's changes and the comparison -> which of the service's are none
danger.py      changes -> what is lost with its data
"""

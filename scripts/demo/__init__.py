"""The demonstration: deploy to the AWS emulator, send a payment of every kind, and show the outcome of each.

__main__.py      `make demo`
run.py           the steps
quiet.py         the deployment, shown as one line
payer.py         starts payments and follows their executions
subscriber.py    a queue that receives the notifications
summary.py       the table of outcomes
"""

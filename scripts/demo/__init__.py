"""The demonstration: deploy to the AWS emulator, send a payment of every kind, and show what became of each.

__main__.py      `make demo`
run.py           the steps
quiet.py         the deployment, of which a line is told
payer.py         starts payments and follows them
subscriber.py    hears the notices
summary.py       the table
"""

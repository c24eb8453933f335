"""The state machines, and the schedule of reconciliation.

stack.py          the template
state_machine.py  the definition of the payment workflow
reconciliation.py  the definition of reconciliation's
errors.py         the errors that are retried, and why the others are not
"""

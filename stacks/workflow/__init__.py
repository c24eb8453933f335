"""The state machine.

stack.py          the template
state_machine.py  its definition
errors.py         the errors that are retried, and why the others are not
"""

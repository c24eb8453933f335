"""The state machine.

stack.py          the template
state_machine.py  its definition
errors.py         which errors are retried, and why the others are not
"""

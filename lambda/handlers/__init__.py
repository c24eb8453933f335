"""The Lambda functions: each reads its event, calls the payment core, and answers the state machine.

validation.py      request -> recorded payment
processing.py      recorded payment -> its outcome, and what is recorded of a failed execution
reconciliation.py  overdue payments -> settled; and what operators ask for
events.py          what is read of an event
lambda_handler.py  logging, answers, and no payment data in an error
"""

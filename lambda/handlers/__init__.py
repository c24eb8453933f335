"""The Lambda functions: each reads its event, calls the payment core, and answers the state machine.

validation.py      request -> recorded payment
processing.py      recorded payment -> its outcome; failed execution -> recorded failure
reconciliation.py  overdue payments -> settled; and the operators' actions
events.py          the fields of an event
lambda_handler.py  logging, answers, and errors without payment data
"""

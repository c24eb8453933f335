"""The operator's commands: start payments, inspect them, and repair those that failed.

__main__.py       `scripts/payments.sh`
cli/              the commands, and what they print
environment.py    where the platform's resources are, from the parent stack's outputs
requests.py       payments to start, read from arguments or a file, and checked before anything is sent
start.py          start them, each once, and wait for their outcomes
naming.py         names of executions, which hold a transaction id and nothing else of a request
records.py        what the table holds of a payment, without the customer
executions.py     what became of an execution
logs.py           what the functions logged of payments
story.py          all of these of one payment, in chronological order
statuses.py       the statuses, as an operator groups them
listing.py        payments that are open, or failed, or new
tail.py           payments as they change
dead_letters.py   what a dead letter says, and what a redrive would do
dead_letter_queue.py  read, hold and delete dead letters
redriving.py      send what failed through the workflow again
reconciling.py    reconciliation now, rather than when its schedule asks for it
"""

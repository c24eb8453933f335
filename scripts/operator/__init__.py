"""The operator's commands: start payments, inspect them, and repair those that failed.

__main__.py           `scripts/payments.sh`; `scripts/logs.sh` is cli/logs.py
cli/                  the commands, and what they print
platform.py           clients, and the names of the platform's resources from the parent stack's outputs
changes.py            what a command has changed, or may have, for what ends it early
payment_files.py      the rows of a CSV or JSON file of payments
payment_requests.py   payments to start, read from arguments or a file, and checked before anything is sent
batch.py              start payments, each once, and wait for their outcomes
result_files.py       the results of many payments as a table
execution_names.py    names of executions, which hold a transaction id and nothing else of a request
records.py            what the table holds of a payment, without the customer
executions.py         the history of an execution
express_executions.py  executions of the Express workflow, from its log
logs.py               what the functions logged of payments
log_events.py         every line of the functions' and the workflow's logs
story.py              all of these of one payment, in chronological order
statuses.py           the statuses, as an operator groups them
payment_lists.py      payments that are open, or failed, or new
tail.py               payments as they change, and other lines that are followed
dead_letters.py       what a dead letter says, and what a redrive would do
dead_letter_queue.py  read, hold and delete dead letters
redrives.py           send failed payments through the workflow again
json_output.py        data classes as the JSON that commands print
"""

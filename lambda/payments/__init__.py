"""The payment core: pure, with three ports. It knows no AWS and no HTTP.

request.py    what is asked: the request as it came, read and checked
money.py      amounts in minor units, with their currency
rules.py      which payments are accepted
payment.py    what is recorded of a payment, and the statuses it may go through
ports.py      what the core needs of others: a ledger, a gateway, and someone to tell
validate.py   request  -> recorded payment, PENDING or REJECTED
process.py    recorded payment -> claimed, charged once, finished
failure.py    execution that failed for good -> what is recorded, and who is told
reconcile.py  overdue payment -> found out about, settled, told
operate.py    what an operator may do: refund, reopen, resolve
errors.py     the failures, under the names that the state machine retries and catches
"""

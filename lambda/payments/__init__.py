"""The payment core: pure, with two ports. It knows no AWS and no HTTP.

request.py    what is asked: the request as it came, read and checked
money.py      amounts in minor units, with their currency
rules.py      which payments are accepted
payment.py    what is recorded of a payment, and the statuses it may go through
ports.py      what the core needs of others: a ledger and a gateway
validate.py   request  -> recorded payment, PENDING or REJECTED
process.py    recorded payment -> claimed, charged once, finished
errors.py     the failures, under the names that the state machine retries and catches
"""

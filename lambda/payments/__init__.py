"""The payment core: pure, with three ports. It knows no AWS and no HTTP.

request.py    what is asked: the request as it came, read and checked
money.py      amounts in minor units, with their currency
rules.py      which payments are accepted
status.py     the statuses, and where each may lead
notification.py  what people have heard of a payment, and who tells them next
payment.py    what is recorded of a payment
ports.py      what the core needs of others: a ledger, a gateway, and someone to tell
receive.py    request  -> recorded payment, PENDING or REJECTED
charge.py     recorded payment -> claimed, charged once, finished
failure.py    execution that failed for good -> what is recorded, and who announces it
settle.py     overdue payment -> looked up, settled, announced
operator_actions.py  what an operator may do: refund, reopen, resolve
errors.py     the failures, under the names that the state machine retries and catches
"""

"""The payment core. It depends on neither AWS nor HTTP, but on three ports: ledger, gateway, and notices.

request.py    reads and checks a request
money.py      amounts in minor units, with their currency
rules.py      decides which payments are accepted
status.py     the statuses, and the transitions between them
notification.py  the notices of a payment: sent, claimed, due
payment.py    the record of a payment
ports.py      the ports
receive.py    request -> recorded payment, PENDING or REJECTED
charge.py     recorded payment -> claimed, charged once, finished
failure.py    failed execution -> recorded failure, and who announces it
settle.py     overdue payment -> looked up, settled, announced
operator_actions.py  the actions of an operator: refund, reopen, resolve
errors.py     the errors, by the names that the state machine retries and catches
"""

"""The ports of the payment core, implemented on real services.

environment.py      builds the adapters that the environment variables select
clients.py          clients of AWS's services
dynamodb.py         the ledger
stored_items.py     payments and steps as items of its tables
simulator.py        a gateway that decides by the amount
stripe_gateway.py   Stripe as the gateway, and what its answers mean for a payment
stripe_refunds.py   refunds of Stripe, and what its answers mean for a payment
stripe_requests.py  Stripe's requests: their forms, idempotency keys, and errors
stripe_http.py      HTTP requests with a deadline
gateway_secret.py   the gateway's API key, from a secret that may be rotated
measured_gateway.py  a gateway whose calls are measured
notices.py          notices and dead letters
metrics.py          metrics as lines of the log
"""

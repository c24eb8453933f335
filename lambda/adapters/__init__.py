"""The ports of the payment core, on real services.

environment.py      the ports as a function's environment variables ask for them
dynamodb.py         the ledger
stored_items.py     payments and steps as items of its tables
simulator.py        a gateway that decides by the amount
stripe_gateway.py   Stripe as the gateway: what each answer means for a payment
stripe_requests.py  Stripe's requests: their forms, their idempotency keys, what their errors mean
stripe_http.py      HTTP that ends in time
gateway_secret.py   the gateway's API key, and how it is rotated
measured_gateway.py  a gateway whose calls are measured
notices.py          notices and dead letters
metrics.py          metrics as lines of the log
"""

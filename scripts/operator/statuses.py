"""The statuses of a payment as an operator groups them; which there are, and where each leads, the core says."""

from payments.payment import SETTLED as SETTLED
from payments.payment import Status

# Given up, or left to a person.
FAILED = frozenset({Status.FAILED, Status.REVIEW})
# A payment that was sent has come to what the sender is to hear of it.
FINAL = SETTLED | FAILED
# What the workflow takes up when it is sent the request again.
TAKEN_UP_AGAIN = frozenset({Status.FAILED, Status.PENDING, Status.UNKNOWN})

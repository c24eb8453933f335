"""Technical errors. Business outcomes (rejected, declined) are returned, never raised.

The state machine decides by the name of the class whether to retry. Messages contain ids and codes, never payment data,
because they appear in logs, notices and dead letters.
"""


class PaymentError(Exception):
    """The base class of all errors of the core."""


class MalformedRequest(PaymentError):
    """The request has no usable transaction id, so there is nothing to record it under."""


class IdempotencyConflict(PaymentError):
    """The transaction id was used before, for another request."""


class PaymentNotRecorded(PaymentError):
    """The payment to process was never validated."""


class PaymentInProgress(PaymentError):
    """Another attempt holds the payment. Retried until its lease expires."""


class PaymentChanged(PaymentError):
    """Somebody else wrote the payment first. Retried."""


class LedgerUnavailable(PaymentError):
    """The ledger did not accept the call now. Retried."""


class LedgerRefused(PaymentError):
    """The ledger does not accept the call: access or a table is missing."""


class GatewayUnavailable(PaymentError):
    """The gateway certainly did not charge. Retried."""


class ChargeOutcomeUnknown(PaymentError):
    """The gateway may have charged. Retried with a lookup, never with another charge."""


class PaymentGivenUp(PaymentError):
    """The payment ended FAILED and was not charged."""


class ReviewNeeded(PaymentError):
    """Only a person can find out whether the payment was charged."""


class NotAllowed(PaymentError):
    """The payment's status does not allow the operator's action."""


class NoticeNotSent(PaymentError):
    """The outcome is recorded, but its notice was not sent."""


class InternalError(PaymentError):
    """A defect of this code. The message does not contain the data that caused it."""

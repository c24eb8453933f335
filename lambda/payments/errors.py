"""Technical failures. Business outcomes (rejected, declined) are returned, never raised.

A class's name is the name of the error in the state machine, which decides by it what to retry. Messages carry ids and
codes, never payment data, because they are written to logs, notices and the dead-letter queue.
"""


class PaymentError(Exception):
    """The base class of all of them."""


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
    """The ledger did not take the call. Retried."""


class LedgerRefused(PaymentError):
    """The ledger will not take the call: access or a table is missing."""


class GatewayUnavailable(PaymentError):
    """The gateway certainly did not charge. Retried."""


class ChargeOutcomeUnknown(PaymentError):
    """The gateway may have charged. Retried with a lookup, never with another charge."""


class PaymentGivenUp(PaymentError):
    """The payment ended FAILED and was not charged."""


class ReviewNeeded(PaymentError):
    """Only a person can find out whether the payment was charged."""


class NotAllowed(PaymentError):
    """The payment's status does not allow what an operator asked for."""


class NoticeNotSent(PaymentError):
    """The outcome is recorded, but its notice was not sent."""


class InternalError(PaymentError):
    """A defect of this code; the message leaves out the data that caused it."""

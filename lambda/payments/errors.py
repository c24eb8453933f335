"""Technical failures. Business outcomes (rejected, declined) are returned, never raised.

A class's name is the error's name in the state machine, which decides by it what to retry::

    PaymentError
    |-- MalformedRequest       nothing to record: the request has no usable transaction id
    |-- IdempotencyConflict    the transaction id was used before, for another request
    |-- PaymentNotRecorded     asked to process what was never validated
    |-- PaymentInProgress      another attempt holds the payment          (retried until its lease is over)
    |-- PaymentChanged         somebody else wrote the payment first      (retried)
    |-- LedgerUnavailable      the ledger did not take the call           (retried)
    |-- LedgerRefused          the ledger will not take the call: no access, no table
    |-- GatewayUnavailable     the gateway did not charge, for certain    (retried)
    |-- ChargeOutcomeUnknown   the gateway may or may not have charged    (retried: looked up, not charged again)
    |-- PaymentGivenUp         it ended FAILED: not charged
    |-- ReviewNeeded           nobody but a person can find out whether it was charged
    |-- NotAllowed             an operator asked for what the payment's status does not allow
    |-- NoticeNotSent          the outcome is recorded, but its notice was not sent
    `-- InternalError          a defect of ours, without the data that caused it

Messages carry ids and codes, never payment data: they end up in logs, notices and the dead-letter queue.
"""


class PaymentError(Exception):
    """Base of all."""


class MalformedRequest(PaymentError):
    pass


class IdempotencyConflict(PaymentError):
    pass


class PaymentNotRecorded(PaymentError):
    pass


class PaymentInProgress(PaymentError):
    pass


class PaymentChanged(PaymentError):
    pass


class LedgerUnavailable(PaymentError):
    pass


class LedgerRefused(PaymentError):
    pass


class GatewayUnavailable(PaymentError):
    pass


class ChargeOutcomeUnknown(PaymentError):
    pass


class PaymentGivenUp(PaymentError):
    pass


class ReviewNeeded(PaymentError):
    pass


class NotAllowed(PaymentError):
    pass


class NoticeNotSent(PaymentError):
    pass


class InternalError(PaymentError):
    pass

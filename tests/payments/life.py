"""One payment, and what may happen to it, on the core alone."""

from collections.abc import Callable

from payments.failure import Failure, record_failure
from payments.operate import reopen
from payments.payment import Payment, Status
from payments.process import process
from payments.reconcile import reconcile
from payments.validate import validate

from tests.fakes import MemoryLedger, ScriptedGateway
from tests.payments.test_request import LIMITS
from tests.workflow import request

EXECUTION = "arn:execution:1"


class Life:
    """One payment, its ledger, its gateway, and a clock that the test turns."""

    def __init__(self) -> None:
        self.ledger, self.gateway, self.now = MemoryLedger(), ScriptedGateway(), 1000.0

    def validate(self, execution: str = EXECUTION, **changes: object) -> Payment:
        return validate(request(**changes), ledger=self.ledger, limits=LIMITS, execution=execution, now=self.now)

    def process(self, execution: str = EXECUTION, clock: Callable[[], float] | None = None) -> Payment:
        recorded = self.payment
        return process(
            recorded.transaction_id,
            recorded.fingerprint,
            ledger=self.ledger,
            gateway=self.gateway,
            execution=execution,
            clock=clock or (lambda: self.now),
        )

    def fail(self, execution: str = EXECUTION, error: str = "Broken", fingerprint: str | None = None) -> Failure:
        """An execution that got through validation fails for good; one that did not has the fingerprint ""."""
        return record_failure(
            self.payment.transaction_id,
            fingerprint=self.payment.fingerprint if fingerprint is None else fingerprint,
            error=error,
            ledger=self.ledger,
            execution=execution,
            clock=lambda: self.now,
        )

    def reopen(self) -> Payment:
        """An operator has the same request sent again."""
        fingerprint = self.payment.fingerprint
        return reopen(self.payment.transaction_id, fingerprint, ledger=self.ledger, clock=lambda: self.now)

    def reconcile(self, after: float = 0) -> Payment:
        """The schedule, so many seconds later."""
        self.now += after
        return reconcile(self.payment, ledger=self.ledger, gateway=self.gateway, clock=lambda: self.now)

    @property
    def payment(self) -> Payment:
        (payment,) = self.ledger.payments.values()
        return payment

    @property
    def statuses(self) -> list[Status]:
        return [payment.status for payment in self.ledger.history]

"""One payment, and what may happen to it, on the core alone."""

from collections.abc import Callable

from payments.charge import charge_payment
from payments.failure import Failure, confirm_notice, record_failure
from payments.operator_actions import reopen_payment, resolve_payment
from payments.payment import Payment, Status
from payments.ports import Gateway
from payments.receive import receive_payment
from payments.settle import settle_overdue_payment

from tests.fakes import MemoryLedger, ScriptedGateway
from tests.payments.test_request import LIMITS
from tests.workflow import request

EXECUTION, ANOTHER_EXECUTION = "arn:execution:1", "arn:execution:2"
SAME_REQUEST = object()


class Life:
    """One payment, its ledger, its gateway, and a clock that the test turns."""

    def __init__(self) -> None:
        self.ledger, self.gateway, self.time = MemoryLedger(), ScriptedGateway(), 1000.0
        self.request = request()
        # Whether subscribers want to hear of outcomes without a charge.
        self.notify_outcomes = True

    def validate(self, execution: str = EXECUTION, **changes: object) -> Payment:
        self.request = request(**changes)
        return receive_payment(
            self.request,
            ledger=self.ledger,
            limits=LIMITS,
            execution=execution,
            current_time=self.time,
            notify_outcomes=self.notify_outcomes,
        )

    def process(
        self,
        execution: str = EXECUTION,
        *,
        connect: Callable[[], Gateway] | None = None,
        record_id: str | None = None,
    ) -> Payment:
        return charge_payment(
            self.request["transaction_id"],
            self.payment.record_id if record_id is None else record_id,
            ledger=self.ledger,
            connect=connect or (lambda: self.gateway),
            execution=execution,
            clock=lambda: self.time,
            notify_outcomes=self.notify_outcomes,
        )

    def fail(
        self, execution: str = EXECUTION, error: str = "Broken", *, request_sent: object = SAME_REQUEST
    ) -> Failure:
        """An execution fails for good that was sent the payment's request, or ``request_sent`` instead."""
        return record_failure(
            self.payment.transaction_id,
            request=self.request if request_sent is SAME_REQUEST else request_sent,
            error=error,
            ledger=self.ledger,
            execution=execution,
            clock=lambda: self.time,
        )

    def reopen(self, **changes: object) -> Payment:
        """An operator has the request sent again, with these ``changes``."""
        return reopen_payment(
            self.payment.transaction_id,
            self.request | changes,
            ledger=self.ledger,
            connect=lambda: self.gateway,
            clock=lambda: self.time,
        )

    def confirm(
        self, execution: str = EXECUTION, *, notice_id: str = "", is_sent: bool = True, is_dead_lettered: bool = True
    ) -> Payment | None:
        """The execution has sent the notice that it claimed, and left the dead letter."""
        return confirm_notice(
            self.payment.transaction_id,
            execution,
            notice_id=notice_id or self.payment.notice_id,
            is_sent=is_sent,
            is_dead_lettered=is_dead_lettered,
            ledger=self.ledger,
            clock=lambda: self.time,
        )

    def reconcile(self, after: float = 0, connect: Callable[[], Gateway] | None = None) -> Payment:
        """The schedule takes the payment up, ``after`` seconds later."""
        self.time += after
        return settle_overdue_payment(
            self.payment,
            ledger=self.ledger,
            connect=connect or (lambda: self.gateway),
            clock=lambda: self.time,
            notify_outcomes=self.notify_outcomes,
        )

    def resolve(self, status: Status, reference: str | None) -> Payment:
        """An operator records what the gateway's records say."""
        return resolve_payment(
            self.payment.transaction_id, status, reference, ledger=self.ledger, clock=lambda: self.time
        )

    @property
    def payment(self) -> Payment:
        (payment,) = self.ledger.payments.values()
        return payment

    @property
    def statuses(self) -> list[Status]:
        return [payment.status for payment in self.ledger.history]

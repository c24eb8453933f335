"""One payment on the core alone, and the calls that act on it."""

from collections.abc import Callable
from typing import Any

import pytest
from payments.charge import charge_payment
from payments.failure import Failure, confirm_notice, record_failure
from payments.operator_actions import refund_payment, reopen_payment, resolve_payment
from payments.payment import Payment, Status
from payments.ports import Charge, Gateway, Outcome, Unknown
from payments.receive import receive_payment
from payments.settle import settle_overdue_payment

from tests.fakes import MemoryLedger, ScriptedGateway
from tests.payments.test_request import LIMITS
from tests.workflow import request

EXECUTION, ANOTHER_EXECUTION = "arn:execution:1", "arn:execution:2"
SAME_REQUEST = object()


class Life:
    """One payment, its ledger, its gateway, and a clock that the test sets."""

    def __init__(self) -> None:
        self.ledger, self.gateway, self.time = MemoryLedger(), ScriptedGateway(), 1000.0
        self.request = request()
        # Whether subscribers are notified of outcomes without a charge.
        self.notify_outcomes = True

    @property
    def _ports(self) -> dict[str, Any]:
        return {"ledger": self.ledger, "clock": lambda: self.time}

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
            connect=connect or (lambda: self.gateway),
            execution=execution,
            notify_outcomes=self.notify_outcomes,
            **self._ports,
        )

    def assert_process_raises(
        self,
        error: type[BaseException],
        *answers: Outcome | Callable[[Charge], Outcome],
        execution: str = EXECUTION,
        match: str | None = None,
    ) -> None:
        """Process the payment with these next answers of the gateway, and expect the error."""
        self.gateway.script = [*answers]
        with pytest.raises(error, match=match):
            self.process(execution)

    def leave_unknown(self, lookup: Outcome | None = None) -> None:
        """Record an unknown outcome; the gateway answers the next calls with ``lookup``, or does not answer them."""
        claimed = self.payment.with_status(Status.PROCESSING, at=self.time, attempt=1, first_claimed_at=self.time)
        self.ledger.write_step(self.payment, claimed)
        self.ledger.write_step(claimed, claimed.with_status(Status.UNKNOWN, at=self.time))
        self.gateway.script = [lookup or Unknown("timeout")] * 50

    def act_after_next_read(self, act: Callable[[], object]) -> None:
        """Let ``act`` happen between the next read of the payment and what the reader does with it."""
        find_payment = self.ledger.find_payment

        def find_and_act(transaction_id: str) -> Payment | None:
            payment = find_payment(transaction_id)
            self.ledger.find_payment = find_payment  # type: ignore[method-assign]
            act()
            return payment

        self.ledger.find_payment = find_and_act  # type: ignore[method-assign]

    def fail(
        self, execution: str = EXECUTION, error: str = "Broken", *, request_sent: object = SAME_REQUEST
    ) -> Failure:
        """Record that an execution failed that was sent the payment's request, or ``request_sent`` instead."""
        return record_failure(
            self.payment.transaction_id,
            request=self.request if request_sent is SAME_REQUEST else request_sent,
            error=error,
            execution=execution,
            **self._ports,
        )

    def fail_and_confirm(self) -> None:
        self.fail()
        self.confirm()

    def reopen(self, **changes: object) -> Payment:
        """Reopen the payment for its request with these changes, as an operator does."""
        return self.reopen_for(self.request | changes)

    def reopen_for(self, request: object) -> Payment:
        return reopen_payment(self.payment.transaction_id, request, connect=lambda: self.gateway, **self._ports)

    def confirm(
        self, execution: str = EXECUTION, *, notice_id: str = "", is_sent: bool = True, is_dead_lettered: bool = True
    ) -> Payment | None:
        """Record that the execution has sent the notice that it claimed, and the dead letter."""
        return confirm_notice(
            self.payment.transaction_id,
            execution,
            notice_id=notice_id or self.payment.notice_id,
            is_sent=is_sent,
            is_dead_lettered=is_dead_lettered,
            **self._ports,
        )

    def reconcile(self, after: float = 0, connect: Callable[[], Gateway] | None = None) -> Payment:
        """Reconcile the payment ``after`` seconds from now."""
        self.time += after
        return settle_overdue_payment(
            self.payment,
            connect=connect or (lambda: self.gateway),
            notify_outcomes=self.notify_outcomes,
            **self._ports,
        )

    def refund(self) -> Payment:
        """Refund the payment, as an operator does."""
        return refund_payment(self.payment.transaction_id, connect=lambda: self.gateway, **self._ports)

    def resolve(self, status: Status, reference: str | None) -> Payment:
        """Record what the gateway's records say, as an operator does."""
        return resolve_payment(self.payment.transaction_id, status, reference, **self._ports)

    @property
    def payment(self) -> Payment:
        (payment,) = self.ledger.payments.values()
        return payment

    @property
    def statuses(self) -> list[Status]:
        return [payment.status for payment in self.ledger.history]

    @property
    def gateway_calls(self) -> list[str]:
        return [name for name, _ in self.gateway.calls]

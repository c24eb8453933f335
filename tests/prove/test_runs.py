"""A run of reconciliation while the gateway does not answer: what it does first, and when it stops asking."""

import pytest
from handlers import reconciliation
from payments.errors import GatewayUnavailable
from payments.money import Money
from payments.payment import Payment, Status
from payments.ports import Charge, Outcome, Unknown

from tests.prove.services import SILENCE
from tests.prove.world import START, World

HOUR = 60 * 60
SLOW_SECONDS = 48.0


class SlowWorld(World):
    """A gateway that is asked in vain, for as long as a call may take; ``asked`` are the calls, in their order."""

    def __init__(self) -> None:
        super().__init__(behaviour=lambda _: SILENCE)
        self.calls: list[str] = []
        for name in ("lookup", "close"):
            setattr(self.gateway, name, self._slow(name))

    def _slow(self, name: str) -> object:
        def answer(charge: Charge) -> Outcome:
            self.calls.append(f"{name} {charge.transaction_id}")
            self.time += SLOW_SECONDS
            return Unknown("timeout")

        return answer

    def leave(self, transaction_id: str, status: Status) -> None:
        """A payment in this status, an hour ago; claimed before, but for a PENDING one."""
        claim = {} if status is Status.PENDING else {"attempt": 1, "first_claimed_at": START - HOUR}
        payment = Payment(
            transaction_id=transaction_id,
            status=status,
            sequence=1,
            fingerprint="f" * 64,
            execution="arn:1",
            created_at=START - HOUR,
            updated_at=START - HOUR,
            since=START - HOUR,
            amount=Money(15000, "USD"),
            payment_method="credit_card",
            customer_id="CUST-1",
            **claim,
        )
        assert self.build_ledger().write_step(None, payment) is None


@pytest.fixture
def world() -> SlowWorld:
    world = SlowWorld()
    for n in range(5):
        world.leave(f"T-FAILED-{n}", Status.FAILED)
        world.leave(f"T-UNKNOWN-{n}", Status.UNKNOWN)
        world.leave(f"T-PENDING-{n}", Status.PENDING)
    return world


def test_what_needs_no_gateway_does_not_wait_for_it(world: SlowWorld) -> None:
    with world.install_ports():
        world.invoke_handler(reconciliation.handler, {})
    payments = world.read_payments()
    abandoned = [payments[f"T-PENDING-{n}"] for n in range(5)]
    assert {(payment.status, payment.notification.is_due) for payment in abandoned} == {(Status.FAILED, False)}


def test_an_item_that_cannot_be_read_keeps_no_other_waiting(world: SlowWorld) -> None:
    world.dynamodb.payments["T-FAILED-0"]["status"] = {"S": "NO STATUS"}
    with world.install_ports():
        answer = world.invoke_handler(reconciliation.handler, {})
    assert (answer["overdue"], answer["errors"] > 0) == (15, True)
    del world.dynamodb.payments["T-FAILED-0"]
    assert world.read_payments()["T-PENDING-4"].status is Status.FAILED


def test_a_run_stops_asking_a_gateway_that_does_not_answer(world: SlowWorld) -> None:
    """And asks for what may have been charged before it closes what was not."""
    with world.install_ports():
        answer = world.invoke_handler(reconciliation.handler, {})
    assert [call.split("-")[0] for call in world.calls] == ["lookup T"]
    assert world.calls[0].startswith("lookup T-UNKNOWN")
    # A gateway that does not answer is no fault of reconciliation, which has an alarm.
    assert (answer["overdue"], answer["errors"]) == (15, 0)
    assert world.time - START < reconciliation.BUDGET_SECONDS + SLOW_SECONDS


def test_a_key_that_cannot_be_read_is_one_error_and_stops_only_what_needs_the_gateway(
    world: SlowWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect() -> None:
        raise GatewayUnavailable("the gateway's secret cannot be read")

    with world.install_ports():
        monkeypatch.setattr(reconciliation, "get_gateway", connect)
        answer = world.invoke_handler(reconciliation.handler, {})
    assert (answer["settled"], answer["errors"]) == (5, 1)
    assert {world.read_payments()[f"T-PENDING-{n}"].status for n in range(5)} == {Status.FAILED}


def test_each_unknown_payment_gets_its_turn(world: SlowWorld) -> None:
    with world.install_ports():
        for _ in range(30):
            world.time += 300
            world.invoke_handler(reconciliation.handler, {})
    assert len({call for call in world.calls if "UNKNOWN" in call}) == 5

"""A reconciliation run while the gateway does not answer: what it does first, and when it stops calling the gateway."""

from dataclasses import replace
from functools import partial

import pytest
from handlers import reconciliation
from payments.errors import GatewayUnavailable
from payments.payment import Status
from payments.ports import Charge, Outcome, Unknown

from tests.payments.test_dynamodb import PAYMENT
from tests.prove.services import SILENCE
from tests.prove.world import START, World

HOUR = 60 * 60
SLOW_SECONDS = 48.0


class SlowWorld(World):
    """A world whose gateway answers no lookup and takes as long as a call may; ``calls`` are those it received."""

    def __init__(self) -> None:
        super().__init__(behaviour=lambda _: SILENCE)
        self.calls: list[str] = []
        for name in ("lookup", "close"):
            setattr(self.gateway, name, partial(self._time_out, name))

    def _time_out(self, name: str, charge: Charge) -> Outcome:
        self.calls.append(f"{name} {charge.transaction_id}")
        self.time += SLOW_SECONDS
        return Unknown("timeout")

    def record_payment(self, transaction_id: str, status: Status) -> None:
        """Record a payment that has been in this status for an hour; unless it is PENDING, it was claimed before."""
        times = dict.fromkeys(("created_at", "updated_at", "since"), START - HOUR)
        claim = {} if status is Status.PENDING else {"attempt": 1, "first_claimed_at": START - HOUR}
        payment = replace(PAYMENT, transaction_id=transaction_id, status=status, **times, **claim)
        assert self.build_ledger().write_step(None, payment) is None


@pytest.fixture
def world() -> SlowWorld:
    world = SlowWorld()
    for n in range(5):
        world.record_payment(f"T-FAILED-{n}", Status.FAILED)
        world.record_payment(f"T-UNKNOWN-{n}", Status.UNKNOWN)
        world.record_payment(f"T-PENDING-{n}", Status.PENDING)
    return world


def test_payments_that_need_no_gateway_do_not_wait_for_it(world: SlowWorld) -> None:
    with world.install_ports():
        world.invoke_handler(reconciliation.handler, {})
    payments = world.read_payments()
    abandoned = [payments[f"T-PENDING-{n}"] for n in range(5)]
    assert {(payment.status, payment.notification.is_due) for payment in abandoned} == {(Status.FAILED, False)}


def test_an_unreadable_item_does_not_stop_the_others(world: SlowWorld) -> None:
    world.dynamodb.payments["T-FAILED-0"]["status"] = {"S": "NO STATUS"}
    with world.install_ports():
        answer = world.invoke_handler(reconciliation.handler, {})
    assert (answer["overdue"], answer["errors"] > 0) == (15, True)
    del world.dynamodb.payments["T-FAILED-0"]
    assert world.read_payments()["T-PENDING-4"].status is Status.FAILED


def test_a_run_stops_calling_a_gateway_that_does_not_answer(world: SlowWorld) -> None:
    """It looks up payments that may have been charged before it closes those that were not."""
    with world.install_ports():
        answer = world.invoke_handler(reconciliation.handler, {})
    assert [call.split("-")[0] for call in world.calls] == ["lookup T"]
    assert world.calls[0].startswith("lookup T-UNKNOWN")
    # No error is counted: errors of reconciliation have an alarm, and the gateway is not at fault there.
    assert (answer["overdue"], answer["errors"]) == (15, 0)
    assert world.time - START < reconciliation.BUDGET_SECONDS + SLOW_SECONDS


def test_an_unreadable_api_key_is_one_error_and_stops_only_what_needs_the_gateway(
    world: SlowWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect() -> None:
        raise GatewayUnavailable("the gateway's secret cannot be read")

    with world.install_ports():
        monkeypatch.setattr(reconciliation, "get_gateway", connect)
        answer = world.invoke_handler(reconciliation.handler, {})
    assert (answer["settled"], answer["errors"]) == (5, 1)
    assert {world.read_payments()[f"T-PENDING-{n}"].status for n in range(5)} == {Status.FAILED}


def test_every_unknown_payment_is_looked_up_in_one_of_the_runs(world: SlowWorld) -> None:
    with world.install_ports():
        for _ in range(30):
            world.time += 300
            world.invoke_handler(reconciliation.handler, {})
    assert len({call for call in world.calls if "UNKNOWN" in call}) == 5

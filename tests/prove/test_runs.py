"""Reconciliation runs: what several workers share, how fast they go, and what they do while the gateway is silent."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from adapters.dynamodb import DynamoDBLedger
from handlers import reconciliation
from payments.errors import GatewayUnavailable, LedgerUnavailable, MalformedRequest
from payments.payment import Status
from payments.ports import Charge, Charged, Outcome, Unknown

from tests.payments.test_dynamodb import PAYMENT
from tests.prove.services import DAY, SILENCE
from tests.prove.world import START, World
from tests.workflow import request

HOUR = 60 * 60
SLOW_SECONDS = 48.0


class SlowWorld(World):
    """A world whose gateway answers no lookup and takes as long as a call may; ``calls`` are those it received."""

    def __init__(self) -> None:
        super().__init__(behaviour=lambda _: SILENCE)
        self.calls: list[str] = []
        self.called_at: list[float] = []
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


# Several workers, and their pace


@pytest.fixture
def open_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowWorld]:
    """Yield a world with 40 unknown payments, whose gateway charged them and answers at once."""
    world = SlowWorld()
    for n in range(40):
        world.record_payment(f"T-{n}", Status.UNKNOWN)

    def lookup(charge: Charge) -> Outcome:
        world.calls.append(charge.transaction_id)
        world.called_at.append(world.time)
        return Charged("pi_1")

    def pause(seconds: float) -> None:
        world.time += seconds

    monkeypatch.setattr(world.gateway, "lookup", lookup)
    monkeypatch.setattr(reconciliation, "pause", pause)
    with world.install_ports():
        yield world


def run_worker(world: World, worker: int, workers: int) -> dict[str, Any]:
    event = {"action": "reconcile", "worker": worker, "workers": workers}
    answer: dict[str, Any] = world.invoke_handler(reconciliation.handler, event)
    return answer


def test_each_payment_is_settled_by_one_worker_and_the_measurement_adds_up_what_they_did(
    open_world: SlowWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "payments")
    answers = [run_worker(open_world, worker, 3) for worker in range(3)]
    assert sorted(open_world.calls) == sorted(f"T-{n}" for n in range(40))
    assert min(answer["settled"] for answer in answers) > 0
    assert "reconciliation finished" not in caplog.messages  # the heartbeat is of the whole run
    # The state machine gives a worker that failed this count.
    event = {"action": "measure", "counts": [*answers, {"errors": 1}]}
    sums = open_world.invoke_handler(reconciliation.handler, event)
    assert sums == {"overdue": 40, "settled": 40, "open": 0, "errors": 1, "erased": 0}
    (line,) = [vars(record) for record in caplog.records if record.message == "reconciliation finished"]
    metrics = {"OverduePayments": 40, "ReconciliationErrors": 1, "OpenPayments": 0, "OldestOpenPaymentAge": 0}
    assert {name: line[name] for name in metrics} == metrics


def test_a_run_without_workers_settles_all_payments_and_measures(
    open_world: SlowWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator's command, and the schedule of a release without workers."""
    caplog.set_level("INFO", "payments")
    for event in ({"action": "reconcile"}, {"source": "aws.events"}):
        answer = open_world.invoke_handler(reconciliation.handler, event)
        assert (answer["open"], answer["errors"]) == (0, 0)
    assert len(open_world.calls) == 40
    assert caplog.messages.count("reconciliation finished") == 2


@pytest.mark.parametrize(("workers", "seconds"), [(1, 0.25), (4, 1.0)])
def test_all_workers_together_take_no_more_payments_a_second_to_the_gateway_than_is_set(
    open_world: SlowWorld, monkeypatch: pytest.MonkeyPatch, workers: int, seconds: float
) -> None:
    monkeypatch.setenv("GATEWAY_REQUESTS_PER_SECOND", "4")
    run_worker(open_world, 0, workers)
    waits = [later - earlier for earlier, later in itertools.pairwise(open_world.called_at)]
    assert len(waits) > 5
    assert min(waits) > seconds - 0.1
    assert max(waits) < seconds + 0.1


def test_a_worker_does_not_wait_for_a_turn_that_comes_after_its_time(
    open_world: SlowWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The payment could outlast the function."""
    monkeypatch.setenv("GATEWAY_REQUESTS_PER_SECOND", "1")
    monkeypatch.setattr(reconciliation, "BUDGET_SECONDS", 10)
    run_worker(open_world, 0, 4)
    assert len(open_world.calls) == 3  # after 0, 4 and 8 seconds
    assert open_world.time - START < 9


@pytest.mark.parametrize(
    "share", [{"worker": 2, "workers": 2}, {"worker": -1, "workers": 2}, {"worker": "0", "workers": 1}, {"worker": 1}]
)
def test_a_worker_that_does_not_exist_is_refused(open_world: SlowWorld, share: dict[str, Any]) -> None:
    with pytest.raises(MalformedRequest, match="worker must be"):
        reconciliation.handler({"action": "reconcile", **share}, None)
    assert open_world.calls == []


@pytest.mark.parametrize("counts", [None, {"overdue": 1}, [1]])
def test_a_measurement_without_counts_is_refused(open_world: SlowWorld, counts: Any) -> None:
    with pytest.raises(MalformedRequest, match="counts must be"):
        reconciliation.handler({"action": "measure", "counts": counts}, None)


# The customers of finished payments


@pytest.fixture
def finished_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Yield a world that keeps customers for 30 days, with three charged payments, and one in review."""
    world = World(behaviour=lambda charge: SILENCE if charge.transaction_id == "T-3" else None)
    with world.install_ports():
        monkeypatch.setenv("CUSTOMER_DATA_DAYS", "30")
        # A day passes until a person has to find out about the one that the gateway does not answer for.
        world.run_payment(request(transaction_id="T-3"), "3")
        world.run_schedule()
        for number in range(3):
            world.run_payment(request(transaction_id=f"T-{number}"), str(number))
        yield world


def list_named(world: World) -> set[str]:
    return {key for key, payment in world.read_payments().items() if payment.customer_id is not None}


def test_a_run_erases_who_paid_after_the_days_of_the_setting(finished_world: World) -> None:
    world = finished_world
    assert world.read_payments()["T-3"].status is Status.REVIEW
    world.time += 29 * DAY
    assert world.invoke_handler(reconciliation.handler, {})["erased"] == 0
    refund = {"action": "refund", "transaction_id": "T-0", "operator": "alice"}
    assert world.invoke_handler(reconciliation.handler, refund)["status"] == "REFUNDED"
    world.time += 2 * DAY
    assert world.invoke_handler(reconciliation.handler, {})["erased"] == 2
    # One was refunded since, and a person still needs to know the customer of the other.
    assert list_named(world) == {"T-0", "T-3"}
    assert world.invoke_handler(reconciliation.handler, {})["erased"] == 0
    world.time += 1000 * DAY
    assert world.invoke_handler(reconciliation.handler, {})["erased"] == 1
    assert list_named(world) == {"T-3"}
    steps = [step for (key, _), step in sorted(world.dynamodb.steps.items()) if key == "T-1"]
    assert (steps[-1]["status"]["S"], steps[-1]["note"]["S"].endswith("customer erased: True")) == ("COMPLETED", True)
    assert world.gateway.count_moves("charge", "T-1") == 1


@pytest.mark.parametrize(("days", "erased"), [("0", 0), ("1000", 0), ("14", 3)])
def test_a_changed_setting_holds_for_what_was_recorded_before(
    finished_world: World, monkeypatch: pytest.MonkeyPatch, days: str, erased: int
) -> None:
    finished_world.time += 20 * DAY
    monkeypatch.setenv("CUSTOMER_DATA_DAYS", days)
    assert finished_world.invoke_handler(reconciliation.handler, {})["erased"] == erased


def test_two_runs_divide_the_customers(finished_world: World) -> None:
    finished_world.time += 31 * DAY
    shares = [{"action": "reconcile", "worker": worker, "workers": 2} for worker in range(2)]
    counts = [finished_world.invoke_handler(reconciliation.handler, share)["erased"] for share in shares]
    assert sum(counts) == 3


def test_what_cannot_be_erased_is_an_error_of_a_run_that_goes_on(
    finished_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_none(*_: object) -> Iterator[str]:
        raise LedgerUnavailable("query: ThrottlingException")

    finished_world.time += 31 * DAY
    monkeypatch.setattr(DynamoDBLedger, "list_erasable_ids", list_none)
    answer = finished_world.invoke_handler(reconciliation.handler, {})
    assert (answer["errors"], answer["erased"]) == (1, 0)

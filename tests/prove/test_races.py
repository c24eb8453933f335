"""Several invocations act on one payment at once, in every order in which their calls can occur.

After each order the payment is charged at most once, and ``World.check_payments`` finds nothing wrong.
"""

from collections.abc import Callable
from typing import Any

import pytest
from handlers import processing, reconciliation, validation
from payments.charge import LEASE_SECONDS

from tests.asl import StatesError
from tests.prove.scheduler import Actor, Scheduler, every_order
from tests.prove.world import World
from tests.workflow import request

AT_MOST = 60_000
HOUR = 60 * 60
TRANSACTION_ID = request()["transaction_id"]

Race = Callable[[World], list[Actor]]


def tolerate_losing(act: Callable[[], object]) -> Actor:
    """Return an actor that may lose a race: the workflow retries or reports that error.

    The errors of a defect fail the test, because nothing is broken here.
    """

    def act_or_lose() -> None:
        try:
            act()
        except StatesError as error:
            if error.error in ("LedgerRefused", "InternalError"):
                raise AssertionError(f"a race is lost with {error.error}") from None

    return act_or_lose


def validate(world: World, execution: str) -> str:
    """Record the payment and return its record id."""
    event = {"request": request(), "execution": {"id": execution, "started_at": "2026-01-01T00:00:00.000Z"}}
    return str(world.invoke_handler(validation.handler, event)["record_id"])


def invoke_processing(world: World, execution: str, action: str, **fields: Any) -> None:
    started = {"id": execution, "started_at": "2026-01-01T00:00:00.000Z"}
    event = {"action": action, "transaction_id": TRANSACTION_ID, "execution": started, **fields}
    world.invoke_handler(processing.handler, event)


def process(world: World, execution: str, record_id: str) -> Actor:
    return tolerate_losing(lambda: invoke_processing(world, execution, "process", record_id=record_id))


def give_up(world: World, execution: str, error: str = "Broken", **changes: Any) -> Actor:
    fields = {"request": request(**changes), "error": error}
    return tolerate_losing(lambda: invoke_processing(world, execution, "record_failure", **fields))


def operate(world: World, action: str) -> Actor:
    event = {"action": action, "transaction_id": TRANSACTION_ID, "operator": "somebody", "request": request()}
    return tolerate_losing(lambda: world.invoke_handler(reconciliation.handler, event))


def run_schedule(world: World) -> Actor:
    def act() -> None:
        # The handler first reads the clock, and that time decides which payments it finds.
        world.faults.switch("schedule")
        world.invoke_handler(reconciliation.handler, {})

    return tolerate_losing(act)


def pass_time(world: World, seconds: float) -> Actor:
    def act() -> None:
        world.faults.switch("time")
        world.time += seconds

    return act


def complete_payment(world: World) -> None:
    process(world, "first", validate(world, "first"))()


def two_executions(world: World) -> list[Actor]:
    def start(execution: str) -> Actor:
        return tolerate_losing(lambda: process(world, execution, validate(world, execution))())

    return [start("first"), start("second")]


def two_functions(world: World) -> list[Actor]:
    record_id = validate(world, "first")
    return [process(world, "first", record_id), process(world, "second", record_id)]


def slow_holder(world: World) -> list[Actor]:
    return [*two_functions(world), pass_time(world, LEASE_SECONDS + 1)]


def reconciliation_against_processing(world: World) -> list[Actor]:
    return [process(world, "first", validate(world, "first")), run_schedule(world), pass_time(world, HOUR)]


def giving_up_against_processing(world: World) -> list[Actor]:
    return [process(world, "second", validate(world, "first")), give_up(world, "first"), give_up(world, "second")]


def another_request_under_the_id(world: World) -> list[Actor]:
    """The other request fails and its execution gives up, but the payment does not belong to it."""
    processing_first = process(world, "first", validate(world, "first"))
    return [processing_first, give_up(world, "another", "IdempotencyConflict", payment_amount=99.5)]


def an_index_that_lags(world: World) -> list[Actor]:
    """The index leads reconciliation to a payment that a function is processing."""
    record_id = validate(world, "first")
    world.dynamodb.index_lags = True
    return [process(world, "first", record_id), run_schedule(world)]


def refund_twice(world: World) -> list[Actor]:
    complete_payment(world)
    return [operate(world, "refund"), operate(world, "refund")]


def refund_against_reconciliation(world: World) -> list[Actor]:
    complete_payment(world)
    return [operate(world, "refund"), run_schedule(world), pass_time(world, HOUR)]


def reopen_twice_and_process(world: World) -> list[Actor]:
    record_id = validate(world, "first")
    give_up(world, "first")()
    return [operate(world, "reopen"), operate(world, "reopen"), process(world, "second", record_id)]


# The statuses in which a payment may end when nothing but the race happens to it.
RACES: dict[Race, set[str]] = {
    two_executions: {"COMPLETED"},
    two_functions: {"COMPLETED"},
    slow_holder: {"COMPLETED"},
    reconciliation_against_processing: {"COMPLETED", "FAILED"},
    an_index_that_lags: {"COMPLETED"},
    giving_up_against_processing: {"COMPLETED", "FAILED"},
    another_request_under_the_id: {"COMPLETED"},
    refund_twice: {"REFUNDED"},
    refund_against_reconciliation: {"REFUNDED"},
    reopen_twice_and_process: {"COMPLETED", "FAILED"},
}


def run_race(race: Race) -> int:
    """Run a race in every order and return the number of orders; fail at the first that leaves something wrong."""
    world = World()

    def run_order(scheduler: Scheduler) -> None:
        nonlocal world
        world = World()
        with world.install_ports():
            actors = race(world)
            world.faults.switch = scheduler.switch
            scheduler.run_actors(actors)
            world.faults.switch = lambda _: None
            world.dynamodb.index_lags = False
            world.run_schedule()

    orders = 0
    for choices in every_order(run_order, AT_MOST):
        orders += 1
        try:
            world.check_payments()
            (payment,) = world.read_payments().values()
            assert payment.status in RACES[race], f"ended {payment.status}"
            # A holder can be so slow that its lease ends before it charges; then only the idempotency key protects.
            assert race is slow_holder or world.gateway.at_once == 0, "two charges at once"
        except AssertionError as error:
            raise AssertionError(f"{race.__name__}, in the order {choices}: {error}") from None
    return orders


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
def test_no_order_of_a_race_leaves_anything_wrong(race: Race, record_figure: Any) -> None:
    orders = run_race(race)
    print(f"\nraces, {race.__name__}: {orders} orders")
    record_figure("races run", 1)
    record_figure("interleavings of their calls run", orders)
    assert orders > 5

"""Two or more at one payment at once, in every order in which their calls can fall.

Afterwards: charged at most once, and all that ``World.check`` holds.
"""

from collections.abc import Callable
from typing import Any

import pytest
from handlers import processing, reconciliation, validation
from payments.charge import LEASE_SECONDS

from tests.asl import StatesError
from tests.prove.scheduler import Actor, Scheduler, every_order
from tests.prove.services import DAY
from tests.prove.world import World
from tests.workflow import request

AT_MOST = 60_000


def execution(name: str) -> dict[str, str]:
    return {"id": name, "started_at": "2026-01-01T00:00:00.000Z"}


def validate_and_process(world: World, name: str) -> Actor:
    def act() -> None:
        recorded = world.invoke_handler(validation.handler, {"request": request(), "execution": execution(name)})
        process(world, name, recorded)()

    return quietly(act)


def process(world: World, name: str, recorded: dict[str, Any]) -> Actor:
    event = {
        "action": "process",
        "transaction_id": recorded["transaction_id"],
        "record_id": recorded["record_id"],
        "execution": execution(name),
    }
    return quietly(lambda: world.invoke_handler(processing.handler, event))


def give_up(world: World, name: str) -> Actor:
    event = {
        "action": "record_failure",
        "transaction_id": request()["transaction_id"],
        "request": request(),
        "error": "Broken",
        "execution": execution(name),
    }
    return quietly(lambda: world.invoke_handler(processing.handler, event))


def operate(world: World, action: str) -> Actor:
    event: dict[str, Any] = {"action": action, "transaction_id": request()["transaction_id"], "operator": "somebody"}
    event["request"] = request()
    return quietly(lambda: world.invoke_handler(reconciliation.handler, event))


def run_schedule(world: World) -> Actor:
    def act() -> None:
        # It reads the clock before anything else, and what it reads decides what it finds.
        world.faults.switch("schedule")
        world.invoke_handler(reconciliation.handler, {})

    return quietly(act)


def quietly(act: Callable[[], object]) -> Actor:
    """Losing a race is an error that the workflow retries or reports; here it only has to be harmless.

    These are not for losing a race: something is broken, and nothing is here.
    """

    def quiet() -> None:
        try:
            act()
        except StatesError as error:
            if error.error in ("LedgerRefused", "InternalError"):
                raise AssertionError(f"a race is lost with {error.error}") from None

    return quiet


def time_passes(world: World, seconds: float) -> Actor:
    def act() -> None:
        world.faults.switch("time")
        world.time += seconds

    return act


def validated(world: World) -> dict[str, Any]:
    recorded: dict[str, Any] = world.invoke_handler(
        validation.handler, {"request": request(), "execution": execution("first")}
    )
    return recorded


def completed(world: World) -> dict[str, Any]:
    recorded = validated(world)
    process(world, "first", recorded)()
    return recorded


def twice_at_once(world: World) -> list[Actor]:
    return [validate_and_process(world, "first"), validate_and_process(world, "second")]


def two_functions(world: World) -> list[Actor]:
    recorded = validated(world)
    return [process(world, "first", recorded), process(world, "second", recorded)]


def slow_holder(world: World) -> list[Actor]:
    recorded = validated(world)
    return [
        process(world, "first", recorded),
        process(world, "second", recorded),
        time_passes(world, LEASE_SECONDS + 1),
    ]


def reconciliation_against_processing(world: World) -> list[Actor]:
    recorded = validated(world)
    return [process(world, "first", recorded), run_schedule(world), time_passes(world, 60 * 60)]


def giving_up_against_processing(world: World) -> list[Actor]:
    recorded = validated(world)
    return [process(world, "second", recorded), give_up(world, "first"), give_up(world, "second")]


def another_request_under_the_id(world: World) -> list[Actor]:
    """It fails, and its execution gives up; the payment is not its to give up."""
    recorded = validated(world)

    def act() -> None:
        event = {
            "action": "record_failure",
            "transaction_id": request()["transaction_id"],
            "request": request(payment_amount=99.5),
            "error": "IdempotencyConflict",
            "execution": execution("another"),
        }
        world.invoke_handler(processing.handler, event)

    return [process(world, "first", recorded), quietly(act)]


def an_index_that_lags(world: World) -> list[Actor]:
    """Reconciliation is sent to a payment that a function is at."""
    recorded = validated(world)
    world.dynamodb.index_lags = True
    return [process(world, "first", recorded), run_schedule(world)]


def refund_twice(world: World) -> list[Actor]:
    completed(world)
    return [operate(world, "refund"), operate(world, "refund")]


def refund_against_reconciliation(world: World) -> list[Actor]:
    completed(world)
    return [operate(world, "refund"), run_schedule(world), time_passes(world, 60 * 60)]


def reopen_twice_and_process(world: World) -> list[Actor]:
    recorded = validated(world)
    give_up(world, "first")()
    return [operate(world, "reopen"), operate(world, "reopen"), process(world, "second", recorded)]


# Where a payment may end that nothing happens to but the race.
COMPLETED, REFUNDED = {"COMPLETED"}, {"REFUNDED"}
ABANDONED, GIVEN_UP = {"COMPLETED", "FAILED"}, {"COMPLETED", "FAILED"}
RACES = {
    twice_at_once: COMPLETED,
    two_functions: COMPLETED,
    slow_holder: COMPLETED,
    reconciliation_against_processing: ABANDONED,
    an_index_that_lags: COMPLETED,
    giving_up_against_processing: GIVEN_UP,
    another_request_under_the_id: COMPLETED,
    refund_twice: REFUNDED,
    refund_against_reconciliation: REFUNDED,
    reopen_twice_and_process: GIVEN_UP,
}


def run_race(race: Callable[[World], list[Actor]]) -> int:
    """In every order; how many there are. Fails at the first that leaves something wrong."""
    worlds: list[World] = []

    def once(scheduler: Scheduler) -> None:
        world = World()
        with world.install_ports():
            actors = race(world)
            world.faults.switch = scheduler.switch
            scheduler.run_actors(actors)
            world.faults.switch = lambda _: None
            world.dynamodb.index_lags = False
            world.run_schedule(2 * DAY)
        worlds[:] = [world]

    orders = 0
    for choices in every_order(once, AT_MOST):
        orders += 1
        try:
            worlds[0].check_payments()
            (payment,) = worlds[0].read_payments().values()
            assert payment.status in RACES[race], f"ended {payment.status}"
            # A holder may be so slow that its lease is over before it charges: then the key alone protects.
            assert race is slow_holder or worlds[0].gateway.at_once == 0, "two charges at once"
        except AssertionError as error:
            raise AssertionError(f"{race.__name__}, in the order {choices}: {error}") from None
    return orders


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
def test_every_order(race: Callable[[World], list[Actor]], record_figure: Any) -> None:
    orders = run_race(race)
    print(f"\nraces, {race.__name__}: {orders} orders")
    record_figure("races run", 1)
    record_figure("interleavings of their calls run", orders)
    assert orders > 5

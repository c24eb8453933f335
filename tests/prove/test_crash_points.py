"""Every call of every function broken in every way, alone and in pairs: enumerated, not sampled.

After each, the workflow's retries and the reconciliation run on, and then: charged at most once, exactly once if the
payment says COMPLETED, never if it says it was not; the ledger replays to the status; no payment stays open.
"""

import re
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from handlers import reconciliation
from payments.payment import Status
from payments.ports import Charge, Declined, NotCharged, Outcome, Unknown

from tests.asl import StatesError
from tests.prove.faults import Fault
from tests.prove.services import DAY, SILENCE
from tests.prove.world import World
from tests.workflow import request

Behaviour = Callable[[Charge], Outcome | None]


@dataclass(frozen=True)
class Scenario:
    """A payment's life: how the gateway behaves, and where the payment ends if nothing else breaks."""

    ends: Status
    behaviour: Behaviour = lambda _: None
    refund: bool = False
    # Whether an operator has it sent again after it failed.
    redrive: bool = False
    # How long the schedule is down before it takes up what was left.
    down_seconds: float = 0


SCENARIOS = {
    "charged": Scenario(Status.COMPLETED),
    "declined": Scenario(Status.DECLINED, lambda _: Declined("insufficient_funds")),
    "away once": Scenario(Status.COMPLETED, lambda charge: NotCharged("away") if charge.attempt == 1 else None),
    "away after the first try": Scenario(
        Status.COMPLETED, lambda charge: NotCharged("away") if charge.attempt > 1 else None
    ),
    "away for good": Scenario(Status.FAILED, lambda _: NotCharged("away")),
    "answer lost, not charged": Scenario(Status.FAILED, lambda _: Unknown("timeout")),
    "redriven": Scenario(
        Status.COMPLETED, lambda charge: NotCharged("away") if charge.attempt <= 4 else None, redrive=True
    ),
    "silent for good": Scenario(Status.REVIEW, lambda _: SILENCE, down_seconds=DAY),
    "charged, and no schedule for a day": Scenario(Status.COMPLETED, down_seconds=DAY),
    "refunded": Scenario(Status.REFUNDED, refund=True),
    "refunded, and no schedule for a day": Scenario(Status.REFUNDED, refund=True, down_seconds=DAY),
}


def run_scenario(
    scenario: Scenario, plan: dict[int, Fault], outage: tuple[str, int] | None = None, outage_seconds: float = 0
) -> World:
    """``away`` names services that take no call from the n-th on, until so long after the execution has ended."""
    world = World(plan, scenario.behaviour)
    world.faults.outage = outage
    event: dict[str, Any] = {"transaction_id": request()["transaction_id"], "operator": "alice"}
    with world.install_ports():
        world.run_payment(request())
        if scenario.redrive:
            world.redriven_at = len(world.faults.calls)
            with suppress(StatesError):
                world.invoke_handler(reconciliation.handler, event | {"action": "reopen", "request": request()})
                world.run_payment(request(), name="redrive")
        if scenario.refund:
            with suppress(StatesError):
                world.invoke_handler(reconciliation.handler, event | {"action": "refund"})
        if outage_seconds:
            world.run_schedule(outage_seconds)
        world.faults.outage = None
        if scenario.down_seconds:
            # No request is on its way for so long: what comes late has come by then.
            world.gateway.let_late_effects_happen()
            world.time += scenario.down_seconds
        world.run_schedule()
    return world


def list_plans(world: World, beyond: int = -1) -> list[tuple[int, Fault]]:
    """Every way to break a call of this run after the call ``beyond``."""
    return [
        (index, fault)
        for index, (_, possible) in enumerate(world.faults.calls)
        if index > beyond
        for fault in sorted(possible, key=lambda fault: fault.name)
    ]


def is_own_kind(world: World, index: int, fault: Fault) -> bool:
    """Whether no other fault of this call stands for ``fault`` in a pair.

    A function handles a throttled call of an AWS service as one that times out without effect, which
    ``test_a_throttled_call_leaves_what_a_timeout_leaves`` holds for each single fault.
    """
    name, _ = world.faults.calls[index]
    return fault is not Fault.THROTTLED or name.startswith(("gateway.", "workflow."))


def list_plans_of_pairs(world: World, beyond: int) -> list[tuple[int, Fault]]:
    return [plan for plan in list_plans(world, beyond) if is_own_kind(world, *plan)]


def describe_contents(world: World) -> str:
    """Return what a run left behind, without the names of the errors of AWS services, which only people read."""
    services = world.dynamodb.payments, world.dynamodb.steps, world.gateway.movements
    contents = repr((world.time, *services, world.topic.notices, world.queue.letters))
    return re.sub(r"\b(get_item|query|transact_write_items): [A-Za-z, ]+", r"\1", contents)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_throttled_call_leaves_what_a_timeout_leaves(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda _: "salt")
    scenario = SCENARIOS[name]
    undisturbed = run_scenario(scenario, {})
    for index, fault in list_plans(undisturbed):
        if not is_own_kind(undisturbed, index, fault):
            throttled, timed_out = (run_scenario(scenario, {index: kind}) for kind in (fault, Fault.TIMEOUT))
            assert throttled.faults.calls == timed_out.faults.calls
            assert describe_contents(throttled) == describe_contents(timed_out), undisturbed.faults.calls[index]


def run_again_after_a_day(plan: dict[int, Fault]) -> World:
    """The schedule is down, and the same request comes again when the gateway has forgotten the first."""
    world = World(plan)
    with world.install_ports():
        world.run_payment(request(), name="1")
        # No request is on its way for a day: what comes late has come by then.
        world.gateway.let_late_effects_happen()
        world.time += DAY + 1
        world.run_payment(request(), name="2")
        world.run_schedule()
    return world


# By the beginnings of their calls' names.
SERVICE_PREFIXES = ("workflow.publish", "workflow.send", "workflow", "s", "dynamodb", "secretsmanager", "")
HOUR = 60 * 60


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_outage_of_each_service_from_each_call_on(name: str, record_figure: Any) -> None:
    """Longer than the retries last: until the execution is over, and for an hour of the schedule after it."""
    scenario, outages = SCENARIOS[name], 0
    calls = [call for call, _ in run_scenario(scenario, {}).faults.calls]
    for service in SERVICE_PREFIXES:
        for first in [n for n, call in enumerate(calls) if call.startswith(service)]:
            for seconds in (0, HOUR):
                world = run_scenario(scenario, {}, (service, first), seconds)
                outages += 1
                try:
                    world.check_payments()
                except AssertionError as error:
                    raise AssertionError(f"{name}; {service} away from call {first}, {seconds} s: {error}") from None
    record_figure("outages simulated", outages)


def run_twice(plan: dict[int, Fault]) -> World:
    """A payment that fails for good, and the same request again."""
    world = World(plan, lambda _: NotCharged("away"))
    with world.install_ports():
        world.run_payment(request(), name="1")
        world.run_payment(request(), name="2")
        world.run_schedule()
    return world


def check_twice() -> int:
    """Every fault; how many there are."""
    undisturbed = run_twice({})
    undisturbed.check_payments()
    # Where nothing breaks, nothing is said again, not even under the same notice id.
    assert len(undisturbed.topic.notices) == 1, "announced twice"
    assert len(undisturbed.queue.letters) == 1, "dead-lettered twice"
    singles = list_plans(undisturbed)
    for single in singles:
        run_twice(dict([single])).check_payments()
    return len(singles)


def test_the_same_failure_is_told_once(record_figure: Any) -> None:
    record_figure("crash points tested", check_twice())


def check_again_after_a_day() -> Counter[str]:
    """Every pair of faults; how the payments ended. A payment that is left claimed takes two."""
    ends: Counter[str] = Counter()
    for first in list_plans_of_pairs(run_again_after_a_day({}), -1):
        for second in list_plans_of_pairs(run_again_after_a_day(dict([first])), first[0]):
            world = run_again_after_a_day(dict([first, second]))
            world.check_payments()
            ends.update(payment.status for payment in world.read_payments().values())
    return ends


def test_every_pair_with_the_request_again_after_a_day(record_figure: Any) -> None:
    ends = check_again_after_a_day()
    print(f"\nagain after a day: {dict(ends)}")
    record_figure("pairs of crash points tested", sum(ends.values()))
    assert set(ends) >= {"COMPLETED", "FAILED"}


def check_table_put_back_in_time() -> None:
    """The table of payments is restored to before the payment; the ledger remembers, and it is not charged anew."""
    world = World()
    with world.install_ports():
        world.run_payment(request(), name="1")
        steps = dict(world.dynamodb.steps)
        world.dynamodb.payments.clear()
        world.time += DAY + 1
        assert world.run_payment(request(), name="2").error == "LedgerRefused", "the ledger was overwritten"
    assert world.dynamodb.steps == steps
    assert world.gateway.count_moves("charge", request()["transaction_id"]) == 1


def test_a_table_put_back_in_time_charges_nobody_again() -> None:
    check_table_put_back_in_time()


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_crash_point_and_every_pair(name: str, record_figure: Any) -> None:
    ends: Counter[str] = Counter()
    singles = pairs = 0

    def broken_by(plan: dict[int, Fault]) -> World:
        world = run_scenario(SCENARIOS[name], plan)
        try:
            world.check_payments()
        except AssertionError as error:
            broken = ", ".join(f"{world.faults.calls[i][0]} (call {i}): {f.value}" for i, f in plan.items())
            raise AssertionError(f"{name}; {broken}: {error}") from None
        ends.update(payment.status for payment in world.read_payments().values())
        return world

    undisturbed = broken_by({})
    # Where nothing breaks, it is not enough to be harmless.
    assert [payment.status for payment in undisturbed.read_payments().values()] == [SCENARIOS[name].ends]
    # What may break before a redrive breaks in the other scenarios too.
    for first in list_plans(undisturbed, beyond=undisturbed.redriven_at - 1):
        broken = broken_by(dict([first]))
        singles += 1
        if not is_own_kind(undisturbed, *first):
            continue
        for second in list_plans_of_pairs(broken, first[0]):
            broken_by(dict([first, second]))
            pairs += 1
    print(f"\ncrash points, {name}: {singles} singly, {pairs} in pairs; ended {dict(ends)}")
    record_figure("crash points tested", singles)
    record_figure("pairs of crash points tested", pairs)
    assert singles > 20
    assert pairs > 400

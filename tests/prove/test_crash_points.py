"""Every call of every function broken in every way, alone and in pairs: enumerated, not sampled.

After each, the workflow's retries and the reconciliation run on, and then: charged at most once, exactly once if the
payment says COMPLETED, never if it says it was not; the ledger replays to the status; no payment stays open.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import reconciliation
from payments.ports import Charge, Declined, NotCharged, Outcome

from tests.asl import StatesError
from tests.prove.world import DAY, Fault, World
from tests.workflow import request

ENDS = {
    "charged": "COMPLETED",
    "declined": "DECLINED",
    "away once": "COMPLETED",
    "away after the first try": "COMPLETED",
    "refunded": "REFUNDED",
}
Behaviour = Callable[[Charge], Outcome | None]
SCENARIOS: dict[str, Behaviour] = {
    "charged": lambda _: None,
    "declined": lambda _: Declined("insufficient_funds"),
    "away once": lambda charge: NotCharged("away") if charge.attempt == 1 else None,
    "away after the first try": lambda charge: NotCharged("away") if charge.attempt > 1 else None,
}


def run(behaviour: Behaviour, plan: dict[int, Fault], refund: bool = False) -> World:
    world = World(plan, behaviour)
    with world.installed():
        world.pay(request())
        if refund:
            event = {"action": "refund", "transaction_id": request()["transaction_id"], "operator": "alice"}
            with suppress(StatesError):
                world.invoke(reconciliation.handler, event)
        world.reconcile()
    return world


def plans(world: World, beyond: int = -1) -> list[tuple[int, Fault]]:
    """Every way to break a call of this run after the call ``beyond``."""
    return [
        (index, fault)
        for index, (_, possible) in enumerate(world.faults.calls)
        if index > beyond
        for fault in sorted(possible, key=lambda fault: fault.name)
    ]


def run_again_after_a_day(plan: dict[int, Fault]) -> World:
    """The schedule is down, and the same request comes again when the gateway has forgotten the first."""
    world = World(plan)
    with world.installed():
        world.pay(request(), name="1")
        # No request is on its way for a day: what comes late has come by then.
        world.gateway.let_late_effects_happen()
        world.now += DAY + 1
        world.pay(request(), name="2")
        world.reconcile()
    return world


def check_again_after_a_day() -> Counter[str]:
    """Every pair of faults; how the payments ended. A payment that is left claimed takes two."""
    ends: Counter[str] = Counter()
    for first in plans(run_again_after_a_day({})):
        for second in plans(run_again_after_a_day(dict([first])), beyond=first[0]):
            world = run_again_after_a_day(dict([first, second]))
            world.check()
            ends.update(payment.status for payment in world.payments().values())
    return ends


def test_every_pair_with_the_request_again_after_a_day(tried: Any) -> None:
    ends = check_again_after_a_day()
    print(f"\nagain after a day: {dict(ends)}")
    tried("pairs of crash points tried", sum(ends.values()))
    assert set(ends) >= {"COMPLETED", "FAILED"}


@pytest.mark.parametrize("name", [*SCENARIOS, "refunded"])
def test_every_crash_point_and_every_pair(name: str, tried: Any) -> None:
    ends: Counter[str] = Counter()
    singles = pairs = 0

    def broken_by(plan: dict[int, Fault]) -> World:
        world = run(SCENARIOS.get(name, SCENARIOS["charged"]), plan, refund=name == "refunded")
        try:
            world.check()
        except AssertionError as error:
            broken = ", ".join(f"{world.faults.calls[i][0]} (call {i}): {f.value}" for i, f in plan.items())
            raise AssertionError(f"{name}; {broken}: {error}") from None
        ends.update(payment.status for payment in world.payments().values())
        return world

    whole = broken_by({})
    # Where nothing breaks, it is not enough to be harmless.
    assert [payment.status for payment in whole.payments().values()] == [ENDS[name]]
    for first in plans(whole):
        broken = broken_by(dict([first]))
        singles += 1
        for second in plans(broken, beyond=first[0]):
            broken_by(dict([first, second]))
            pairs += 1
    print(f"\ncrash points, {name}: {singles} singly, {pairs} in pairs; ended {dict(ends)}")
    tried("crash points tried", singles)
    tried("pairs of crash points tried", pairs)
    assert singles > 20
    assert pairs > 400

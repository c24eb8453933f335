"""Lives explored, not sampled, and longer ones by chance; after each, what truth.py holds.

Each scenario says who takes part. All orders of their calls are taken, or all with so many interruptions, and in each
every single fault (or pair) of the table in explorer.py. A scenario without ``preemptions`` covers every order.
"""

import random
from typing import Any

import pytest
from payments.charge import LEASE_SECONDS
from payments.notification import NOTIFIER_SECONDS
from payments.ports import Charge, Declined, NotCharged, Outcome

from tests.prove.explorer import (
    OF_AN_INVOCATION,
    Call,
    Directed,
    Execution,
    Explorer,
    Jump,
    Late,
    Redrive,
    Scenario,
    Stop,
    another_request,
    away,
    count,
    reconciliation_run,
    refund,
    resolve,
)
from tests.prove.faults import Fault
from tests.prove.services import DAY, SILENCE

# How many wrong lives of a scenario are printed: each different, each a shortest.
PRINTED = 6
LATE = frozenset({Fault.TIMEOUT_LATE, Fault.CRASH_LATE, Directed.LATE})
LOST = frozenset({Fault.TIMEOUT_WITH_EFFECT, Fault.CRASH_AFTER, Directed.ANSWERS_LOST})
SAVED = frozenset({Directed.SAVED_ERROR, Directed.SAVED_ERROR_WITH_EFFECT})
A = frozenset({"a"})
OPERATOR = frozenset({"operator, refund", "reconciliation"})


def declines(_charge: Charge) -> Outcome | None:
    return Declined("insufficient_funds")


def silent(_charge: Charge) -> Outcome | None:
    return SILENCE


def away_at_first(charge: Charge) -> Outcome | None:
    """As long as the first execution tries."""
    return NotCharged("away") if charge.attempt <= 4 else None


def a() -> Execution:
    return Execution("a")


def b() -> Execution:
    return Execution("b")


def other() -> Execution:
    return Execution("another request", another_request())


def claim_over() -> Jump:
    return Jump(NOTIFIER_SECONDS + 1, "time, the claim of a notice is over")


def lease_over() -> Jump:
    return Jump(LEASE_SECONDS + 1, "time, the lease is over")


def a_day() -> Jump:
    return Jump(DAY + 1, "time, a day")


def run() -> Call:
    return reconciliation_run()


SCENARIOS = {
    # One execution, and every pair of faults.
    "charged, two faults": Scenario((a(),), troubles=2),
    "declined, two faults": Scenario((a(),), declines, troubles=2),
    "away, one fault": Scenario((a(), run(), claim_over()), away, troubles=1, preemptions=0),
    "silent, one fault": Scenario((a(), a_day(), run(), resolve()), silent, troubles=1, preemptions=0),
    # The same request twice, and another one under the id.
    "two executions, every order": Scenario((a(), b())),
    "two executions, the lease over, every order": Scenario((a(), b(), lease_over()), preemptions=3),
    "two executions declined, every order": Scenario((a(), b()), declines),
    "another request, every order": Scenario((a(), other())),
    "two executions, one fault": Scenario((a(), b()), troubles=1, preemptions=1),
    "two executions declined, one fault": Scenario((a(), b()), declines, troubles=1, preemptions=1),
    "two executions away": Scenario((a(), b()), away, preemptions=2),
    "another request, one fault": Scenario((a(), other()), troubles=1, preemptions=1),
    "one that fails before it is processed, twice": Scenario(
        (a(), b()), troubles=2, troubled=A, preemptions=1, only=frozenset(OF_AN_INVOCATION)
    ),
    "one that fails before it is processed, and everybody": Scenario(
        (a(), b(), run(), refund(), claim_over()),
        **{"troubles": 1, "troubled": A, "preemptions": 1, "only": frozenset(OF_AN_INVOCATION)},
    ),
    # Stopped at every point, and never continued.
    "declined and stopped, sent again": Scenario((a(), Stop("a"), b()), declines, preemptions=2),
    "charged and stopped, sent again": Scenario((a(), Stop("a"), b()), preemptions=2),
    "away and stopped, reconciled": Scenario((a(), Stop("a"), claim_over(), run()), away, preemptions=2),
    # Answers that are lost and effects that come late.
    "late, sent again": Scenario((a(), b(), Late()), troubles=1, preemptions=2, only=LATE),
    "late, reconciled": Scenario(
        (a(), claim_over(), run(), Late()), away_at_first, troubles=1, preemptions=1, only=LATE
    ),
    "answers lost, reconciled": Scenario((a(), claim_over(), run()), troubles=2, preemptions=1, only=LOST),
    # Operators.
    "refunded": Scenario((a(), refund(), claim_over(), run()), troubles=1, preemptions=1),
    "refunded, saved errors": Scenario((a(), refund(), run(), a_day()), troubles=2, preemptions=1, only=SAVED),
    "refunded twice, reconciled": Scenario(
        (a(), refund(), refund("operator, refund again"), run(), claim_over()), preemptions=1
    ),
    "redriven": Scenario((a(), Redrive(), claim_over(), run()), away_at_first, preemptions=1),
    "redriven, everybody throttled": Scenario(
        (a(), Redrive(), run()), away_at_first, troubles=2, preemptions=1, only=frozenset({Directed.SLOW})
    ),
    "resolved": Scenario((a(), a_day(), run(), resolve(), reconciliation_run("next run")), silent, preemptions=1),
    # Two executions, reconciliation and an operator.
    "everybody": Scenario((a(), b(), run(), refund(), claim_over()), preemptions=2),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_life(name: str, tried: Any) -> None:
    explorer = Explorer(SCENARIOS[name])
    with explorer.stage.installed():
        explored = explorer.explore()
    print(f"\nlives, {name}: {explored.states} states, {explored.lives} ends; found {dict(explored.found)}")
    tried("states of lives explored", explored.states)
    tried("ends of lives explored", explored.lives)
    lives = list(explored.wrong.items())
    assert not lives, f"{name}: {dict(explored.found)}" + "".join(
        f"\n\n{finding.kind}: {finding.text}\n{life}" for finding, life in lives[:PRINTED]
    )


BY_CHANCE = {
    "charged": Scenario((a(), b(), run(), Redrive(), refund(), Late(), claim_over(), Stop("a")), troubles=3),
    "declined": Scenario((a(), b(), other(), run(), Late(), lease_over(), Stop("b")), declines, troubles=3),
    "away": Scenario((a(), b(), run(), Redrive(), Late(), claim_over(), refund()), away_at_first, troubles=3),
    "silent": Scenario((a(), b(), run(), a_day(), reconciliation_run("next run"), resolve()), silent, troubles=3),
}
LIVES = 400


@pytest.mark.parametrize("name", BY_CHANCE)
def test_lives_by_chance(name: str, tried: Any) -> None:
    """The same lives each time."""
    explorer = Explorer(BY_CHANCE[name])
    wrong: dict[str, str] = {}
    with explorer.stage.installed():
        for seed in range(LIVES):
            life, state = explorer.run(explorer.wander(random.Random(seed)))  # noqa: S311 - not a secret
            found = explorer.judge(state)
            count(found)
            for kind in sorted({finding.kind for finding in found} - set(wrong)):
                shortest = explorer.shrink(life, kind)
                wrong[kind] = explorer.printed(shortest, explorer.judge(explorer.run(shortest)[1]))
            explorer.forget()
    tried("lives by chance", LIVES)
    assert not wrong, "".join(f"\n\n{kind}, in a life of {name}\n{life}" for kind, life in wrong.items())

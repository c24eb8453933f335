"""Explores every life of each scenario, and longer lives by chance; truth.py judges each of them.

A scenario lists its actors. The explorer takes their calls in every order, or in every order with a limited number of
interruptions (``preemptions``), and in each order it injects every single fault, or pair of faults, of troubles.py.
`make test` explores each scenario with one interruption and one fault at most.
"""

import random
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from payments.charge import LEASE_SECONDS
from payments.notification import NOTIFIER_SECONDS
from payments.ports import Charge, Declined, NotCharged, Outcome

from tests.prove.actors import (
    Execution,
    Jump,
    Late,
    Redrive,
    Stop,
    another_request,
    refund_call,
    resolve_call,
    schedule_run,
    stays_away,
)
from tests.prove.explorer import Explorer, Scenario, count_life
from tests.prove.faults import PROVES_ALL, Fault
from tests.prove.services import DAY, SILENCE
from tests.prove.troubles import OF_AN_INVOCATION, Directed

# How many wrong lives of a scenario are printed; each is a shortest life with its own finding.
PRINTED_LIVES = 6
LATE = frozenset({Fault.TIMEOUT_LATE, Fault.CRASH_LATE, Directed.LATE})
LOST_ANSWERS = frozenset({Fault.TIMEOUT_WITH_EFFECT, Fault.CRASH_AFTER, Directed.ANSWERS_LOST})
SAVED = frozenset({Directed.SAVED_ERROR, Directed.SAVED_ERROR_WITH_EFFECT})
A = frozenset({"a"})
EXPRESS: dict[str, Any] = {"is_express": True, "announces_once": True}


def declines_all(_charge: Charge) -> Outcome | None:
    return Declined("insufficient_funds")


def never_answers(_charge: Charge) -> Outcome | None:
    return SILENCE


def away_at_first(charge: Charge) -> Outcome | None:
    """Refuse all attempts of the first execution."""
    return NotCharged("away") if charge.attempt <= 4 else None


pay_a, pay_b = partial(Execution, "a"), partial(Execution, "b")
run_a_again = partial(Execution, "a restarted", execution_name="a")
pay_other = partial(Execution, "another request", another_request())
claim_over = partial(Jump, NOTIFIER_SECONDS + 1, "time, the claim of a notice is over")
lease_over = partial(Jump, LEASE_SECONDS + 1, "time, the lease is over")
a_day = partial(Jump, DAY + 1, "time, a day")

SCENARIOS = {
    # One execution with every fault or pair of faults.
    "charged, two faults": Scenario((pay_a(),), troubles=2),
    "declined, two faults": Scenario((pay_a(),), declines_all, troubles=2),
    "away, one fault": Scenario((pay_a(), schedule_run(), claim_over()), stays_away, troubles=1, preemptions=0),
    "silent, one fault": Scenario(
        (pay_a(), a_day(), schedule_run(), resolve_call()), never_answers, troubles=1, preemptions=0
    ),
    # The same request twice, or another request under the same id.
    "two executions, every order": Scenario((pay_a(), pay_b())),
    "two executions, the lease over, every order": Scenario((pay_a(), pay_b(), lease_over()), preemptions=3),
    "two executions declined, every order": Scenario((pay_a(), pay_b()), declines_all),
    "another request, every order": Scenario((pay_a(), pay_other())),
    "two executions, one fault": Scenario((pay_a(), pay_b()), troubles=1, preemptions=1),
    "two executions declined, one fault": Scenario((pay_a(), pay_b()), declines_all, troubles=1, preemptions=1),
    "two executions away": Scenario((pay_a(), pay_b()), stays_away, preemptions=2),
    "another request, one fault": Scenario((pay_a(), pay_other()), troubles=1, preemptions=1),
    "one that fails before it is processed, twice": Scenario(
        (pay_a(), pay_b()), troubles=2, troubled=A, preemptions=1, only=frozenset(OF_AN_INVOCATION)
    ),
    "one that fails before it is processed, and everybody": Scenario(
        (pay_a(), pay_b(), schedule_run(), refund_call(), claim_over()),
        **{"troubles": 1, "troubled": A, "preemptions": 1, "only": frozenset(OF_AN_INVOCATION)},
    ),
    # An execution is stopped at every point and never continues.
    "declined and stopped, sent again": Scenario((pay_a(), Stop("a"), pay_b()), declines_all, preemptions=2),
    "charged and stopped, sent again": Scenario((pay_a(), Stop("a"), pay_b()), preemptions=2),
    "away and stopped, reconciled": Scenario(
        (pay_a(), Stop("a"), claim_over(), schedule_run()), stays_away, preemptions=2
    ),
    # Answers are lost, or effects come late.
    "late, sent again": Scenario((pay_a(), pay_b(), Late()), troubles=1, preemptions=2, only=LATE),
    "late, reconciled": Scenario(
        (pay_a(), claim_over(), schedule_run(), Late()), away_at_first, troubles=1, preemptions=1, only=LATE
    ),
    "answers lost, reconciled": Scenario(
        (pay_a(), claim_over(), schedule_run()), troubles=2, preemptions=1, only=LOST_ANSWERS
    ),
    # Operators act.
    "refunded": Scenario((pay_a(), refund_call(), claim_over(), schedule_run()), troubles=1, preemptions=1),
    "refunded, saved errors": Scenario(
        (pay_a(), refund_call(), schedule_run(), a_day()), troubles=2, preemptions=1, only=SAVED
    ),
    "refunded twice, reconciled": Scenario(
        (pay_a(), refund_call(), refund_call("operator, refund again"), schedule_run(), claim_over()), preemptions=1
    ),
    "redriven": Scenario((pay_a(), Redrive(), claim_over(), schedule_run()), away_at_first, preemptions=1),
    "redriven, everybody throttled": Scenario(
        (pay_a(), Redrive(), schedule_run()), away_at_first, troubles=2, preemptions=1, only=frozenset({Directed.SLOW})
    ),
    "resolved": Scenario(
        (pay_a(), a_day(), schedule_run(), resolve_call(), schedule_run("next run")), never_answers, preemptions=1
    ),
    "everybody": Scenario((pay_a(), pay_b(), schedule_run(), refund_call(), claim_over()), preemptions=2),
    # Express: an execution is restarted while its first run continues, and a name may be used again.
    "Express, restarted": Scenario((pay_a(), run_a_again()), preemptions=3, **EXPRESS),
    "Express, restarted, declined": Scenario((pay_a(), run_a_again()), declines_all, preemptions=3, **EXPRESS),
    "Express, restarted, away": Scenario((pay_a(), run_a_again()), stays_away, preemptions=2, **EXPRESS),
    "Express, cut short and restarted, declined": Scenario(
        (pay_a(), Stop("a"), run_a_again(), claim_over(), schedule_run()), declines_all, preemptions=1, is_express=True
    ),
    "Express, restarted, one fault": Scenario(
        (pay_a(), run_a_again()), declines_all, troubles=1, preemptions=1, is_express=True
    ),
    "Express, two faults": Scenario((pay_a(),), declines_all, troubles=2, is_express=True),
    "Express, away, one fault": Scenario(
        (pay_a(), schedule_run(), claim_over()), stays_away, troubles=1, preemptions=0, is_express=True
    ),
    "Express, redriven": Scenario(
        (pay_a(), Redrive(), claim_over(), schedule_run()), away_at_first, preemptions=1, is_express=True
    ),
}


def narrow_scenario(scenario: Scenario) -> Scenario:
    """Return the scenario as `make test` explores it, without most of its states."""
    preemptions = 1 if scenario.preemptions is None else min(scenario.preemptions, 1)
    return replace(scenario, troubles=min(scenario.troubles, 1), preemptions=preemptions)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_life_of_a_scenario_ends_wrong(name: str, record_figure: Any) -> None:
    explorer = Explorer(SCENARIOS[name] if PROVES_ALL else narrow_scenario(SCENARIOS[name]))
    with explorer.stage.install_ports():
        explored = explorer.explore_lives()
    print(f"\nlives, {name}: {explored.states} states, {explored.lives} ends; found {dict(explored.finding_counts)}")
    record_figure("states of lives explored", explored.states)
    record_figure("ends of lives explored", explored.lives)
    lives = list(explored.wrong.items())
    assert not lives, f"{name}: {dict(explored.finding_counts)}" + "".join(
        f"\n\n{finding.kind}: {finding.text}\n{life}" for finding, life in lives[:PRINTED_LIVES]
    )


BY_CHANCE = {
    "charged": Scenario(
        (pay_a(), pay_b(), schedule_run(), Redrive(), refund_call(), Late(), claim_over(), Stop("a")), troubles=3
    ),
    "declined": Scenario(
        (pay_a(), pay_b(), pay_other(), schedule_run(), Late(), lease_over(), Stop("b")), declines_all, troubles=3
    ),
    "away": Scenario(
        (pay_a(), pay_b(), schedule_run(), Redrive(), Late(), claim_over(), refund_call()), away_at_first, troubles=3
    ),
    "silent": Scenario(
        (pay_a(), pay_b(), schedule_run(), a_day(), schedule_run("next run"), resolve_call()), never_answers, troubles=3
    ),
}
LIVES = 400 if PROVES_ALL else 80


@pytest.mark.parametrize("name", BY_CHANCE)
def test_no_random_life_ends_wrong(name: str, record_figure: Any) -> None:
    """The seeds are fixed, so each run takes the same lives."""
    explorer = Explorer(BY_CHANCE[name])
    wrong: dict[str, str] = {}
    with explorer.stage.install_ports():
        for seed in range(LIVES):
            life, state = explorer.take_life(explorer.take_random_life(random.Random(seed)))  # noqa: S311 - not a secret
            violations = explorer.judge_state(state)
            count_life(violations)
            for kind in sorted({finding.kind for finding in violations} - set(wrong)):
                shortest = explorer.shrink_life(life, kind)
                wrong[kind] = explorer.print_life(shortest, explorer.judge_state(explorer.take_life(shortest)[1]))
            explorer.forget_steps()
    record_figure("lives by chance", LIVES)
    assert not wrong, "".join(f"\n\n{kind}, in a life of {name}\n{life}" for kind, life in wrong.items())

"""Runs a scenario."""

from collections.abc import Generator, Iterator
from typing import Any

from .executions import run_execution
from .figures import Result
from .payment import Payment
from .reconciliation import run_schedule
from .rules import Rules
from .scenario import Scenario
from .world import World

SAMPLE_SECONDS = 30
# A simulation that has not ended by then ends with payments that are open.
LONGEST_SECONDS = 72 * 60 * 60


def simulate(scenario: Scenario, rules: Rules) -> Result:
    """Simulate until no payment is open and nothing is left to close at the gateway, or for three days."""
    import simpy  # only here, because it is among the requirements of development

    world = World(scenario, rules, simpy.Environment(min((-scenario.lead_seconds, *scenario.arrivals))))
    backlog: list[tuple[float, int]] = []
    schedule = world.environment.process(run_schedule(world))
    world.environment.process(_let_payments_arrive(world))
    world.environment.process(_sample_backlog(world, backlog))
    world.environment.run(world.environment.any_of([schedule, world.timeout(LONGEST_SECONDS)]))
    backlog.append((world.time, world.counts.open))
    counts, end = world.counts, scenario.outage_seconds
    return Result(
        per_second=scenario.per_second,
        mode=scenario.mode,
        quotas=scenario.quotas,
        outage_seconds=scenario.outage_seconds,
        cohort=scenario.weight,
        payments=counts.payments,
        ends={str(name): count for name, count in sorted(counts.ends.items())},
        open_seconds=_round(world.time - end if counts.open else max(0.0, counts.last_end_at - end)),
        closing_seconds=_round(world.time - end if counts.to_close else max(0.0, counts.last_closing_at - end)),
        left_open=counts.open,
        left_to_close=counts.to_close,
        peak_backlog=counts.peak_backlog,
        peak_backlog_at=_round(counts.peak_backlog_at),
        peak_concurrency=world.concurrency.peak,
        transitions=world.transitions.total,
        throttled={
            "StartExecution": world.starts.throttled,
            "StateTransition": world.transitions.throttled,
            "Lambda concurrency": world.concurrency.throttled,
            "gateway": world.gateway.rate.throttled,
            "runs of reconciliation": counts.missed_runs,
        },
        gateway_calls=dict(sorted(world.gateway.calls.items())),
        backlog=backlog,
    )


def _round(seconds: float) -> float:
    return round(seconds, 1)


def _let_payments_arrive(world: World) -> Generator[Any, Any, None]:
    for number, at in enumerate(_list_arrivals(world)):
        yield world.timeout(max(0.0, at - world.time))
        payment = Payment(number, number % world.rules.shards, world.time)
        world.counts.count_arrival(world.time)
        world.running += 1
        process = world.environment.process(run_execution(world, payment))
        process.callbacks.append(lambda _: _count_end_of_execution(world))
    world.has_arrivals = False


def _count_end_of_execution(world: World) -> None:
    world.running -= 1


def _list_arrivals(world: World) -> Iterator[float]:
    """Yield the times of arrival: a Poisson process, or for cohorts one at random in each of equal intervals.

    The number of cohorts of a Poisson process would vary far more than that of the payments that they stand for.
    """
    scenario = world.scenario
    if scenario.arrivals:
        yield from sorted(scenario.arrivals)
        return
    interval = world.weight / scenario.per_second
    at = begin = -scenario.lead_seconds
    number = 0
    while True:
        if world.weight == 1:
            at += world.random.expovariate(scenario.per_second)
        else:
            at = begin + (number + world.random.random()) * interval
        if at >= scenario.end_of_arrivals:
            return
        yield at
        number += 1


def _sample_backlog(world: World, backlog: list[tuple[float, int]]) -> Generator[Any, Any, None]:
    while True:
        backlog.append((world.time, world.counts.open))
        yield world.timeout(SAMPLE_SECONDS)

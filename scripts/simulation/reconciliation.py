"""The scheduled runs of reconciliation, as lambda/handlers/reconciliation.py takes payments up."""

import heapq
from collections.abc import Generator, Iterator
from typing import Any

from .executions import THROTTLED
from .figures import End
from .gateway import Answer
from .payment import COMPLETED, FAILED, PENDING, REVIEW, UNKNOWN, Payment
from .world import World

RECONCILIATION = "reconciliation"
Steps = Generator[Any, Any, None]


def run_schedule(world: World) -> Steps:
    """Start the workers of a run at each time of the schedule, which has no relation to the outage, to the end."""
    interval = world.rules.schedule_seconds
    yield world.timeout(world.random.uniform(0, interval))
    while not world.is_over:
        for worker in range(world.rules.workers):
            world.environment.process(_run_worker(world, worker))
        yield world.timeout(interval)


def _run_worker(world: World, worker: int) -> Steps:
    """Take payments up as soon as the function gets its concurrency; without it, leave them to the next run."""
    retriers, attempts = world.rules.retriers["ReconcileShare"], dict[int, int]()
    while not world.concurrency.acquire(RECONCILIATION, 1):
        wait = retriers.plan_wait(THROTTLED, attempts, world.random)
        if wait is None:
            world.counts.missed_runs += 1
            return
        yield world.timeout(wait)
    yield from _take_payments_up(world, worker)
    world.concurrency.release(RECONCILIATION, 1)


def _take_payments_up(world: World, worker: int) -> Steps:
    """First read, and settle what needs no gateway; then, while it answers, settle what needs it."""
    rules, started, elapsed = world.rules, world.time, 0.0
    waiting: list[Payment] = []
    for payment in _list_overdue(world, worker, started):
        elapsed += world.assumptions.read_seconds * world.weight
        if payment.needs_gateway(started):
            waiting.append(payment)
        else:
            elapsed += world.assumptions.settle_seconds * world.weight
            _settle_without_gateway(world, payment)
        if elapsed > rules.read_seconds:
            break
    yield world.timeout(elapsed)
    pace = rules.workers / rules.gateway_per_second if rules.gateway_per_second else 0.0
    next_at = unanswered = 0.0
    waiting.sort(key=lambda payment: payment.needs_closing)
    for position, payment in enumerate(waiting):
        turn_at = max(world.time, next_at)
        if unanswered > rules.unanswered_seconds or turn_at > started + rules.budget_seconds:
            for unasked in waiting[position:]:
                world.index_payment(unasked)
            return
        if turn_at > world.time:
            yield world.timeout(turn_at - world.time)
        next_at = turn_at + pace * world.weight
        if not payment.needs_gateway(world.time):
            continue  # its execution has settled it
        is_answered = yield from _settle_with_gateway(world, payment)
        if not is_answered:
            unanswered += world.time - turn_at


def _list_overdue(world: World, worker: int, at: float) -> Iterator[Payment]:
    """Yield the overdue payments of the worker's shards, and take each out of the index.

    Every five minutes another shard comes first.
    """
    rules = world.rules
    shards = range(rules.shards)[worker :: rules.workers]
    first = int(at // rules.schedule_seconds)
    for n in range(len(shards)):
        entries = world.index[shards[(first + n) % len(shards)]]
        while entries and entries[0][0] <= at:
            overdue_at, _, payment = heapq.heappop(entries)
            if payment.indexed_at != overdue_at:
                continue  # it was put in again
            payment.indexed_at = None
            if payment.overdue_at is not None and payment.overdue_at <= at:
                yield payment
            else:  # it was written since
                world.index_payment(payment)


def _settle_without_gateway(world: World, payment: Payment) -> None:
    if payment.status == PENDING:
        # Certainly not charged, and abandoned by its execution.
        payment.set_status(FAILED, world.time)
        world.end_payment(payment, End.ABANDONED)
    payment.notice_until = None
    world.index_payment(payment)


def _settle_with_gateway(world: World, payment: Payment) -> Generator[Any, Any, bool]:
    """Look the payment up, and return whether the gateway answered."""
    kind = "close" if payment.needs_closing else "lookup"
    seconds, answer = world.gateway.look_up(kind, payment.is_charged, world.time, world.weight)
    # A cohort's payments are looked up one after another.
    seconds = (seconds + world.assumptions.settle_seconds) * world.weight
    status = payment.status
    yield world.timeout(seconds)
    if payment.status != status:
        return True  # its execution has settled it
    if kind == "close":
        payment.key_closed = answer is not Answer.UNKNOWN
        payment.updated_at = world.time
        if payment.key_closed:
            world.counts.count_closing(world.time)
    else:
        _record_answer(world, payment, answer)
    world.index_payment(payment)
    return answer is not Answer.UNKNOWN


def _record_answer(world: World, payment: Payment, answer: Answer) -> None:
    if answer is Answer.CHARGED:
        payment.set_status(COMPLETED, world.time)
        world.end_payment(payment, End.RECONCILED)
    elif payment.is_window_over(world.time):
        # The gateway may have forgotten the key, so only a person can find out.
        payment.set_status(REVIEW, world.time)
        world.end_payment(payment, End.REVIEW)
    elif answer is Answer.NOT_CHARGED:
        payment.key_closed = True
        payment.set_status(FAILED, world.time)
        world.end_payment(payment, End.ABANDONED)
    else:
        payment.set_status(UNKNOWN, world.time)

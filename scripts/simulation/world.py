"""The time, the chance, the limits and the counts of one simulation."""

import heapq
from random import Random
from typing import TYPE_CHECKING

from .figures import Counts, End
from .gateway import Gateway
from .payment import Payment
from .quotas import Concurrency, TokenBucket
from .rules import Rules
from .scenario import Scenario

if TYPE_CHECKING:
    import simpy


class World:
    def __init__(self, scenario: Scenario, rules: Rules, environment: "simpy.Environment") -> None:
        begin: float = environment.now
        self.scenario, self.rules, self.assumptions = scenario, rules, scenario.assumptions
        self.weight = scenario.weight
        self.environment = environment
        self.timeout = self.environment.timeout
        self.random = Random(scenario.seed)  # noqa: S311 - a simulation is to be repeatable
        self.counts = Counts(self.weight)
        assumptions = self.assumptions
        self.starts = TokenBucket(assumptions.start_bucket, assumptions.starts_per_second, begin)
        self.transitions = TokenBucket(assumptions.transition_bucket, assumptions.transitions_per_second, begin)
        self.concurrency = Concurrency(assumptions.concurrency, rules.reserved_concurrency)
        self.gateway = Gateway(scenario, begin)
        # By shard, what the index of open payments has: when each is overdue, its number, and the payment.
        self.index: list[list[tuple[float, int, Payment]]] = [[] for _ in range(rules.shards)]
        # Executions that run, and the arrivals that are still to come.
        self.running = 0
        self.has_arrivals = True

    @property
    def time(self) -> float:
        seconds: float = self.environment.now
        return seconds

    @property
    def is_over(self) -> bool:
        return not (self.has_arrivals or self.running or self.counts.open or self.counts.to_close or any(self.index))

    def index_payment(self, payment: Payment) -> None:
        """Put a payment that needs something more into the index, instead of what is there of it."""
        overdue_at = payment.overdue_at
        if overdue_at is not None and overdue_at != payment.indexed_at:
            heapq.heappush(self.index[payment.shard], (overdue_at, payment.number, payment))
        payment.indexed_at = overdue_at

    def end_payment(self, payment: Payment, end: End) -> None:
        """Count how the payment ends. It may end again only as it was counted."""
        if payment.is_ended:
            raise RuntimeError(f"payment {payment.number} ends twice: {end}")
        payment.is_ended = True
        self.counts.count_end(end, self.time)
        if payment.needs_closing:
            self.counts.count_left_open_at_gateway()

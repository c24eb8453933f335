"""What is to be simulated."""

from dataclasses import dataclass, field, replace

from .assumptions import Assumptions

# How an outage shows: the gateway certainly charges nothing, or no call gets an answer.
REFUSE, TIMEOUT = "refuse", "timeout"
MODES = (REFUSE, TIMEOUT)
# AWS's quotas as a new account has them, or raised to twice what the payments need while the gateway answers.
DEFAULT, RAISED = "default", "raised"
QUOTAS = (DEFAULT, RAISED)
# The states of a completed payment.
TRANSITIONS_OF_PAYMENT = 4
# More payments than these are simulated in cohorts.
MOST_SIMULATED = 100_000


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Payments that arrive at random, with an outage that begins at second 0."""

    per_second: float
    outage_seconds: float = 600
    mode: str = REFUSE
    quotas: str = DEFAULT
    seed: int = 1
    # Payments arrive from before the outage until after it.
    lead_seconds: float = 60
    after_seconds: float = 300
    # So many payments move together: with 1, each is simulated.
    cohort: int = 0
    # The times at which payments arrive, instead of random ones.
    arrivals: tuple[float, ...] = ()
    assumptions: Assumptions = field(default_factory=Assumptions)

    def with_raised_quotas(self) -> "Scenario":
        """Return this with the quotas raised that are too low for the payments; this itself if none is."""
        present, rate = self.assumptions, self.per_second
        function_seconds = present.validation_seconds + present.processing_seconds + present.gateway_seconds
        raised = replace(
            present,
            start_bucket=max(present.start_bucket, 2 * rate),
            starts_per_second=max(present.starts_per_second, 2 * rate),
            transition_bucket=max(present.transition_bucket, 2 * rate * TRANSITIONS_OF_PAYMENT),
            transitions_per_second=max(present.transitions_per_second, 2 * rate * TRANSITIONS_OF_PAYMENT),
            concurrency=max(present.concurrency, 2 * rate * function_seconds),
        )
        return self if raised == present else replace(self, assumptions=raised, quotas=RAISED)

    @property
    def gateway_per_second(self) -> float:
        return self.assumptions.gateway_per_second or max(100.0, 2 * self.per_second)

    @property
    def end_of_arrivals(self) -> float:
        return self.outage_seconds + self.after_seconds

    @property
    def weight(self) -> int:
        """How many payments one simulated payment stands for."""
        expected = self.per_second * (self.lead_seconds + self.end_of_arrivals)
        return self.cohort or max(1, round(expected / MOST_SIMULATED))

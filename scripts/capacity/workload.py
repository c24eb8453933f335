"""The load that is asked about."""

from dataclasses import dataclass

from .demands import Mix

SECONDS_PER_MONTH = 730 * 60 * 60


@dataclass(frozen=True)
class Workload:
    """``per_second`` is the average; limits have to hold for the peak, which is ``peak_factor`` times as high."""

    per_second: float
    peak_factor: float
    gateway_seconds: float
    mix: Mix
    # How long payments stay in the tables, for the price of storage. Nothing deletes them.
    months_stored: float

    @property
    def peak_per_second(self) -> float:
        return self.per_second * self.peak_factor

    @property
    def payments_per_month(self) -> float:
        return self.per_second * SECONDS_PER_MONTH

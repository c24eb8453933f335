"""Compares what payments need with what the account has, in the order in which the limits are reached."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .design import Design
from .limits import STANDARD, SUDDEN, Limit, Limits
from .needs import Need, compute_needs
from .workload import Workload

# Where a limit's value is from.
DEFAULT, SETTING, NO_LIMIT = "default", "setting", "none"
_GATEWAY_LIMITS = ("gateway_requests", "gateway_account")
# A request asks for a third more than the peak needs.
_MARGIN = 4 / 3


@dataclass(frozen=True)
class Available:
    """What the account has of a limit; ``value`` is None if there is no such limit."""

    value: float | None
    # "default", "setting", or the service that has told it.
    origin: str


@dataclass(frozen=True)
class Headroom:
    limit: Limit
    # For one payment a second.
    rate: float
    # At the peak of the load that is asked about.
    need: float
    available: Available
    # The average of payments a second at whose peak the limit is reached; infinite if the load does not reach it.
    breaks_at: float
    # Whether the limit stands in the way of this environment, as it is deployed.
    applies: bool

    @property
    def is_exceeded(self) -> bool:
        return self.available.value is not None and self.need > self.available.value

    @property
    def share_left(self) -> float | None:
        """The part that is not needed: 1 for all of it, below 0 if the limit is exceeded, None without a limit."""
        return 1 - self.need / self.available.value if self.available.value else None

    def wanted_value(self) -> float:
        """Return the value to ask for: so that the peak fits with a margin, or else twice what there is."""
        return math.ceil(self.need * _MARGIN if self.is_exceeded else 2 * (self.available.value or 0.0))


def compute_headroom(
    design: Design, workload: Workload, limits: Limits, read_values: Mapping[str, Available]
) -> list[Headroom]:
    """Return the limits in the order in which a growing load reaches them.

    ``read_values`` are those that the account has told, by the key of the limit.
    """
    rows = [
        _compare(need, limits.rows[need.key], design, workload, read_values) for need in compute_needs(design, workload)
    ]
    return sorted(rows, key=lambda row: (row.breaks_at, -row.need / (row.available.value or math.inf), row.limit.key))


def find_first(rows: list[Headroom]) -> Headroom | None:
    """Return the first limit that a load which grows slowly reaches, or None."""
    return next((row for row in rows if row.applies and math.isfinite(row.breaks_at)), None)


def _compare(
    need: Need, limit: Limit, design: Design, workload: Workload, read_values: Mapping[str, Available]
) -> Headroom:
    available = read_values.get(limit.key) or _find_available(limit, design)
    breaks_at = math.inf
    if available.value is not None and need.rate:
        breaks_at = max(0.0, available.value - need.constant) / need.rate / workload.peak_factor
    return Headroom(limit, need.rate, need.at(workload.peak_per_second), available, breaks_at, _applies(limit, design))


def _find_available(limit: Limit, design: Design) -> Available:
    if limit.key == "lambda_reserved":
        return Available(float(design.reserved_concurrency), SETTING)
    return Available(limit.default, NO_LIMIT if limit.default is None else DEFAULT)


def _applies(limit: Limit, design: Design) -> bool:
    if limit.kind == SUDDEN:
        return False
    if limit.key in _GATEWAY_LIMITS:
        return design.gateway == "stripe"
    return limit.workflow in ("", design.workflow) or design.workflow == STANDARD

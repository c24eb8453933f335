"""Invented values for the dashboard's picture; a metric always has the same values."""

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

AT = datetime(2026, 1, 2, 9, 0, tzinfo=UTC)
LEVELS = {"p50": 0.8, "p90": 2.5, "p99": 6, "Average": 1.2, "Maximum": 3}


def measured(metric: list[Any]) -> list[tuple[datetime, float]]:
    """Return the values of a metric for three hours, one every five minutes."""
    options = metric[-1] if isinstance(metric[-1], dict) else {}
    chance = random.Random(repr(metric))  # noqa: S311 - a picture's values
    if "expression" in options:
        level, spread = 98.0, 1.5
    elif "Error" in str(metric) or "Throttle" in str(metric) or "Failed" in str(metric):
        level, spread = 0.0, 0.0
    else:
        level = LEVELS.get(options.get("stat", ""), 20 * chance.random() + 4)
        spread = level / 3
    return [
        (AT + timedelta(minutes=5 * n), max(0.0, level + spread * (math.sin(n / 5) + chance.random() - 0.5)))
        for n in range(37)
    ]

"""The numbers that files of the platform have: definition, functions and settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handlers import reconciliation

from scripts.common.paths import ROOT
from stacks.workflow.reconciliation import define_reconciliation
from stacks.workflow.state_machine import define_states

from .retriers import Retriers

_UNIT_SECONDS = {"minute": 60, "hour": 3600}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Durations are in seconds. The retriers are by state."""

    retriers: Mapping[str, Retriers]
    # The concurrent executions that each function reserves; 0 if all share those of the account.
    reserved_concurrency: int
    schedule_seconds: float
    workers: int
    shards: int
    # Within a run: for taking payments up, the part of it for reading, and for waiting for a gateway without answers.
    budget_seconds: float
    read_seconds: float
    unanswered_seconds: float
    # The most calls of the gateway in a second, by all workers; 0 without a limit.
    gateway_per_second: float


def read_rules(parameters: Mapping[str, str], workers: int = 0) -> Rules:
    """Return the rules of an environment with these template parameters; ``workers`` overrides its setting."""
    states = {**define_states()["States"], **_find_worker_states()}
    return Rules(
        retriers={name: Retriers(state["Retry"]) for name, state in states.items() if "Retry" in state},
        reserved_concurrency=int(parameters["ReservedConcurrency"]),
        schedule_seconds=read_schedule_seconds(),
        workers=workers or int(parameters["ReconciliationWorkers"]),
        shards=int(parameters["OpenShards"]),
        budget_seconds=reconciliation.BUDGET_SECONDS,
        read_seconds=reconciliation.READ_SECONDS,
        unanswered_seconds=reconciliation.UNANSWERED_SECONDS,
        gateway_per_second=int(parameters["GatewayRequestsPerSecond"]),
    )


def _find_worker_states() -> dict[str, Any]:
    """Return the states that each worker of a run of reconciliation passes."""
    (workers,) = (state for state in define_reconciliation()["States"].values() if state["Type"] == "Map")
    states: dict[str, Any] = workers["ItemProcessor"]["States"]
    return states


def read_schedule_seconds(templates: Path = ROOT / "templates") -> float:
    """Return the seconds between two runs of reconciliation, from the committed template that has its schedule."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(templates.glob("*.yaml"))]
    (expression,) = re.findall(r"ScheduleExpression: rate\((\d+) (minute|hour)s?\)", "\n".join(texts))
    return int(expression[0]) * _UNIT_SECONDS[expression[1]]

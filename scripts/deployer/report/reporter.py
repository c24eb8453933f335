"""The interface through which the steps of a deployment report, whoever reads it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from scripts.deployer.failure import Event, Failure
from scripts.deployer.plan.model import Plan

from ..finding import Finding

# Receives the new events after each poll of a running deployment; there may be none.
EventListener = Callable[[list[Event]], None]


class Reporter(Protocol):
    def announce_step(self, title: str, detail: str = "") -> None:
        """Report that a step begins or is complete."""

    def show_findings(self, findings: Sequence[Finding]) -> None:
        """Report what the preflight found."""

    def show_plan(self, plan: Plan) -> None: ...

    def follow_events(self, plan: Plan | None, stack_name: str) -> AbstractContextManager[EventListener]:
        """Report events while the plan is executed; without a plan, while a running operation ends."""

    def show_failure(self, failure: Failure) -> None: ...

    def show_error(self, stack_name: str, message: str) -> None:
        """Report that the command failed, for readers of stdout alone; stderr has the message in any case."""

    def show_result(self, result: str, *, stack_name: str, outputs: dict[str, str], message: str = "") -> None:
        """Report the end: ``result`` is "deployed", "no changes", "planned" or similar."""

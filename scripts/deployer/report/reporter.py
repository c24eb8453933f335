"""What the steps of a deployment say. Each listener makes of it what it is for."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from scripts.deployer.failure import Event, Failure
from scripts.deployer.plan.model import Plan

from ..finding import Finding


class EventListener(Protocol):
    """Open while a deployment runs; called after each look, with what is new, which may be nothing."""

    def __call__(self, events: list[Event]) -> None: ...


class Reporter(Protocol):
    def announce_step(self, title: str, detail: str = "") -> None:
        """A step begins, or is done; ``what`` is its name."""

    def show_findings(self, findings: Sequence[Finding]) -> None:
        """What the account, the Region and the caller allow, before anything is changed."""

    def show_plan(self, plan: Plan) -> None: ...

    def follow_events(self, plan: Plan | None, stack_name: str) -> AbstractContextManager[EventListener]:
        """While what was planned is done; without a plan, what is running already."""

    def show_failure(self, failure: Failure) -> None: ...

    def show_result(self, result: str, *, stack_name: str, outputs: dict[str, str], message: str = "") -> None:
        """The last word: ``deployed``, ``no changes``, ``planned``..., and what to know of it."""

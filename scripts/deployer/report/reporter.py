"""The interface through which the steps of a deployment report, whoever reads it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from scripts.deployer.failure import Event, Failure
from scripts.deployer.plan.danger import Danger, find_dangers
from scripts.deployer.plan.model import Count, Plan, count_changes

from ..deployment_options import ArtifactsResult
from ..finding import Finding

# Receives the new events after each poll of a running deployment; there may be none.
EventListener = Callable[[list[Event]], None]


class Reporter(Protocol):
    def announce_step(self, title: str, detail: str = "") -> None:
        """Report that a step begins or is complete."""

    def show_findings(self, findings: Sequence[Finding]) -> None:
        """Report what the preflight found."""

    def show_plan(self, plan: Plan, *, number: int = 1, of: int = 1, lists_retained: bool = True) -> None:
        """Report the plan with this number of those ``of`` the deployment, which share the space of a comment.

        ``lists_retained`` is whether to name each resource that the stack retains, or only to count them.
        """

    def show_total(self, stack_names: Sequence[str], total: Count, losses: Sequence[Danger]) -> None:
        """Report the sum of the plans that were shown, those of these stacks, and what they lose."""

    def follow_events(self, plan: Plan | None, stack_name: str) -> AbstractContextManager[EventListener]:
        """Report events while the plan is executed; without a plan, while a running operation ends."""

    def show_failure(self, failure: Failure) -> None: ...

    def show_error(self, stack_name: str, message: str) -> None:
        """Report that the command failed, for readers of stdout alone; stderr has the message in any case."""

    def show_result(
        self,
        result: str,
        *,
        stack_name: str,
        outputs: dict[str, str],
        message: str = "",
        artifacts: ArtifactsResult | None = None,
        outputs_command: str = "",
    ) -> None:
        """Report the end: ``result`` is "deployed", "no changes", "planned" or similar.

        ``artifacts`` is what became of the artifacts stack, if the command has changed it or was to. A reader sees
        ``outputs_command``, if given, instead of the outputs; a program gets them always.
        """


def show_plans(report: Reporter, plans: Sequence[Plan]) -> None:
    """Show the plan of each stack that a deployment changes, in the order of the deployment, and their sum."""
    for number, plan in enumerate(plans, start=1):
        report.show_plan(plan, number=number, of=len(plans))
    if len(plans) > 1:
        total = sum((count_changes(plan.stack) for plan in plans), Count())
        losses = [danger for plan in plans for danger in find_dangers(plan.stack) if danger.loss]
        report.show_total([plan.stack.name for plan in plans], total, losses)

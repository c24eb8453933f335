"""What the steps of a command share: its options, its target, its reporter, and how it asks for confirmation."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from scripts.common.clients import CloudFormationClient
from scripts.common.target import Target
from stacks.settings import ALL_AT_ONCE, Settings

from .abandoned import describe_saved_plan, make_plan_id
from .deployment_options import DeploymentOptions
from .follow import FollowOptions
from .plan.model import Plan
from .report.reporter import Reporter

# Called before anything is changed, with a question and the names of the resources that would lose their data.
Confirm = Callable[[str, Sequence[str]], bool]


@dataclass(frozen=True)
class Session:
    options: DeploymentOptions
    target: Target
    report: Reporter
    confirm: Confirm = lambda _question, _names: False

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        return self.target.client("cloudformation")

    @cached_property
    def _plan_id(self) -> str:
        return make_plan_id()

    def describe_change_set(self, terms: str) -> str:
        """Return the description of a change set that the saved plan of this run keeps; empty if it saves none."""
        options = self.options
        return describe_saved_plan(options.environment, options.out, self._plan_id, terms) if options.out else ""

    @contextmanager
    def follow_stack(self, plan: Plan | None, stack_name: str) -> Iterator[FollowOptions]:
        """Report the events of an operation on the stack, which carries out ``plan`` if there is one."""
        # The commands that follow and cancel a deployment know the environments' stacks only.
        environment = self.options.environment if stack_name == self.options.stack_name else ""
        with self.target.watch.show_progress(self.report.follow_events(plan, stack_name)) as watching:
            shift = self.options.parameters.get(Settings.traffic_shift.parameter_name, ALL_AT_ONCE)
            yield FollowOptions(
                environment,
                watching,
                self.target.poll_seconds,
                stack_name,
                shifts_traffic=bool(environment) and shift != ALL_AT_ONCE,
                watch=self.target.watch,
                find_loss=self.target.find_loss,
            )

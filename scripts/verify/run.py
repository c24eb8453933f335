"""A verification run: the environment that it verifies, and what its checks share."""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

from botocore.exceptions import ClientError

from scripts.common.clients import ClientFactory
from scripts.common.errors import UserError
from scripts.common.suggestion import suggest_command
from scripts.deployer.deployment_options import Rollout
from scripts.deployer.stack import StackTree, describe_environment, describe_tree
from scripts.operator.platform import Platform
from stacks import names

from . import described, expected
from .cleanup import Answer, Cleanup
from .expected import Expected
from .results import MISSING, Failed, Skipped, Stopped

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 3.0
# The names of a run's payments and temporary resources begin with it.
PREFIX = "VERIFY"


@dataclass
class Run:
    """One run on one environment. ``settings`` are the parameters that the settings file gives the parent template."""

    platform: Platform
    settings: Mapping[str, str]
    rollout: Rollout
    # The parameters of the stack that all environments share.
    bootstrap: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    read_only_reason: str = "--read-only"
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    cleanup: Cleanup = field(default_factory=Cleanup)
    stopped: threading.Event = field(default_factory=threading.Event)
    # Execution ARNs and trace ids of this run's payments, by sample name, for the groups that follow.
    executions: dict[str, str] = field(default_factory=dict)
    traces: dict[str, str] = field(default_factory=dict)
    # The executions that were requested, and that may exist although the answer is missing.
    unanswered_starts: set[str] = field(default_factory=set)
    # How often this run has started reconciliation; these are no heartbeats of the schedule.
    reconciliations: int = 0
    mailbox: Any = None
    started_at: float = field(default_factory=time.time)
    _compared_properties: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def environment(self) -> str:
        return self.platform.environment

    @property
    def gaps(self) -> Mapping[str, str]:
        return self.platform.target.gaps

    @property
    def name(self) -> str:
        """The prefix of the ids of this run's payments."""
        return f"{PREFIX}-{self.id}"

    @property
    def client(self) -> ClientFactory:
        return self.platform.client

    def resource_name(self, name: str) -> str:
        """Return a name of stacks/names.py in this environment."""
        return names.in_environment(name, self.environment)

    @cached_property
    def tree(self) -> StackTree:
        """The deployed stacks at the beginning of the run. Raises ``UserError`` if nothing is deployed."""
        return self._describe_stacks()

    def _describe_stacks(self) -> StackTree:
        cloudformation = self.client("cloudformation")
        return describe_tree(cloudformation, describe_environment(cloudformation, self.environment))

    def check_no_deployment(self) -> None:
        """Raise ``UserError`` while an operation on a stack of the environment is in progress.

        The alarms that this command sets off would roll it back. CloudFormation monitors them during the operation and
        the monitoring time after it, until when the stack is IN_PROGRESS:
        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-rollback-triggers.html
        """
        busy = [f"{stack.name} is {stack.status}" for _, stack in self._describe_stacks().walk() if stack.is_busy]
        if busy:
            raise UserError(
                "a deployment is running, and verification sets off alarms that roll it back: "
                f"{', '.join(busy)}; wait for its end: {suggest_command('deploy', 'follow', self.environment)} "
                "(--read-only sets off no alarm)"
            )

    @cached_property
    def expected(self) -> dict[str, Expected]:
        return expected.expected_resources(self.settings, self.platform.target, self.tree)

    def select_resources(self, *types: str) -> list[Expected]:
        return [resource for resource in self.expected.values() if resource.type in types]

    def find_differences(self, resource: Expected) -> list[str]:
        """Return a line for each property that differs from the template; each line names the resource."""
        if not resource.physical_id:
            return [f"{resource.path} is not deployed"]
        try:
            actual = described.describe(self.client, resource, self.gaps)
        except Failed as failure:
            return [str(failure)]
        except ClientError as error:
            if error.response["Error"]["Code"] not in MISSING:
                raise
            return [f"{resource.path} ({resource.name}) does not exist, by {error.operation_name}"]
        self._compared_properties[resource.path] = tuple(actual)
        return [f"{resource.name}: {line}" for line in described.compare_resource(resource, actual)]

    def check_declared(self, resources: Iterable[Expected], advice: str = "") -> None:
        """Raise ``Failed`` with all differences of ``resources`` from the templates."""
        if problems := [line for resource in resources for line in self.find_differences(resource)]:
            raise Failed("; ".join(problems) + advice)

    def compared_properties(self, resource: Expected) -> tuple[str, ...]:
        """Return the names of the properties that ``find_differences`` compared."""
        return self._compared_properties.get(resource.path, ())

    def check_gap(self, name: str) -> None:
        """Raise ``Skipped`` if the emulator lacks what the check needs."""
        if name in self.gaps:
            self.skip_gap(name)

    def skip_gap(self, name: str) -> NoReturn:
        raise Skipped(f"the emulator {self.gaps[name]}")

    def make_payment(self, request: Callable[[], Answer]) -> Answer:
        """Send a request that records or changes a payment of this run, and return its answer."""
        return self.cleanup.make_lasting_change(f"the payments {self.name}-* stay in the tables", request)

    def wait_for(self, probe: Callable[[], Any], seconds: float, longest_pause: float | None = None) -> Any:
        """Return the first true value of ``probe``, or its last value after ``seconds``.

        ``longest_pause``, in seconds, is for a probe that disturbs others. Raises ``Stopped`` if the run is
        interrupted.
        """
        deadline, pause = time.monotonic() + seconds, FIRST_PAUSE_SECONDS
        while not (value := probe()) and time.monotonic() < deadline:
            if self.stopped.wait(pause):
                raise Stopped
            pause = min(pause * 1.4, longest_pause or LONGEST_PAUSE_SECONDS)
        if self.stopped.is_set():
            raise Stopped
        return value

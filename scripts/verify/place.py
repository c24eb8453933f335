"""What every check needs of the environment that is verified."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

from botocore.exceptions import ClientError

from scripts.deployer.order import stack_name
from scripts.deployer.rollout import Rollout
from scripts.deployer.stack import StackTree, describe, describe_tree
from scripts.operator.platform import Platform
from stacks import names

from . import described, expected
from .cleanup import Cleanup
from .expected import Expected
from .results import MISSING, Failed, Skipped, Stopped

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 3.0
SERVICES = (
    *("backup", "cloudformation", "cloudwatch", "dynamodb", "events", "iam", "kms", "lambda", "logs"),
    *("sns", "sqs", "stepfunctions", "sts", "xray"),
)
# What every payment of this command is called, and every resource that it makes.
PREFIX = "VERIFY"


@dataclass
class Place:
    """One run on one environment. ``settings`` are the parameters of the parent template by the settings file."""

    platform: Platform
    settings: Mapping[str, str]
    rollout: Rollout
    # The parameters of the stack that all environments share.
    bootstrap: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    # A reason beside --read-only for writing nothing.
    read_only_reason: str = "--read-only"
    run_id: str = field(default_factory=lambda: secrets.token_hex(4))
    cleanup: Cleanup = field(default_factory=Cleanup)
    stopped: threading.Event = field(default_factory=threading.Event)
    # What later groups need of earlier ones: execution ARNs and trace ids of this run's payments, by name.
    executions: dict[str, str] = field(default_factory=dict)
    traces: dict[str, str] = field(default_factory=dict)
    # How often this run has started reconciliation itself: those are no heartbeats of the schedule.
    reconciliations: int = 0
    mailbox: Any = None
    started_at: float = field(default_factory=time.time)
    _compared: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def environment(self) -> str:
        return self.platform.environment

    @property
    def gaps(self) -> Mapping[str, str]:
        return self.platform.target.gaps

    @property
    def run_name(self) -> str:
        """What the ids of this run's payments begin with."""
        return f"{PREFIX}-{self.run_id}"

    def client(self, service: str) -> Any:
        return self.platform.client(service)

    def named(self, name: str) -> str:
        """A name of stacks/names.py in this environment."""
        return names.in_environment(name, self.environment)

    def open_clients(self) -> None:
        """Make all clients: a session makes one at a time, and the checks run in threads.

        https://docs.aws.amazon.com/boto3/latest/guide/session.html#multithreading-or-multiprocessing-with-sessions
        """
        for service in SERVICES:
            self.client(service)

    @cached_property
    def tree(self) -> StackTree:
        """The deployed stacks. Raises ``UserError`` where nothing is deployed."""
        self.platform.check_deployed()
        cloudformation = self.client("cloudformation")
        return describe_tree(cloudformation, describe(cloudformation, stack_name(self.environment)))

    @cached_property
    def expected(self) -> dict[str, Expected]:
        return expected.resources(self.settings, self.platform.target, self.tree)

    def of_type(self, *types: str) -> list[Expected]:
        return [resource for resource in self.expected.values() if resource.type in types]

    def differences(self, resource: Expected) -> list[str]:
        """Each line names the resource and what of it is not as the templates say."""
        if not resource.physical_id:
            return [f"{resource.path} is not deployed"]
        try:
            seen = described.describe(self.client, resource, self.gaps)
        except Failed as failure:
            return [str(failure)]
        except ClientError as error:
            if error.response["Error"]["Code"] not in MISSING:
                raise
            return [f"{resource.path} ({resource.name}) does not exist, by {error.operation_name}"]
        self._compared[resource.path] = tuple(seen)
        return [f"{resource.name}: {line}" for line in described.differences_of(resource, seen)]

    def compared(self, resource: Expected) -> tuple[str, ...]:
        """The properties that ``differences`` compared."""
        return self._compared.get(resource.path, ())

    def check_gap(self, name: str) -> None:
        """Raises ``Skipped`` for what this place does not do."""
        if name in self.gaps:
            self.skip(name)

    def skip(self, name: str) -> NoReturn:
        """Raises ``Skipped`` with the reason of a gap."""
        raise Skipped(f"the emulator {self.gaps[name]}")

    def wait(self, probe: Callable[[], Any], seconds: float, longest_pause: float | None = None) -> Any:
        """What ``probe`` returns as soon as that is true; its last answer after ``seconds``.

        ``longest_pause`` is for a probe that disturbs others, in seconds.

        Raises ``Stopped`` when the run is interrupted.
        """
        deadline, pause = time.monotonic() + seconds, FIRST_PAUSE_SECONDS
        while not (answer := probe()) and time.monotonic() < deadline:
            if self.stopped.wait(pause):
                raise Stopped
            pause = min(pause * 1.4, longest_pause or LONGEST_PAUSE_SECONDS)
        if self.stopped.is_set():
            raise Stopped
        return answer

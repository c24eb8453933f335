"""Commands that are confirmed and then disturbed, and a standard output that closes at a moment of them."""

import fcntl
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from scripts.common import command as command_module
from scripts.common import streams
from scripts.deployer.cli import confirmation
from scripts.deployer.cli import deploy as deploy_cli
from scripts.deployer.stack_safeguards import _render_policy
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.endpoint import serve_account
from tests.deployer.aws.faults import DENIED, Fault
from tests.deployer.both_stacks import add_earlier_release
from tests.deployer.conftest import Command, CommandResult, add_bootstrap_stack, add_platform
from tests.deployer.releases import CONFIRMED_LOSSES, edit_harmlessly, edit_with_loss
from tests.deployer.test_destroy import list_confirmations
from tests.deployer.test_import import EARLIER_KEY, LEDGER, QUEUE, TABLE, TRANSACTIONS
from tests.deployer.test_refactor import add_old_release

MOST_OUTPUT = 1 << 20


class Output:
    """A pipe that takes the standard output of commands; its reader goes away before a write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._reader = self._writer = -1
        self._closes_at = -1
        self.text = ""
        self.write_count = self.count_at_confirmation = 0
        original = streams._Descriptor.write

        def write(descriptor: Any, data: Any) -> int:
            if descriptor.is_output:
                if self.write_count == self._closes_at:
                    self.close()
                self.write_count += 1
            return original(descriptor, data)

        def outlast(name: str) -> None:
            self.count_at_confirmation = self.write_count
            streams.outlast_output(name)

        monkeypatch.setattr(streams._Descriptor, "write", write)
        monkeypatch.setattr(confirmation, "outlast_output", outlast)
        monkeypatch.setattr(deploy_cli, "outlast_output", outlast)
        monkeypatch.setattr(command_module, "prepare_streams", self._prepare_streams)

    def _prepare_streams(self) -> None:
        """Take the place of the stream that the test's runner of commands has put in place of the process's."""
        if sys.stdout is not sys.__stdout__ or not isinstance(sys.stdout.buffer.raw, streams._Descriptor):
            stream = TextIOWrapper(open(self._writer, "wb", closefd=False), encoding="utf-8")  # noqa: SIM115
            self._monkeypatch.setattr(sys, "__stdout__", stream)
            sys.stdout = stream
        streams.prepare_streams()
        self._monkeypatch.setattr(sys, "__stdout__", sys.stdout)

    @contextmanager
    def open(self, closes_at: int = -1) -> Iterator[None]:
        self._reader, self._writer = os.pipe()
        fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, MOST_OUTPUT)
        os.set_blocking(self._reader, False)
        self._closes_at, self.write_count, self.count_at_confirmation, self.text = closes_at, 0, 0, ""
        try:
            yield
        finally:
            if self._reader >= 0:
                self.close()
            os.close(self._writer)

    def close(self) -> None:
        try:
            self.text = os.read(self._reader, MOST_OUTPUT).decode()
        except BlockingIOError:
            self.text = ""
        os.close(self._reader)
        self._reader = -1


# Returns the arguments of the command, once the service is prepared for it.
Prepare = Callable[[Service, Command], tuple[str, ...]]


def prepare_update(aws: Service, _: Command) -> tuple[str, ...]:
    stack = add_platform(aws, edit_with_loss, environment="prod")
    for _, each in stack.walk():
        each.policy = _render_policy(())
    # Of a release that nothing needs any more.
    aws.objects[f"payment-artifacts/payment-platform/prod/{'0' * 64}.yaml"] = "Resources: {}"
    return ("prod", "--yes", *CONFIRMED_LOSSES)


def prepare_policies_that_stay_lifted(aws: Service, command: Command) -> tuple[str, ...]:
    arguments = prepare_update(aws, command)
    aws.before["ExecuteChangeSet"] = lambda: aws.faults.update(SetStackPolicy=Fault(DENIED))
    return arguments


def prepare_failed_update(aws: Service, _: Command) -> tuple[str, ...]:
    add_platform(aws, edit_harmlessly)
    aws.fails = {"Data/DeadLetters": "no"}
    return ("dev", "--yes")


def prepare_first_deployment(aws: Service, _: Command) -> tuple[str, ...]:
    add_bootstrap_stack(aws)
    return ("prod", "--yes")


def prepare_failed_protection(aws: Service, _: Command) -> tuple[str, ...]:
    add_bootstrap_stack(aws)

    def fail_second() -> None:
        if len(aws.find_requests("ExecuteChangeSet")) == 2:
            aws.fails = {"Data/Transactions": "no"}

    aws.before["ExecuteChangeSet"] = fail_second
    return ("prod", "--yes")


def prepare_both(aws: Service, _: Command) -> tuple[str, ...]:
    add_earlier_release(aws)
    return ("dev", "--yes")


def prepare_rights_that_stay(aws: Service, command: Command) -> tuple[str, ...]:
    arguments = prepare_both(aws, command)
    aws.before["CreateChangeSet"] = lambda: (
        aws.faults.update(CreateChangeSet=Fault(DENIED)) if len(aws.find_requests("CreateChangeSet")) == 4 else None
    )
    return arguments


def prepare_saved_plan(aws: Service, command: Command) -> tuple[str, ...]:
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    return ("apply", "dev", "plan.json", "--yes")


def prepare_failed_saved_plan(aws: Service, command: Command) -> tuple[str, ...]:
    arguments = prepare_saved_plan(aws, command)
    aws.fails = {"Data/DeadLetters": "no"}
    return arguments


def prepare_import(aws: Service, command: Command) -> tuple[str, ...]:
    add_platform(aws)
    for name in (TRANSACTIONS, LEDGER):
        aws.holdings.resources[TABLE, name].key_arn = EARLIER_KEY
    command("dev", "--yes", "--destroys", "payment-platform-dev", script="destroy", code=0)
    aws.alarms.clear()
    for kind, name in [key for key in aws.holdings.resources if key[0] == QUEUE]:
        aws.holdings.delete_resource(kind, name)
    return ("import", "dev", "--yes")


def prepare_cancellation(aws: Service, _: Command) -> tuple[str, ...]:
    add_platform(aws, status="UPDATE_IN_PROGRESS")
    return ("cancel", "dev")


def prepare_continuation(aws: Service, command: Command) -> tuple[str, ...]:
    add_platform(aws, edit_harmlessly)
    aws.fails = {"Monitoring/ProcessingErrorsAlarm": "no such metric"}
    aws.stuck = {"Data/DeadLetters": "it is gone"}
    command("dev", "--yes", code=1)
    aws.fails = {}
    return ("continue-rollback", "dev", "--skip", "Data/DeadLetters")


def prepare_kept_failure(aws: Service, command: Command) -> tuple[str, ...]:
    return (*prepare_failed_update(aws, command), "--keep-failed")


def prepare_failed_deletion(aws: Service, _: Command) -> tuple[str, ...]:
    add_platform(aws)
    aws.fails = {"payment-platform-dev": "it is in use"}
    return ("dev", "--yes", "--destroys", "payment-platform-dev")


def prepare_discard(aws: Service, command: Command) -> tuple[str, ...]:
    prepare_saved_plan(aws, command)
    return ("discard", "dev", "plan.json")


def prepare_rollback(aws: Service, command: Command) -> tuple[str, ...]:
    add_bootstrap_stack(aws)
    aws.fails = {"Data/DeadLetters": "no"}
    command("dev", "--yes", "--keep-failed", code=1)
    names = re.findall(r"--destroys (\S+)", command("rollback", "dev", "--yes", code=1).stderr)
    return ("rollback", "dev", "--yes", *(part for name in names for part in ("--destroys", name)))


def prepare_refactor(aws: Service, _: Command) -> tuple[str, ...]:
    add_old_release(aws)
    return ("refactor", "dev", "--yes")


def prepare_code(aws: Service, _: Command) -> tuple[str, ...]:
    add_platform(aws, code="RELEASE = 1")
    return ("code-only", "dev")


def prepare_purge(aws: Service, command: Command) -> tuple[str, ...]:
    add_platform(aws)
    return ("dev", "--yes", "--purge", *list_confirmations(command))


def prepare_deletion(aws: Service, _: Command) -> tuple[str, ...]:
    add_platform(aws)
    return ("dev", "--yes", "--destroys", "payment-platform-dev")


@dataclass(frozen=True)
class Scenario:
    prepare: Prepare
    code: int = 0
    script: str = "deploy"

    def run(
        self, folder: Path, output: Output, closes_at: int = -1, begin: Callable[[], object] = object
    ) -> tuple[Service, CommandResult]:
        """Run the command on a service of its own, whose answers are the same each time; ``begin`` is called first."""
        aws = Service()
        folder.mkdir()
        with serve_account(aws) as url:
            command = Command(url, folder, haste=5000)
            with output.open():
                arguments = self.prepare(aws, command)
            aws.calls.clear()
            begin()
            with output.open(closes_at):
                result = command(*arguments, script=self.script)
        return aws, result


SCENARIOS = {
    "update": Scenario(prepare_update),
    "policies that stay lifted": Scenario(prepare_policies_that_stay_lifted),
    "failed update": Scenario(prepare_failed_update, 1),
    "first deployment": Scenario(prepare_first_deployment),
    "failed protection": Scenario(prepare_failed_protection, 1),
    "both stacks": Scenario(prepare_both),
    "rights that stay": Scenario(prepare_rights_that_stay),
    "saved plan": Scenario(prepare_saved_plan),
    "failed saved plan": Scenario(prepare_failed_saved_plan, 1),
    "discard": Scenario(prepare_discard),
    "import": Scenario(prepare_import),
    "cancel": Scenario(prepare_cancellation),
    "continue-rollback": Scenario(prepare_continuation),
    "kept failure": Scenario(prepare_kept_failure, 1),
    "rollback": Scenario(prepare_rollback),
    "refactor": Scenario(prepare_refactor),
    "code-only": Scenario(prepare_code),
    "destroy": Scenario(prepare_deletion, script="destroy"),
    "failed destroy": Scenario(prepare_failed_deletion, 1, "destroy"),
    "purge": Scenario(prepare_purge, script="destroy"),
}

"""Runs of a command that something disturbs, and what is wrong with how it ended.

What a command says is compared with what the simulated services hold afterwards.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.endpoint import serve_account
from tests.deployer.aws.faults import EXPIRED, Fault
from tests.deployer.both_stacks import ARTIFACTS, PLATFORM, add_earlier_release, find_artifacts, list_ledgers
from tests.deployer.conftest import Command, CommandResult, add_bootstrap_stack, add_platform
from tests.deployer.releases import edit_harmlessly

# `make faults` sets it.
EVERY_CELL = bool(os.environ.get("EVERY_CELL"))
COMMANDS: dict[str, tuple[str, ...]] = {
    "deploy": ("dev", "--yes"),
    "plan": ("plan", "dev"),
    "plan --out": ("plan", "dev", "--out", "plan.json"),
    "apply": ("apply", "dev", "plan.json", "--yes"),
    "status": ("dev",),
    "outputs": ("dev",),
    "destroy": ("dev", "--yes", "--destroys", PLATFORM),
    "code-only": ("dev", "--code-only"),
}
SCRIPTS = {"status": "status", "outputs": "outputs", "destroy": "destroy"}
READ_ONLY = ("status", "outputs")
# A plan of no changes is not saved.
_USUAL = tuple(name for name in COMMANDS if name != "code-only")
SITUATIONS = {
    "first": _USUAL,
    "change": _USUAL,
    # payment-artifacts changes, too: the boundary gains a right before the platform, and loses one after it.
    "both": ("deploy", "plan --out", "apply"),
    "nothing to do": ("deploy", "plan", "plan --out", "status", "outputs"),
    # lambda/ has changed, and that change is in the functions.
    "other code": ("code-only",),
    "code put": ("deploy",),
}
RUNS = [(situation, name) for situation, names in SITUATIONS.items() for name in names]


# The runs that `make test` disturbs.
SAMPLED_RUNS = {("change", "deploy"), ("change", "destroy")}


def group_runs(runs: Iterable[tuple[str, str]]) -> list[Any]:
    """Return the runs as parameters that keep each on one worker, where what it does undisturbed is recorded once."""
    parameters = []
    for situation, name in runs:
        marks = [pytest.mark.xdist_group(f"{name}: {situation}")]
        if (situation, name) not in SAMPLED_RUNS:
            marks.append(pytest.mark.nightly)
        parameters.append(pytest.param(situation, name, id=f"{name}: {situation}", marks=marks))
    return parameters


# What a last line may claim.
UNCHANGED = re.compile(
    r"nothing was (changed|done|deployed)|no stack was changed|was not (changed|deleted)|not deployed"
)
CONTINUES = re.compile(
    r"the (deployment|deletion|rollback|update)( of [\w-]+)? continues|"
    r"whether the (deployment|deletion) began could not be read"
)


def make_service(situation: str) -> Service:
    service = Service()
    if situation == "first":
        add_bootstrap_stack(service)
    elif situation == "both":
        add_earlier_release(service)
    elif situation in ("other code", "code put"):
        add_platform(service, edit_harmlessly if situation == "code put" else None, code="RELEASE = 1")
        for function in service.functions.functions.values() if situation == "code put" else ():
            function.aliases["live"], function.code = "$LATEST", "other code"
    else:
        add_platform(service, edit_harmlessly if situation == "change" else None)
    return service


def read_state(service: Service) -> dict[str, Any]:
    """Return what counts as changed: the stacks with their statuses, templates, parameters and policies."""
    return {
        stack.id: (stack.status, stack.text, stack.parameters, stack.protected, stack.policy)
        for root in service.stacks.values()
        if root.is_there and root.status != "REVIEW_IN_PROGRESS"
        for _, stack in root.walk()
    }


def read_code(service: Service) -> dict[str, Any]:
    """Return what counts as changed by --code-only: the code of each function, and its aliases."""
    return {name: (function.code, dict(function.aliases)) for name, function in service.functions.functions.items()}


def end_operation(service: Service) -> None:
    """Let what was begun end without its watcher."""
    service.faults, service.before = {}, {}
    while service.waiting:
        service.waiting.pop(0)()


def list_errors(text: str) -> list[str]:
    """Return the lines of stderr, but for those in which the command says that it waits for an endpoint."""
    return [line for line in text.splitlines() if not line.startswith(("connecting to ", "waiting for "))]


@dataclass
class Run:
    """One command, on a service of its own that is in the state of its situation."""

    situation: str
    name: str
    folder: Path
    faults: dict[str, Fault] = field(default_factory=dict)
    # Called before each call, with its operation.
    before_call: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        try:
            self._run_command()
        except KeyboardInterrupt:
            # It arrived between the command and the test, and would end all tests: run again, without it.
            self._run_command()

    def _run_command(self) -> None:
        self.service = make_service(self.situation)
        self.plan = self.folder / "plan.json"
        self.plan.unlink(missing_ok=True)
        if self.name == "apply":
            self.run_again("plan --out")
        self.service.calls.clear()
        self.before = (read_state(self.service), read_code(self.service))
        self.service.faults, self.service.before_call = self.faults, self.before_call
        try:
            self.result = self.run_again(self.name)
        finally:
            self.service.before_call = None
        end_operation(self.service)
        self.after = (read_state(self.service), read_code(self.service))

    def run_again(self, name: str) -> CommandResult:
        with serve_account(self.service) as url:
            with _keep_late_signals_out() as gate:
                result = Command(url, self.folder, haste=5000)(*COMMANDS[name], script=SCRIPTS.get(name, "deploy"))
                gate.clear()
            return result

    @property
    def last_line(self) -> str:
        return (self.result.stderr.splitlines() or [""])[-1]

    def list_mistakes(self, codes: tuple[int, ...] = (0, 1, 2, 3)) -> list[str]:
        """Return what is wrong with how the command ended; nothing if all that it says is true."""
        code, text = self.result.code, self.result.output
        mistakes = [f"exit code {code}"] if code not in codes else []
        if "Traceback" in text:
            mistakes.append("a traceback")
        errors = list_errors(self.result.stderr)
        if code in (1, 3, 130) and len(errors) != 1:
            mistakes.append(f"{len(errors)} lines of error")
        is_changed = self.before != self.after
        if is_changed and self.denies_a_change():
            mistakes.append("says that nothing was changed")
        is_stated = UNCHANGED.search(self.last_line) or "already requested: " in self.last_line
        if code in (1, 130) and not is_changed and self.name not in READ_ONLY and not is_stated:
            mistakes.append("does not say that nothing was changed")
        if (code == 3) != bool(CONTINUES.search(self.last_line)):
            mistakes.append("the exit code and the line differ on whether the operation continues")
        if self.situation == "both":
            mistakes += self.list_wrong_rights()
        return [*mistakes, *(f"leaves {name} without its name" for name in self.list_unnamed())]

    def denies_a_change(self) -> bool:
        """Whether the last line says that nothing changed, and not of the platform where only the artifacts changed."""
        return UNCHANGED.search(self.last_line) is not None and not self.names_the_changed_stack()

    def names_the_changed_stack(self) -> bool:
        """Whether only the artifacts stack changed, and the last line says so beside what is true of the platform."""
        (stacks_before, code_before), (stacks, code) = self.before, self.after
        changed = {key for key in {*stacks_before, *stacks} if stacks_before.get(key) != stacks.get(key)}
        is_only_artifacts = code_before == code and changed == {find_artifacts(self.service).id}
        return is_only_artifacts and f"{PLATFORM} was not deployed" in self.last_line and ARTIFACTS in self.last_line

    def list_wrong_rights(self) -> list[str]:
        """Return which right the deployed release lacks, and whether rights of both releases remain without a word."""
        allowed = list_ledgers(find_artifacts(self.service))
        (platform,) = [stack for stack in self.service.stacks.values() if stack.name == PLATFORM]
        is_earlier = "MessageRetentionPeriod: 86400" in platform.nested["Data"].text
        needed = "dynamodb-ledger" if is_earlier else "dynamodb-payment-ledger"
        mistakes = [f"the boundary of the deployed release lacks {needed}"] if needed not in allowed else []
        is_ended = self.result.code != 3
        if is_ended and len(allowed) == 2 and "both releases" not in self.result.output:
            mistakes.append("does not say that the rights of both releases remain")
        return mistakes

    def list_unnamed(self) -> list[str]:
        """Return the change sets and stacks in review that remain, and that neither the output nor a plan names."""
        is_saved = self.name in ("plan --out", "apply") and self.plan.exists()
        return [name for name in self.service.remaining_names if name not in self.result.output and not is_saved]


@contextmanager
def _keep_late_signals_out() -> Iterator[set[str]]:
    """Ignore signals that arrive after the command has ended, such as those of calls that its threads still made.

    They would interrupt the tests themselves. Yields what is emptied when the command has ended.
    """
    gate = {"open"}

    def interrupt(*_: object) -> None:
        if gate:
            raise KeyboardInterrupt

    handlers = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield gate
        time.sleep(0.02)
    finally:
        gate.clear()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def send_signal(number: signal.Signals) -> None:
    """Interrupt the command that waits for the answer to a call; the answer waits until the signal has arrived."""
    os.kill(os.getpid(), number)
    time.sleep(0.05)


def strike_from(aws: Service, operation: str, *kinds: str) -> None:
    """Let each call fail from the first one of the operation on: with the kinds in turn, and then with the last one."""
    struck: list[str] = []

    def strike(name: str) -> None:
        if struck or name == operation:
            struck.append(name)
            Fault(kinds[min(len(struck), len(kinds)) - 1]).strike(name)

    aws.before_call = strike


def lose_execution(aws: Service, number: int, kind: str, afterwards: str = EXPIRED) -> None:
    """Lose the answer to this execution of a change set, the first being 1, and refuse what could tell its state."""

    def lose() -> None:
        if len(aws.find_requests("ExecuteChangeSet")) == number:
            aws.before.clear()
            aws.faults["ExecuteChangeSet"] = Fault(kind)
            strike_from(aws, "DescribeChangeSet", afterwards)

    aws.before["ExecuteChangeSet"] = lose

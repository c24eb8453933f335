"""SIGINT, SIGTERM and SIGKILL at every call of a command: what it says is true, and the next run repairs the rest.

`make faults` sends both SIGINT and SIGTERM, which the commands treat alike, once and twice at each call; otherwise
each comes at one of twelve calls, and on each push only in two commands. SIGKILL comes each night only.
"""

import functools
import signal
import tempfile
import time
from pathlib import Path

import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.endpoint import serve_account
from tests.deployer.conftest import LONGEST_SECONDS, Command, Edit, add_platform
from tests.deployer.disturbed_runs import (
    EVERY_CELL,
    Run,
    end_operation,
    group_runs,
    read_code,
    read_state,
    send_signal,
)
from tests.deployer.releases import CONFIRMED_LOSSES, edit_harmlessly, edit_with_loss

# Each of SIGINT and SIGTERM, once and twice, comes at one of so many calls.
SHARE = 12
COMMANDS = (
    ("first", "deploy"),
    ("change", "deploy"),
    ("change", "plan --out"),
    ("change", "apply"),
    ("change", "destroy"),
    ("other code", "code-only"),
    ("code put", "deploy"),
)


@pytest.mark.parametrize(
    ("edit", "script", "question", "message"),
    [
        (edit_harmlessly, "deploy", "[y/N]", "payment-platform-dev was not changed"),
        (edit_with_loss, "deploy", "that its data may be lost", "payment-platform-dev was not changed"),
        (edit_harmlessly, "destroy", "Type payment-platform-dev", "payment-platform-dev was not deleted"),
    ],
)
def test_an_interrupt_at_a_question_ends_as_any_other(
    command: Command, aws: Service, edit: Edit, script: str, question: str, message: str
) -> None:
    add_platform(aws, edit)
    terminal = command.run_on_terminal("dev", script=script, interrupts_at=question)
    assert terminal.text.splitlines()[-1] == f"{script}: interrupted; {message}"
    assert terminal.code == 130
    assert aws.remaining_names == []


def test_an_interrupt_at_the_question_of_the_artifacts_stack_names_both_stacks(command: Command, aws: Service) -> None:
    terminal = command.run_on_terminal("dev", columns=250, interrupts_at="[y/N]")
    assert terminal.text.splitlines()[-1] == (
        "deploy: interrupted; payment-artifacts and payment-platform-dev were not changed"
    )
    assert (terminal.code, aws.remaining_names) == (130, [])


@functools.cache
def list_calls(situation: str, name: str) -> tuple[str, ...]:
    """Return the operations of an undisturbed run, each once, in the order of their first calls."""
    with tempfile.TemporaryDirectory() as folder:
        return tuple(dict.fromkeys(operation for operation, _ in Run(situation, name, Path(folder)).service.calls))


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("situation", "name"), group_runs(COMMANDS))
def test_an_interrupted_command_says_what_is_true_and_the_next_one_repairs_the_rest(
    situation: str, name: str, number: signal.Signals, times: int, tmp_path: Path
) -> None:
    mistakes = []
    for index, operation in enumerate(list_calls(situation, name)):
        if not EVERY_CELL and index % SHARE != 3 * (number is signal.SIGINT) + 6 * (times - 1):
            continue
        pending = times
        is_reached = False

        def interrupt(called: str, operation: str = operation) -> None:
            """Interrupt at the first call of the operation, and then at the next call, whatever it is."""
            nonlocal pending, is_reached
            is_reached = is_reached or called == operation
            if is_reached and pending:
                pending -= 1
                send_signal(number)

        run = Run(situation, name, tmp_path, before_call=interrupt)
        run_mistakes = run.list_mistakes(codes=(0, 1, 2, 3, 130))
        again = run.run_again("deploy")
        if again.code not in (0, 1) or (again.code == 1 and name != "destroy"):
            run_mistakes.append(f"the next deployment ends with {again.code}: {again.stderr.strip()}")
        if "$LATEST" in str(read_code(run.service)):
            run_mistakes.append("the next deployment leaves code that no deployment has put there")
        if run.service.remaining_names and not run.plan.exists():
            run_mistakes.append(f"the next deployment leaves {run.service.remaining_names}")
        mistakes += [f"{operation}: {mistake}: {run.last_line}" for mistake in run_mistakes]
    assert mistakes == [], "\n".join(["", *mistakes])


def make_protected_service() -> Service:
    """Return prod with its safeguards, in a state from which a deployment replaces a table."""
    service = Service()
    add_platform(service, edit_with_loss, environment="prod")
    return service


@functools.cache
def list_calls_of_protected_deployment() -> tuple[tuple[str, ...], dict[str, object]]:
    service = make_protected_service()
    with tempfile.TemporaryDirectory() as folder, serve_account(service) as url:
        Command(url, Path(folder), haste=5000)("prod", "--yes", *CONFIRMED_LOSSES, code=0)
    return tuple(dict.fromkeys(operation for operation, _ in service.calls)), read_state(service)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("part", range(4))
def test_after_a_command_was_killed_the_next_one_completes_its_work(part: int, tmp_path: Path) -> None:
    """SIGKILL leaves no time to tidy up: lifted stack policies and change sets remain until the next deployment."""
    operations, target = list_calls_of_protected_deployment()
    mistakes = []
    for operation in operations[part :: 4 if EVERY_CELL else 12]:
        service = make_protected_service()
        with serve_account(service) as url:
            command = Command(url, tmp_path, haste=5000)
            process = command.start("prod", "--yes", *CONFIRMED_LOSSES)

            def kill(called: str, operation: str = operation) -> None:
                if called == operation:
                    process.kill()  # noqa: B023 - called within the iteration

            service.before_call = kill
            deadline = time.monotonic() + LONGEST_SECONDS
            while process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.communicate()
            service.before_call = None
            end_operation(service)
            again = command("prod", "--yes", *CONFIRMED_LOSSES)
            if again.code == 1 and "no such resource among those affected" in again.stderr:
                again = command("prod", "--yes")
        if again.code != 0:
            mistakes.append(f"{operation}: the next deployment ends with {again.code}: {again.stderr.strip()}")
        if service.remaining_names:
            mistakes.append(f"{operation}: {service.remaining_names} remain")
        policies = {key: state[-1] for key, state in read_state(service).items()}  # type: ignore[index]
        if sorted(policies.values()) != sorted(state[-1] for state in target.values()):  # type: ignore[index]
            mistakes.append(f"{operation}: the stack policies differ")
    assert mistakes == [], "\n".join(["", *mistakes])

"""The output closes at a moment of a command: what was confirmed is done to its end, and no word of it is lost."""

import json
import os
import pty
import re
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import DENIED
from tests.deployer.confirmed_runs import (
    SCENARIOS,
    Output,
    Scenario,
    prepare_both,
    prepare_failed_update,
)
from tests.deployer.conftest import LONGEST_SECONDS, Command, add_platform
from tests.deployer.disturbed_runs import EVERY_CELL, read_code, read_state, strike_from
from tests.deployer.releases import edit_harmlessly
from tests.deployer.test_streams_and_files import close_after

REASON = "the output is no longer being read (broken pipe)"
# Of the moments of one command, so that no test takes minutes.
PARTS = 10 if EVERY_CELL else 1


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    return Output(monkeypatch)


def blank_names(text: str) -> str:
    """Return the text without the names and times that differ from run to run."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "…", text)
    return re.sub(r"\b\d+:\d\d\b|\b\d+ s\b|(?<=-)[0-9a-f]{12}\b", "…", text)


def read_all(aws: Service) -> list[Any]:
    """Return the requests that change something, and what they lead to."""
    state = [repr(read_state(aws)), repr(read_code(aws)), repr(sorted(aws.objects)), repr(sorted(aws.remaining_names))]
    return [*aws.find_writes(), *map(blank_names, state)]


def select_moments(begin: int, end: int) -> list[int]:
    """Return which writes find a closed output: each with ``make faults``, else the first, the last and two others."""
    return (
        [*range(begin, end)] if EVERY_CELL else sorted({begin, (2 * begin + end) // 3, (begin + 2 * end) // 3, end - 1})
    )


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "both stacks" else pytest.mark.nightly) for name in SCENARIOS]
)
def test_what_was_confirmed_is_done_whenever_the_output_closes(
    name: str, part: int, tmp_path: Path, output: Output
) -> None:
    """And what the output does not take follows on standard error."""
    scenario = SCENARIOS[name]
    undisturbed, result = scenario.run(tmp_path / "undisturbed", output)
    assert result.code == scenario.code, result.stderr
    text, count = output.text, output.write_count
    for closes_at in select_moments(output.count_at_confirmation, count)[part::PARTS]:
        aws, unread = scenario.run(tmp_path / f"closed at {closes_at}", output, closes_at)
        assert read_all(aws) == read_all(undisturbed)
        assert unread.code == (scenario.code or 1)
        notice = f"{scenario.script}: {REASON}; the command continues, and writes the rest here\n"
        end = f"{scenario.script}: done, but {REASON}; the rest of it stands above, on standard error\n"
        begin_of_rest, _, rest = unread.stderr.partition(notice)
        assert blank_names(output.text + begin_of_rest + rest) == blank_names(
            text + (result.stderr if scenario.code else end)
        )


@pytest.mark.parametrize("name", ["both stacks", pytest.param("purge", marks=pytest.mark.nightly)])
def test_what_nobody_could_read_is_not_begun(name: str, tmp_path: Path, output: Output) -> None:
    scenario = SCENARIOS[name]
    scenario.run(tmp_path / "undisturbed", output)
    for closes_at in select_moments(0, output.count_at_confirmation):
        aws, unread = scenario.run(tmp_path / f"closed at {closes_at}", output, closes_at)
        assert unread.code == 1
        assert re.fullmatch(f"{scenario.script}: {re.escape(REASON)}; (nothing|no stack) was changed\n", unread.stderr)
        assert aws.remaining_names == []
        assert set(aws.find_writes()) <= {"PutObject", "CreateChangeSet", "DeleteChangeSet"}


def test_the_platform_is_not_begun_if_its_plan_cannot_be_read(command: Command, aws: Service, output: Output) -> None:
    """After the first stack of the account, which was confirmed before."""
    aws.before["ExecuteChangeSet"] = output.close
    with output.open():
        unread = command("dev", "--yes", code=1).stderr
    assert "payment-artifacts" in unread.splitlines()[-1]
    assert f"deploy: {REASON}; " in unread.splitlines()[-1]
    assert len(aws.find_requests("ExecuteChangeSet")) == 1
    assert aws.remaining_names == []


def test_a_record_of_the_result_follows_on_standard_error(tmp_path: Path, output: Output) -> None:
    scenario = Scenario(lambda aws, command: (*prepare_both(aws, command), "--json"))
    _, result = scenario.run(tmp_path / "undisturbed", output)
    types = [record["type"] for record in replace(result, stdout=output.text).read_records()]
    _, unread = scenario.run(tmp_path / "closed", output, output.count_at_confirmation)
    rest = [line for line in unread.stderr.splitlines() if not line.startswith("deploy: ")]
    records = replace(result, stdout=output.text + "\n".join(rest)).read_records()
    assert [record["type"] for record in records] == types
    assert records[-1]["result"] == "deployed"


def test_a_follower_without_an_output_says_what_continues(command: Command, aws: Service, output: Output) -> None:
    stack = add_platform(aws, edit_harmlessly)
    stack.status = "UPDATE_IN_PROGRESS"
    aws.add_event(stack, "", "AWS::CloudFormation::Stack", stack.status, "User Initiated")
    with output.open(closes_at=0):
        unread = command("follow", "dev", code=3).stderr
    assert unread.startswith(f"deploy: {REASON}; the deployment continues; watch it: ")


def test_what_was_changed_is_said_although_the_change_set_stays(tmp_path: Path, output: Output) -> None:
    scenario = Scenario(prepare_failed_update, 1)
    scenario.run(tmp_path / "undisturbed", output)

    def prepare_denied_deletion(aws: Service, command: Command) -> tuple[str, ...]:
        aws.before["DescribeChangeSet"] = lambda: strike_from(aws, "DeleteChangeSet", DENIED)
        return prepare_failed_update(aws, command)

    _, unread = replace(scenario, prepare=prepare_denied_deletion).run(
        tmp_path / "closed", output, output.count_at_confirmation - 1
    )
    assert "; delete it with: aws cloudformation delete-change-set " in unread.stderr
    assert unread.stderr.endswith("; no stack was changed\n")


def test_a_plan_whose_result_nobody_reads_ends_silently(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    assert close_after(command.start("plan", "dev", "--json"), '"type": "plan"') == (141, "")


def test_a_refactor_that_nobody_could_read_of_is_named(tmp_path: Path, output: Output) -> None:
    SCENARIOS["refactor"].run(tmp_path / "undisturbed", output)
    aws, unread = SCENARIOS["refactor"].run(tmp_path / "closed", output, output.count_at_confirmation - 1)
    assert aws.find_writes()[-1] == "CreateStackRefactor"
    assert "; nothing was moved; the stack refactor refactor-1 stays unexecuted, which changes nothing" in unread.stderr


@pytest.mark.nightly
@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_progress_that_is_drawn_into_a_closed_pipe_ends_nothing(command: Command, aws: Service, variable: str) -> None:
    """As in a CI job: rich draws its live tree there, and has put a stream of its own in place of standard error."""
    stack = add_platform(aws, edit_harmlessly, environment="prod")
    process = command.start("prod", "--yes", **{variable: "1", "COLUMNS": "100", "TERM": "xterm-256color"})
    code, error_text = close_after(process, "UPDATE_IN_PROGRESS|Deploying")
    assert "Traceback" not in error_text
    assert (code, stack.status, stack.protected, bool(stack.policy)) == (1, "UPDATE_COMPLETE", True, True)
    assert error_text.splitlines()[-1].startswith("deploy: done, but ")


@pytest.mark.nightly
def test_an_output_that_can_be_written_again_gets_no_part_of_the_rest(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    """A full disk that has room again."""
    add_platform(aws, edit_harmlessly)
    most = len(command("dev", "--plan", "--json", code=2).stdout) + 300
    process_ids: list[int] = []

    def make_room() -> None:
        if process_ids and aws.find_requests("ExecuteChangeSet"):
            resource.prlimit(process_ids[0], resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))

    aws.before["DescribeStacks"] = make_room
    path = tmp_path / "output.jsonl"
    with path.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.deployer.cli.deploy", "dev", "--yes", "--json"],
            env=command.make_environment(),
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, 1 << 30)),
        )
    process_ids.append(process.pid)
    _, error_text = process.communicate(timeout=LONGEST_SECONDS)
    assert process.returncode == 1
    rest = error_text.partition("writes the rest here\n")[2].rpartition("deploy: done, but ")[0]
    records = [json.loads(line) for line in (path.read_text() + rest).splitlines()]
    assert records[-1]["result"] == "deployed"


@pytest.mark.nightly
def test_a_question_that_cannot_be_seen_is_not_waited_for(command: Command, aws: Service) -> None:
    """Standard error is lost between the two questions of a first deployment."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.deployer.cli.deploy", "dev"],
        env=command.make_environment(COLUMNS="100", LINES="100"),
        cwd=command.folder,
        stdin=follower,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    while "[y/N]" not in os.read(process.stderr.fileno(), 4096).decode():
        assert process.poll() is None
    process.stderr.close()
    os.write(leader, b"y\n")
    assert process.wait(timeout=LONGEST_SECONDS) == 1
    os.close(leader)
    os.close(follower)
    assert len(aws.find_requests("ExecuteChangeSet")) == 1
    assert aws.remaining_names == []


@pytest.mark.nightly
def test_a_deployment_without_a_question_needs_no_standard_error(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_harmlessly)
    process = command.start("dev", "--yes")
    assert process.stderr is not None
    assert process.stdout is not None
    process.stderr.close()
    output = process.stdout.read()
    assert (process.wait(timeout=LONGEST_SECONDS), stack.status) == (0, "UPDATE_COMPLETE")
    assert "payment-platform-dev: deployed" in output.splitlines()[-1]

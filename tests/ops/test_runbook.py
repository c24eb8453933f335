"""Every command of docs/runbook.md is executed in the situation of its section, and gives the output shown there.

A shell runs the commands in a copy of the repository. The copy has an emulator of its own, and can check out another
revision.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from scripts.demo import subscriber
from scripts.deployer import validate
from scripts.local import server, target
from stacks import names
from stacks.monitoring.alarms import list_sections
from tests.e2e.conftest import TOPIC_ARN, Platform
from tests.e2e.situations import call_function
from tests.emitted import ROOT
from tests.ops.conftest import CHECKED, COMMANDS, EXECUTED
from tests.ops.desk import Desk, change_settings, commit_all
from tests.ops.runbook_situations import SITUATIONS, complete_payment
from tests.ops.situations import create_composite_alarm, make_request

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
ALARMS = set(list_sections())
PROCEDURES = {
    "Run reconciliation by hand",
    "Reset a throttle alarm",
    "Redeploy",
    "Roll back",
    "Stop and start payments",
    "Rotate the gateway's secret",
    "Restore the table to a point in time",
    "Region loss",
    "Raise limits",
    "Leave Standard for Express",
}
PARTS = ["Means", "Customers see", "First look", "Do", "Stop when"]
PROGRAMS = ("scripts/payments.sh ", "scripts/deploy.sh ", "scripts/status.sh ", "aws ", "git ")
PLACEHOLDERS = {
    "TRANSACTION", "LETTER_ID", "EXECUTION_ARN", "REFERENCE", "RELEASE", "SECRET", "VERSION", "NEWER", "BACKUP_ARN",
    "RECOVERY_POINT_ARN", "RESTORE_ROLE_ARN", "WHEN", "SINCE", "UNTIL", "NOTICE", "RECEIPT_HANDLE",
    "SUBSCRIBER_QUEUE_URL", "TABLE_ARN", "BACKUP_ROLE_ARN",
}  # fmt: skip
# The emulator lacks these; the AWS CLI checks them against the model of the service.
NOT_IN_EMULATOR = ("aws service-quotas ", "aws backup start-restore-job ")
# Generated files, and those of the developer.
NOT_COPIED = (".git", ".venv", ".local", ".deployed", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "build")


@dataclass
class Command:
    """A command of the runbook, with its expected output and exit codes."""

    text: str
    contains: list[str] = field(default_factory=list)
    exit_codes: tuple[int, ...] = (0,)

    @property
    def is_executable(self) -> bool:
        return not self.text.startswith(NOT_IN_EMULATOR)


def split_sections(text: str) -> dict[str, str]:
    """Return the text below each heading of the second level."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def read_commands(section: str) -> list[Command]:
    commands: list[Command] = []
    for block in re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if not line.startswith("# "):
                commands.append(Command(re.sub(r"  +", " ", line)))
            elif code := re.match(r"# exit code (\d+)( if .*)?$", line):
                commands[-1].exit_codes = (int(code[1]), 0) if code[2] else (int(code[1]),)
            else:
                commands[-1].contains.append(line.removeprefix("# "))
    return commands


SECTIONS = split_sections(RUNBOOK)
COMMANDS_BY_SECTION = {name: read_commands(text) for name, text in SECTIONS.items() if read_commands(text)}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk") / "repository"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    (folder / ".local").mkdir()
    if validate.LINTED.exists():
        shutil.copytree(validate.LINTED, folder / ".local" / validate.LINTED.name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    # Periods of half a minute, so that an alarm still rings when the command reads it.
    with server.run_server(wait_scale=0.02, alarm_scale=0.1) as running:
        (folder / ".local" / "server.json").write_text(json.dumps(asdict(running)))
        emulator = target.emulator_target(running)
        notices_url, notices_arn = subscriber.create_queue(emulator.client("sqs"), TOPIC_ARN)
        desk = Desk(
            Platform(emulator, {}, {}, notices_url),
            folder,
            server.emulator_environment(running.url)
            | {
                "PATH": f"{ROOT / '.venv' / 'awscli' / 'bin'}:{os.environ['PATH']}",
                "AWS_MAX_ATTEMPTS": "1",
                # Names are not wrapped.
                "COLUMNS": "200",
            },
        )
        settings_lines = f'notification_protocol = "sqs"\nnotification_endpoint = "{notices_arn}"\n'
        settings_lines += "reconciliation_workers = 2\n"
        change_settings(desk, settings_lines)
        code, output = desk.run_command(
            "scripts/deploy.sh local --yes && scripts/outputs.sh local --format json > .local/outputs.json"
        )
        assert code == 0, output
        desk.platform.outputs.update(json.loads((folder / ".local" / "outputs.json").read_text()))
        commit_all(desk, "the release that is deployed")
        create_composite_alarm(desk.platform)
        # The emulator does not read this from the template.
        desk.platform.client("dynamodb").update_continuous_backups(
            TableName="dynamodb-transactions-local",
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )
        desk.platform.client("backup").create_backup_vault(BackupVaultName="backup-vault-payments-local")
        yield desk


def fill_placeholders(text: str, words: dict[str, str]) -> str:
    text = re.sub(rf"\b({'|'.join(PLACEHOLDERS)})\b", lambda word: words[word[1]], text)
    return re.sub(r"\bprod\b", "local", text)


@pytest.mark.e2e
@pytest.mark.nightly
@pytest.mark.parametrize("section", COMMANDS_BY_SECTION)
def test_each_command_gives_the_output_that_is_shown(section: str, desk: Desk, record_property: Any) -> None:
    record_property(COMMANDS, len(COMMANDS_BY_SECTION[section]))
    desk.clean_up()
    situation = SITUATIONS.get(section, complete_payment)(desk)
    for command in COMMANDS_BY_SECTION[section]:
        text = fill_placeholders(command.text, situation.words)
        contains = [fill_placeholders(line, situation.words) for line in command.contains]
        # Version 1 of the AWS CLI does not take SQS's endpoint from the environment.
        text = text.replace("aws sqs ", 'aws --endpoint-url "$AWS_ENDPOINT_URL" sqs ')
        if not command.is_executable:
            text += " --generate-cli-skeleton output"
        typed = next((keys for part, keys in situation.typed.items() if part in text), "y\n")
        code, output = desk.run_command(text, typed, contains if 130 in command.exit_codes else None)
        assert code in command.exit_codes, f"{text}\n{code}: {output}"
        if command.is_executable:
            missing = [line for line in contains if line not in output]
            assert not missing, f"{text}\ndoes not show {missing}: {output}"
        record_property(EXECUTED if command.is_executable else CHECKED, 1)
        desk.output = output
        for part, follow_up in situation.after.items():
            if part in text:
                follow_up()


@pytest.mark.e2e
@pytest.mark.nightly
def test_a_command_that_is_only_checked_cannot_be_executed_and_must_be_valid(desk: Desk) -> None:
    only_checked = [
        command.text for commands in COMMANDS_BY_SECTION.values() for command in commands if not command.is_executable
    ]
    assert only_checked
    for text in only_checked:
        code, _ = desk.run_command(fill_placeholders(text, {word: word for word in PLACEHOLDERS}))
        assert code != 0, f"the AWS emulator has it now: execute {text}"
    listed = next(text for text in only_checked if " list-service-quotas " in text)
    code, output = desk.run_command(f"{listed} --max-results none --generate-cli-skeleton output")
    assert (code != 0, "invalid literal" in output or "invalid int value" in output) == (True, True), output


@pytest.mark.e2e
@pytest.mark.nightly
def test_an_older_state_is_never_charged_as_long_as_the_ledger_is_kept(desk: Desk) -> None:
    """The section on restoring relies on it: a payment that is behind its ledger takes no step."""
    dynamodb, table = desk.platform.client("dynamodb"), "dynamodb-transactions-local"
    request = make_request(15000)
    validated = call_function(desk.platform, "validation", request=request, execution={"id": "arn:first"})
    key = {"transaction_id": {"S": request["transaction_id"]}}
    pending = dynamodb.get_item(TableName=table, Key=key)["Item"]
    to_charge = {
        "action": "process",
        "transaction_id": request["transaction_id"],
        "record_id": validated["record_id"],
    }
    charged = call_function(desk.platform, "processing", **to_charge, execution={"id": "arn:first"})
    assert charged["status"] == "COMPLETED"

    dynamodb.put_item(TableName=table, Item=pending)
    again = call_function(desk.platform, "processing", **to_charge, execution={"id": "arn:second"})
    assert (again["errorType"], "ConditionalCheckFailed" in again["errorMessage"]) == ("LedgerRefused", True)
    dynamodb.delete_item(TableName=table, Key=key)
    repeated = call_function(desk.platform, "validation", request=request, execution={"id": "arn:third"})
    assert (repeated["errorType"], "ConditionalCheckFailed" in repeated["errorMessage"]) == ("LedgerRefused", True)
    logs = desk.platform.client("logs").filter_log_events(
        logGroupName="/aws/lambda/lambda-payment-processing-local",
        filterPattern=f'"{request["transaction_id"]}"',
    )["events"]
    # The gateway was called once.
    assert sum("gateway answered" in event["message"] for event in logs) == 1


def test_each_section_is_of_an_alarm_or_a_procedure_and_each_of_these_has_one() -> None:
    headings = re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) - {"Find the right section"} == ALARMS | PROCEDURES, (
        "docs/runbook.md needs one section for each alarm of stacks/monitoring/alarms.py, headed as in its row, "
        "and one for each of PROCEDURES in tests/ops/test_runbook.py"
    )


def test_each_section_has_commands_and_each_situation_is_of_a_section() -> None:
    assert set(COMMANDS_BY_SECTION) == ALARMS | PROCEDURES, "a section of docs/runbook.md shows no command"
    assert set(SITUATIONS) <= set(COMMANDS_BY_SECTION)


@pytest.mark.parametrize("alarm", sorted(ALARMS))
def test_an_alarms_section_has_all_its_parts(alarm: str) -> None:
    assert re.findall(r"^\*\*([A-Z][a-z ]+)\*\*", SECTIONS[alarm], re.MULTILINE) == PARTS


def test_each_command_is_of_a_known_program() -> None:
    for command in (command for commands in COMMANDS_BY_SECTION.values() for command in commands):
        assert command.text.startswith(PROGRAMS), command.text


def test_no_command_is_outside_of_the_executed_blocks() -> None:
    """Neither in another kind of block nor indented; a command in a sentence has no options."""
    assert set(re.findall(r"^ *```(\w*)", RUNBOOK, re.MULTILINE)) == {"sh", ""}
    assert not re.search(r"^ +```", RUNBOOK, re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
    mentioned = re.findall(r"`([^`]+)`", prose)
    assert mentioned
    assert [text for text in mentioned if text.startswith(PROGRAMS) and " -" in text] == []


@pytest.mark.parametrize("workflow", names.PAYMENT_WORKFLOWS)
def test_reconciliation_is_named_by_the_output_of_either_workflow(workflow: str) -> None:
    """Otherwise the commands would start payments without a request."""
    prefix = f"arn:aws:states:eu-west-1:{server.ACCOUNT}:stateMachine:"
    programs = re.findall(r"StepFunctionsStateMachineArn \| (sed [^)]+)\)", RUNBOOK)
    assert len(programs) == 3
    for program in programs:
        arn = prefix + names.in_environment(workflow, "prod")
        named = subprocess.run(shlex.split(program), input=arn, capture_output=True, text=True, check=True).stdout
        assert named == prefix + names.in_environment(names.RECONCILIATION_WORKFLOW, "prod")


def test_the_placeholders_are_explained() -> None:
    explained = set(re.findall(r"`([A-Z_]+)`", RUNBOOK[: RUNBOOK.index("## Find the right section")]))
    assert explained == PLACEHOLDERS
    texts = [command.text for commands in COMMANDS_BY_SECTION.values() for command in commands]
    assert set(re.findall(r"\b[A-Z_]+\b", " ".join(texts))) >= PLACEHOLDERS


def list_anchors() -> set[str]:
    headings = re.findall(r"^#{2,3} (.+)$", RUNBOOK, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_each_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", RUNBOOK):
        if link.startswith("#"):
            assert link[1:] in list_anchors(), link
        elif not link.startswith("https://"):
            path, _, anchor = link.partition("#")
            text = (ROOT / "docs" / path).read_text(encoding="utf-8")
            titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
            assert not anchor or anchor in {title.lower().replace(" ", "-") for title in titles}, link
    top = SECTIONS["Find the right section"]
    assert {anchor for anchor in list_anchors() if f"(#{anchor})" in top} == list_anchors() - {
        "find-the-right-section",
        "what-recovers-automatically",
        "safe-final-useless-forbidden",
    }


def test_each_alarms_description_leads_to_its_section(templates: dict[str, dict[str, Any]]) -> None:
    described = [
        resource["Properties"]["AlarmDescription"]["Fn::Sub"]
        for resource in templates["monitoring"]["Resources"].values()
        if "AlarmDescription" in resource["Properties"]
    ]
    assert len(described) == len(ALARMS)
    for text in described:
        assert text.split("${RunbookUrl}#")[1] in list_anchors(), text

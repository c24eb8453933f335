"""Every command of docs/runbook.md is executed, in a situation that its section is for, and gives what is said there.

The commands run as an operator runs them, by a shell, in a copy of the repository: the copy remembers an AWS emulator
of its own, so that one that a developer keeps in the working tree is left alone, and can go back to another revision.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from scripts.demo import subscriber
from scripts.deployer import validate
from scripts.local import server, target
from stacks.monitoring import alarm_table
from tests.e2e.conftest import TOPIC_ARN, Platform
from tests.e2e.situations import call
from tests.emitted import ROOT
from tests.ops.conftest import CHECKED, COMMANDS, EXECUTED
from tests.ops.desk import Desk, change_settings, commit
from tests.ops.runbook_situations import SITUATIONS, an_ordinary_payment
from tests.ops.situations import make_composite_alarm, request

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
ALARMS = set(alarm_table.list_sections())
PROCEDURES = {
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
WORDS = {
    "TRANSACTION", "LETTER_ID", "EXECUTION_ARN", "REFERENCE", "RELEASE", "SECRET", "VERSION", "NEWER", "BACKUP_ARN",
    "RECOVERY_POINT_ARN", "RESTORE_ROLE_ARN", "WHEN", "SINCE", "UNTIL", "NOTICE", "RECEIPT_HANDLE",
    "SUBSCRIBER_QUEUE_URL", "TABLE_ARN", "BACKUP_ROLE_ARN",
}  # fmt: skip
# What the AWS emulator does not have: these are only checked against the service's model, by the AWS CLI.
NOT_EMBEDDED = ("aws service-quotas ", "aws backup start-restore-job ")
# What is made here, or belongs to whoever works here.
NOT_COPIED = (".git", ".venv", ".local", ".deployed", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "build")


@dataclass
class Command:
    """A command as it stands in the runbook, with what is said to come of it."""

    text: str
    contains: list[str] = field(default_factory=list)
    exit_codes: tuple[int, ...] = (0,)

    @property
    def embedded(self) -> bool:
        return not self.text.startswith(NOT_EMBEDDED)


def sections(text: str) -> dict[str, str]:
    """The text below each heading of the second level."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(section: str) -> list[Command]:
    found: list[Command] = []
    for block in re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if not line.startswith("# "):
                found.append(Command(re.sub(r"  +", " ", line)))
            elif code := re.match(r"# exit code (\d+)( if .*)?$", line):
                found[-1].exit_codes = (int(code[1]), 0) if code[2] else (int(code[1]),)
            else:
                found[-1].contains.append(line.removeprefix("# "))
    return found


SECTIONS = sections(RUNBOOK)
OF_SECTION = {name: commands(text) for name, text in SECTIONS.items() if commands(text)}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk") / "repository"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    (folder / ".local").mkdir()
    if validate.LINTED.exists():
        shutil.copytree(validate.LINTED, folder / ".local" / validate.LINTED.name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    # Periods of half a minute: long enough that what rings still does when somebody looks.
    with server.run_server(wait_scale=0.02, alarm_scale=0.1) as running:
        (folder / ".local" / "server.json").write_text(json.dumps(asdict(running)))
        there = target.emulator_target(running)
        notices_url, notices_arn = subscriber.create_queue(there.client("sqs"), TOPIC_ARN)
        desk = Desk(
            Platform(there, {}, {}, notices_url),
            folder,
            server.emulator_environment(running.url)
            | {
                "PATH": f"{ROOT / '.venv' / 'awscli' / 'bin'}:{os.environ['PATH']}",
                "AWS_MAX_ATTEMPTS": "1",
                # So that no name is broken over two lines.
                "COLUMNS": "200",
            },
        )
        told = f'notification_protocol = "sqs"\nnotification_endpoint = "{notices_arn}"\n'
        change_settings(desk, told)
        code, said = desk.run(
            "scripts/deploy.sh local --yes && scripts/outputs.sh local --format json > .local/outputs.json"
        )
        assert code == 0, said
        desk.platform.outputs.update(json.loads((folder / ".local" / "outputs.json").read_text()))
        commit(desk, "the release that is deployed")
        make_composite_alarm(desk.platform)
        # The AWS emulator does not take this from the template.
        desk.platform.client("dynamodb").update_continuous_backups(
            TableName="dynamodb-transactions-local",
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )
        desk.platform.client("backup").create_backup_vault(BackupVaultName="backup-vault-payments-local")
        yield desk


def filled_in(text: str, words: dict[str, str]) -> str:
    text = re.sub(rf"\b({'|'.join(WORDS)})\b", lambda word: words[word[1]], text)
    return re.sub(r"\bprod\b", "local", text)


@pytest.mark.e2e
@pytest.mark.parametrize("section", OF_SECTION)
def test_each_command_does_what_is_said_there(section: str, desk: Desk, record_property: Any) -> None:
    record_property(COMMANDS, len(OF_SECTION[section]))
    desk.quiet()
    situation = SITUATIONS.get(section, an_ordinary_payment)(desk)
    for command in OF_SECTION[section]:
        text = filled_in(command.text, situation.words)
        contains = [filled_in(one, situation.words) for one in command.contains]
        # Version 1 of the AWS CLI does not take SQS's endpoint from the environment.
        text = text.replace("aws sqs ", 'aws --endpoint-url "$AWS_ENDPOINT_URL" sqs ')
        if not command.embedded:
            text += " --generate-cli-skeleton output"
        typed = next((keys for part, keys in situation.typed.items() if part in text), "y\n")
        code, said = desk.run(text, typed, contains if 130 in command.exit_codes else None)
        assert code in command.exit_codes, f"{text}\n{code}: {said}"
        if command.embedded:
            missing = [one for one in contains if one not in said]
            assert not missing, f"{text}\nsays nothing of {missing}: {said}"
        record_property(EXECUTED if command.embedded else CHECKED, 1)
        desk.output = said
        for part, then in situation.after.items():
            if part in text:
                then()


@pytest.mark.e2e
def test_what_is_only_checked_cannot_be_executed_and_would_be_refused_if_it_were_wrong(desk: Desk) -> None:
    only_checked = [one.text for found in OF_SECTION.values() for one in found if not one.embedded]
    assert only_checked
    for one in only_checked:
        code, _ = desk.run(filled_in(one, {word: word for word in WORDS}))
        assert code != 0, f"the AWS emulator has it now: execute {one}"
    listed = next(one for one in only_checked if " list-service-quotas " in one)
    code, said = desk.run(f"{listed} --max-results none --generate-cli-skeleton output")
    assert (code != 0, "invalid literal" in said or "invalid int value" in said) == (True, True), said


@pytest.mark.e2e
def test_an_older_state_is_never_charged_as_long_as_the_ledger_is_kept(desk: Desk) -> None:
    """What the section on restoring rests on: a state that the ledger is ahead of can take no step."""
    dynamodb, table = desk.platform.client("dynamodb"), "dynamodb-transactions-local"
    asked = request(15000)
    validated = call(desk.platform, "validation", request=asked, execution={"id": "arn:first"})
    key = {"transaction_id": {"S": asked["transaction_id"]}}
    pending = dynamodb.get_item(TableName=table, Key=key)["Item"]
    to_charge = {
        "action": "process",
        "transaction_id": asked["transaction_id"],
        "record_id": validated["record_id"],
    }
    charged = call(desk.platform, "processing", **to_charge, execution={"id": "arn:first"})
    assert charged["status"] == "COMPLETED"

    dynamodb.put_item(TableName=table, Item=pending)
    again = call(desk.platform, "processing", **to_charge, execution={"id": "arn:second"})
    assert (again["errorType"], "ConditionalCheckFailed" in again["errorMessage"]) == ("LedgerRefused", True)
    dynamodb.delete_item(TableName=table, Key=key)
    anew = call(desk.platform, "validation", request=asked, execution={"id": "arn:third"})
    assert (anew["errorType"], "ConditionalCheckFailed" in anew["errorMessage"]) == ("LedgerRefused", True)
    logs = desk.platform.client("logs").filter_log_events(
        logGroupName="/aws/lambda/lambda-payment-processing-local",
        filterPattern=f'"{asked["transaction_id"]}"',
    )["events"]
    # The gateway was asked once.
    assert sum("gateway answered" in event["message"] for event in logs) == 1


def test_each_section_is_of_an_alarm_or_a_procedure_and_each_of_these_has_one() -> None:
    headings = re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) - {"Find the right section"} == ALARMS | PROCEDURES


def test_each_section_has_commands_and_each_situation_is_of_a_section() -> None:
    assert set(OF_SECTION) == ALARMS | PROCEDURES
    assert set(SITUATIONS) <= set(OF_SECTION)


@pytest.mark.parametrize("alarm", sorted(ALARMS))
def test_an_alarms_section_has_all_its_parts(alarm: str) -> None:
    assert re.findall(r"^\*\*([A-Z][a-z ]+)\*\*", SECTIONS[alarm], re.MULTILINE) == PARTS


def test_each_command_is_of_a_known_program() -> None:
    for command in (one for found in OF_SECTION.values() for one in found):
        assert command.text.startswith(PROGRAMS), command.text


def test_no_command_stands_where_it_is_not_executed() -> None:
    """In another kind of block, or indented; a command that is only mentioned in a line has no options."""
    assert set(re.findall(r"^ *```(\w*)", RUNBOOK, re.MULTILINE)) == {"sh", ""}
    assert not re.search(r"^ +```", RUNBOOK, re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
    mentioned = re.findall(r"`([^`]+)`", prose)
    assert mentioned
    assert [one for one in mentioned if one.startswith(PROGRAMS) and " -" in one] == []


def test_the_words_that_stand_for_something_are_explained() -> None:
    explained = set(re.findall(r"`([A-Z_]+)`", RUNBOOK[: RUNBOOK.index("## Find the right section")]))
    assert explained == WORDS
    used = {word for found in OF_SECTION.values() for one in found for word in re.findall(r"\b[A-Z_]+\b", one.text)}
    assert used >= WORDS


def anchors() -> set[str]:
    headings = re.findall(r"^#{2,3} (.+)$", RUNBOOK, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_each_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", RUNBOOK):
        if link.startswith("#"):
            assert link[1:] in anchors(), link
        elif not link.startswith("https://"):
            assert (ROOT / "docs" / link).exists(), link
    top = SECTIONS["Find the right section"]
    assert {one for one in anchors() if f"(#{one})" in top} == anchors() - {
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
        assert text.split("${RunbookUrl}#")[1] in anchors(), text

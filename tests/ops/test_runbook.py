"""Every command of docs/runbook.md is executed, in a situation that its section is for, and gives what is said there.

The commands run as an operator runs them, by a shell, in a copy of the repository: the copy remembers an embedded AWS
of its own, so that one that a developer keeps in the working tree is left alone, and can go back to another revision.
"""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
from payments.payment import Status

from scripts.demo import subscriber
from scripts.deployer import validate
from scripts.local import server, target
from stacks import names
from tests.e2e.conftest import TOPIC_ARN, Platform
from tests.e2e.test_permissions import without
from tests.e2e.test_reconciliation import HOUR, invoke, leave
from tests.emitted import ROOT
from tests.ops.conftest import CHECKED, COMMANDS, EXECUTED, until
from tests.ops.test_alarms_ring import _composite, call, fail, request, stop_executions

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
ALARMS = {names.without_environment(name) for name in names.alarms()}
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
PROGRAMS = ("scripts/payments.sh ", "scripts/deploy.sh ", "scripts/status.sh ", "aws ", "until aws ", "git ")
WORDS = {
    "TRANSACTION", "LETTER", "EXECUTION_ARN", "REFERENCE", "RELEASE", "SECRET", "VERSION", "NEWER", "BACKUP_ARN",
    "RECOVERY_POINT_ARN", "RESTORE_ROLE_ARN", "WHEN", "SINCE", "UNTIL",
}  # fmt: skip
# What the embedded AWS does not have: these are only checked against the service's model, by the AWS CLI.
NOT_EMBEDDED = ("aws service-quotas ", "aws backup start-restore-job ")
LONGEST_SECONDS = 60
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


@dataclass
class Situation:
    """What the words of a section's commands stand for, what is typed, and what happens after a command."""

    words: dict[str, str] = field(default_factory=dict)
    # By a part of the command; a yes otherwise.
    typed: dict[str, str] = field(default_factory=dict)
    after: dict[str, Callable[[], object]] = field(default_factory=dict)


@dataclass
class Desk:
    """A platform, and the copy of the repository that an operator works in."""

    platform: Platform
    folder: Path
    environment: dict[str, str]

    def run(self, command: str, typed: str = "y\n", until_it_says: list[str] | None = None) -> tuple[int, str]:
        """Exit code and output, of both streams. With ``until_it_says`` it is interrupted once it has said that."""
        keyboard, terminal = pty.openpty()
        os.write(keyboard, typed.encode())
        try:
            ran = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=self.folder,
                env=self.environment,
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            said = b""
            assert ran.stdout is not None
            try:
                deadline = time.monotonic() + LONGEST_SECONDS
                if until_it_says is not None:
                    while time.monotonic() < deadline and not all(one.encode() in said for one in until_it_says):
                        said += os.read(ran.stdout.fileno(), 65536)
                    os.killpg(ran.pid, signal.SIGINT)
                rest, _ = ran.communicate(timeout=LONGEST_SECONDS)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(ran.pid, signal.SIGKILL)
        finally:
            os.close(keyboard)
            os.close(terminal)
        return ran.returncode, (said + rest).decode()

    def quiet(self) -> None:
        """What earlier sections began has ended, and left nothing in the queue."""
        machine = self.platform.outputs["StepFunctionsStateMachineArn"]
        running = {"stateMachineArn": machine, "statusFilter": "RUNNING"}
        assert until(lambda: not self.platform.client("stepfunctions").list_executions(**running)["executions"])
        self.platform.client("sqs").purge_queue(QueueUrl=f"http://queue/{server.ACCOUNT}/payment-dlq-local")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk") / "repository"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    (folder / ".local").mkdir()
    if validate.LINTED.exists():
        shutil.copytree(validate.LINTED, folder / ".local" / validate.LINTED.name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    # Periods of half a minute: long enough that what rings still does when somebody looks.
    with server.running(wait_scale=0.02, alarm_scale=0.1) as running:
        (folder / ".local" / "server.json").write_text(json.dumps(asdict(running)))
        there = target.of(running)
        notices_url, notices_arn = subscriber.create(there.client("sqs"), TOPIC_ARN)
        desk = Desk(
            Platform(there, {}, {}, notices_url),
            folder,
            server.reaching(running.url)
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
        _composite(desk.platform)
        # The embedded AWS does not take this from the template.
        desk.platform.client("dynamodb").update_continuous_backups(
            TableName="dynamodb-transactions-local",
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )
        desk.platform.client("backup").create_backup_vault(BackupVaultName="backup-vault-payments-local")
        yield desk


def change_settings(desk: Desk, lines: str) -> None:
    """Of [local], which is the last table of the file."""
    with open(desk.folder / "stacks" / "environments.toml", "a") as file:
        file.write(lines)


def commit(desk: Desk, message: str) -> str:
    """The revision."""
    git = ["git", "-c", "user.name=operator", "-c", "user.email=operator@example.org"]
    for step in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", message]):
        subprocess.run([*git, *step], cwd=desk.folder, check=True, capture_output=True)
    shown = subprocess.run([*git, "rev-parse", "HEAD"], cwd=desk.folder, check=True, capture_output=True, text=True)
    return shown.stdout.strip()


def times() -> dict[str, str]:
    def at(seconds: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))

    return {"SINCE": at(-HOUR), "UNTIL": at(60), "WHEN": at(-1)}


def letter(desk: Desk) -> dict[str, str]:
    """The one that is in the queue."""
    _, said = desk.run("scripts/payments.sh --env local dlq list --json")
    (found,) = json.loads(said)
    return {"LETTER": found["letter_id"][:8], "EXECUTION_ARN": found["execution_arn"]}


def paid(desk: Desk, cents: int) -> Situation:
    """A payment that the simulator treats as these cents say."""
    asked, execution = desk.platform.pay(payment_amount=150 + cents / 100)
    words = {"TRANSACTION": asked["transaction_id"], "EXECUTION_ARN": execution.execution_arn}
    reference = desk.platform.item(asked["transaction_id"]).get("gateway_reference", {}).get("S", "")
    return Situation(words | times() | {"REFERENCE": reference})


def left(desk: Desk, status: Status, cents: int, age: float) -> Situation:
    """A payment that a workflow left, ``age`` seconds ago."""
    return Situation({"TRANSACTION": leave(desk.platform, status, cents, age)})


def gateway_is_away(desk: Desk) -> Situation:
    return paid(desk, 3)


def payments_fail(desk: Desk) -> Situation:
    situation = gateway_is_away(desk)
    fail(desk.platform, 3, 3)
    alarm = {"AlarmNames": ["alarm-sfn-failures-local"]}
    cloudwatch = desk.platform.client("cloudwatch")
    assert until(lambda: cloudwatch.describe_alarms(**alarm)["MetricAlarms"][0]["StateValue"] == "ALARM")
    return situation


def executions_were_stopped(desk: Desk) -> Situation:
    stop_executions(desk.platform)
    return left(desk, Status.PENDING, 0, HOUR)


def a_wrong_request(desk: Desk) -> Situation:
    desk.platform.follow(desk.platform.start({"transaction_id": 7}))
    return Situation(letter(desk))


def concurrency_is_reserved(desk: Desk) -> Situation:
    situation = paid(desk, 2)
    for function in ("validation", "processing"):
        desk.platform.client("lambda").put_function_concurrency(
            FunctionName=f"lambda-payment-{function}-local", ReservedConcurrentExecutions=50
        )
    return situation


def nobody_knows(desk: Desk) -> Situation:
    return paid(desk, 6)


def the_key_is_forgotten(desk: Desk) -> Situation:
    situation = left(desk, Status.UNKNOWN, 6, 24 * HOUR)
    invoke(desk.platform)
    return Situation(situation.words | {"REFERENCE": "sim_found_by_a_person"})


def letters_wait(desk: Desk) -> Situation:
    """Of a payment, and of an event that EventBridge could not deliver."""
    url = f"http://queue/{server.ACCOUNT}/payment-dlq-local"
    desk.platform.client("sqs").send_message(QueueUrl=url, MessageBody='{"detail-type": "Scheduled Event"}')
    event = letter(desk)
    return Situation(gateway_is_away(desk).words | event)


def a_payment_is_stuck(desk: Desk) -> Situation:
    return left(desk, Status.UNKNOWN, 6, 2 * HOUR)


def reconciliation_has_no_right(desk: Desk) -> Situation:
    with without(desk.platform, "Reconciliation", "dynamodb:Query"):
        assert invoke(desk.platform)["errorType"] == "LedgerRefused"
    return Situation()


def nobody_can_be_told(desk: Desk) -> Situation:
    situation = left(desk, Status.PENDING, 0, HOUR)
    with without(desk.platform, "Reconciliation", "sns:Publish"):
        assert invoke(desk.platform)["errors"] >= 1
    return situation


def it_beats(desk: Desk) -> Situation:
    invoke(desk.platform)
    return Situation()


def a_release_is_out(desk: Desk) -> Situation:
    release = commit_of(desk)
    change_settings(desk, "payment_duration_threshold_seconds = 100\n")
    commit(desk, "a release that turns out bad")
    code, said = desk.run("scripts/deploy.sh local --yes")
    assert code == 0, said
    return Situation({"RELEASE": release})


def commit_of(desk: Desk) -> str:
    code, said = desk.run("git rev-parse HEAD")
    assert code == 0
    return said.strip()


def a_key_is_old(desk: Desk) -> Situation:
    secrets = desk.platform.client("secretsmanager")
    made = secrets.create_secret(Name=f"gateway-{uuid.uuid4().hex}", SecretString='{"api_key": "sk_old"}')
    words = {"SECRET": made["ARN"], "VERSION": made["VersionId"], "TRANSACTION": f"T-{uuid.uuid4().hex[:12]}"}

    def learn_the_newer() -> None:
        stages = secrets.describe_secret(SecretId=made["ARN"])["VersionIdsToStages"]
        assert json.loads(secrets.get_secret_value(SecretId=made["ARN"])["SecretString"]) == {"api_key": "sk_new"}
        words["NEWER"] = next(one for one, of in stages.items() if "AWSCURRENT" in of)

    def it_is_the_old_one_again() -> None:
        assert json.loads(secrets.get_secret_value(SecretId=made["ARN"])["SecretString"]) == {"api_key": "sk_old"}

    after = {"put-secret-value": learn_the_newer, "update-secret-version-stage": it_is_the_old_one_again}
    # Ctrl-D ends it.
    return Situation(words, {"put-secret-value": '{"api_key": "sk_new"}\n\x04'}, after)


def payments_were_deleted(desk: Desk) -> Situation:
    """The embedded AWS restores what is, and not what was: so what is to be restored goes after that."""
    situation = paid(desk, 0)
    dynamodb, table = desk.platform.client("dynamodb"), "dynamodb-transactions-local"

    def delete_it() -> None:
        dynamodb.delete_item(TableName=table, Key={"transaction_id": {"S": situation.words["TRANSACTION"]}})

    def delete_the_table() -> None:
        # The embedded AWS takes the template's "false" for true.
        dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
        dynamodb.delete_table(TableName=table)

    made = dynamodb.create_backup(TableName=table, BackupName="before-it-went")
    situation.words["BACKUP_ARN"] = made["BackupDetails"]["BackupArn"]
    situation.words |= {"RECOVERY_POINT_ARN": "arn:aws:backup:of", "RESTORE_ROLE_ARN": "arn:aws:iam::of"}
    situation.after = {"-restored --restore-date-time": delete_it, "list-backups": delete_the_table}
    return situation


def an_ordinary_payment(desk: Desk) -> Situation:
    return paid(desk, 0)


SITUATIONS: dict[str, Callable[[Desk], Situation]] = {
    "alarm-payments-failing": payments_fail,
    "alarm-sfn-failures": gateway_is_away,
    "alarm-sfn-timeouts": an_ordinary_payment,
    "alarm-sfn-aborts": executions_were_stopped,
    "alarm-sfn-throttles": an_ordinary_payment,
    "alarm-lambda-validation-errors": a_wrong_request,
    "alarm-lambda-validation-throttles": concurrency_is_reserved,
    "alarm-lambda-processing-errors": gateway_is_away,
    "alarm-lambda-processing-throttles": concurrency_is_reserved,
    "alarm-payment-duration": concurrency_is_reserved,
    "alarm-unknown-outcomes": nobody_knows,
    "alarm-reviews": the_key_is_forgotten,
    "alarm-dead-letters": letters_wait,
    "alarm-open-payment-age": a_payment_is_stuck,
    "alarm-transactions-read-throttles": an_ordinary_payment,
    "alarm-transactions-write-throttles": an_ordinary_payment,
    "alarm-index-write-throttles": an_ordinary_payment,
    "alarm-ledger-write-throttles": an_ordinary_payment,
    "alarm-notification-failures": gateway_is_away,
    "alarm-lambda-reconciliation-errors": reconciliation_has_no_right,
    "alarm-reconciliation-incomplete": nobody_can_be_told,
    "alarm-reconciliation-heartbeat": it_beats,
    "Reset a throttle alarm": an_ordinary_payment,
    "Redeploy": an_ordinary_payment,
    "Roll back": a_release_is_out,
    "Stop and start payments": an_ordinary_payment,
    "Rotate the gateway's secret": a_key_is_old,
    "Restore the table to a point in time": payments_were_deleted,
    "Region loss": an_ordinary_payment,
    "Raise limits": concurrency_is_reserved,
    "Leave Standard for Express": an_ordinary_payment,
}


def filled_in(text: str, words: dict[str, str]) -> str:
    text = re.sub(rf"\b({'|'.join(WORDS)})\b", lambda word: words[word[1]], text)
    return re.sub(r"\bprod\b", "local", text)


@pytest.mark.e2e
@pytest.mark.parametrize("section", OF_SECTION)
def test_each_command_does_what_is_said_there(section: str, desk: Desk, record_property: Any) -> None:
    record_property(COMMANDS, len(OF_SECTION[section]))
    desk.quiet()
    situation = SITUATIONS[section](desk)
    for command in OF_SECTION[section]:
        text = filled_in(command.text, situation.words)
        contains = [filled_in(one, situation.words) for one in command.contains]
        if not command.embedded:
            text += " --generate-cli-skeleton output"
        typed = next((keys for part, keys in situation.typed.items() if part in text), "y\n")
        code, said = desk.run(text, typed, contains if 130 in command.exit_codes else None)
        assert code in command.exit_codes, f"{text}\n{code}: {said}"
        if command.embedded:
            missing = [one for one in contains if one not in said]
            assert not missing, f"{text}\nsays nothing of {missing}: {said}"
        record_property(EXECUTED if command.embedded else CHECKED, 1)
        for part, then in situation.after.items():
            if part in text:
                then()


@pytest.mark.e2e
def test_what_is_only_checked_cannot_be_executed_and_would_be_refused_if_it_were_wrong(desk: Desk) -> None:
    only_checked = [one.text for found in OF_SECTION.values() for one in found if not one.embedded]
    assert only_checked
    for one in only_checked:
        code, _ = desk.run(filled_in(one, {word: word for word in WORDS}))
        assert code != 0, f"the embedded AWS has it now: execute {one}"
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
        "fingerprint": validated["fingerprint"],
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


def test_each_section_has_commands_and_a_situation() -> None:
    assert set(OF_SECTION) == ALARMS | PROCEDURES
    assert set(SITUATIONS) == set(OF_SECTION)


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

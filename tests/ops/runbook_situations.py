"""The situations that the runbook's sections are for, each brought about before its section's commands are executed."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from payments.payment import Status

from scripts.local import server
from tests.e2e.situations import DAY, HOUR, leave, reconcile, without
from tests.ops.conftest import until
from tests.ops.desk import Desk, change_settings, commit, commit_of
from tests.ops.situations import fail, stop_executions


@dataclass
class Situation:
    """What the words of a section's commands stand for, what is typed, and what happens after a command."""

    words: dict[str, str] = field(default_factory=dict)
    # By a part of the command; a yes otherwise.
    typed: dict[str, str] = field(default_factory=dict)
    after: dict[str, Callable[[], object]] = field(default_factory=dict)


def times() -> dict[str, str]:
    def at(seconds: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))

    return {"SINCE": at(-HOUR), "UNTIL": at(60), "WHEN": at(-1)}


def letter(desk: Desk) -> dict[str, str]:
    """The one that is in the queue."""
    _, said = desk.run("scripts/payments.sh --env local dlq list --json")
    (found,) = json.loads(said)
    return {"LETTER_ID": found["letter_id"][:8], "EXECUTION_ARN": found["execution_arn"]}


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
    situation = left(desk, Status.UNKNOWN, 6, DAY)
    reconcile(desk.platform)
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
        assert reconcile(desk.platform)["errorType"] == "LedgerRefused"
    return Situation()


def nobody_can_be_told(desk: Desk) -> Situation:
    situation = left(desk, Status.PENDING, 0, HOUR)
    with without(desk.platform, "Reconciliation", "sns:Publish"):
        assert reconcile(desk.platform)["errors"] >= 1
    return situation


def it_beats(desk: Desk) -> Situation:
    reconcile(desk.platform)
    return Situation()


def a_release_is_out(desk: Desk) -> Situation:
    release = commit_of(desk)
    change_settings(desk, "payment_duration_threshold_seconds = 100\n")
    commit(desk, "a release that turns out bad")
    code, said = desk.run("scripts/deploy.sh local --yes")
    assert code == 0, said
    return Situation({"RELEASE": release})


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
    """The AWS emulator restores what is, and not what was: so what is to be restored goes after that."""
    situation = paid(desk, 0)
    dynamodb, table = desk.platform.client("dynamodb"), "dynamodb-transactions-local"

    def delete_it() -> None:
        dynamodb.delete_item(TableName=table, Key={"transaction_id": {"S": situation.words["TRANSACTION"]}})

    def delete_the_table() -> None:
        # The AWS emulator takes the template's "false" for true.
        dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
        dynamodb.delete_table(TableName=table)

    made = dynamodb.create_backup(TableName=table, BackupName="before-it-went")
    situation.words["BACKUP_ARN"] = made["BackupDetails"]["BackupArn"]
    situation.words |= {"RECOVERY_POINT_ARN": "arn:aws:backup:of", "RESTORE_ROLE_ARN": "arn:aws:iam::of"}
    situation.after = {"-restored --restore-date-time": delete_it, "list-backups": delete_the_table}
    return situation


def notices_were_not_delivered(desk: Desk) -> Situation:
    """The AWS emulator does not move what SNS cannot deliver to the dead-letter queue, so this does."""
    sqs = desk.platform.client("sqs")
    undelivered, subscriber_queue = (
        f"http://queue/{server.ACCOUNT}/sqs-notification-dlq-local",
        desk.platform.notices_url,
    )
    for url in (undelivered, subscriber_queue):
        sqs.purge_queue(QueueUrl=url)
    notice = json.dumps({"Type": "Notification", "Message": json.dumps({"transaction_id": "T-1"})})
    sqs.send_message(QueueUrl=undelivered, MessageBody=notice)
    situation = Situation(times() | {"SUBSCRIBER_QUEUE_URL": subscriber_queue, "NOTICE": "", "RECEIPT_HANDLE": ""})

    def read_notice() -> None:
        ((situation.words["RECEIPT_HANDLE"], situation.words["NOTICE"]),) = json.loads(desk.output)

    def check_delivery() -> None:
        # Among what alarms say meanwhile.
        messages = sqs.receive_message(QueueUrl=subscriber_queue, MaxNumberOfMessages=10)["Messages"]
        assert json.loads(notice) in [json.loads(message["Body"]) for message in messages]

    situation.after = {"receive-message": read_notice, "send-message": check_delivery}
    return situation


def a_backup_is_missing(desk: Desk) -> Situation:
    """Backups are off here, so the role and the plan are not there; one table has a job."""
    tables = ("dynamodb-transactions-local", "dynamodb-payment-ledger-local")
    transactions, ledger = (f"arn:aws:dynamodb:{server.REGION}:{server.ACCOUNT}:table/{name}" for name in tables)
    role = f"arn:aws:iam::{server.ACCOUNT}:role/role-backup-payments-local"
    backup, vault = desk.platform.client("backup"), "backup-vault-payments-local"
    backup.start_backup_job(BackupVaultName=vault, ResourceArn=transactions, IamRoleArn=role)
    rule = {"RuleName": "daily", "TargetBackupVaultName": vault}
    backup.create_backup_plan(BackupPlan={"BackupPlanName": "backup-plan-payments-local", "Rules": [rule]})
    return Situation(times() | {"TABLE_ARN": ledger, "BACKUP_ROLE_ARN": role})


def an_ordinary_payment(desk: Desk) -> Situation:
    return paid(desk, 0)


# Sections that are not here are tried after an ordinary payment.
SITUATIONS: dict[str, Callable[[Desk], Situation]] = {
    "alarm-payments-failing": payments_fail,
    "alarm-sfn-failures": gateway_is_away,
    "alarm-sfn-aborts": executions_were_stopped,
    "alarm-lambda-validation-errors": a_wrong_request,
    "alarm-lambda-validation-throttles": concurrency_is_reserved,
    "alarm-lambda-processing-errors": gateway_is_away,
    "alarm-lambda-processing-throttles": concurrency_is_reserved,
    "alarm-payment-duration": concurrency_is_reserved,
    "alarm-unknown-outcomes": nobody_knows,
    "alarm-reviews": the_key_is_forgotten,
    "alarm-dead-letters": letters_wait,
    "alarm-open-payment-age": a_payment_is_stuck,
    "alarm-notification-failures": gateway_is_away,
    "alarm-undelivered-notices": notices_were_not_delivered,
    "alarm-backup-failures": a_backup_is_missing,
    "alarm-backup-heartbeat": a_backup_is_missing,
    "alarm-lambda-reconciliation-errors": reconciliation_has_no_right,
    "alarm-reconciliation-incomplete": nobody_can_be_told,
    "alarm-reconciliation-heartbeat": it_beats,
    "Roll back": a_release_is_out,
    "Rotate the gateway's secret": a_key_is_old,
    "Restore the table to a point in time": payments_were_deleted,
    "Raise limits": concurrency_is_reserved,
}

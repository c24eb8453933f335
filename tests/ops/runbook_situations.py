"""Brings about the situation of each section of the runbook before its commands are executed."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from payments.payment import Status

from scripts.local import server
from tests.e2e.situations import DAY, HOUR, put_abandoned_payment, reconcile, without_permission
from tests.ops.conftest import wait_until
from tests.ops.desk import Desk, change_settings, commit_all, read_revision
from tests.ops.situations import run_failing_payments, stop_executions


@dataclass
class Situation:
    """The values of the placeholders in a section's commands, what is typed, and what follows a command."""

    words: dict[str, str] = field(default_factory=dict)
    # By a part of the command; the default is a yes.
    typed: dict[str, str] = field(default_factory=dict)
    after: dict[str, Callable[[], object]] = field(default_factory=dict)


def format_times() -> dict[str, str]:
    def format_time(seconds: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))

    return {"SINCE": format_time(-HOUR), "UNTIL": format_time(60), "WHEN": format_time(-1)}


def read_letter(desk: Desk) -> dict[str, str]:
    """Return the ids of the only dead letter in the queue."""
    _, output = desk.run_command("scripts/payments.sh --env local dlq list --json")
    (dead_letter,) = json.loads(output)
    return {"LETTER_ID": dead_letter["letter_id"][:8], "EXECUTION_ARN": dead_letter["execution_arn"]}


def make_payment(desk: Desk, cents: int) -> Situation:
    """Make a payment with the outcome that the simulator gives these cents."""
    request, execution = desk.platform.pay(payment_amount=150 + cents / 100)
    words = {"TRANSACTION": request["transaction_id"], "EXECUTION_ARN": execution.execution_arn}
    reference = desk.platform.read_item(request["transaction_id"]).get("gateway_reference", {}).get("S", "")
    return Situation(words | format_times() | {"REFERENCE": reference})


def leave_payment(desk: Desk, status: Status, cents: int, age: float) -> Situation:
    """Leave an open payment that a workflow abandoned ``age`` seconds ago."""
    return Situation({"TRANSACTION": put_abandoned_payment(desk.platform, status, cents, age)})


def fail_payment(desk: Desk) -> Situation:
    return make_payment(desk, 3)


def fail_several_payments(desk: Desk) -> Situation:
    situation = fail_payment(desk)
    run_failing_payments(desk.platform, 3, 3)
    alarm = {"AlarmNames": ["alarm-sfn-failures-local"]}
    cloudwatch = desk.platform.client("cloudwatch")
    assert wait_until(lambda: cloudwatch.describe_alarms(**alarm)["MetricAlarms"][0]["StateValue"] == "ALARM")
    return situation


def stop_payments(desk: Desk) -> Situation:
    stop_executions(desk.platform)
    return leave_payment(desk, Status.PENDING, 0, HOUR)


def send_malformed_request(desk: Desk) -> Situation:
    desk.platform.follow(desk.platform.start({"transaction_id": 7}))
    return Situation(read_letter(desk))


def reserve_concurrency(desk: Desk) -> Situation:
    situation = make_payment(desk, 2)
    for function in ("validation", "processing"):
        desk.platform.client("lambda").put_function_concurrency(
            FunctionName=f"lambda-payment-{function}-local", ReservedConcurrentExecutions=50
        )
    return situation


def make_unknown_payment(desk: Desk) -> Situation:
    return make_payment(desk, 6)


def expire_idempotency_key(desk: Desk) -> Situation:
    situation = leave_payment(desk, Status.UNKNOWN, 6, DAY)
    reconcile(desk.platform)
    return Situation(situation.words | {"REFERENCE": "sim_found_by_a_person"})


def leave_letters(desk: Desk) -> Situation:
    """Leave the dead letters of a payment and of an event that EventBridge could not deliver."""
    url = f"http://queue/{server.ACCOUNT}/payment-dlq-local"
    desk.platform.client("sqs").send_message(QueueUrl=url, MessageBody='{"detail-type": "Scheduled Event"}')
    event = read_letter(desk)
    return Situation(fail_payment(desk).words | event)


def leave_stuck_payment(desk: Desk) -> Situation:
    return leave_payment(desk, Status.UNKNOWN, 6, 2 * HOUR)


def fail_reconciliation(desk: Desk) -> Situation:
    with without_permission(desk.platform, "Reconciliation", "dynamodb:Query"):
        assert reconcile(desk.platform)["errorType"] == "LedgerRefused"
    return Situation()


def fail_notification(desk: Desk) -> Situation:
    situation = leave_payment(desk, Status.PENDING, 0, HOUR)
    with without_permission(desk.platform, "Reconciliation", "sns:Publish"):
        assert reconcile(desk.platform)["errors"] >= 1
    return situation


def run_reconciliation(desk: Desk) -> Situation:
    """Start a run as the schedule does, and wait for its end."""
    stepfunctions = desk.platform.client("stepfunctions")
    machine = desk.platform.outputs["StepFunctionsStateMachineArn"].replace("workflow", "reconciliation")
    run = stepfunctions.start_execution(stateMachineArn=machine)["executionArn"]
    assert wait_until(lambda: stepfunctions.describe_execution(executionArn=run)["status"] == "SUCCEEDED")
    return Situation()


def deploy_bad_release(desk: Desk) -> Situation:
    release = read_revision(desk)
    change_settings(desk, "payment_duration_threshold_seconds = 100\n")
    commit_all(desk, "a release that turns out bad")
    code, output = desk.run_command("scripts/deploy.sh local --yes")
    assert code == 0, output
    return Situation({"RELEASE": release})


def make_secret(desk: Desk) -> Situation:
    secrets = desk.platform.client("secretsmanager")
    secret = secrets.create_secret(Name=f"gateway-{uuid.uuid4().hex}", SecretString='{"api_key": "sk_old"}')
    words = {"SECRET": secret["ARN"], "VERSION": secret["VersionId"], "TRANSACTION": f"T-{uuid.uuid4().hex[:12]}"}

    def read_new_version() -> None:
        stages = secrets.describe_secret(SecretId=secret["ARN"])["VersionIdsToStages"]
        assert json.loads(secrets.get_secret_value(SecretId=secret["ARN"])["SecretString"]) == {"api_key": "sk_new"}
        words["NEWER"] = next(version for version, labels in stages.items() if "AWSCURRENT" in labels)

    def check_old_value() -> None:
        assert json.loads(secrets.get_secret_value(SecretId=secret["ARN"])["SecretString"]) == {"api_key": "sk_old"}

    after = {"put-secret-value": read_new_version, "update-secret-version-stage": check_old_value}
    # Ctrl-D ends the input.
    return Situation(words, {"put-secret-value": '{"api_key": "sk_new"}\n\x04'}, after)


def make_backup_and_delete(desk: Desk) -> Situation:
    """The emulator restores the current state of a table, so the item is deleted after the restore."""
    situation = make_payment(desk, 0)
    dynamodb, table = desk.platform.client("dynamodb"), "dynamodb-transactions-local"

    def delete_item() -> None:
        dynamodb.delete_item(TableName=table, Key={"transaction_id": {"S": situation.words["TRANSACTION"]}})

    def delete_table() -> None:
        # The emulator takes the template's "false" for true.
        dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
        dynamodb.delete_table(TableName=table)

    backup = dynamodb.create_backup(TableName=table, BackupName="before-it-went")
    situation.words["BACKUP_ARN"] = backup["BackupDetails"]["BackupArn"]
    situation.words |= {"RECOVERY_POINT_ARN": "arn:aws:backup:of", "RESTORE_ROLE_ARN": "arn:aws:iam::of"}
    situation.after = {"-restored --restore-date-time": delete_item, "list-backups": delete_table}
    return situation


def leave_undelivered_notice(desk: Desk) -> Situation:
    """Put a notification into the dead-letter queue, because the emulator does not."""
    sqs = desk.platform.client("sqs")
    undelivered, subscriber_queue = (
        f"http://queue/{server.ACCOUNT}/sqs-notification-dlq-local",
        desk.platform.notices_url,
    )
    for url in (undelivered, subscriber_queue):
        sqs.purge_queue(QueueUrl=url)
    notice = json.dumps({"Type": "Notification", "Message": json.dumps({"transaction_id": "T-1"})})
    sqs.send_message(QueueUrl=undelivered, MessageBody=notice)
    situation = Situation(
        format_times() | {"SUBSCRIBER_QUEUE_URL": subscriber_queue, "NOTICE": "", "RECEIPT_HANDLE": ""}
    )

    def read_notice() -> None:
        ((situation.words["RECEIPT_HANDLE"], situation.words["NOTICE"]),) = json.loads(desk.output)

    def check_delivery() -> None:
        # Among notifications of alarms.
        messages = sqs.receive_message(QueueUrl=subscriber_queue, MaxNumberOfMessages=10)["Messages"]
        assert json.loads(notice) in [json.loads(message["Body"]) for message in messages]

    situation.after = {"receive-message": read_notice, "send-message": check_delivery}
    return situation


def miss_backup(desk: Desk) -> Situation:
    """Create a plan and a job for one of the tables, because backups are off in this environment."""
    tables = ("dynamodb-transactions-local", "dynamodb-payment-ledger-local")
    transactions, ledger = (f"arn:aws:dynamodb:{server.REGION}:{server.ACCOUNT}:table/{name}" for name in tables)
    role = f"arn:aws:iam::{server.ACCOUNT}:role/role-backup-payments-local"
    backup, vault = desk.platform.client("backup"), "backup-vault-payments-local"
    backup.start_backup_job(BackupVaultName=vault, ResourceArn=transactions, IamRoleArn=role)
    rule = {"RuleName": "daily", "TargetBackupVaultName": vault}
    backup.create_backup_plan(BackupPlan={"BackupPlanName": "backup-plan-payments-local", "Rules": [rule]})
    return Situation(format_times() | {"TABLE_ARN": ledger, "BACKUP_ROLE_ARN": role})


def complete_payment(desk: Desk) -> Situation:
    return make_payment(desk, 0)


# Any other section is tried after an ordinary payment.
SITUATIONS: dict[str, Callable[[Desk], Situation]] = {
    "alarm-payments-failing": fail_several_payments,
    "alarm-sfn-failures": fail_payment,
    "alarm-sfn-aborts": stop_payments,
    "alarm-lambda-validation-errors": send_malformed_request,
    "alarm-lambda-validation-throttles": reserve_concurrency,
    "alarm-lambda-processing-errors": fail_payment,
    "alarm-lambda-processing-throttles": reserve_concurrency,
    "alarm-payment-duration": reserve_concurrency,
    "alarm-unknown-outcomes": make_unknown_payment,
    "alarm-reviews": expire_idempotency_key,
    "alarm-dead-letters": leave_letters,
    "alarm-open-payment-age": leave_stuck_payment,
    "alarm-notification-failures": fail_payment,
    "alarm-undelivered-notices": leave_undelivered_notice,
    "alarm-backup-failures": miss_backup,
    "alarm-backup-heartbeat": miss_backup,
    "alarm-lambda-reconciliation-errors": fail_reconciliation,
    "alarm-reconciliation-incomplete": fail_notification,
    "alarm-reconciliation-heartbeat": run_reconciliation,
    "Roll back": deploy_bad_release,
    "Rotate the gateway's secret": make_secret,
    "Restore the table to a point in time": make_backup_and_delete,
    "Raise limits": reserve_concurrency,
}

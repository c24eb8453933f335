"""A simulated account with all that a run changes, whose requests a test can disturb."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from scripts.common.errors import REFUSED
from scripts.common.target import Target
from scripts.deployer.stack import Stack, StackTree
from scripts.operator.platform import Platform
from scripts.verify import read_only
from scripts.verify.expected import Expected
from scripts.verify.run import Run
from tests.verify.runs import ACCOUNT, REGION, ROOT, CloudFormation, make_run

SERVICES = ("sqs", "sns", "cloudwatch", "events", "backup", "stepfunctions", "lambda", "dynamodb")
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:topic"
RULE = "rule-sfn-payment-reconciliation-dev"
RESOURCES = (
    Expected("Data/Notifications", "AWS::SNS::Topic", TOPIC, {}),
    Expected("Data/PaymentLedger", "AWS::DynamoDB::Table", "ledger", {}),
    Expected("Data/Selection", "AWS::Backup::BackupSelection", "s", {"BackupSelection": {"IamRoleArn": "role"}}),
    Expected("Monitoring/Failures", "AWS::CloudWatch::Alarm", "alarm-failures", {"AlarmActions": [TOPIC]}),
    Expected("Monitoring/Errors", "AWS::CloudWatch::Alarm", "alarm-errors", {"AlarmActions": [TOPIC]}),
    Expected("Monitoring/Member", "AWS::CloudWatch::Alarm", "alarm-member", {}),
    Expected("Monitoring/Composite", "AWS::CloudWatch::CompositeAlarm", "alarm-composite", {"AlarmActions": [TOPIC]}),
)


class Client:
    """A client of one service."""

    def __init__(self, account: "Account") -> None:
        self._account = account

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **parameters: self._account.answer(operation, parameters)

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=lambda **parameters: [self._account.answer(operation, parameters)])


class Account:
    def __init__(self) -> None:
        self.queues = {"payment-dlq-dev"}
        self.subscriptions: set[str] = set()
        self.targets = {"reconciliation"}
        self.alarms = {resource.physical_id: "OK" for resource in RESOURCES if "Alarm" in resource.type}
        self.jobs: dict[str, str] = {}
        self.payments: list[str] = []
        self.calls: list[str] = []
        # Called with the operation before each request is carried out, and after it.
        self.before: Callable[[str], None] = str
        self.after: Callable[[str], None] = str

    def make_run(self) -> Run:
        """Return a run of dev in this account."""
        stack = Stack(ROOT, "UPDATE_COMPLETE", "arn:root", owned=True, changed_at="2026-01-01T00:00:00+00:00")
        run = make_run({}, *RESOURCES, tree=StackTree(stack))
        session = SimpleNamespace(region_name=REGION, events=SimpleNamespace(register=lambda *_: None))
        target = Target(session)  # type: ignore[arg-type]
        target._clients.update({service: Client(self) for service in SERVICES} | {"cloudformation": CloudFormation()})
        target.__dict__["identity"] = {"Account": ACCOUNT}
        outputs = run.platform.outputs | {"DynamodbTableName": "payments"}
        run.platform = Platform("dev", target, "verify")
        run.platform.__dict__.update(outputs=outputs, _lambda_client=Client(self))
        return run

    def list_temporary(self) -> set[str]:
        """Return the names of what a run has to undo."""
        changed_alarms = {name for name, state in self.alarms.items() if state != "OK"} - {"alarm-composite"}
        jobs = {"ledger" for state in self.jobs.values() if state != "ABORTED"}
        return (
            (self.queues - {"payment-dlq-dev"})
            | self.subscriptions
            | changed_alarms
            | (self.targets - {"reconciliation"})
            | jobs
        )

    def answer(self, operation: str, parameters: dict[str, Any]) -> Any:
        self.calls.append(operation)
        self.before(operation)
        carry_out = getattr(self, operation, None)
        # What is not simulated is empty.
        answer = carry_out(**parameters) if carry_out else {}
        self.after(operation)
        return answer

    def list_writes(self) -> list[str]:
        """Return the operations that were requested and change something, each once, in the order of their first."""
        operations = dict.fromkeys(self.calls)
        return [name for name in operations if not read_only.is_read(name.title().replace("_", ""))]

    def create_queue(self, QueueName: str, **_: Any) -> dict[str, str]:
        self.queues.add(QueueName)
        return {"QueueUrl": f"https://sqs/{QueueName}"}

    def get_queue_url(self, QueueName: str) -> dict[str, str]:
        if QueueName not in self.queues:
            raise make_error("AWS.SimpleQueueService.NonExistentQueue", "GetQueueUrl")
        return {"QueueUrl": f"https://sqs/{QueueName}"}

    def delete_queue(self, QueueUrl: str) -> None:
        self.queues.remove(QueueUrl.rpartition("/")[2])

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        return {"Attributes": {"QueueArn": "arn:dead-letters"}}

    def receive_message(self, QueueUrl: str, **_: Any) -> dict[str, Any]:
        """Return a notification of each alarm, of the queue that is subscribed."""
        messages = [{"AlarmName": name} for name in self.alarms] if "payment-verify-" in QueueUrl else []
        bodies = [json.dumps({"Message": json.dumps(message)}) for message in messages]
        return {"Messages": [{"Body": body, "ReceiptHandle": "r", "MessageId": "m"} for body in bodies]}

    def subscribe(self, Endpoint: str, **_: Any) -> dict[str, str]:
        name = Endpoint.rpartition(":")[2]
        self.subscriptions.add(name)
        return {"SubscriptionArn": f"arn:subscription:{name}"}

    def list_subscriptions_by_topic(self, **_: Any) -> dict[str, Any]:
        listed = [("email", "on-call@example.com", "arn:subscription:theirs")]
        listed += [("sqs", queue_arn(name), f"arn:subscription:{name}") for name in self.subscriptions]
        members = ("Protocol", "Endpoint", "SubscriptionArn")
        return {"Subscriptions": [dict(zip(members, entry, strict=True)) for entry in listed]}

    def unsubscribe(self, SubscriptionArn: str) -> None:
        self.subscriptions.remove(SubscriptionArn.rpartition(":")[2])

    def describe_alarms(self, AlarmNames: list[str], **_: Any) -> dict[str, Any]:
        return {"MetricAlarms": [{"AlarmName": name, "StateValue": self.alarms[name]} for name in AlarmNames]}

    def set_alarm_state(self, AlarmName: str, StateValue: str, **_: Any) -> None:
        self.alarms[AlarmName] = StateValue

    def get_metric_statistics(self, **_: Any) -> dict[str, Any]:
        return {"Datapoints": [{"Sum": 1.0}]}

    def describe_rule(self, **_: Any) -> dict[str, str]:
        return {"State": "ENABLED"}

    def list_targets_by_rule(self, **_: Any) -> dict[str, Any]:
        return {"Targets": [{"Id": name} for name in self.targets]}

    def put_targets(self, Targets: list[dict[str, Any]], **_: Any) -> dict[str, Any]:
        self.targets |= {target["Id"] for target in Targets}
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def remove_targets(self, Ids: list[str], **_: Any) -> dict[str, Any]:
        self.targets -= set(Ids)
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def describe_table(self, **_: Any) -> dict[str, Any]:
        return {"Table": {"TableArn": "arn:ledger"}}

    def start_backup_job(self, IdempotencyToken: str, **_: Any) -> dict[str, str]:
        self.jobs.setdefault(IdempotencyToken, "RUNNING")
        return {"BackupJobId": IdempotencyToken}

    def describe_backup_job(self, BackupJobId: str) -> dict[str, str]:
        return {"State": self.jobs[BackupJobId]}

    def stop_backup_job(self, BackupJobId: str) -> None:
        self.jobs[BackupJobId] = "ABORTED"

    def start_execution(self, name: str, **_: Any) -> dict[str, Any]:
        self.payments.append(name)
        return {"executionArn": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:workflow:{name}"}

    def describe_execution(self, **_: Any) -> dict[str, Any]:
        return {"status": "SUCCEEDED", "startDate": datetime.now(UTC)}

    def get_execution_history(self, **_: Any) -> dict[str, Any]:
        return {"events": []}

    def batch_get_item(self, **_: Any) -> dict[str, Any]:
        return {"Responses": {}}

    def invoke(self, FunctionName: str, Payload: bytes, **_: Any) -> dict[str, Any]:
        self.payments.append(FunctionName)
        answer = {"errorType": "ChargeOutcomeUnknown"} if b'"process"' in Payload else {"record_id": "r"}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


def queue_arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def make_error(code: str, operation: str = "Operation", *, is_refused: bool = True) -> ClientError:
    """Return AWS's answer to a request that was not carried out; the last try of one that may have been otherwise."""
    error: Any = {"Code": code, "Message": "the reason", REFUSED: is_refused}
    return ClientError({"Error": error}, operation)

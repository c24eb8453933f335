"""How the AWS emulator with our corrections behaves, for each fact that concerns it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from botocore.exceptions import ClientError

from scripts.deployer.archive import zip_folder
from scripts.local import runtime, server
from stacks.compute.runtime import RUNTIME

FACTS_SERVER = "tests.conformance.facts_server"
WAIT_SECONDS = 30
_FUNCTION = """\
import os
import time


def handler(event, context):
    if event["action"] == "exit":
        os._exit(1)
    if event["action"] == "fail":
        raise ValueError("failed")
    time.sleep(3)
"""
_TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "x.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
_ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
_INVOKE = "arn:aws:states:::lambda:invoke"
_ALARM = {
    "Namespace": "Payments",
    "MetricName": "Declined",
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 1,
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "TreatMissingData": "ignore",
}
_PLACE = f"{server.REGION}:{server.ACCOUNT}"


class Emulator:
    """A running emulator, with a role that may do everything."""

    def __init__(self, running: server.Server) -> None:
        self._session = boto3.Session(region_name=server.REGION, **server.CREDENTIALS)
        self._url = running.url
        self._clients: dict[str, Any] = {}
        iam = self.client("iam")
        self.role = iam.create_role(RoleName="role", AssumeRolePolicyDocument=json.dumps(_TRUST))["Role"]["Arn"]
        iam.put_role_policy(RoleName="role", PolicyName="all", PolicyDocument=json.dumps(_ALLOW_ALL))

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._session.client(service, endpoint_url=self._url)
        return self._clients[service]

    def create_function(self, name: str, **properties: Any) -> None:
        with TemporaryDirectory() as folder:
            (Path(folder) / "index.py").write_text(_FUNCTION)
            self.client("lambda").create_function(
                FunctionName=name,
                Role=self.role,
                Handler="index.handler",
                Code={"ZipFile": zip_folder(Path(folder), runtime.RUNTIME.files)},
                **runtime.RUNTIME.properties,
                **properties,
            )

    def create_queue(self, name: str) -> tuple[str, str]:
        """Return the URL and the ARN of a queue to which every service may send."""
        sqs, arn = self.client("sqs"), f"arn:aws:sqs:{_PLACE}:{name}"
        statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        return sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"], arn

    def receive_message(self, url: str) -> dict[str, Any]:
        for _ in range(WAIT_SECONDS):
            answer = self.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=1, MessageAttributeNames=["All"])
            if answer.get("Messages"):
                return dict(answer["Messages"][0])
        raise AssertionError(f"no message in {url}")

    def create_stack(self, name: str, resources: dict[str, Any], outputs: dict[str, Any]) -> dict[str, str]:
        """Create a stack and return its outputs."""
        cloudformation = self.client("cloudformation")
        template = {"Resources": resources, "Outputs": {key: {"Value": value} for key, value in outputs.items()}}
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
        listed = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
        return {output["OutputKey"]: output["OutputValue"] for output in listed}

    def run_machine(self, name: str, state: dict[str, Any], **later_states: Any) -> dict[str, Any]:
        """Run states in JSONata, the first of which is ``state``, and return the description of the ended execution."""
        stepfunctions = self.client("stepfunctions")
        definition = {"QueryLanguage": "JSONata", "StartAt": "First", "States": {"First": state} | later_states}
        machine = stepfunctions.create_state_machine(name=name, roleArn=self.role, definition=json.dumps(definition))
        arn = stepfunctions.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]
        deadline = time.monotonic() + WAIT_SECONDS
        while (execution := stepfunctions.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < deadline, f"{name} does not end"
            time.sleep(0.05)
        return dict(execution)

    def run_task(self, name: str, resource: str, arguments: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Run a task that fails, and return the error that a catcher gets."""
        catcher = {"ErrorEquals": ["States.ALL"], "Output": "{% $states.errorOutput %}", "Next": "Caught"}
        task = {"Type": "Task", "Resource": resource, "Arguments": arguments, "Catch": [catcher], "End": True}
        return dict(json.loads(self.run_machine(name, task | fields, Caught={"Type": "Succeed"})["output"]))


@contextmanager
def run_emulator() -> Iterator[Emulator]:
    """Run an emulator on which a schedule of a minute fires within a second."""
    with server.run_server(wait_scale=0.0, module=FACTS_SERVER) as running:
        yield Emulator(running)


def _catch_timeout(emulator: Emulator) -> dict[str, Any]:
    emulator.create_function("slow", Timeout=10)
    arguments = {"FunctionName": "slow", "Payload": {"action": "sleep"}}
    return {"caught": emulator.run_task("timeout", _INVOKE, arguments, TimeoutSeconds=1)}


def _fail_without_cause(emulator: Emulator) -> dict[str, Any]:
    fail = {"Type": "Fail", "Error": "CardDeclined"}
    execution = emulator.run_machine("fail", fail)
    return {"status": execution["status"], "error": execution["error"], "cause": execution.get("cause", "")}


def _read_context(emulator: Emulator) -> dict[str, Any]:
    state = {"Type": "Pass", "Output": "{% $states.context %}", "End": True}
    context = json.loads(emulator.run_machine("context", state)["output"])
    return {name: sorted(context[name]) for name in ("Execution", "State", "StateMachine")}


def _fail_write(emulator: Emulator) -> dict[str, Any]:
    dynamodb, name = emulator.client("dynamodb"), "transaction_id"
    dynamodb.create_table(
        TableName="payments",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": name, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"}],
    )
    write = {"TableName": "payments", "Item": {name: {"S": "TXN-1"}, "status": {"S": "PENDING"}}}
    dynamodb.put_item(**write)
    try:
        dynamodb.put_item(
            **write, ConditionExpression=f"attribute_not_exists({name})", ReturnValuesOnConditionCheckFailure="ALL_OLD"
        )
    except ClientError as error:
        return {"code": error.response["Error"]["Code"], "item": error.response.get("Item")}
    return {}


def _invoke_missing_function(emulator: Emulator) -> dict[str, Any]:
    failure = emulator.run_task("invoke", _INVOKE, {"FunctionName": "missing", "Payload": {}})
    return {"error": failure["Error"]}


def _invoke_slow_function(emulator: Emulator) -> dict[str, Any]:
    emulator.create_function("slow-itself", Timeout=1)
    return _invoke_function(emulator, "slow-itself", "sleep")


def _invoke_exiting_function(emulator: Emulator) -> dict[str, Any]:
    emulator.create_function("exiting")
    return _invoke_function(emulator, "exiting", "exit")


def _invoke_function(emulator: Emulator, name: str, action: str) -> dict[str, Any]:
    answer = emulator.client("lambda").invoke(FunctionName=name, Payload=json.dumps({"action": action}))
    payload = json.loads(answer["Payload"].read())
    return {"error_type": payload.get("errorType"), "function_error": answer.get("FunctionError")}


def _read_dead_letter(emulator: Emulator) -> dict[str, Any]:
    url, arn = emulator.create_queue("dead-letters")
    emulator.create_function("failing", DeadLetterConfig={"TargetArn": arn})
    client = emulator.client("lambda")
    client.put_function_event_invoke_config(FunctionName="failing", MaximumRetryAttempts=0)
    client.invoke(FunctionName="failing", InvocationType="Event", Payload=json.dumps({"action": "fail"}))
    message = emulator.receive_message(url)
    attributes = message.get("MessageAttributes", {})
    return {
        "body": json.loads(message["Body"]),
        "attributes": {name: attribute["DataType"] for name, attribute in attributes.items()},
        "error_code": attributes.get("ErrorCode", {}).get("StringValue"),
    }


def _publish_to_missing_topic(emulator: Emulator) -> dict[str, Any]:
    arguments = {"TopicArn": f"arn:aws:sns:{_PLACE}:missing", "Message": "paid"}
    return {"error": emulator.run_task("publish", "arn:aws:states:::sns:publish", arguments)["Error"]}


def _send_empty_message(emulator: Emulator) -> dict[str, Any]:
    url, _ = emulator.create_queue("empty")
    arguments = {"QueueUrl": url, "MessageBody": ""}
    return {"error": emulator.run_task("send", "arn:aws:states:::sqs:sendMessage", arguments)["Error"]}


def _refer_to_topic(emulator: Emulator) -> dict[str, Any]:
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "receipts"}}
    attributes = {name: {"Fn::GetAtt": f"Topic.{name}"} for name in ("TopicArn", "TopicName")}
    return emulator.create_stack("topic", {"Topic": topic}, {"Ref": {"Ref": "Topic"}} | attributes)


def _refer_to_alarm(emulator: Emulator) -> dict[str, Any]:
    alarm = {"Type": "AWS::CloudWatch::Alarm", "Properties": _ALARM | {"AlarmName": "late-payments"}}
    return emulator.create_stack(
        "alarm", {"Alarm": alarm}, {"Ref": {"Ref": "Alarm"}, "Arn": {"Fn::GetAtt": "Alarm.Arn"}}
    )


def _refer_to_function(emulator: Emulator) -> dict[str, Any]:
    code = {"Handler": "index.handler", "Runtime": RUNTIME, "Code": {"ZipFile": "def handler(event, _): return event"}}
    function = {"FunctionName": "charge-card", "Role": emulator.role} | code
    name = {"FunctionName": {"Ref": "Function"}}
    alias = name | {"Name": "live", "FunctionVersion": {"Fn::GetAtt": "Version.Version"}}
    resources = {
        "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
        "Version": {"Type": "AWS::Lambda::Version", "Properties": name},
        "Alias": {"Type": "AWS::Lambda::Alias", "Properties": alias},
    }
    return emulator.create_stack("function", resources, {name: {"Ref": name} for name in resources})


def _read_alarm_notification(emulator: Emulator) -> dict[str, Any]:
    url, arn = emulator.create_queue("alarms")
    topic = emulator.client("sns").create_topic(Name="alarms")["TopicArn"]
    emulator.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    cloudwatch = emulator.client("cloudwatch")
    cloudwatch.put_metric_alarm(AlarmName="declined-payments", AlarmActions=[topic], **_ALARM)
    cloudwatch.set_alarm_state(AlarmName="declined-payments", StateValue="ALARM", StateReason="many")
    notification = json.loads(json.loads(emulator.receive_message(url)["Body"])["Message"])
    return {"members": sorted(notification)}


def _read_scheduled_event(emulator: Emulator) -> dict[str, Any]:
    url, arn = emulator.create_queue("schedule")
    events = emulator.client("events")
    events.put_rule(Name="schedule", ScheduleExpression="rate(1 minute)")
    events.put_targets(Rule="schedule", Targets=[{"Id": "queue", "Arn": arn}])
    event = json.loads(emulator.receive_message(url)["Body"])
    return {"members": sorted(event)} | {name: event[name] for name in ("version", "detail-type", "source", "detail")}


def _read_log_record(emulator: Emulator) -> dict[str, Any]:
    """Read the log of an Express workflow, the only one that the emulator writes."""
    logs, stepfunctions = emulator.client("logs"), emulator.client("stepfunctions")
    logs.create_log_group(logGroupName="history")
    group = {"logGroupArn": f"arn:aws:logs:{_PLACE}:log-group:history:*"}
    machine = stepfunctions.create_state_machine(
        name="express",
        type="EXPRESS",
        roleArn=emulator.role,
        definition=json.dumps({"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": True}}}),
        loggingConfiguration={"level": "ALL", "destinations": [{"cloudWatchLogsLogGroup": group}]},
    )["stateMachineArn"]
    stepfunctions.start_execution(stateMachineArn=machine)
    # The first record is written before the call returns.
    record = logs.filter_log_events(logGroupName="history")["events"][0]
    return {"members": sorted(json.loads(record["message"]))}


# By the name of the fact, the function that returns the values that facts.yaml has for it.
ON_EMULATOR: dict[str, Callable[[Emulator], dict[str, Any]]] = {
    "a task that takes too long": _catch_timeout,
    "a Fail state without a cause": _fail_without_cause,
    "the context object": _read_context,
    "a write whose condition failed": _fail_write,
    "a function that does not exist": _invoke_missing_function,
    "a function that takes too long": _invoke_slow_function,
    "a function whose process exits": _invoke_exiting_function,
    "the dead letter of a function": _read_dead_letter,
    "a topic that does not exist": _publish_to_missing_topic,
    "a message without a body": _send_empty_message,
    "the physical id of a topic": _refer_to_topic,
    "the physical id of an alarm": _refer_to_alarm,
    "the physical ids of a function": _refer_to_function,
    "the notification of an alarm": _read_alarm_notification,
    "the event of a schedule": _read_scheduled_event,
    "a record in the log of a state machine": _read_log_record,
}

"""What a platform is brought into for the operator's tests, beside what tests/e2e/situations.py has."""

import uuid
from collections.abc import Callable
from typing import Any

from stacks.monitoring.alarm_table import COMPOSITE
from tests.e2e.conftest import Platform
from tests.emitted import load_template

VAULT = "backup-vault-payments-local"


def request(minor_units: int, **changes: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"T-{uuid.uuid4().hex[:12]}",
        "payment_amount": minor_units / 100,
        "payment_method": "credit_card",
        "customer_id": "CUST-12345",
    } | changes


def fail(platform: Platform, cents: int, times: int, **changes: Any) -> None:
    """Payments that fail as the simulator lets these cents fail."""
    started = [platform.start(request(15000 + cents, **changes)) for _ in range(times)]
    for execution in started:
        assert platform.follow(execution).status == "FAILED"


def stop_executions(platform: Platform) -> None:
    """Cents that keep the gateway busy for a second, so that there is something to stop."""
    execution = platform.start(request(15007))
    platform.client("stepfunctions").stop_execution(executionArn=execution)


def measured(namespace: str, metric: str, value: float, **dimensions: str) -> Callable[[Platform], None]:
    """Where the AWS emulator does not do it by itself: what AWS would have measured."""

    def put(platform: Platform) -> None:
        named = [{"Name": name, "Value": of} for name, of in dimensions.items()]
        datum = {"MetricName": metric, "Dimensions": named, "Value": value}
        platform.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])

    return put


def make_alarm_of_backups(platform: Platform, logical_id: str) -> None:
    """Backups are off here, so CloudFormation does not create it. A day of it takes as long as five minutes do."""
    alarm = load_template("monitoring")["Resources"][logical_id]["Properties"]
    name = alarm["AlarmName"]["Fn::Sub"].replace("${Environment}", "local")
    topic = platform.outputs["SnsTopicArn"]
    copied = ("Namespace", "MetricName", "Statistic", "EvaluationPeriods", "ComparisonOperator", "Threshold")
    platform.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        AlarmDescription=alarm["AlarmDescription"]["Fn::Sub"].replace("${RunbookUrl}", "docs/runbook.md"),
        Dimensions=[{"Name": "BackupVaultName", "Value": VAULT}],
        Period=300,
        TreatMissingData=alarm["TreatMissingData"],
        AlarmActions=[topic],
        OKActions=[topic],
        **{key: alarm[key] for key in copied},
    )


def make_composite_alarm(platform: Platform) -> None:
    """CloudFormation does not make one here, so this makes it of the template's rule."""
    alarm = load_template("monitoring")["Resources"]["PaymentsFailingAlarm"]["Properties"]
    rule = alarm["AlarmRule"]["Fn::Sub"]
    for logical_id, resource in load_template("monitoring")["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            name = resource["Properties"]["AlarmName"]["Fn::Sub"].replace("${Environment}", "local")
            rule = rule.replace(f"${{{logical_id}}}", name)
    topic = platform.outputs["SnsTopicArn"]
    platform.client("cloudwatch").put_composite_alarm(
        AlarmName=f"{COMPOSITE}-local", AlarmRule=rule, AlarmActions=[topic], OKActions=[topic]
    )

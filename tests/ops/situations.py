"""Situations for the operator's tests, beside those of tests/e2e/situations.py."""

import uuid
from collections.abc import Callable
from typing import Any

from stacks.monitoring.alarms import COMPOSITE
from tests.e2e.conftest import Platform
from tests.emitted import load_template

VAULT = "backup-vault-payments-local"


def make_request(minor_units: int, **changes: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"T-{uuid.uuid4().hex[:12]}",
        "payment_amount": minor_units / 100,
        "payment_method": "credit_card",
        "customer_id": "CUST-12345",
    } | changes


def run_failing_payments(platform: Platform, cents: int, times: int, **changes: Any) -> None:
    """Run payments that the simulator lets fail by these cents."""
    started = [platform.start(make_request(15000 + cents, **changes)) for _ in range(times)]
    for execution in started:
        assert platform.follow(execution).status == "FAILED"


def stop_executions(platform: Platform) -> None:
    """Stop an execution whose gateway is busy for a second."""
    execution = platform.start(make_request(15007))
    platform.client("stepfunctions").stop_execution(executionArn=execution)


def put_metric(namespace: str, metric: str, value: float, **dimensions: str) -> Callable[[Platform], None]:
    """Return a function that puts the metric of AWS that the emulator does not measure."""

    def put_datum(platform: Platform) -> None:
        pairs = [{"Name": name, "Value": dimension_value} for name, dimension_value in dimensions.items()]
        datum = {"MetricName": metric, "Dimensions": pairs, "Value": value}
        platform.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])

    return put_datum


def create_backup_alarm(platform: Platform, logical_id: str) -> None:
    """Create an alarm that the stack lacks because backups are off. Its day takes as long as five minutes."""
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


def create_composite_alarm(platform: Platform) -> None:
    """Create the composite alarm by the rule of the template, because the emulator's CloudFormation does not."""
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

"""What AWS says of what watches: log groups with their filters, and alarms."""

import json
from collections.abc import Callable
from typing import Any

from .expected import Expected
from .results import Failed

Clients = Callable[[str], Any]


def log_group(client: Clients, resource: Expected) -> dict[str, Any]:
    logs, name = client("logs"), resource.physical_id
    groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    group = next((group for group in groups if group["logGroupName"] == name), None)
    if group is None:
        raise Failed(f"log group {name} does not exist")
    return {
        "RetentionInDays": group.get("retentionInDays"),
        "KmsKeyId": group.get("kmsKeyId"),
        "Tags": [
            {"Key": key, "Value": value}
            for key, value in logs.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"].items()
        ],
    }


def log_masking(client: Clients, resource: Expected) -> dict[str, Any]:
    answer = client("logs").get_data_protection_policy(logGroupIdentifier=resource.physical_id)
    return {"DataProtectionPolicy": json.loads(answer.get("policyDocument") or "{}")}


def metric_filter(client: Clients, resource: Expected) -> dict[str, Any]:
    group = resource.properties["LogGroupName"]
    filters = client("logs").describe_metric_filters(logGroupName=group, filterNamePrefix=resource.physical_id)
    described = next(
        (candidate for candidate in filters["metricFilters"] if candidate["filterName"] == resource.physical_id), None
    )
    if described is None:
        raise Failed(f"metric filter {resource.physical_id} of {group} does not exist")
    names = {"metricName": "MetricName", "metricNamespace": "MetricNamespace", "metricValue": "MetricValue"}
    return {
        "FilterPattern": described["filterPattern"],
        "MetricTransformations": [
            {names[name]: value for name, value in transformation.items() if name in names}
            | {
                "Unit": transformation.get("unit"),
                "Dimensions": [
                    {"Key": key, "Value": value} for key, value in transformation.get("dimensions", {}).items()
                ],
            }
            for transformation in described["metricTransformations"]
        ],
    }


def alarm(client: Clients, resource: Expected) -> dict[str, Any]:
    described = _alarm(client, resource, "MetricAlarm")
    names = ("MetricName", "Namespace", "Statistic", "Dimensions", "Period", "EvaluationPeriods", "Threshold")
    return {name: described.get(name) for name in (*names, "ComparisonOperator", "TreatMissingData")} | _actions(
        described
    )


def composite_alarm(client: Clients, resource: Expected) -> dict[str, Any]:
    described = _alarm(client, resource, "CompositeAlarm")
    return {"AlarmRule": described["AlarmRule"]} | _actions(described)


def _alarm(client: Clients, resource: Expected, kind: str) -> dict[str, Any]:
    cloudwatch, name = client("cloudwatch"), resource.physical_id.rsplit(":alarm:", 1)[-1]
    answer = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=[kind])
    described: list[dict[str, Any]] = answer.get(f"{kind}s", [])
    if not described:
        raise Failed(f"alarm {name} does not exist")
    tags = cloudwatch.list_tags_for_resource(ResourceARN=described[0]["AlarmArn"])["Tags"]
    return described[0] | {"Tags": tags}


def _actions(described: dict[str, Any]) -> dict[str, Any]:
    return {
        # A template leaves it out: actions are enabled.
        "ActionsEnabled": described.get("ActionsEnabled", True),
        "AlarmActions": described.get("AlarmActions", []),
        "OKActions": described.get("OKActions", []),
        "Tags": described["Tags"],
    }

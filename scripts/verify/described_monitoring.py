"""Describes log groups, metric filters, and alarms as AWS has them."""

import json
from collections.abc import Mapping
from typing import Any

from scripts.common.clients import AlarmTypeType, ClientFactory

from .expected import Expected
from .results import Failed


def describe_log_group(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    logs, name = client("logs"), resource.physical_id
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
    group = next((group for page in pages for group in page["logGroups"] if group["logGroupName"] == name), None)
    if group is None:
        raise Failed(f"log group {name} does not exist")
    return {
        "RetentionInDays": group.get("retentionInDays"),
        "KmsKeyId": group.get("kmsKeyId"),
        "Tags": logs.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"],
    }


def describe_data_protection(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    answer = client("logs").get_data_protection_policy(logGroupIdentifier=resource.physical_id)
    return {"DataProtectionPolicy": json.loads(answer.get("policyDocument") or "{}")}


def describe_metric_filter(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    group = resource.properties["LogGroupName"]
    paginator = client("logs").get_paginator("describe_metric_filters")
    pages = paginator.paginate(logGroupName=group, filterNamePrefix=resource.physical_id)
    filters = [entry for page in pages for entry in page["metricFilters"]]
    metric_filter = next((entry for entry in filters if entry["filterName"] == resource.physical_id), None)
    if metric_filter is None:
        raise Failed(f"metric filter {resource.physical_id} of {group} does not exist")
    names = {"metricName": "MetricName", "metricNamespace": "MetricNamespace", "metricValue": "MetricValue"}
    return {
        "FilterPattern": metric_filter["filterPattern"],
        "MetricTransformations": [
            {names[name]: value for name, value in transformation.items() if name in names}
            | {
                "Unit": transformation.get("unit"),
                "Dimensions": [
                    {"Key": key, "Value": value} for key, value in transformation.get("dimensions", {}).items()
                ],
            }
            for transformation in metric_filter["metricTransformations"]
        ],
    }


def describe_alarm(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    alarm = _read_alarm(client, resource, "MetricAlarm")
    names = ("MetricName", "Namespace", "Statistic", "Dimensions", "Period", "EvaluationPeriods", "Threshold")
    properties = {name: alarm.get(name) for name in (*names, "ComparisonOperator", "TreatMissingData")}
    return properties | _select_actions(alarm)


def describe_composite_alarm(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    alarm = _read_alarm(client, resource, "CompositeAlarm")
    return {"AlarmRule": alarm["AlarmRule"]} | _select_actions(alarm)


def _read_alarm(client: ClientFactory, resource: Expected, kind: AlarmTypeType) -> dict[str, Any]:
    cloudwatch, name = client("cloudwatch"), resource.physical_id.rsplit(":alarm:", 1)[-1]
    answer: Mapping[str, Any] = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=[kind])
    alarms: list[dict[str, Any]] = answer.get(f"{kind}s", [])
    if not alarms:
        raise Failed(f"alarm {name} does not exist")
    tags = cloudwatch.list_tags_for_resource(ResourceARN=alarms[0]["AlarmArn"])["Tags"]
    return alarms[0] | {"Tags": tags}


def _select_actions(alarm: dict[str, Any]) -> dict[str, Any]:
    return {
        "ActionsEnabled": alarm.get("ActionsEnabled", True),
        "AlarmActions": alarm.get("AlarmActions", []),
        "OKActions": alarm.get("OKActions", []),
        "Tags": alarm["Tags"],
    }

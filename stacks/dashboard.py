"""The dashboard's body, as ``Fn::Sub`` text: are payments succeeding, how fast, what broke."""

import json
from typing import Any

from . import names

_ALARMS = (
    names.WORKFLOW_FAILURES_ALARM,
    names.PAYMENT_DURATION_ALARM,
    names.VALIDATION_ERRORS_ALARM,
    names.VALIDATION_THROTTLES_ALARM,
    names.PROCESSING_ERRORS_ALARM,
    names.PROCESSING_THROTTLES_ALARM,
    names.RECONCILIATION_ERRORS_ALARM,
    names.RECONCILIATION_HEARTBEAT_ALARM,
)
_ALARM_ARN = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:"


def body() -> str:
    """JSON with ``${...}`` for the parameters of the monitoring stack.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    executions = ["AWS/States", None, "StateMachineArn", "${StateMachineArn}"]
    functions = ("${ValidationName}", "${ProcessingName}")
    widgets = [
        {
            "type": "alarm",
            "width": 24,
            "height": 3,
            "properties": {"title": "Alarms", "alarms": [_ALARM_ARN + name for name in _ALARMS]},
        },
        _metrics(
            "Are payments succeeding?",
            [
                ["AWS/States", name, *executions[2:]]
                for name in ("ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut")
            ],
            stat="Sum",
        ),
        _metrics(
            "How long does a payment take? (seconds)",
            [
                [
                    "PaymentWorkflow",
                    "PaymentProcessingDuration",
                    "Environment",
                    "${Environment}",
                    {"stat": stat, "label": stat},
                ]
                for stat in ("Average", "p90", "p99")
            ],
        ),
        _metrics(
            "Did a function break?",
            [["AWS/Lambda", name, "FunctionName", fn] for name in ("Errors", "Throttles") for fn in functions],
            stat="Sum",
        ),
        _metrics(
            "What waits in the dead-letter queue?",
            [["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", names.QUEUE]],
            stat="Maximum",
        ),
    ]
    return json.dumps({"widgets": widgets}, indent=2)


def _metrics(title: str, metrics: list[list[Any]], stat: str | None = None) -> dict[str, Any]:
    properties = {"title": title, "region": "${AWS::Region}", "period": 300, "view": "timeSeries", "metrics": metrics}
    return {
        "type": "metric",
        "width": 12,
        "height": 6,
        "properties": properties | ({"stat": stat} if stat else {}),
    }

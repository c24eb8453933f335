"""Corrections of MiniStack's CloudWatch, in the form of corrections.py: its metrics, and its evaluation of alarms."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import cloudwatch, cloudwatch_logs, sqs, stepfunctions, tagging

from . import alarms, metrics, server


def apply_corrections() -> None:
    scale = float(os.environ.get(server.ALARM_SCALE, "1"))
    make_metrics_of_logs()
    count_executions()
    measure_queues(scale)
    evaluate_alarms_periodically(scale)
    list_tagged_log_groups()


def make_metrics_of_logs() -> None:
    """On AWS log events become metrics, by metric filters and by the Embedded Metric Format.

    MiniStack stores filters without applying them, and ignores embedded metrics.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/MonitoringLogData.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format.html
    """
    fan_out, put_filter = cloudwatch_logs._fanout_to_subscription_filters, cloudwatch_logs._put_metric_filter

    def put_known_filter(request: dict[str, Any]) -> Any:
        try:
            metrics.matches_pattern(str(request.get("filterPattern")), {})
        except ValueError as error:
            return error_response_json("InvalidParameterException", str(error), 400)
        return put_filter(request)

    def fan_out_and_measure(group: str, stream: str, events: Sequence[dict[str, Any]]) -> None:
        fan_out(group, stream, events)
        filters = [entry for key, entry in cloudwatch_logs._metric_filters.items() if key[0] == group]
        for event in events:
            for datum in metrics.metrics_of_line(event["message"], filters):
                cloudwatch.record_metric(datum.namespace, datum.name, datum.value, datum.unit, datum.dimensions)

    cloudwatch_logs._fanout_to_subscription_filters = fan_out_and_measure
    cloudwatch_logs._put_metric_filter = put_known_filter


def list_tagged_log_groups() -> None:
    """On AWS ``GetResources`` lists the log groups that have the tags. MiniStack lists those of other services only.

    https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/supported-services.html
    """

    def collect_log_groups() -> Iterator[tuple[str, list[dict[str, str]]]]:
        for group in cloudwatch_logs._log_groups.values():
            yield group["arn"].removesuffix(":*"), tagging._normalise_flat(group["tags"])

    tagging._COLLECTORS["logs"] = collect_log_groups


def count_executions() -> None:
    """On AWS Step Functions counts executions by status, under AWS/States. MiniStack does not.

    https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
    """
    emit = stepfunctions._emit_execution_status_event
    names = {"RUNNING": "ExecutionsStarted", "SUCCEEDED": "ExecutionsSucceeded", "FAILED": "ExecutionsFailed"}
    names |= {"ABORTED": "ExecutionsAborted", "TIMED_OUT": "ExecutionsTimedOut"}

    def emit_and_count(execution: dict[str, Any]) -> None:
        machine = {"StateMachineArn": execution["stateMachineArn"]}
        cloudwatch.record_metric("AWS/States", names[execution["status"]], 1, "Count", machine)
        emit(execution)

    stepfunctions._emit_execution_status_event = emit_and_count


def measure_queues(scale: float) -> None:
    """On AWS each queue reports its visible messages every minute, under AWS/SQS. MiniStack does not count them.

    Measured every minute and at each change: more points would only fill the memory of a server that is kept.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    """
    # The last depth of each queue, and when it was measured.
    depths: dict[str, tuple[int, float]] = {}

    def measure_depths() -> None:
        for url, queue in list(sqs._queues.items()):
            name, time_now = url.rsplit("/", 1)[-1], time.time()
            depth = sum(message["visible_at"] <= time_now for message in list(queue["messages"]))
            last_depth, measured_at = depths.get(name, (-1, 0.0))
            if depth != last_depth or time_now - measured_at >= 60 * scale:
                depths[name] = depth, time_now
                metric = ("AWS/SQS", "ApproximateNumberOfMessagesVisible", depth, "Count", {"QueueName": name})
                cloudwatch.record_metric(*metric)

    _run_periodically(measure_depths, scale)


def evaluate_alarms_periodically(scale: float) -> None:
    """On AWS an alarm is evaluated all the time, over the points of exactly its dimensions, as alarms.py says.

    MiniStack evaluates it only when its metric is put, so silence has no effect; over the points of all dimensions, so
    a declined payment counts as an unknown one; and over one period, whatever is missing.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
    """

    def statistic_of(alarm: dict[str, Any]) -> Callable[[Sequence[Any]], float]:
        name = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
        return lambda points: float(cloudwatch._stat_value(cloudwatch._calc_stats(points), name, points))

    def evaluate_metric_alarm(alarm: dict[str, Any]) -> None:
        time_now = time.time()
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm.get("Dimensions") or []}
        key = (alarm["Namespace"], alarm["MetricName"], cloudwatch._dims_key(dimensions))
        oldest = time_now - float(alarm["Period"]) * (float(alarm["EvaluationPeriods"]) + alarms.EXTRA_PERIODS) * scale
        # Points are appended as they arrive.
        points = reversed(cloudwatch._metrics.get(key) or [])
        recent = list(takewhile(lambda point: point["Timestamp"] > oldest, points))
        before = alarm["StateValue"]
        state, reason = alarms.evaluate_alarm(alarm, recent, statistic_of(alarm), time_now, scale)
        if state == before:
            return
        alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": int(time_now)}
        cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
        cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
        cloudwatch._evaluate_parent_alarms(alarm)

    # Putting a metric evaluates alarms in another thread; each change of state must notify once.
    lock = threading.RLock()

    def evaluate_alarm(alarm: dict[str, Any]) -> None:
        with lock:
            if alarm.get("MetricName"):
                evaluate_metric_alarm(alarm)

    def evaluate_all_alarms() -> None:
        for alarm in list(cloudwatch._alarms.values()):
            evaluate_alarm(alarm)

    cloudwatch._evaluate_alarm = evaluate_alarm
    _run_periodically(evaluate_all_alarms, scale)


def _run_periodically(action: Callable[[], None], scale: float) -> None:
    """Run ``action`` every five seconds in a thread; log its exceptions."""

    def run_forever() -> None:
        while True:
            time.sleep(max(0.25, 5 * scale))
            try:
                action()
            except Exception:
                cloudwatch.logger.exception("a periodic correction failed")

    threading.Thread(target=run_forever, daemon=True).start()

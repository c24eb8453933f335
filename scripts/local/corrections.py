"""What is mended in MiniStack 1.5.33 while it runs here: nothing else is in this module.

Each correction has its reason, and a test in tests/local/test_corrections.py that fails when the release no longer
needs it.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from ministack import app
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy, pin_request_origin
from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.services import (
    cloudformation,
    cloudwatch,
    cloudwatch_logs,
    dynamodb,
    eventbridge,
    iam,
    lambda_svc,
    sqs,
    stepfunctions,
)
from ministack.services.cloudformation import handlers, helpers, provisioners, stacks

from . import alarms, metrics, server


def apply_corrections() -> None:
    """Apply all, before the server starts."""
    scale = float(os.environ.get(server.ALARM_SCALE, "1"))
    take_loopback_for_tls()
    remember_attributes()
    publish_message_attributes()
    keep_dead_letter_config()
    give_layers_to_custom_runtimes()
    let_rules_invoke_only_what_permits_them()
    keep_permissions_boundaries()
    let_unprotected_tables_be_deleted()
    retain_what_nested_stacks_retain()
    find_stacks_by_resource()
    make_metrics_of_logs()
    count_executions()
    measure_queues(scale)
    evaluate_alarms_as_time_goes_by(scale)


def take_loopback_for_tls() -> None:
    """Let a request count as one over TLS: nothing leaves this machine, and the platform refuses what comes without.

    Policies see ``aws:SecureTransport`` as it is, and it is HTTP.
    """
    app.pin_request_origin = lambda source_ip, _: pin_request_origin(source_ip, True)


def remember_attributes() -> None:
    """Let a nested stack's update keep the attributes that its resources had.

    Updating a nested stack fails with "Requested attribute Arn does not exist in schema": an update handler returns
    only some attributes, and the nested path replaces the known ones by these, where the top-level path merges them.
    """
    known: dict[tuple[str, str], dict[str, Any]] = {}
    provision, update = provisioners._provision_resource, provisioners._update_resource

    def merged(resource_type: str, result: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        physical_id, attributes = result
        kept = known.setdefault((resource_type, physical_id), {})
        kept.update(attributes or {})
        return physical_id, dict(kept)

    def remembering_provision(resource_type: str, *arguments: Any, **options: Any) -> tuple[str, dict[str, Any]]:
        return merged(resource_type, provision(resource_type, *arguments, **options))

    def remembering_update(resource_type: str, *arguments: Any, **options: Any) -> tuple[str, dict[str, Any]]:
        return merged(resource_type, update(resource_type, *arguments, **options))

    for module in (provisioners, stacks):
        module._provision_resource = remembering_provision
        module._update_resource = remembering_update


def publish_message_attributes() -> None:
    """Let the workflow's ``sns:publish`` carry its message attributes.

    The integration hands its arguments to a parser of the query protocol, which finds no attributes in them, so a
    subscriber could not filter by outcome.
    """
    name = "arn:aws:states:::sns:publish"
    publish = stepfunctions._SERVICE_DISPATCH[name]

    def publishing(resource: str, arguments: dict[str, Any]) -> Any:
        flat = dict(arguments)
        for index, (key, attribute) in enumerate((flat.pop("MessageAttributes", None) or {}).items(), 1):
            prefix = f"MessageAttributes.entry.{index}"
            flat[f"{prefix}.Name"] = key
            flat |= {f"{prefix}.Value.{part}": value for part, value in attribute.items()}
        return publish(resource, flat)

    stepfunctions._SERVICE_DISPATCH[name] = publishing


def keep_dead_letter_config() -> None:
    """Let a function that CloudFormation makes have its dead-letter target.

    The provisioner leaves ``DeadLetterConfig`` out, so what failed asynchronously was lost.
    """

    def keep(name: str, properties: dict[str, Any]) -> None:
        if "DeadLetterConfig" in properties:
            lambda_svc._functions[name]["config"]["DeadLetterConfig"] = dict(properties["DeadLetterConfig"])

    _after_provisioning("AWS::Lambda::Function", keep)


def give_layers_to_custom_runtimes() -> None:
    """Let a custom runtime have its function's layers.

    They are extracted for the other runtimes only. Where they are is told in the variable that tells it to those:
    nothing can be put under ``/opt`` here.
    """
    environment = lambda_svc._provided_worker_env

    def with_layers(config: dict[str, Any], code_folder: str, port: int) -> dict[str, str]:
        layers = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers") or []]
        folders = [lambda_svc._docker_extracted_dir(layer, "layer") for layer in layers if layer]
        variables: dict[str, str] = environment(config, code_folder, port)
        return variables | {"_LAMBDA_LAYERS_DIRS": os.pathsep.join(folders)}

    lambda_svc._provided_worker_env = with_layers


def let_rules_invoke_only_what_permits_them() -> None:
    """Let a rule of EventBridge invoke a function only if the function's policy permits that.

    The policy is not looked at, so a schedule would work here without its permission, and not on AWS.
    """
    invoke = eventbridge._invoke_target

    def permitted(arn: str, rule: dict[str, Any]) -> bool:
        function, _, _ = lambda_svc._get_base_func_record_for_ref(arn)
        context = EvalContext(
            principal_arn="*",
            principal_type="Service",
            principal_account="",
            action="lambda:InvokeFunction",
            resource_arn=arn,
            region=get_region(),
            service_context={"aws:sourcearn": rule["Arn"], "aws:sourceaccount": get_account_id()},
        )
        policy = (function or {}).get("policy")
        return bool(evaluate_resource_policy(policy, context, service="events.amazonaws.com").decision == "Allow")

    def invoking(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        if ":lambda:" in target["Arn"] and not permitted(target["Arn"], rule):
            eventbridge.logger.warning("%s may not invoke %s", rule["Arn"], target["Arn"])
            return
        invoke(target, event, rule, view)

    eventbridge._invoke_target = invoking


def keep_permissions_boundaries() -> None:
    """Let a role that CloudFormation makes stand under its permissions boundary.

    The provisioner leaves it out, so a role could do more here than on AWS.
    """

    def bound(name: str, properties: dict[str, Any]) -> None:
        iam._roles[name]["PermissionsBoundary"] = properties.get("PermissionsBoundary")

    _after_provisioning("AWS::IAM::Role", bound)


def let_unprotected_tables_be_deleted() -> None:
    """Let ``DeletionProtectionEnabled`` of a table be what a parameter says.

    A parameter is text, and the provisioner keeps it as it is: ``"false"`` is true, so no stack could roll the table
    back, and nobody could delete it.
    """

    def convert(name: str, properties: dict[str, Any]) -> None:
        is_protected = str(properties.get("DeletionProtectionEnabled", False)).lower() == "true"
        dynamodb._tables[name]["DeletionProtectionEnabled"] = is_protected

    _after_provisioning("AWS::DynamoDB::Table", convert)


def retain_what_nested_stacks_retain() -> None:
    """Let the deletion of a stack retain what a nested stack's deletion policies retain.

    It honours the policies of the root stack only: tables would go with their stack, and no name would stay taken. The
    rollback of a creation still deletes all that it created.
    """
    handlers = provisioners._RESOURCE_HANDLERS["AWS::CloudFormation::Stack"]
    delete = handlers["delete"]

    def deleting(physical_id: str, properties: dict[str, Any]) -> None:
        name = provisioners._nested_stack_lookup_name(physical_id)
        nested = cloudformation._stacks.get(name, {})
        roots = [one for one in cloudformation._stacks.values() if one.get("StackStatus") == "DELETE_IN_PROGRESS"]
        resources = nested.get("_resources", {})
        declared = nested.get("_template", {}).get("Resources", {})
        for logical_id, resource in list(resources.items()) if roots else ():
            if str(declared.get(logical_id, {}).get("DeletionPolicy")).startswith("Retain"):
                del resources[logical_id]
                kind, physical = resource["ResourceType"], resource["PhysicalResourceId"]
                stacks._add_event(nested["StackId"], name, logical_id, kind, "DELETE_SKIPPED", physical_id=physical)
        delete(physical_id, properties)

    handlers["delete"] = deleting


def find_stacks_by_resource() -> None:
    """Let ``DescribeStackResources`` find a stack by the physical id of a resource: it takes a stack's name only.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResources.html
    """
    answer = handlers._ACTION_HANDLERS["DescribeStackResources"]

    def describe(parameters: dict[str, Any]) -> Any:
        physical_id = helpers._p(parameters, "PhysicalResourceId")
        if not physical_id:
            return answer(parameters)
        for stack in cloudformation._stacks.values():
            resources = stack.get("_resources", {}).values()
            if any(resource.get("PhysicalResourceId") == physical_id for resource in resources):
                return answer({**parameters, "StackName": [stack["StackId"]]})
        return helpers._error("ValidationError", f"Stack for {physical_id} does not exist")

    handlers._ACTION_HANDLERS["DescribeStackResources"] = describe


def make_metrics_of_logs() -> None:
    """Let lines of the log become metrics: by metric filters, and where they embed some.

    Filters are kept and never applied, and what a line embeds is not looked for.
    """
    fan_out, put = cloudwatch_logs._fanout_to_subscription_filters, cloudwatch_logs._put_metric_filter

    def putting(given: dict[str, Any]) -> Any:
        try:
            metrics.matches_pattern(str(given.get("filterPattern")), {})
        except ValueError as error:
            return error_response_json("InvalidParameterException", str(error), 400)
        return put(given)

    def fanning_out(group: str, stream: str, events: Sequence[dict[str, Any]]) -> None:
        fan_out(group, stream, events)
        filters = [one for (of, _), one in cloudwatch_logs._metric_filters.items() if of == group]
        for event in events:
            for datum in metrics.metrics_of_line(event["message"], filters):
                cloudwatch.record_metric(datum.namespace, datum.name, datum.value, datum.unit, datum.dimensions)

    cloudwatch_logs._fanout_to_subscription_filters = fanning_out
    cloudwatch_logs._put_metric_filter = putting


def count_executions() -> None:
    """Let Step Functions count what becomes of executions, under AWS/States: it does not."""
    emit = stepfunctions._emit_execution_status_event
    names = {"RUNNING": "ExecutionsStarted", "SUCCEEDED": "ExecutionsSucceeded", "FAILED": "ExecutionsFailed"}
    names |= {"ABORTED": "ExecutionsAborted", "TIMED_OUT": "ExecutionsTimedOut"}

    def emitting(execution: dict[str, Any]) -> None:
        machine = {"StateMachineArn": execution["stateMachineArn"]}
        cloudwatch.record_metric("AWS/States", names[execution["status"]], 1, "Count", machine)
        emit(execution)

    stepfunctions._emit_execution_status_event = emitting


def measure_queues(scale: float) -> None:
    """Let CloudWatch know how many messages wait in each queue, under AWS/SQS: they are not counted.

    Each minute, as AWS does, and when it changes; more would only fill the memory of a server that is kept.
    """
    # Of each queue what was measured last, and when.
    depths: dict[str, tuple[int, float]] = {}

    def measure() -> None:
        for url, queue in list(sqs._queues.items()):
            name, now = url.rsplit("/", 1)[-1], time.time()
            waiting = sum(message["visible_at"] <= now for message in list(queue["messages"]))
            before, measured = depths.get(name, (-1, 0.0))
            if waiting != before or now - measured >= 60 * scale:
                depths[name] = waiting, now
                about = {"QueueName": name}
                cloudwatch.record_metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", waiting, "Count", about)

    _again_and_again(measure, scale)


def evaluate_alarms_as_time_goes_by(scale: float) -> None:
    """Let an alarm be evaluated as CloudWatch does, and again and again.

    It is evaluated when its metric is put and never otherwise, so silence has no effect; over the points of all
    dimensions, so payments that are declined look like those that are unknown; and as one period, whatever is missing.
    """

    def statistic_of(alarm: dict[str, Any]) -> Callable[[Sequence[Any]], float]:
        name = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
        return lambda points: float(cloudwatch._stat_value(cloudwatch._calc_stats(points), name, points))

    def evaluate(alarm: dict[str, Any]) -> None:
        if not alarm.get("MetricName"):
            return
        now = time.time()
        dimensions = {one["Name"]: one["Value"] for one in alarm.get("Dimensions") or []}
        key = (alarm["Namespace"], alarm["MetricName"], cloudwatch._dims_key(dimensions))
        oldest = now - float(alarm["Period"]) * (float(alarm["EvaluationPeriods"]) + alarms.FURTHER) * scale
        # They are appended as they come.
        recent = list(takewhile(lambda one: one["Timestamp"] > oldest, reversed(cloudwatch._metrics.get(key) or [])))
        before = alarm["StateValue"]
        state, reason = alarms.evaluate_alarm(alarm, recent, statistic_of(alarm), now, scale)
        if state == before:
            return
        alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": int(now)}
        cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
        cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
        cloudwatch._evaluate_parent_alarms(alarm)

    # Whoever puts a metric evaluates as well, and an alarm tells once.
    one_at_a_time = threading.RLock()

    def evaluating(alarm: dict[str, Any]) -> None:
        with one_at_a_time:
            evaluate(alarm)

    def evaluate_all() -> None:
        for alarm in list(cloudwatch._alarms.values()):
            evaluating(alarm)

    cloudwatch._evaluate_alarm = evaluating
    _again_and_again(evaluate_all, scale)


def _again_and_again(what: Callable[[], None], scale: float) -> None:
    """From now on, in a thread; a failure, of one alarm or queue, must not end it for good."""

    def go_by() -> None:
        while True:
            time.sleep(max(0.25, 5 * scale))
            try:
                what()
            except Exception:
                cloudwatch.logger.exception("not done this time")

    threading.Thread(target=go_by, daemon=True).start()


def _after_provisioning(resource_type: str, amend: Callable[[str, dict[str, Any]], None]) -> None:
    """Call ``amend`` with the physical id and the properties of what was created or updated."""
    handlers = provisioners._RESOURCE_HANDLERS[resource_type]
    create, update = handlers["create"], handlers["update"]

    def creating(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        made: tuple[str, dict[str, Any]] = create(logical_id, properties, stack_name)
        amend(made[0], properties)
        return made

    def updating(
        physical_id: str, before: dict[str, Any], properties: dict[str, Any], stack_name: str, logical_id: Any = None
    ) -> tuple[str, dict[str, Any]]:
        updated: tuple[str, dict[str, Any]] = update(physical_id, before, properties, stack_name, logical_id)
        amend(updated[0], properties)
        return updated

    handlers |= {"create": creating, "update": updating}

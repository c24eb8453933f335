"""The functions: code, logs, and a version behind the alias that is called; and the schedule of one of them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import AWSHelperFn, Equals, If, Join, Ref, Sub, Template, awslambda, encode_to_dict, events
from troposphere.logs import LogGroup

from . import function_code, log_groups, names
from .policies import ACCOUNT
from .suppressions import in_packs, suppress
from .wiring import NumberValue, Value, tags

# The functions' own limit; the state machine waits a little longer than that for each.
TIMEOUT_SECONDS = 300
# The interpreter that the tests and the AWS emulator run the same code on.
RUNTIME = "python3.11"


# These belong to the function; changing them makes no new version.
_NOT_VERSIONED = {"Tags", "ReservedConcurrentExecutions"}


class LocalFolder(AWSHelperFn):
    """Code by local path: `aws cloudformation package` and our own packaging make it an S3 location."""

    def __init__(self, path: str) -> None:
        self.data = path


# What the gateway's library is made of; the deployer builds the layer from it.
STRIPE_LAYER = "../lambda-layers/stripe"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    environment: Value
    table_name: Value
    queue_arn: Value
    queue_url: Value
    logs_key_arn: Value
    functions_key_arn: Value
    validation_role_arn: Value
    processing_role_arn: Value
    reconciliation_role_arn: Value
    ledger_table_name: Value
    topic_arn: Value
    log_retention_days: NumberValue
    log_data_protection: Value
    function_log_level: Value
    reserved_concurrency: NumberValue
    gateway: Value
    gateway_secret_arn: Value
    notify_business_outcomes: Value
    maximum_amounts: Value
    high_value_amounts: Value
    fraud_score_limit: NumberValue


@dataclass(frozen=True, kw_only=True)
class Outputs:
    validation_name: Value
    validation_arn: Value
    validation_live_arn: Value
    validation_log_group_name: Value
    processing_name: Value
    processing_arn: Value
    processing_live_arn: Value
    processing_log_group_name: Value
    reconciliation_name: Value
    reconciliation_log_group_name: Value


@dataclass(frozen=True)
class _Live:
    function: awslambda.Function
    alias: awslambda.Alias
    log_group: LogGroup


def build(template: Template, inputs: Inputs) -> Outputs:
    template.add_condition("KeepsNoConcurrency", Equals(inputs.reserved_concurrency, 0))
    gateway = {"GATEWAY": inputs.gateway, "GATEWAY_SECRET_ARN": inputs.gateway_secret_arn}
    layers = _gateway_layers(template, inputs)
    code = function_code.digest()
    validation = _function(
        template,
        inputs,
        "Validation",
        name=names.VALIDATION_FUNCTION,
        log_group_name=names.VALIDATION_LOG_GROUP,
        description="Checks a payment and records it once",
        role_arn=inputs.validation_role_arn,
        code=code,
        variables={
            "MAXIMUM_AMOUNTS": inputs.maximum_amounts,
            "HIGH_VALUE_AMOUNTS": inputs.high_value_amounts,
            "FRAUD_SCORE_LIMIT": inputs.fraud_score_limit,
        },
    )
    processing = _function(
        template,
        inputs,
        "Processing",
        name=names.PROCESSING_FUNCTION,
        log_group_name=names.PROCESSING_LOG_GROUP,
        description="Claims a recorded payment, charges it once and records the outcome",
        role_arn=inputs.processing_role_arn,
        code=code,
        variables=gateway,
        layers=layers,
    )
    reconciliation = _function(
        template,
        inputs,
        "Reconciliation",
        name=names.RECONCILIATION_FUNCTION,
        log_group_name=names.RECONCILIATION_LOG_GROUP,
        description="Settles what the workflow left behind; refunds and reopens for an operator",
        role_arn=inputs.reconciliation_role_arn,
        code=code,
        variables={
            **gateway,
            "SNS_TOPIC_ARN": inputs.topic_arn,
            "DLQ_URL": inputs.queue_url,
            "NOTIFY_BUSINESS_OUTCOMES": inputs.notify_business_outcomes,
        },
        layers=layers,
    )
    _schedule(template, inputs, reconciliation)
    return Outputs(
        validation_name=validation.function.ref(),
        validation_arn=validation.function.get_att("Arn"),
        validation_live_arn=validation.alias.ref(),
        validation_log_group_name=validation.log_group.ref(),
        processing_name=processing.function.ref(),
        processing_arn=processing.function.get_att("Arn"),
        processing_live_arn=processing.alias.ref(),
        processing_log_group_name=processing.log_group.ref(),
        reconciliation_name=reconciliation.function.ref(),
        reconciliation_log_group_name=reconciliation.log_group.ref(),
    )


def _gateway_layers(template: Template, inputs: Inputs) -> Value:
    """The gateway's library as a layer, only where that gateway is used: it is larger than everything else."""
    template.add_condition("UsesStripe", Equals(inputs.gateway, "stripe"))
    layer = template.add_resource(
        awslambda.LayerVersion(
            "StripeLayer",
            Condition="UsesStripe",
            LayerName=names.named(names.STRIPE_LAYER),
            Description="Stripe's library for Python",
            CompatibleRuntimes=[RUNTIME],
            Content=LocalFolder(STRIPE_LAYER),
        )
    )
    return If("UsesStripe", [layer.ref()], Ref("AWS::NoValue"))


def _schedule(template: Template, inputs: Inputs, reconciliation: _Live) -> None:
    """Every five minutes; what cannot be delivered in that time goes to the dead-letter queue."""
    rule = template.add_resource(
        events.Rule(
            "ReconciliationSchedule",
            Name=names.named(names.RECONCILIATION_RULE),
            Description="Settles overdue payments",
            ScheduleExpression="rate(5 minutes)",
            Tags=tags(),
            Targets=[
                events.Target(
                    Id="reconciliation",
                    Arn=reconciliation.alias.ref(),
                    RetryPolicy=events.RetryPolicy(MaximumEventAgeInSeconds=300, MaximumRetryAttempts=2),
                    DeadLetterConfig=events.DeadLetterConfig(Arn=inputs.queue_arn),
                )
            ],
        )
    )
    template.add_resource(
        awslambda.Permission(
            "ScheduleMayReconcile",
            Action="lambda:InvokeFunction",
            FunctionName=reconciliation.alias.ref(),
            Principal="events.amazonaws.com",
            SourceAccount=ACCOUNT,
            SourceArn=rule.get_att("Arn"),
        )
    )


def _function(
    template: Template,
    inputs: Inputs,
    title: str,
    *,
    name: str,
    log_group_name: str,
    description: str,
    role_arn: Value,
    variables: dict[str, Value],
    code: str,
    layers: Value | None = None,
) -> _Live:
    log_group = log_groups.add(
        template,
        f"{title}Logs",
        log_group_name,
        key_arn=inputs.logs_key_arn,
        retention_days=inputs.log_retention_days,
        masked=inputs.log_data_protection,
    )
    own: dict[str, Any] = {} if layers is None else {"Layers": layers}
    function = template.add_resource(
        awslambda.Function(
            f"{title}Function",
            FunctionName=names.named(name),
            Description=description,
            Runtime=RUNTIME,
            Handler=f"{title.lower()}.handler",
            Code=LocalFolder("../lambda"),
            Role=role_arn,
            MemorySize=256,
            Timeout=TIMEOUT_SECONDS,
            ReservedConcurrentExecutions=If("KeepsNoConcurrency", Ref("AWS::NoValue"), inputs.reserved_concurrency),
            KmsKeyArn=inputs.functions_key_arn,
            DeadLetterConfig=awslambda.DeadLetterConfig(TargetArn=inputs.queue_arn),
            Environment=awslambda.Environment(
                Variables={
                    "ENVIRONMENT": inputs.environment,
                    "DYNAMODB_TABLE_NAME": inputs.table_name,
                    "LEDGER_TABLE_NAME": inputs.ledger_table_name,
                    **variables,
                }
            ),
            # JSON, so that a metric filter and a person can read single fields.
            LoggingConfig=awslambda.LoggingConfig(
                LogGroup=log_group.ref(), LogFormat="JSON", ApplicationLogLevel=inputs.function_log_level
            ),
            **own,
            TracingConfig=awslambda.TracingConfig(Mode="Active"),
            Tags=tags(),
        )
    )
    suppress(
        function,
        "It talks to AWS and to the gateway's public API: a network of ours would add a way out, and no protection",
        checkov=("CKV_AWS_117",),
        nag=in_packs("LambdaInsideVPC"),
        guard=("lambda_inside_vpc_check",),
    )
    suppress(
        function,
        "A new account has no concurrency to reserve; reserved_concurrency reserves it where there is some",
        checkov=("CKV_AWS_115",),
        nag=("NIST.800.53.R5-LambdaConcurrency", "HIPAA.Security-LambdaConcurrency"),
    )
    suppress(function, "The Python version that the tests run this code on", nag=("AwsSolutions-L1",))
    # A topic's ARN and a queue's URL follow from their names, which a stack never changes.
    settings = [value for name, value in variables.items() if name not in ("SNS_TOPIC_ARN", "DLQ_URL")]
    settings.append(inputs.function_log_level)
    version = template.add_resource(_version(title, function, settings, code))
    alias = template.add_resource(
        awslambda.Alias(
            f"{title}Live",
            Name=names.LIVE,
            Description="What the workflow calls",
            FunctionName=function.ref(),
            FunctionVersion=version.get_att("Version"),
        )
    )
    return _Live(function, alias, log_group)


def _version(title: str, function: awslambda.Function, settings: Sequence[Value], code: str) -> awslambda.Version:
    """A version that is published anew when, and only when, what a version holds has changed.

    A version is immutable, and CloudFormation publishes one only when a property of this resource changes; so its
    description says all that it holds: a digest of the code and the template's properties, and each setting.
    Lambda refuses to publish a version that equals an earlier one, so nothing else may be in it, and the version
    that is replaced is deleted: going back is another deployment.
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
    """
    held = {name: value for name, value in function.properties.items() if name not in _NOT_VERSIONED}
    properties = json.dumps(encode_to_dict(held), sort_keys=True)
    layer = function_code.layer_digest() if "Layers" in held else ""
    digest = hashlib.sha256((code + layer + properties).encode()).hexdigest()[:16]
    return awslambda.Version(
        f"{title}Version",
        FunctionName=function.ref(),
        Description=Join(" ", [f"code-{digest}", *settings]),
    )


def invoke_arn(function_arn: Value) -> AWSHelperFn:
    """The ARN by which API Gateway invokes a function, which the reference has among its outputs."""
    return Sub(
        "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${FunctionArn}/invocations",
        FunctionArn=function_arn,
    )

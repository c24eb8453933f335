"""The compute stack: the functions with their logs, versions and aliases."""

import functools
from dataclasses import dataclass
from typing import Any

from troposphere import AWSHelperFn, Equals, If, Ref, Sub, Template, awslambda
from troposphere.logs import LogGroup

from .. import log_groups, names, references
from ..security import keys
from ..settings import Settings
from ..suppressions import in_packs, suppress
from ..wiring import ENVIRONMENT, Value, platform_tags, to_pascal_case
from .runtime import ARCHITECTURE, RUNTIME
from .traffic_shift import add_application, shift_alias
from .versions import describe_version

# The timeout of the functions that the workflow invokes. The state machine waits slightly longer.
TIMEOUT_SECONDS = 300
# A worker of reconciliation takes up payments for 150 s, and the last one may take another 232 s.
RECONCILIATION_TIMEOUT_SECONDS = 400


class LocalFolder(AWSHelperFn):
    """Code by its local path, which packaging replaces with an S3 location."""

    def __init__(self, path: str) -> None:
        self.data = path


# The requirements that the deployer builds the layer from.
STRIPE_LAYER = "../lambda-layers/stripe"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    environment: Value = ENVIRONMENT
    table_name: Value
    queue_arn: Value
    queue_url: Value
    logs_key_arn: Value
    functions_key_arn: Value
    validation_role_arn: Value
    processing_role_arn: Value
    reconciliation_role_arn: Value
    traffic_shift_role_arn: Value
    ledger_table_name: Value
    topic_arn: Value
    log_retention_days: Value = Settings.log_retention_days.ref
    log_data_protection: Value = Settings.log_data_protection.ref
    function_log_level: Value = Settings.function_log_level.ref
    reserved_concurrency: Value = Settings.reserved_concurrency.ref
    traffic_shift: Value = Settings.traffic_shift.ref
    open_shards: Value = Settings.open_shards.ref
    customer_data_days: Value = Settings.customer_data_days.ref
    gateway: Value = Settings.gateway.ref
    gateway_secret_arn: Value = Settings.gateway_secret_arn.ref
    notify_business_outcomes: Value = Settings.notify_business_outcomes.ref
    maximum_amounts: Value = Settings.maximum_amounts.ref
    high_value_amounts: Value = Settings.high_value_amounts.ref
    fraud_score_limit: Value = Settings.fraud_score_limit.ref
    gateway_requests_per_second: Value = Settings.gateway_requests_per_second.ref


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
    reconciliation_live_arn: Value
    reconciliation_log_group_name: Value


@dataclass(frozen=True)
class _Live:
    function: awslambda.Function
    alias: awslambda.Alias
    log_group: LogGroup


def build(template: Template, inputs: Inputs) -> Outputs:
    template.add_condition("KeepsNoConcurrency", Equals(inputs.reserved_concurrency, 0))
    gateway = {"GATEWAY": inputs.gateway, "GATEWAY_SECRET_ARN": inputs.gateway_secret_arn}
    layer = _add_gateway_layer(template, inputs)
    add_application(template, inputs.traffic_shift)
    add_function = functools.partial(_add_function, template, inputs)
    validation = add_function(
        "Validation",
        names.VALIDATION,
        description="Checks a payment and records it once",
        role_arn=inputs.validation_role_arn,
        variables={
            "MAXIMUM_AMOUNTS": inputs.maximum_amounts,
            "HIGH_VALUE_AMOUNTS": inputs.high_value_amounts,
            "FRAUD_SCORE_LIMIT": inputs.fraud_score_limit,
            "NOTIFY_BUSINESS_OUTCOMES": inputs.notify_business_outcomes,
        },
    )
    processing = add_function(
        "Processing",
        names.PROCESSING,
        description="Claims a recorded payment, charges it once and records the outcome",
        role_arn=inputs.processing_role_arn,
        variables={**gateway, "NOTIFY_BUSINESS_OUTCOMES": inputs.notify_business_outcomes},
        layer=layer,
    )
    # Processing must understand the answers of validation, so its new version goes live first.
    validation.alias.DependsOn = processing.alias.title
    reconciliation = add_function(
        "Reconciliation",
        names.RECONCILIATION,
        description="Settles what the workflow left behind; refunds and reopens for an operator",
        role_arn=inputs.reconciliation_role_arn,
        variables={
            **gateway,
            "SNS_TOPIC_ARN": inputs.topic_arn,
            "DLQ_URL": inputs.queue_url,
            "GATEWAY_REQUESTS_PER_SECOND": inputs.gateway_requests_per_second,
            "NOTIFY_BUSINESS_OUTCOMES": inputs.notify_business_outcomes,
        },
        layer=layer,
        timeout_seconds=RECONCILIATION_TIMEOUT_SECONDS,
    )
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
        reconciliation_live_arn=reconciliation.alias.ref(),
        reconciliation_log_group_name=reconciliation.log_group.ref(),
    )


def _add_gateway_layer(template: Template, inputs: Inputs) -> awslambda.LayerVersion:
    """Add the layer with the gateway's library, under the condition that the gateway is used: it is large."""
    template.add_condition("UsesStripe", Equals(inputs.gateway, "stripe"))
    layer: awslambda.LayerVersion = template.add_resource(
        awslambda.LayerVersion(
            "StripeLayer",
            Condition="UsesStripe",
            LayerName=references.in_template(names.STRIPE_LAYER),
            Description="Stripe's library for Python",
            CompatibleRuntimes=[RUNTIME],
            CompatibleArchitectures=[ARCHITECTURE],
            Content=LocalFolder(STRIPE_LAYER),
        )
    )
    return layer


def _add_function(
    template: Template,
    inputs: Inputs,
    title: str,
    named: names.Function,
    *,
    description: str,
    role_arn: Value,
    variables: dict[str, Value],
    layer: awslambda.LayerVersion | None = None,
    timeout_seconds: int = TIMEOUT_SECONDS,
) -> _Live:
    """Add the function ``title`` with its log group, a version, and the alias that the workflow invokes."""
    log_group = log_groups.add_log_group(
        template,
        f"{title}Logs",
        named.log_group,
        key_arn=inputs.logs_key_arn,
        retention_days=inputs.log_retention_days,
        masked=inputs.log_data_protection,
    )
    layers: dict[str, Any] = {}
    if layer is not None:
        layers["Layers"] = If(layer.resource["Condition"], [layer.ref()], Ref("AWS::NoValue"))
    function = template.add_resource(
        awslambda.Function(
            f"{title}Function",
            FunctionName=references.in_template(named.name),
            Description=description,
            Runtime=RUNTIME,
            Architectures=[ARCHITECTURE],
            Handler=f"handlers.{named.purpose}.handler",
            Code=LocalFolder("../lambda"),
            Role=role_arn,
            MemorySize=256,
            Timeout=timeout_seconds,
            ReservedConcurrentExecutions=If("KeepsNoConcurrency", Ref("AWS::NoValue"), inputs.reserved_concurrency),
            KmsKeyArn=inputs.functions_key_arn,
            DeadLetterConfig=awslambda.DeadLetterConfig(TargetArn=inputs.queue_arn),
            Environment=awslambda.Environment(
                Variables={
                    "ENVIRONMENT": inputs.environment,
                    "DYNAMODB_TABLE_NAME": inputs.table_name,
                    "LEDGER_TABLE_NAME": inputs.ledger_table_name,
                    "OPEN_SHARDS": inputs.open_shards,
                    "CUSTOMER_DATA_DAYS": inputs.customer_data_days,
                    **variables,
                }
            ),
            # JSON, so that metric filters and queries can select fields.
            LoggingConfig=awslambda.LoggingConfig(
                LogGroup=log_group.ref(), LogFormat="JSON", ApplicationLogLevel=inputs.function_log_level
            ),
            **layers,
            TracingConfig=awslambda.TracingConfig(Mode="Active"),
            Tags=platform_tags(),
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
    # Sorted by name, so that reordering the variables here publishes no version.
    values = [
        *(variables[name] for name in sorted(variables)),
        inputs.open_shards,
        inputs.customer_data_days,
        inputs.function_log_level,
    ]
    parameters = [str(value.data["Ref"]) for value in values]
    resources = {**_resource_names(), f"{title}Logs": named.log_group}
    version = template.add_resource(
        awslambda.Version(
            f"{title}Version",
            FunctionName=function.ref(),
            Description=describe_version(
                function,
                settings=[Ref(name) for name in parameters if name not in resources],
                names=resources,
                layer=layer,
            ),
        )
    )
    alias = template.add_resource(
        awslambda.Alias(
            f"{title}Live",
            Name=names.LIVE,
            Description="What the workflow calls",
            FunctionName=function.ref(),
            FunctionVersion=version.get_att("Version"),
        )
    )
    shift_alias(template, alias, named, inputs.traffic_shift_role_arn)
    return _Live(function, alias, log_group)


def _resource_names() -> dict[str, str]:
    """Return the resource names, or for a key the logical id, of the inputs that are not settings."""
    return {
        "TableName": names.TABLE,
        "LedgerTableName": names.LEDGER_TABLE,
        "QueueArn": names.QUEUE,
        "QueueUrl": names.QUEUE,
        "TopicArn": names.TOPIC,
        "FunctionsKeyArn": keys.FUNCTIONS_KEY,
        **{to_pascal_case(f"{function.purpose}_role_arn"): function.role for function in names.FUNCTIONS},
    }


def invoke_arn(function_arn: Value) -> AWSHelperFn:
    """Return the ARN by which API Gateway invokes a function, which is among the reference's outputs."""
    return Sub(
        "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${FunctionArn}/invocations",
        FunctionArn=function_arn,
    )

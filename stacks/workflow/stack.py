"""The workflow stack: the state machines with their logs, and the schedule of reconciliation."""

from dataclasses import dataclass
from typing import Any

from troposphere import AWSHelperFn, Equals, If, Not, Sub, Template, events, stepfunctions
from troposphere.logs import LogGroup

from .. import log_groups, names, references
from ..settings import Settings
from ..wiring import ENVIRONMENT, Value, platform_tags
from .reconciliation import define_reconciliation
from .state_machine import EXPRESS, STANDARD, Profile, define_states

# The maximum (60 to 900 seconds are allowed), because a payment waits for each call to KMS.
DATA_KEY_REUSE_SECONDS = 900


@dataclass(frozen=True, kw_only=True)
class Inputs:
    environment: Value = ENVIRONMENT
    workflow_role_arn: Value
    validation_live_arn: Value
    processing_live_arn: Value
    reconciliation_live_arn: Value
    reconciliation_workflow_role_arn: Value
    schedule_role_arn: Value
    queue_arn: Value
    queue_url: Value
    topic_arn: Value
    workflow_key_arn: Value
    workflow_customer_key: Value = Settings.workflow_customer_key.ref
    workflow_type: Value = Settings.workflow_type.ref
    logs_key_arn: Value
    log_retention_days: Value = Settings.log_retention_days.ref
    log_data_protection: Value = Settings.log_data_protection.ref
    workflow_log_level: Value = Settings.workflow_log_level.ref
    workflow_log_execution_data: Value = Settings.workflow_log_execution_data.ref
    reconciliation_workers: Value = Settings.reconciliation_workers.ref


@dataclass(frozen=True, kw_only=True)
class Outputs:
    # Those of the workflow that receives payments.
    state_machine_arn: Value
    state_machine_name: Value
    log_group_name: Value


def build(template: Template, inputs: Inputs) -> Outputs:
    log_group = _add_log_group(template, inputs, "WorkflowLogs", names.WORKFLOW_LOG_GROUP)
    # Depends on the setting, because another stack's output is unknown while a change set is created.
    template.add_condition("HasWorkflowKey", Equals(inputs.workflow_customer_key, "true"))
    template.add_condition("HasExpress", Not(Equals(inputs.workflow_type, "standard")))
    template.add_condition("ExpressReceivesPayments", Equals(inputs.workflow_type, "express"))
    standard = _add_payment_workflow(template, inputs, "PaymentWorkflow", names.WORKFLOW, STANDARD, log_group)
    express = _add_payment_workflow(
        template, inputs, "ExpressWorkflow", names.EXPRESS_WORKFLOW, EXPRESS, log_group, Condition="HasExpress"
    )
    reconciliation = _add_reconciliation(template, inputs)
    _add_schedule(template, inputs, reconciliation)
    return Outputs(
        state_machine_arn=If("ExpressReceivesPayments", express.ref(), standard.ref()),
        state_machine_name=If("ExpressReceivesPayments", express.get_att("Name"), standard.get_att("Name")),
        log_group_name=log_group.ref(),
    )


def _add_payment_workflow(
    template: Template, inputs: Inputs, title: str, name: str, profile: Profile, log_group: LogGroup, **condition: Any
) -> stepfunctions.StateMachine:
    state_machine: stepfunctions.StateMachine = template.add_resource(
        stepfunctions.StateMachine(
            title,
            StateMachineName=references.in_template(name),
            StateMachineType=profile.workflow_type,
            RoleArn=inputs.workflow_role_arn,
            Definition=define_states(profile),
            DefinitionSubstitutions={
                "Environment": inputs.environment,
                "InvokeFunction": _integration_arn("lambda:invoke"),
                "SendMessage": _integration_arn("sqs:sendMessage"),
                "Publish": _integration_arn("sns:publish"),
                "ValidationFunctionArn": inputs.validation_live_arn,
                "ProcessingFunctionArn": inputs.processing_live_arn,
                "QueueUrl": inputs.queue_url,
                "TopicArn": inputs.topic_arn,
            },
            LoggingConfiguration=_log_to(log_group, inputs),
            EncryptionConfiguration=If(
                "HasWorkflowKey",
                stepfunctions.EncryptionConfiguration(
                    Type="CUSTOMER_MANAGED_KMS_KEY",
                    KmsKeyId=inputs.workflow_key_arn,
                    KmsDataKeyReusePeriodSeconds=DATA_KEY_REUSE_SECONDS,
                ),
                # Explicit, because an update without it keeps the customer-managed key.
                stepfunctions.EncryptionConfiguration(Type="AWS_OWNED_KEY"),
            ),
            TracingConfiguration=stepfunctions.TracingConfiguration(Enabled=True),
            Tags=platform_tags(),
            **condition,
        )
    )
    return state_machine


def _add_reconciliation(template: Template, inputs: Inputs) -> stepfunctions.StateMachine:
    """Add the state machine of reconciliation. Its executions hold counts only, so they need no key of the account."""
    name = names.RECONCILIATION_WORKFLOW_LOG_GROUP
    log_group = _add_log_group(template, inputs, "ReconciliationWorkflowLogs", name)
    state_machine: stepfunctions.StateMachine = template.add_resource(
        stepfunctions.StateMachine(
            "ReconciliationWorkflow",
            StateMachineName=references.in_template(names.RECONCILIATION_WORKFLOW),
            StateMachineType="STANDARD",
            RoleArn=inputs.reconciliation_workflow_role_arn,
            Definition=define_reconciliation(),
            DefinitionSubstitutions={
                "InvokeFunction": _integration_arn("lambda:invoke"),
                "ReconciliationFunctionArn": inputs.reconciliation_live_arn,
                "Workers": inputs.reconciliation_workers,
            },
            LoggingConfiguration=_log_to(log_group, inputs),
            EncryptionConfiguration=stepfunctions.EncryptionConfiguration(Type="AWS_OWNED_KEY"),
            TracingConfiguration=stepfunctions.TracingConfiguration(Enabled=True),
            Tags=platform_tags(),
        )
    )
    return state_machine


def _add_schedule(template: Template, inputs: Inputs, reconciliation: stepfunctions.StateMachine) -> None:
    """Start reconciliation every five minutes. An event that is not delivered by then goes to the dead-letter queue."""
    template.add_resource(
        events.Rule(
            "ReconciliationSchedule",
            Name=references.in_template(names.RECONCILIATION_RULE),
            Description="Settles overdue payments",
            ScheduleExpression="rate(5 minutes)",
            Tags=platform_tags(),
            Targets=[
                events.Target(
                    Id="reconciliation",
                    Arn=reconciliation.ref(),
                    RoleArn=inputs.schedule_role_arn,
                    RetryPolicy=events.RetryPolicy(MaximumEventAgeInSeconds=300, MaximumRetryAttempts=2),
                    DeadLetterConfig=events.DeadLetterConfig(Arn=inputs.queue_arn),
                )
            ],
        )
    )


def _add_log_group(template: Template, inputs: Inputs, title: str, name: str) -> LogGroup:
    return log_groups.add_log_group(
        template,
        title,
        name,
        key_arn=inputs.logs_key_arn,
        retention_days=inputs.log_retention_days,
        masked=inputs.log_data_protection,
    )


def _log_to(log_group: LogGroup, inputs: Inputs) -> stepfunctions.LoggingConfiguration:
    destination = stepfunctions.CloudWatchLogsLogGroup(LogGroupArn=log_group.get_att("Arn"))
    return stepfunctions.LoggingConfiguration(
        Level=inputs.workflow_log_level,
        IncludeExecutionData=inputs.workflow_log_execution_data,
        Destinations=[stepfunctions.LogDestination(CloudWatchLogsLogGroup=destination)],
    )


def _integration_arn(name: str) -> AWSHelperFn:
    """Return the ``Resource`` of a task. Its partition depends on the region."""
    return Sub(f"arn:${{AWS::Partition}}:states:::{name}")

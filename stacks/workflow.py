"""The state machine and its log."""

from dataclasses import dataclass

from troposphere import AWSHelperFn, Sub, Template, stepfunctions
from troposphere.logs import LogGroup

from . import names
from .state_machine import definition
from .wiring import NumberValue, Value, tags


@dataclass(frozen=True, kw_only=True)
class Inputs:
    environment: Value
    workflow_role_arn: Value
    validation_live_arn: Value
    processing_live_arn: Value
    queue_url: Value
    topic_arn: Value
    logs_key_arn: Value
    log_retention_days: NumberValue
    notify_business_outcomes: Value
    workflow_log_level: Value
    workflow_log_execution_data: Value


@dataclass(frozen=True, kw_only=True)
class Outputs:
    state_machine_arn: Value
    state_machine_name: Value
    log_group_name: Value


def build(template: Template, inputs: Inputs) -> Outputs:
    log_group = template.add_resource(
        LogGroup(
            "WorkflowLogs",
            LogGroupName=names.named(names.WORKFLOW_LOG_GROUP),
            RetentionInDays=inputs.log_retention_days,
            KmsKeyId=inputs.logs_key_arn,
            Tags=tags(),
            DeletionPolicy="RetainExceptOnCreate",
            UpdateReplacePolicy="Retain",
        )
    )
    state_machine = template.add_resource(
        stepfunctions.StateMachine(
            "PaymentWorkflow",
            StateMachineName=names.named(names.WORKFLOW),
            StateMachineType="STANDARD",
            RoleArn=inputs.workflow_role_arn,
            Definition=definition(),
            DefinitionSubstitutions={
                "Environment": inputs.environment,
                "InvokeFunction": _integration("lambda:invoke"),
                "SendMessage": _integration("sqs:sendMessage"),
                "Publish": _integration("sns:publish"),
                "ValidationFunctionArn": inputs.validation_live_arn,
                "ProcessingFunctionArn": inputs.processing_live_arn,
                "QueueUrl": inputs.queue_url,
                "TopicArn": inputs.topic_arn,
                "NotifyBusinessOutcomes": inputs.notify_business_outcomes,
            },
            LoggingConfiguration=stepfunctions.LoggingConfiguration(
                Level=inputs.workflow_log_level,
                IncludeExecutionData=inputs.workflow_log_execution_data,
                Destinations=[
                    stepfunctions.LogDestination(
                        CloudWatchLogsLogGroup=stepfunctions.CloudWatchLogsLogGroup(
                            LogGroupArn=log_group.get_att("Arn")
                        )
                    )
                ],
            ),
            TracingConfiguration=stepfunctions.TracingConfiguration(Enabled=True),
            Tags=tags(),
        )
    )
    return Outputs(
        state_machine_arn=state_machine.ref(),
        state_machine_name=state_machine.get_att("Name"),
        log_group_name=log_group.ref(),
    )


def _integration(name: str) -> AWSHelperFn:
    """The ``Resource`` of a task; a whole substitution each, because the partition differs."""
    return Sub(f"arn:${{AWS::Partition}}:states:::{name}")

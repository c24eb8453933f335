"""The parent stack, with the nested stacks in the order of their deployment.

A nested stack takes outputs of earlier ones. Its other inputs default to references to the settings.
"""

from troposphere import AWSHelperFn, Output, Parameter, Ref, Template

from . import names, references
from .compute import stack as compute
from .data import stack as data
from .monitoring import stack as monitoring
from .security import stack as security
from .settings import ENVIRONMENT_PATTERN, Bootstrap, all_settings
from .wiring import CheckedTemplate, Nest, to_pascal_case
from .workflow import stack as workflow


def build(suffix: str) -> dict[str, Template]:
    """Return the parent and its nested templates, by file name without the ``suffix``."""
    parent = CheckedTemplate(Description="Payment platform")
    parent.set_version()
    parent.add_parameter(
        Parameter(
            "Environment",
            Type="String",
            Description="Part of every name, such as dev or prod",
            AllowedPattern=f"^{ENVIRONMENT_PATTERN}$",
        )
    )
    for setting in all_settings():
        parent.add_parameter(setting.parameter())
    parent.add_parameter(Bootstrap.permissions_boundary.parameter())
    parent.add_parameter(Bootstrap.service_role.parameter())
    nest = Nest(parent, suffix)

    secure = nest.add("Security", security.build, security.Inputs(), "Payment platform: keys and roles")
    store = nest.add(
        "Data",
        data.build,
        data.Inputs(
            dynamodb_key_arn=secure.dynamodb_key_arn,
            sns_key_id=secure.sns_key_id,
            queue_key_arn=secure.queue_key_arn,
            backup_role_arn=secure.backup_role_arn,
        ),
        "Payment platform: table, dead-letter queue and notices",
    )
    functions = nest.add(
        "Compute",
        compute.build,
        compute.Inputs(
            table_name=store.table_name,
            queue_arn=store.queue_arn,
            queue_url=store.queue_url,
            logs_key_arn=secure.logs_key_arn,
            functions_key_arn=secure.functions_key_arn,
            validation_role_arn=secure.validation_role_arn,
            processing_role_arn=secure.processing_role_arn,
            reconciliation_role_arn=secure.reconciliation_role_arn,
            traffic_shift_role_arn=secure.traffic_shift_role_arn,
            ledger_table_name=store.ledger_table_name,
            topic_arn=store.topic_arn,
        ),
        "Payment platform: functions",
    )
    flow = nest.add(
        "Workflow",
        workflow.build,
        workflow.Inputs(
            workflow_role_arn=secure.workflow_role_arn,
            validation_live_arn=functions.validation_live_arn,
            processing_live_arn=functions.processing_live_arn,
            reconciliation_live_arn=functions.reconciliation_live_arn,
            reconciliation_workflow_role_arn=secure.reconciliation_workflow_role_arn,
            schedule_role_arn=secure.schedule_role_arn,
            queue_arn=store.queue_arn,
            queue_url=store.queue_url,
            topic_arn=store.topic_arn,
            workflow_key_arn=secure.workflow_key_arn,
            logs_key_arn=secure.logs_key_arn,
        ),
        "Payment platform: state machines",
    )
    watch = nest.add(
        "Monitoring",
        monitoring.build,
        monitoring.Inputs(
            topic_arn=store.topic_arn,
            state_machine_arn=flow.state_machine_arn,
            validation_name=functions.validation_name,
            processing_name=functions.processing_name,
            processing_log_group_name=functions.processing_log_group_name,
            reconciliation_name=functions.reconciliation_name,
            reconciliation_log_group_name=functions.reconciliation_log_group_name,
            table_name=store.table_name,
            ledger_table_name=store.ledger_table_name,
            queue_name=store.queue_name,
            topic_name=store.topic_name,
            notification_queue_name=store.notification_queue_name,
        ),
        "Payment platform: alarms and dashboard",
    )
    for name, value in _reference_outputs(secure, store, functions, flow, watch).items():
        parent.add_output(Output(to_pascal_case(name), Value=value))
    return {"parent": parent, **nest.children}


def _reference_outputs(
    secure: security.Outputs,
    store: data.Outputs,
    functions: compute.Outputs,
    flow: workflow.Outputs,
    watch: monitoring.Outputs,
) -> dict[str, AWSHelperFn]:
    """Return the outputs of the reference by its names, in snake case."""
    return {
        "step_functions_state_machine_arn": flow.state_machine_arn,
        "step_functions_state_machine_name": flow.state_machine_name,
        "step_functions_state_machine_id": flow.state_machine_arn,
        "step_functions_role_arn": secure.workflow_role_arn,
        "lambda_validation_function_name": functions.validation_name,
        "lambda_validation_function_arn": functions.validation_arn,
        "lambda_validation_invoke_arn": compute.invoke_arn(functions.validation_arn),
        "lambda_validation_role_arn": secure.validation_role_arn,
        "lambda_processing_function_name": functions.processing_name,
        "lambda_processing_function_arn": functions.processing_arn,
        "lambda_processing_invoke_arn": compute.invoke_arn(functions.processing_arn),
        "lambda_processing_role_arn": secure.processing_role_arn,
        "dynamodb_table_name": store.table_name,
        "dynamodb_table_arn": store.table_arn,
        "dynamodb_table_id": store.table_name,
        "sns_topic_arn": store.topic_arn,
        "sns_topic_name": store.topic_name,
        "cloudwatch_log_group_validation_name": functions.validation_log_group_name,
        "cloudwatch_log_group_validation_arn": references.log_group_arn(names.VALIDATION.log_group),
        "cloudwatch_log_group_processing_name": functions.processing_log_group_name,
        "cloudwatch_log_group_processing_arn": references.log_group_arn(names.PROCESSING.log_group),
        "cloudwatch_log_group_stepfunctions_name": flow.log_group_name,
        "cloudwatch_log_group_stepfunctions_arn": references.log_group_arn(names.WORKFLOW_LOG_GROUP),
        **{f"cloudwatch_alarm_{name.replace('workflow', 'sfn')}": value for name, value in vars(watch).items()},
        "kms_key_dynamodb_id": secure.dynamodb_key_id,
        "kms_key_dynamodb_arn": secure.dynamodb_key_arn,
        "kms_key_sns_id": secure.sns_key_id,
        "kms_key_sns_arn": secure.sns_key_arn,
        "kms_key_cloudwatch_id": secure.logs_key_id,
        "kms_key_cloudwatch_arn": secure.logs_key_arn,
        "account_id": Ref("AWS::AccountId"),
        "region": Ref("AWS::Region"),
    }

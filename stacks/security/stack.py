"""The security stack: the customer-managed keys, and the roles with their policies."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from awacs.aws import ArnEquals, PolicyDocument
from troposphere import AWSHelperFn, Equals, If, Not, Ref, Template, iam

from .. import boundary_reference, names, references
from ..policies import allow, only_through, policy_document, trust_policy
from ..settings import ALL_AT_ONCE, Bootstrap, Settings
from ..suppressions import suppress_wildcards
from ..wiring import ENVIRONMENT, Value, platform_tags
from . import keys, role_policies


@dataclass(frozen=True, kw_only=True)
class Inputs:
    environment: Value = ENVIRONMENT
    gateway_secret_arn: Value = Settings.gateway_secret_arn.ref
    gateway_secret_key_arn: Value = Settings.gateway_secret_key_arn.ref
    key_deletion_window_days: Value = Settings.key_deletion_window_days.ref
    workflow_customer_key: Value = Settings.workflow_customer_key.ref
    backup_retention_days: Value = Settings.backup_retention_days.ref
    traffic_shift: Value = Settings.traffic_shift.ref
    permissions_boundary: Value = Bootstrap.permissions_boundary.ref
    service_role: Value = Bootstrap.service_role.ref


@dataclass(frozen=True, kw_only=True)
class Outputs:
    dynamodb_key_id: Value
    dynamodb_key_arn: Value
    sns_key_id: Value
    sns_key_arn: Value
    logs_key_id: Value
    logs_key_arn: Value
    queue_key_arn: Value
    functions_key_arn: Value
    workflow_key_arn: Value
    backup_role_arn: Value
    traffic_shift_role_arn: Value
    workflow_role_arn: Value
    reconciliation_workflow_role_arn: Value
    schedule_role_arn: Value
    validation_role_arn: Value
    processing_role_arn: Value
    reconciliation_role_arn: Value


def build(template: Template, inputs: Inputs) -> Outputs:
    template.add_condition("HasBackups", Not(Equals(inputs.backup_retention_days, 0)))
    template.add_condition("ShiftsTraffic", Not(Equals(inputs.traffic_shift, ALL_AT_ONCE)))
    template.add_condition("HasWorkflowKey", Equals(inputs.workflow_customer_key, "true"))
    template.add_condition("HasServiceRole", Equals(inputs.service_role, "true"))
    boundary_reference.add_conditions(template, inputs.permissions_boundary)
    created_keys = keys.add_keys(template, inputs.key_deletion_window_days)
    gateway = _add_gateway_policy(template, inputs)
    add_role = functools.partial(_add_role, template, inputs)
    workflow = add_role(
        "Workflow",
        names.WORKFLOW_ROLE,
        trust_policy("states.amazonaws.com", ArnEquals({"aws:SourceArn": references.PAYMENT_WORKFLOW_ARNS})),
        names.WORKFLOW_POLICY,
        role_policies.workflow_policy(created_keys),
        _add_workflow_key_policy(template, created_keys),
        wildcards=["*"],
    )
    reconciliation_workflow = add_role(
        "ReconciliationWorkflow",
        names.RECONCILIATION_WORKFLOW_ROLE,
        trust_policy("states.amazonaws.com", ArnEquals({"aws:SourceArn": references.RECONCILIATION_WORKFLOW_ARN})),
        names.RECONCILIATION_WORKFLOW_POLICY,
        role_policies.reconciliation_workflow_policy(),
        wildcards=["*"],
    )
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/cross-service-confused-deputy-prevention.html
    schedule = add_role(
        "Schedule",
        names.SCHEDULE_ROLE,
        trust_policy("events.amazonaws.com", ArnEquals({"aws:SourceArn": references.RECONCILIATION_RULE_ARN})),
        names.SCHEDULE_POLICY,
        role_policies.schedule_policy(),
    )
    add_function_role = functools.partial(_add_function_role, template, inputs)
    validation = add_function_role("Validation", names.VALIDATION, role_policies.validation_policy(created_keys))
    processing = add_function_role(
        "Processing", names.PROCESSING, role_policies.processing_policy(created_keys), gateway
    )
    reconciliation = add_function_role(
        "Reconciliation", names.RECONCILIATION, role_policies.reconciliation_policy(created_keys), gateway
    )
    backups = add_role(
        "Backup",
        names.BACKUP_ROLE,
        trust_policy("backup.amazonaws.com"),
        names.BACKUP_POLICY,
        role_policies.backup_policy(created_keys),
        Condition="HasBackups",
    )
    traffic_shift = add_role(
        "TrafficShift",
        names.TRAFFIC_SHIFT_ROLE,
        # https://docs.aws.amazon.com/codedeploy/latest/userguide/security_confused_deputy.html
        trust_policy("codedeploy.amazonaws.com", ArnEquals({"aws:SourceArn": references.SHIFTING_GROUP_ARNS})),
        names.TRAFFIC_SHIFT_POLICY,
        role_policies.traffic_shift_policy(),
        wildcards=["*", *(references.function_arn(f"{function.name}:*") for function in names.FUNCTIONS)],
        Condition="ShiftsTraffic",
    )
    return Outputs(
        dynamodb_key_id=created_keys.dynamodb.ref(),
        dynamodb_key_arn=created_keys.dynamodb.get_att("Arn"),
        sns_key_id=created_keys.sns.ref(),
        sns_key_arn=created_keys.sns.get_att("Arn"),
        logs_key_id=created_keys.logs.ref(),
        logs_key_arn=created_keys.logs.get_att("Arn"),
        queue_key_arn=created_keys.queue.get_att("Arn"),
        functions_key_arn=created_keys.functions.get_att("Arn"),
        workflow_key_arn=If("HasWorkflowKey", created_keys.workflow.get_att("Arn"), ""),
        backup_role_arn=If("HasBackups", backups.get_att("Arn"), ""),
        traffic_shift_role_arn=If("ShiftsTraffic", traffic_shift.get_att("Arn"), ""),
        workflow_role_arn=workflow.get_att("Arn"),
        reconciliation_workflow_role_arn=reconciliation_workflow.get_att("Arn"),
        schedule_role_arn=schedule.get_att("Arn"),
        validation_role_arn=validation.get_att("Arn"),
        processing_role_arn=processing.get_att("Arn"),
        reconciliation_role_arn=reconciliation.get_att("Arn"),
    )


def _add_role(
    template: Template,
    inputs: Inputs,
    title: str,
    name: str,
    trusted: PolicyDocument,
    policy_name: str,
    policy: PolicyDocument,
    *conditional_policies: If,
    wildcards: Sequence[str | AWSHelperFn] = (),
    **condition: Any,
) -> iam.Role:
    """Add a role with its managed policies, which the role attaches, so that it never exists without them.

    ``wildcards`` are the wildcard resources that the policy may contain.
    """
    managed = template.add_resource(
        iam.ManagedPolicy(
            f"{title}Policy", ManagedPolicyName=references.in_template(policy_name), PolicyDocument=policy, **condition
        )
    )
    if wildcards:
        reason = "Only actions without resource-level permissions, and what Lambda names: log streams and versions"
        suppress_wildcards(managed, reason, *wildcards)
    role: iam.Role = template.add_resource(
        iam.Role(
            f"{title}Role",
            RoleName=references.in_template(name),
            AssumeRolePolicyDocument=trusted,
            ManagedPolicyArns=[managed.ref(), *conditional_policies],
            PermissionsBoundary=boundary_reference.boundary_property(inputs.permissions_boundary),
            Tags=platform_tags(),
            **condition,
        )
    )
    return role


def _add_function_role(
    template: Template,
    inputs: Inputs,
    title: str,
    function: names.Function,
    policy: PolicyDocument,
    *conditional_policies: If,
) -> iam.Role:
    return _add_role(
        template,
        inputs,
        title,
        function.role,
        trust_policy("lambda.amazonaws.com"),
        function.policy,
        policy,
        *conditional_policies,
        wildcards=["*", references.log_streams_arn(function.log_group)],
    )


def _add_gateway_policy(template: Template, inputs: Inputs) -> If:
    """Add the policy that lets a role read the gateway's API key, and return a reference to it, or no value."""
    template.add_condition("HasGatewaySecret", Not(Equals(inputs.gateway_secret_arn, "")))
    template.add_condition("HasGatewaySecretKey", Not(Equals(inputs.gateway_secret_key_arn, "")))
    read_secret = allow("ReadGatewaySecret", "secretsmanager:GetSecretValue", [inputs.gateway_secret_arn])
    # Not needed for a secret under the AWS managed key of Secrets Manager.
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html#security-encryption-authz
    decrypt = allow(
        "UseSecretKeyThroughSecretsManager",
        "kms:Decrypt",
        [inputs.gateway_secret_key_arn],
        only_through("secretsmanager", SecretARN=inputs.gateway_secret_arn),
    )
    policy = template.add_resource(
        iam.ManagedPolicy(
            "GatewaySecretPolicy",
            Condition="HasGatewaySecret",
            ManagedPolicyName=references.in_template(names.GATEWAY_POLICY),
            # awacs accepts no ``Fn::If`` among the statements.
            PolicyDocument=If(
                "HasGatewaySecretKey", policy_document(read_secret, decrypt), policy_document(read_secret)
            ),
        )
    )
    return If("HasGatewaySecret", policy.ref(), Ref("AWS::NoValue"))


def _add_workflow_key_policy(template: Template, created_keys: keys.Keys) -> If:
    """Add the policy for the state machine's own key, and return a reference to it, or no value."""
    policy = template.add_resource(
        iam.ManagedPolicy(
            "WorkflowKeyPolicy",
            Condition="HasWorkflowKey",
            ManagedPolicyName=references.in_template(names.WORKFLOW_KEY_POLICY),
            PolicyDocument=role_policies.workflow_key_policy(created_keys),
        )
    )
    return If("HasWorkflowKey", policy.ref(), Ref("AWS::NoValue"))

"""The statements and conditions that policies of several stacks share. Every policy document is built with awacs."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from awacs.aws import (
    Action,
    Allow,
    Bool,
    BoolIfExists,
    Condition,
    ConditionElement,
    Deny,
    PolicyDocument,
    Principal,
    Statement,
    StringEquals,
)
from troposphere import Ref, Sub

# The awacs modules that are not named after the prefix of their service.
_MODULES = {"lambda": "awslambda", "backup-storage": "backup_storage"}
ACCOUNT = Ref("AWS::AccountId")
ACCOUNT_ROOT_ARN = Sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")
ACCOUNT_ROOT = Principal("AWS", ACCOUNT_ROOT_ARN)


def list_actions(actions: str) -> list[Action]:
    """Return the actions of a text such as ``"sns:Publish sqs:GetQueueUrl SendMessage"``.

    A name without a prefix belongs to the service of the name before it. Raises ``ImportError`` for a service and
    ``AttributeError`` for a name that awacs does not know.
    """
    module: Any = None
    listed: list[Action] = []
    for word in actions.split():
        service, _, name = word.rpartition(":")
        if service:
            module = importlib.import_module(f"awacs.{_MODULES.get(service, service)}")
        listed.append(module.Action(name) if name == "*" else getattr(module, name))
    return listed


# Log delivery is set up for the whole account; none of these actions supports resource-level permissions.
# https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
LOG_DELIVERY = (
    "logs:CreateLogDelivery DeleteLogDelivery DescribeLogGroups DescribeResourcePolicies GetLogDelivery "
    "ListLogDeliveries PutResourcePolicy UpdateLogDelivery"
)


def policy_document(*statements: Statement) -> PolicyDocument:
    return PolicyDocument(Version="2012-10-17", Statement=list(statements))


def allow(
    sid: str,
    actions: str,
    resources: Sequence[object],
    *conditions: ConditionElement,
    principal: Principal | None = None,
) -> Statement:
    """Return a statement of an identity policy, or, with a ``principal``, of a resource policy."""
    grantee = {"Principal": principal} if principal else {}
    condition = {"Condition": Condition(list(conditions))} if conditions else {}
    return Statement(
        Sid=sid, Effect=Allow, **grantee, Action=list_actions(actions), Resource=list(resources), **condition
    )


def trust_policy(service: str, *conditions: ConditionElement) -> PolicyDocument:
    """Return a trust policy for ``service`` on behalf of this account only, against the confused-deputy problem."""
    return policy_document(
        Statement(
            Sid="OnlyTheServiceForThisAccount",
            Effect=Allow,
            Principal=Principal("Service", service),
            Action=list_actions("sts:AssumeRole"),
            Condition=Condition([StringEquals({"aws:SourceAccount": ACCOUNT}), *conditions]),
        )
    )


def only_through(service: str, **context: object) -> StringEquals:
    """Return a condition that requires a request through ``service``, from this account, with an encryption context."""
    via = {"kms:ViaService": Sub(f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}")}
    return StringEquals(via | _of_this_account(service, context))


def only_in_context(service: str, **context: object) -> StringEquals:
    """Return the condition for a service that calls KMS as the role itself: this account, an encryption context."""
    return StringEquals(_of_this_account(service, context))


def _of_this_account(service: str, context: Mapping[str, object]) -> dict[str, object]:
    # Of the services in use, only Secrets Manager does not prefix the context with its name.
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    prefix = "" if service == "secretsmanager" else f"aws:{service}:"
    keys = {f"kms:EncryptionContext:{prefix}{key}": value for key, value in context.items()}
    return {"kms:CallerAccount": ACCOUNT} | keys


def only_over_tls(action: str, *resources: object) -> Statement:
    """Deny requests without TLS."""
    return Statement(
        Sid="OnlyOverTLS",
        Effect=Deny,
        Principal=Principal("*"),
        Action=list_actions(action),
        Resource=list(resources),
        Condition=Condition([Bool({"aws:SecureTransport": "false"})]),
    )


def key_administration() -> Statement:
    """Allow the account to administer a key and to delegate that through IAM, but not to use the key.

    Without the account root, a key can become unmanageable.
    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
    """
    return Statement(
        Sid="AccountAdministersKey",
        Effect=Allow,
        Principal=ACCOUNT_ROOT,
        Action=list_actions(
            "kms:CancelKeyDeletion DeleteAlias CreateAlias DescribeKey DisableKey DisableKeyRotation EnableKey "
            "EnableKeyRotation GetKeyPolicy GetKeyRotationStatus ListAliases ListGrants ListKeyPolicies "
            "ListKeyRotations ListResourceTags PutKeyPolicy RevokeGrant RotateKeyOnDemand ScheduleKeyDeletion "
            "TagResource UntagResource UpdateAlias UpdateKeyDescription"
        ),
        Resource=["*"],
    )


def only_services_grant() -> Statement:
    """Allow only AWS services to create grants, because a grant gives access beyond the key policy.

    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-grant-is-for-aws-resource
    """
    return Statement(
        Sid="OnlyServicesGrant",
        Effect=Deny,
        Principal=Principal("AWS", "*"),
        Action=list_actions("kms:CreateGrant"),
        Resource=["*"],
        Condition=Condition(
            [BoolIfExists({"kms:GrantIsForAWSResource": "false", "aws:PrincipalIsAWSService": "false"})]
        ),
    )

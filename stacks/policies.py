"""Short words for what the policies of more than one stack say. Every document is awacs; none is a dict or a string."""

from collections.abc import Mapping, Sequence

from awacs import kms, logs, sts
from awacs.aws import (
    Action,
    Allow,
    ArnEquals,
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
from troposphere import AWSHelperFn, Ref, Sub

ACCOUNT = Ref("AWS::AccountId")
# Log delivery is set up for the account; none of these knows a resource.
# https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
LOG_DELIVERY = (
    logs.CreateLogDelivery,
    logs.DeleteLogDelivery,
    logs.DescribeLogGroups,
    logs.DescribeResourcePolicies,
    logs.GetLogDelivery,
    logs.ListLogDeliveries,
    logs.PutResourcePolicy,
    logs.UpdateLogDelivery,
)


def policy_document(*statements: Statement) -> PolicyDocument:
    return PolicyDocument(Version="2012-10-17", Statement=list(statements))


def allow(sid: str, actions: Sequence[Action], resources: Sequence[object], *conditions: ConditionElement) -> Statement:
    """A statement of an identity policy."""
    condition = {"Condition": Condition(list(conditions))} if conditions else {}
    return Statement(Sid=sid, Effect=Allow, Action=list(actions), Resource=list(resources), **condition)


def trust_policy(service: str, *conditions: ConditionElement) -> PolicyDocument:
    """A trust policy: only ``service``, and only on behalf of this account (the confused-deputy condition)."""
    return policy_document(
        Statement(
            Sid="OnlyTheServiceForThisAccount",
            Effect=Allow,
            Principal=Principal("Service", service),
            Action=[sts.AssumeRole],
            Condition=Condition([StringEquals({"aws:SourceAccount": ACCOUNT}), *conditions]),
        )
    )


def source_arn(arn: AWSHelperFn) -> ArnEquals:
    return ArnEquals({"aws:SourceArn": arn})


def account_root() -> Principal:
    return Principal("AWS", account_root_arn())


def account_root_arn() -> AWSHelperFn:
    return Sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")


def only_through(service: str, **context: object) -> StringEquals:
    """Only by way of ``service`` (``kms:ViaService``), for callers of this account and one encryption context."""
    via = {"kms:ViaService": Sub(f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}")}
    return StringEquals(via | _of_this_account(service, context))


def only_in_context(service: str, **context: object) -> StringEquals:
    """Only for callers of this account and one encryption context: the service calls KMS as the role itself."""
    return StringEquals(_of_this_account(service, context))


def _of_this_account(service: str, context: Mapping[str, object]) -> dict[str, object]:
    # Only Secrets Manager does not name itself in its context.
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    prefix = "" if service == "secretsmanager" else f"aws:{service}:"
    keys = {f"kms:EncryptionContext:{prefix}{key}": value for key, value in context.items()}
    return {"kms:CallerAccount": ACCOUNT} | keys


def only_over_tls(action: Action, *resources: object) -> Statement:
    """Whoever asks without TLS is refused."""
    return Statement(
        Sid="OnlyOverTLS",
        Effect=Deny,
        Principal=Principal("*"),
        Action=[action],
        Resource=list(resources),
        Condition=Condition([Bool({"aws:SecureTransport": "false"})]),
    )


def key_administration() -> Statement:
    """The account administers the key, and delegates that by IAM. Using the key is not among it.

    Without the account root a key becomes unmanageable:
    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
    """
    return Statement(
        Sid="AccountAdministersKey",
        Effect=Allow,
        Principal=account_root(),
        Action=[
            kms.CancelKeyDeletion,
            kms.DeleteAlias,
            kms.CreateAlias,
            kms.DescribeKey,
            kms.DisableKey,
            kms.DisableKeyRotation,
            kms.EnableKey,
            kms.EnableKeyRotation,
            kms.GetKeyPolicy,
            kms.GetKeyRotationStatus,
            kms.ListAliases,
            kms.ListGrants,
            kms.ListKeyPolicies,
            kms.ListKeyRotations,
            kms.ListResourceTags,
            kms.PutKeyPolicy,
            kms.RevokeGrant,
            kms.RotateKeyOnDemand,
            kms.ScheduleKeyDeletion,
            kms.TagResource,
            kms.UntagResource,
            kms.UpdateAlias,
            kms.UpdateKeyDescription,
        ],
        Resource=["*"],
    )


def only_services_grant() -> Statement:
    """A grant lets in whoever it names, past the key's policy: only a service makes one, for whom it works.

    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-grant-is-for-aws-resource
    """
    return Statement(
        Sid="OnlyServicesGrant",
        Effect=Deny,
        Principal=Principal("AWS", "*"),
        Action=[kms.CreateGrant],
        Resource=["*"],
        Condition=Condition(
            [BoolIfExists({"kms:GrantIsForAWSResource": "false", "aws:PrincipalIsAWSService": "false"})]
        ),
    )

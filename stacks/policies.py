"""Short words for what the policies of more than one stack say. Every document is awacs; none is a dict or a string."""

from collections.abc import Sequence

from awacs import kms, sts
from awacs.aws import (
    Action,
    Allow,
    ArnEquals,
    Condition,
    ConditionElement,
    PolicyDocument,
    Principal,
    Statement,
    StringEquals,
)
from troposphere import AWSHelperFn, Ref, Sub

ACCOUNT = Ref("AWS::AccountId")


def document(*statements: Statement) -> PolicyDocument:
    return PolicyDocument(Version="2012-10-17", Statement=list(statements))


def allow(sid: str, actions: Sequence[Action], resources: Sequence[object], *conditions: ConditionElement) -> Statement:
    """A statement of an identity policy."""
    condition = {"Condition": Condition(list(conditions))} if conditions else {}
    return Statement(Sid=sid, Effect=Allow, Action=list(actions), Resource=list(resources), **condition)


def trust(service: str, *conditions: ConditionElement) -> PolicyDocument:
    """A trust policy: only ``service``, and only on behalf of this account (the confused-deputy condition)."""
    return document(
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
    return Principal("AWS", Sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root"))


def through(service: str, **context: object) -> StringEquals:
    """Only by way of ``service`` (``kms:ViaService``), for callers of this account and one encryption context."""
    keys: dict[str, object] = {
        "kms:ViaService": Sub(f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}"),
        "kms:CallerAccount": ACCOUNT,
    }
    # Only Secrets Manager does not name itself in its context.
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    prefix = "" if service == "secretsmanager" else f"aws:{service}:"
    keys.update({f"kms:EncryptionContext:{prefix}{key}": value for key, value in context.items()})
    return StringEquals(keys)


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

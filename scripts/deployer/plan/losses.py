"""Property changes that delete data, or take away what protects it, while the resource itself stays."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from .model import Change, PropertyChange

_FOREVER = float("inf")


class PropertyLoss(NamedTuple):
    """``loss`` is what is lost; empty if only a protection is."""

    effect: str
    loss: str
    cause: PropertyChange


class _Rule(NamedTuple):
    """Applies to a property of a type, or of all types.

    ``is_lossy`` judges the value before and after, of the property or of a part of it, whose path it gets first.
    """

    resource_type: str
    property_path: str
    is_lossy: Callable[[str, str | None, str | None], bool]
    effect: str
    loss: str = ""


def _shortens(default: float) -> Callable[[str, str | None, str | None], bool]:
    """``default`` is the period that applies where a template sets none."""

    def is_shorter(_: str, before: str | None, after: str | None) -> bool:
        return _read_number(after, default) < _read_number(before, default)

    return is_shorter


def _read_number(text: str | None, default: float) -> float:
    try:
        return float(text) if text is not None else default
    except ValueError:
        # Known after the deployment only.
        return default


def _switches_off(_: str, before: str | None, after: str | None) -> bool:
    return before == "true" and after != "true"


def _lengthens(_: str, before: str | None, after: str | None) -> bool:
    return _read_number(after, 0) > _read_number(before, _FOREVER)


def _turns_false(_: str, before: str | None, after: str | None) -> bool:
    return after == "false" != before


def _removes(part: str, before: str | None, after: str | None) -> bool:
    return not part and before is not None and after is None


def _ends_versioning(part: str, before: str | None, after: str | None) -> bool:
    return "Enabled" in (before or "") and "Enabled" not in (after or "") and part in ("", "Status")


def _enables_ttl(part: str, before: str | None, after: str | None) -> bool:
    if part == "AttributeName":
        return before != after
    enabled = ("true",) if part else ('"Enabled": "true"', '"Enabled": true')
    return any(text in (after or "") for text in enabled)


def _expires_sooner(part: str, before: str | None, after: str | None) -> bool:
    if "Expiration" not in part:
        return (after or "").count("Expiration") > (before or "").count("Expiration")
    return after is not None and _read_number(after, 0) < _read_number(before, _FOREVER)


_OLDER = ("has a shorter retention period", "older data")
_PITR = "PointInTimeRecoverySpecification"
_EXPIRY = ("deletes what expires", "data older than the new expiry")
_UNRECOVERABLE = ("no longer has point-in-time recovery", "its continuous backups")
# The defaults are those of the types' pages, such as
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sqs-queue.html
_RULES = (
    _Rule("AWS::SQS::Queue", "MessageRetentionPeriod", _shortens(345_600), *_OLDER),
    _Rule("AWS::Logs::LogGroup", "RetentionInDays", _shortens(_FOREVER), *_OLDER),
    _Rule("AWS::Kinesis::Stream", "RetentionPeriodHours", _shortens(24), *_OLDER),
    _Rule("AWS::RDS::DBInstance", "BackupRetentionPeriod", _shortens(1), *_OLDER),
    _Rule("AWS::RDS::DBCluster", "BackupRetentionPeriod", _shortens(1), *_OLDER),
    _Rule("AWS::DynamoDB::Table", f"{_PITR}/RecoveryPeriodInDays", _shortens(35), *_OLDER),
    _Rule("AWS::DynamoDB::Table", f"{_PITR}/PointInTimeRecoveryEnabled", _switches_off, *_UNRECOVERABLE),
    _Rule("AWS::DynamoDB::Table", _PITR, _removes, *_UNRECOVERABLE),
    _Rule("AWS::DynamoDB::GlobalTable", f"{_PITR}/PointInTimeRecoveryEnabled", _switches_off, *_UNRECOVERABLE),
    _Rule("AWS::DynamoDB::Table", "TimeToLiveSpecification", _enables_ttl, *_EXPIRY),
    _Rule("AWS::DynamoDB::GlobalTable", "TimeToLiveSpecification", _enables_ttl, *_EXPIRY),
    _Rule("AWS::S3::Bucket", "LifecycleConfiguration", _expires_sooner, *_EXPIRY),
    _Rule(
        "AWS::S3::Bucket", "VersioningConfiguration", _ends_versioning, "no longer keeps old versions of its objects"
    ),
    _Rule("AWS::KMS::Key", "Enabled", _switches_off, "is disabled: nothing that it encrypted can be read"),
    _Rule("AWS::KMS::Key", "PendingWindowInDays", _shortens(30), "is deleted sooner once it is scheduled for deletion"),
    _Rule("AWS::Logs::LogGroup", "DataProtectionPolicy", _removes, "no longer masks data in its log"),
    _Rule("AWS::Backup::BackupVault", "LockConfiguration", _removes, "no longer locks its recovery points"),
    _Rule("AWS::CloudWatch::Alarm", "EvaluationPeriods", _lengthens, "goes off later: it waits for more periods"),
    _Rule("AWS::CloudWatch::Alarm", "ActionsEnabled", _turns_false, "no longer notifies anybody"),
    _Rule("AWS::CloudWatch::Alarm", "AlarmActions", _removes, "no longer notifies anybody"),
    _Rule("", "DeletionProtectionEnabled", _switches_off, "is no longer protected from deletion"),
    _Rule("", "DeletionProtection", _switches_off, "is no longer protected from deletion"),
)
# These count only for a resource that holds data.
_POLICIES = {
    "DeletionPolicy": "is no longer retained when it is removed from the stack",
    "UpdateReplacePolicy": "is no longer retained when it is replaced",
}


def find_property_losses(change: Change, *, holds_data: bool) -> Iterator[PropertyLoss]:
    """Yield what the changed properties of a resource lose, each effect once."""
    effects = set()
    for prop in change.properties:
        if holds_data and prop.name in _POLICIES and _is_policy_weakened(prop):
            yield PropertyLoss(_POLICIES[prop.name], "", prop)
        for rule in _RULES:
            _, separator, part = f"/{prop.name}/".partition(f"/{rule.property_path}/")
            applies = bool(separator) and rule.resource_type in ("", change.resource_type)
            if applies and rule.effect not in effects and rule.is_lossy(part.strip("/"), prop.before, prop.after):
                effects.add(rule.effect)
                yield PropertyLoss(rule.effect, rule.loss, prop)


def _is_policy_weakened(prop: PropertyChange) -> bool:
    is_kept = (prop.before or "").startswith(("Retain", "Snapshot"))
    return is_kept and not (prop.after or "").startswith(("Retain", "Snapshot"))

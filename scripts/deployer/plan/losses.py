"""Property changes that delete data, or take away what protects it, while the resource itself stays.

A value that cannot be known, or whose effect cannot, counts as a loss: to ask once too often deletes nothing.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .model import KNOWN_AFTER_APPLY, Change, PropertyChange
from .whole_values import (
    EXPIRY,
    FEWER,
    FOREVER,
    SILENT,
    UNPROTECTED,
    UNRECOVERABLE,
    find_whole_losses,
    is_function,
    is_unknown,
    parse_value,
    read_number,
)

# Whether a change loses something, by the value before and after.
_Judge = Callable[[Any, Any], bool]


class PropertyLoss(NamedTuple):
    """``loss`` is what is lost; empty if only a protection is."""

    effect: str
    loss: str
    cause: PropertyChange


class _Rule(NamedTuple):
    """Applies to a property of a type, or of all types, wherever a change names it, a part of it or what holds it.

    ``is_lossy`` judges the value before and after.
    """

    resource_type: str
    property_path: str
    is_lossy: _Judge
    effect: str
    loss: str = ""


def _shortens(default: float, *, forever: float = -1) -> _Judge:
    """``default`` is the period where a template sets none; ``forever`` stands for a period without end."""

    def read_period(value: Any) -> float | None:
        period = read_number(value, default)
        return FOREVER if period == forever else period

    def is_shorter(before: Any, after: Any) -> bool:
        old, new = read_period(before), read_period(after)
        if new is None or old is None:
            return old != 0 and new != FOREVER
        return new < old

    return is_shorter


def _lengthens(before: Any, after: Any) -> bool:
    old, new = read_number(before, FOREVER), read_number(after, 0)
    return old is None or new is None or new > old


def _lengthens_or_removes(before: Any, after: Any) -> bool:
    """Without a number of data points all periods have to be bad, and without one of days a lock is never final."""
    return _lengthens(before, after) or (before is not None and after is None)


def _leaves(value: str) -> _Judge:
    return lambda before, after: _may_be(before, value) and not _is_text(after, value)


def _becomes(value: str) -> _Judge:
    return lambda before, after: not _is_text(before, value) and _may_be(after, value)


def _may_be(value: Any, text: str) -> bool:
    return _is_text(value, text) or is_unknown(value)


def _is_text(value: Any, text: str) -> bool:
    return isinstance(value, str) and value.lower() == text.lower()


def _removes(before: Any, after: Any) -> bool:
    return bool(before) and not after


def _shortens_remaining(before: Any, after: Any) -> bool:
    """Whether a period without a default becomes shorter, and does not go with what it is of."""
    return after is not None and _shortens(0)(before, after)


def _drops(before: Any, after: Any) -> bool:
    """Whether what was set, even if it is empty, is no longer, or may not be."""
    return before is not None and (after is None or is_unknown(after))


def _renames(before: Any, after: Any) -> bool:
    return after is not None and (before != after or is_unknown(after))


_OLDER = ("has a shorter retention period", "older data")
_BACKUPS = ("keeps its backups for a shorter time", "older backups")
_PITR = "PointInTimeRecoverySpecification"
_UNLOCKED = "no longer locks its recovery points"
_SOONER_UNLOCKED = "locks its recovery points for a shorter time"
_REMOVABLE = "has a lock that can be taken away for a longer time"
# The effects that go without saying where a stronger one is named.
_IMPLIED = {FEWER: SILENT, _SOONER_UNLOCKED: _UNLOCKED, _REMOVABLE: _UNLOCKED}
_ALARM = "AWS::CloudWatch::Alarm"
_COMPOSITE = "AWS::CloudWatch::CompositeAlarm"
_TRAIL = "AWS::CloudTrail::Trail"
_FUNCTION, _MAPPING = "AWS::Lambda::Function", "AWS::Lambda::EventSourceMapping"
_BLOCK = "no longer blocks the requests that no rule of it matches"
_DISABLED_RULE = "is disabled: no event reaches its targets by it"
_UNKEPT = "no longer keeps what it could not deliver or process: it has no dead-letter queue"
# The properties that set for how many days the backups of a type are kept, and their defaults.
_BACKUP_DAYS = (
    ("AWS::RDS::DBInstance", "BackupRetentionPeriod", 1),
    ("AWS::RDS::DBCluster", "BackupRetentionPeriod", 1),
    ("AWS::DocDB::DBCluster", "BackupRetentionPeriod", 1),
    ("AWS::Neptune::DBCluster", "BackupRetentionPeriod", 1),
    ("AWS::Redshift::Cluster", "AutomatedSnapshotRetentionPeriod", 1),
    ("AWS::Redshift::Cluster", "ManualSnapshotRetentionPeriod", FOREVER),
    ("AWS::ElastiCache::ReplicationGroup", "SnapshotRetentionLimit", 0),
    ("AWS::ElastiCache::CacheCluster", "SnapshotRetentionLimit", 0),
    ("AWS::ElastiCache::ServerlessCache", "SnapshotRetentionLimit", 0),
    ("AWS::MemoryDB::Cluster", "SnapshotRetentionLimit", 0),
)
# The defaults are those of the types' pages, such as
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sqs-queue.html
_RULES = (
    _Rule("AWS::SQS::Queue", "MessageRetentionPeriod", _shortens(345_600), *_OLDER),
    _Rule("AWS::Logs::LogGroup", "RetentionInDays", _shortens(FOREVER), *_OLDER),
    _Rule("AWS::Kinesis::Stream", "RetentionPeriodHours", _shortens(24), *_OLDER),
    # An archive keeps events for ever by default, and so it does with 0:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-archive.html
    _Rule("AWS::Events::Archive", "RetentionDays", _shortens(FOREVER, forever=0), *_OLDER),
    _Rule("AWS::DynamoDB::Table", f"{_PITR}/RecoveryPeriodInDays", _shortens(35), *_OLDER),
    *(_Rule(kind, name, _shortens(days), *_BACKUPS) for kind, name, days in _BACKUP_DAYS),
    _Rule("AWS::DynamoDB::Table", f"{_PITR}/PointInTimeRecoveryEnabled", _leaves("true"), *UNRECOVERABLE),
    *(
        _Rule(kind, f"TimeToLiveSpecification/{name}", judge, *EXPIRY)
        for kind in ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable")
        for name, judge in (("Enabled", _becomes("true")), ("AttributeName", _renames))
    ),
    _Rule(
        "AWS::S3::Bucket",
        "VersioningConfiguration/Status",
        _leaves("Enabled"),
        "no longer keeps old versions of its objects",
    ),
    # A key is enabled where its template does not say so.
    _Rule("AWS::KMS::Key", "Enabled", _becomes("false"), "is disabled: nothing that it encrypted can be read"),
    _Rule("AWS::KMS::Key", "PendingWindowInDays", _shortens(30), "is deleted sooner once it is scheduled for deletion"),
    _Rule("AWS::Logs::LogGroup", "DataProtectionPolicy", _removes, "no longer masks data in its log"),
    # The messages of an archive that is taken away are deleted:
    # https://docs.aws.amazon.com/sns/latest/dg/message-archiving-and-replay-topic-owner.html
    _Rule("AWS::SNS::Topic", "ArchivePolicy/MessageRetentionPeriod", _shortens(0), *_OLDER),
    # Without a number of days, whoever may do so can take the lock away at any time:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-backup-backupvault-lockconfigurationtype.html
    _Rule("AWS::Backup::BackupVault", "LockConfiguration", _removes, _UNLOCKED),
    _Rule("AWS::Backup::BackupVault", "LockConfiguration/MinRetentionDays", _shortens_remaining, _SOONER_UNLOCKED),
    _Rule("AWS::Backup::BackupVault", "LockConfiguration/ChangeableForDays", _lengthens_or_removes, _REMOVABLE),
    _Rule("AWS::EFS::FileSystem", "BackupPolicy/Status", _leaves("ENABLED"), "is no longer backed up automatically"),
    _Rule(
        "AWS::Timestream::Table",
        "RetentionProperties/MagneticStoreRetentionPeriodInDays",
        _shortens(73_000),
        *_OLDER,
    ),
    _Rule("AWS::ECR::Repository", "EmptyOnDelete", _becomes("true"), "is deleted with the images that it holds"),
    _Rule("AWS::Cognito::UserPool", "DeletionProtection", _leaves("ACTIVE"), *UNPROTECTED),
    _Rule(_ALARM, "EvaluationPeriods", _lengthens, "goes off later: it waits for more periods"),
    _Rule(_ALARM, "DatapointsToAlarm", _lengthens_or_removes, "goes off later: it waits for more data points"),
    _Rule(_ALARM, "Period", _lengthens, "goes off later: its period is longer"),
    _Rule(_ALARM, "TreatMissingData", _becomes("notBreaching"), "takes missing data for a good sign"),
    _Rule(_ALARM, "TreatMissingData", _leaves("breaching"), "no longer goes off where data is missing"),
    _Rule(_ALARM, "ActionsEnabled", _becomes("false"), SILENT),
    _Rule(_COMPOSITE, "ActionsEnabled", _becomes("false"), SILENT),
    # https://docs.aws.amazon.com/waf/latest/developerguide/web-acl-default-action.html
    _Rule("AWS::WAFv2::WebACL", "DefaultAction/Block", _drops, _BLOCK),
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudtrail-trail.html
    _Rule(_TRAIL, "IsLogging", _leaves("true"), "no longer records who does what"),
    _Rule(_TRAIL, "IsMultiRegionTrail", _leaves("true"), "records the events of one Region only"),
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-rule.html
    _Rule("AWS::Events::Rule", "State", _becomes("DISABLED"), _DISABLED_RULE),
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-scheduler-schedule.html
    _Rule("AWS::Scheduler::Schedule", "State", _becomes("DISABLED"), "is disabled: it invokes its target no longer"),
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-eventsourcemapping.html
    _Rule(_MAPPING, "Enabled", _becomes("false"), "is disabled: its function reads nothing from its source"),
    _Rule(_MAPPING, "DestinationConfig/OnFailure/Destination", _drops, _UNKEPT),
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
    _Rule(_FUNCTION, "ReservedConcurrentExecutions", _becomes("0"), "is throttled: every invocation is refused"),
    # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    _Rule(_FUNCTION, "DeadLetterConfig/TargetArn", _drops, _UNKEPT),
    _Rule("AWS::Lambda::EventInvokeConfig", "DestinationConfig/OnFailure/Destination", _drops, _UNKEPT),
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
    _Rule("AWS::SQS::Queue", "RedrivePolicy/deadLetterTargetArn", _drops, _UNKEPT),
    # https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
    _Rule("AWS::SNS::Subscription", "RedrivePolicy/deadLetterTargetArn", _drops, _UNKEPT),
    # https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html
    _Rule("AWS::KMS::Key", "EnableKeyRotation", _leaves("true"), "is no longer rotated"),
    _Rule("", "DeletionProtectionEnabled", _leaves("true"), *UNPROTECTED),
    _Rule("", "DeletionProtection", _leaves("true"), *UNPROTECTED),
)
# These count only for a resource that holds data.
_POLICIES = {
    "DeletionPolicy": "is no longer retained when it is removed from the stack",
    "UpdateReplacePolicy": "is no longer retained when it is replaced",
}


def find_property_losses(change: Change, *, holds_data: bool) -> Iterator[PropertyLoss]:
    """Yield what the changed properties of a resource lose, each effect once."""
    effects = set[str]()
    for prop in change.properties:
        for loss in _judge_property(change.resource_type, prop, holds_data=holds_data):
            if loss.effect not in effects and _IMPLIED.get(loss.effect) not in effects:
                effects.add(loss.effect)
                yield loss


def _judge_property(resource_type: str, prop: PropertyChange, *, holds_data: bool) -> Iterator[PropertyLoss]:
    if holds_data and prop.name in _POLICIES and _is_policy_weakened(prop):
        yield PropertyLoss(_POLICIES[prop.name], "", prop)
    if (prop.before, prop.after) == (None, None) and not prop.is_drifted:
        # The service lists the property without its values, and the comparison does not know them.
        before, after = KNOWN_AFTER_APPLY, KNOWN_AFTER_APPLY
    elif prop.before == prop.after and not is_unknown(prop.after):
        return
    else:
        before, after = parse_value(prop.before), parse_value(prop.after)
    for effect, loss in find_whole_losses(resource_type, prop.name, before, after):
        yield PropertyLoss(effect, loss, prop)
    for rule in _RULES:
        values = _read_part(prop.name, before, after, rule.property_path)
        if rule.resource_type in ("", resource_type) and values and rule.is_lossy(*values):
            yield PropertyLoss(rule.effect, rule.loss, prop)


def _read_part(name: str, before: Any, after: Any, path: str) -> tuple[Any, Any] | None:
    """Return the values at a path in those of a property that is or holds what is there; None if it is elsewhere."""
    if name == path:
        return before, after
    if not path.startswith(f"{name}/"):
        return None
    for key in path.removeprefix(f"{name}/").split("/"):
        before, after = _read_key(before, key), _read_key(after, key)
    return before, after


def _read_key(value: Any, key: str) -> Any:
    """Return the item at a key, or a value that is not known where the mapping is not."""
    if isinstance(value, dict) and not is_function(value):
        return value.get(key)
    return value if value is None else KNOWN_AFTER_APPLY


def _is_policy_weakened(prop: PropertyChange) -> bool:
    is_kept = (prop.before or "").startswith(("Retain", "Snapshot"))
    return is_kept and not (prop.after or "").startswith(("Retain", "Snapshot"))

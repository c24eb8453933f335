"""Properties that are compared and judged as a whole: lists of rules or replicas, where no single part tells the loss.

Whatever cannot be shown to keep all data for at least as long counts as a loss.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from scripts.common.conditions import expand_choices

from .model import KNOWN_AFTER_APPLY

# An effect, and what is lost; the latter is empty if only a protection is.
Loss = tuple[str, str]
EXPIRY: Loss = ("deletes what expires", "data older than the new expiry")
UNRECOVERABLE: Loss = ("no longer has point-in-time recovery", "its continuous backups")
UNPROTECTED: Loss = ("is no longer protected from deletion", "")
SILENT, FEWER = "no longer notifies anybody", "notifies fewer"
_OTHERS: Loss = ("notifies others than before", "")
_IMAGES: Loss = ("deletes images by its lifecycle policy", "the images that its rules select")
FOREVER = float("inf")
# The actions of a rule that delete objects, with the number of days or versions after which they do.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-s3-bucket-rule.html
_DELETIONS = (
    ("ExpirationInDays",),
    ("NoncurrentVersionExpirationInDays",),
    ("NoncurrentVersionExpiration", "NoncurrentDays"),
    ("NoncurrentVersionExpiration", "NewerNoncurrentVersions"),
)
_REPLICATION, _ACTIONS = "ReplicationConfiguration", "AlarmActions"
_FILTERS = ("Prefix", "TagFilters", "ObjectSizeGreaterThan", "ObjectSizeLessThan")


def parse_value(text: str | None) -> Any:
    """Return the value of a property: mappings and lists of texts, or a text; None if there is none."""
    try:
        return to_texts(json.loads(text)) if text is not None else None
    except ValueError:
        return text


def to_texts(value: Any) -> Any:
    """Return the value with a text in place of each number and boolean, as CloudFormation may show it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return {key: to_texts(item) for key, item in value.items()}
    return [to_texts(item) for item in value] if isinstance(value, list) else str(value)


def read_number(value: Any, default: float) -> float | None:
    """Return the number, ``default`` where there is no value, or None for a value that is not known to be a number."""
    if value is None:
        return default
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def is_judged_whole(resource_type: str, property_name: str) -> bool:
    """Whether the property, named from its resource, is not split into its parts."""
    return (resource_type, property_name) in _JUDGES


def find_whole_losses(resource_type: str, name: str, before: Any, after: Any) -> Iterator[Loss]:
    """Yield what the change loses. ``name`` is that of such a property, or of a part that the service lists instead."""
    property_name, _, part = name.partition("/")
    judge = _JUDGES.get((resource_type, property_name))
    if judge is None:
        return
    if part:
        yield from _judge_part(property_name, part.rpartition("/")[2], before, after)
    else:
        yield from judge(before, after)


def _judge_part(property_name: str, part: str, before: Any, after: Any) -> Iterator[Loss]:
    """Judge a part without those around it: that it loses nothing is known of few."""
    old, new = read_number(before, 0), read_number(after, FOREVER)
    is_later = old is not None and new is not None and new >= old
    if part.endswith("Days") and is_later:
        return
    harmless = "Enabled" if property_name == _REPLICATION else "Disabled"
    if (part, after) not in (("Status", harmless), ("Id", after), ("RuleName", after)):
        yield {"LifecycleConfiguration": EXPIRY, "LifecyclePolicy": _IMAGES, _ACTIONS: _OTHERS}.get(
            property_name, (f"may lose what {property_name}/{part} protects", "")
        )


def _judge_lifecycle(before: Any, after: Any) -> Iterator[Loss]:
    old, new = (_read_list(value, "Rules") for value in (before, after))
    if new is None or any(not _is_covered(rule, old or []) for rule in new):
        yield EXPIRY


def _read_list(value: Any, key: str) -> list[dict[str, Any]] | None:
    """Return the list of mappings at a key, empty if there is none; None if it cannot be known."""
    items = value.get(key, []) if isinstance(value, dict) and not is_function(value) else [] if not value else None
    if not isinstance(items, list) or not all(isinstance(item, dict) and not is_function(item) for item in items):
        return None
    return items


def is_function(value: dict[str, Any]) -> bool:
    """Whether the value is a function that could not be evaluated."""
    return any(key == "Ref" or key.startswith("Fn::") for key in value)


def _is_covered(rule: dict[str, Any], old_rules: list[dict[str, Any]]) -> bool:
    """Whether the rule deletes only what an older one deletes at the same time or sooner."""
    if rule.get("Status") == "Disabled" or not any("Expiration" in key for key in rule):
        return True
    return any(_covers(old, rule) for old in old_rules)


def _covers(old: dict[str, Any], rule: dict[str, Any]) -> bool:
    # What an older rule without a filter deletes are all objects; an empty filter selects as much as none.
    is_as_wide = all(not old.get(name) or old[name] == rule.get(name) for name in _FILTERS)
    if old.get("Status") != "Enabled" or not is_as_wide or old.get("ExpirationDate") != rule.get("ExpirationDate"):
        return False
    limits = (_read_limits(old, path, rule) for path in _DELETIONS)
    return all(before is not None and after is not None and before <= after for before, after in limits)


def _read_limits(old: dict[str, Any], path: tuple[str, ...], rule: dict[str, Any]) -> tuple[float | None, float | None]:
    """Return after how many days, or beyond how many versions, both rules delete; for ever is a number as well.

    A rule that keeps no number of newer versions keeps none of them beyond its days.
    """
    default = 0 if path[-1] == "NewerNoncurrentVersions" else FOREVER
    numbers = []
    for value in (old, rule):
        part: Any = value
        for key in path:
            part = part.get(key) if isinstance(part, dict) else part
        numbers.append(read_number(part, default))
    return numbers[0], numbers[1]


def _judge_replicas(before: Any, after: Any) -> Iterator[Loss]:
    old, new = (_read_list({"Replicas": value or []}, "Replicas") for value in (before, after))
    if old is None or new is None:
        yield "may lose a replica", "that replica's items"
        return
    if not (_are_named(old, "Region") and _are_named(new, "Region")):
        yield "may lose a replica", "that replica's items"
    remaining = {_read_name(replica, "Region"): replica for replica in new}
    for replica in old:
        region = _read_name(replica, "Region")
        if region in remaining:
            if _has_recovery(replica) and not _has_recovery(remaining[region]):
                yield UNRECOVERABLE
            if _is_protected(replica) and not _is_protected(remaining[region]):
                yield UNPROTECTED
        elif _are_named([replica], "Region"):
            yield f"no longer has a replica in {region}", "that replica's items"


def _are_named(items: list[dict[str, Any]], key: str) -> bool:
    """Whether each item has a text by which it is the same before and after a change, and not a function."""
    return all(isinstance(item.get(key), str) for item in items)


def _read_name(item: dict[str, Any], key: str) -> str:
    name = item.get(key)
    return name if isinstance(name, str) else json.dumps(name, sort_keys=True)


def _has_recovery(replica: dict[str, Any]) -> bool:
    recovery = replica.get("PointInTimeRecoverySpecification")
    return isinstance(recovery, dict) and recovery.get("PointInTimeRecoveryEnabled") == "true"


def _is_protected(replica: dict[str, Any]) -> bool:
    return replica.get("DeletionProtectionEnabled") == "true"


def _judge_backup_plan(before: Any, after: Any) -> Iterator[Loss]:
    """A changed plan keeps the backups that it has made, and counts for later ones.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/updating-a-backup-plan.html
    """
    old, new = (_read_list(value, "BackupPlanRule") for value in (before, after))
    remaining = {_read_name(rule, "RuleName"): rule for rule in new or []}
    for rule in old or []:
        name = _read_name(rule, "RuleName")
        if name in remaining:
            if _is_sooner(_read_deletion(remaining[name]), _read_deletion(rule)):
                yield f"deletes the backups of its rule {name} sooner", ""
        elif _are_named([rule], "RuleName"):
            yield f"makes no more backups by its rule {name}", ""
    if old is None or new is None or not (_are_named(old, "RuleName") and _are_named(new, "RuleName")):
        yield "may make fewer backups, or delete them sooner", ""


def _is_sooner(days: float | None, earlier_days: float | None) -> bool:
    return days is None or earlier_days is None or days < earlier_days


def _read_deletion(rule: dict[str, Any]) -> float | None:
    lifecycle = rule.get("Lifecycle") or {}
    return read_number(lifecycle.get("DeleteAfterDays"), FOREVER) if isinstance(lifecycle, dict) else None


def _judge_image_policy(before: Any, after: Any) -> Iterator[Loss]:
    """https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html"""
    old, new = (_read_image_rules(value) for value in (before, after))
    if new is None or any(rule not in (old or []) for rule in new):
        yield _IMAGES


def _read_image_rules(value: Any) -> list[dict[str, Any]] | None:
    text = value.get("LifecyclePolicyText") if isinstance(value, dict) else value
    rules = _read_list(parse_value(text) if isinstance(text, str) else text, "rules")
    # A description selects no image, and neither does a number of the order.
    return rules and [
        {key: item for key, item in rule.items() if key not in ("description", "rulePriority")} for rule in rules
    ]


def _judge_object_lock(before: Any, after: Any) -> Iterator[Loss]:
    """A default retention locks the versions of objects that are put while the bucket has it.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-configure.html
    """
    (mode, days), (later_mode, later_days) = (_read_retention(value) for value in (before, after))
    if days == 0:
        return
    if later_days == 0:
        yield "no longer locks the new versions of its objects", ""
    elif days is None or later_days is None or later_days < days:
        yield "locks the new versions of its objects for a shorter time", ""
    if later_days != 0 and mode != "GOVERNANCE" and later_mode != "COMPLIANCE":
        yield "locks the new versions of its objects in a mode in which they can be deleted", ""


def _read_retention(value: Any) -> tuple[Any, float | None]:
    """Return the mode, and the period in days: 0 if there is none, None if it cannot be known."""
    for key in ("Rule", "DefaultRetention"):
        if is_unknown(value):
            return None, None
        value = value.get(key) if isinstance(value, dict) else None
    if is_unknown(value):
        return None, None
    retention = value if isinstance(value, dict) else {}
    days, years = (read_number(retention.get(unit), 0) for unit in ("Days", "Years"))
    return retention.get("Mode"), None if days is None or years is None else days + 365 * years


def _judge_replication(before: Any, after: Any) -> Iterator[Loss]:
    """A rule counts as kept if an enabled one copies the objects that it selects to the same bucket.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/disable-replication.html
    """
    old, new = (_read_list(value, "Rules") for value in (before, after))
    remaining = [rule for rule in new or [] if rule.get("Status") == "Enabled"]
    lost = [
        rule
        for rule in old or []
        if rule.get("Status") != "Disabled" and not any(_copies(other, rule) for other in remaining)
    ]
    if old is None or new is None or lost:
        yield "replicates fewer of its objects" if remaining else "no longer replicates its objects", ""


def _copies(other: dict[str, Any], rule: dict[str, Any]) -> bool:
    buckets = [item["Destination"].get("Bucket") for item in (other, rule) if isinstance(item.get("Destination"), dict)]
    is_same_bucket = len(buckets) == 2 and buckets[0] == buckets[1] and not is_unknown(buckets[0])
    return is_same_bucket and all(not other.get(name) or other[name] == rule.get(name) for name in ("Filter", "Prefix"))


def _judge_actions(before: Any, after: Any) -> Iterator[Loss]:
    """Whom an alarm notifies: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-actions.html"""
    old, new = (_list_action_sets(value) for value in (before, after))
    former, later = set().union(*old), set().union(*new)
    common = {action for action in former & later if KNOWN_AFTER_APPLY not in action}
    if former and not later:
        yield SILENT, ""
    elif former and not common:
        yield _OTHERS
    elif former != common:
        yield FEWER, ""
    elif not old[0].intersection(*old) <= new[0].intersection(*new):
        yield "may notify fewer, or nobody, by a condition whose result is not known", ""


def _list_action_sets(value: Any) -> list[set[str]]:
    """Return the actions for each combination of the results of the conditions that they hang on."""
    choices = (choice if isinstance(choice, list) else [choice] for choice in expand_choices(value))
    return [{json.dumps(action) for action in choice if action is not None} for choice in choices]


_JUDGES: dict[tuple[str, str], Callable[[Any, Any], Iterator[Loss]]] = {
    ("AWS::S3::Bucket", "LifecycleConfiguration"): _judge_lifecycle,
    ("AWS::S3::Bucket", "ObjectLockConfiguration"): _judge_object_lock,
    ("AWS::S3::Bucket", _REPLICATION): _judge_replication,
    ("AWS::CloudWatch::Alarm", _ACTIONS): _judge_actions,
    ("AWS::CloudWatch::CompositeAlarm", _ACTIONS): _judge_actions,
    ("AWS::DynamoDB::GlobalTable", "Replicas"): _judge_replicas,
    ("AWS::Backup::BackupPlan", "BackupPlan"): _judge_backup_plan,
    ("AWS::ECR::Repository", "LifecyclePolicy"): _judge_image_policy,
}


def is_unknown(value: Any) -> bool:
    """Whether the value is not known here: an attribute, a parameter of another service, a secret or a function."""
    if isinstance(value, dict):
        return is_function(value)
    return isinstance(value, str) and any(mark in value for mark in (KNOWN_AFTER_APPLY, "${", "{{resolve:", "****"))

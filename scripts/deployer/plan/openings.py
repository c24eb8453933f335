"""Finds what a plan opens to others by a property, without a policy: function URLs, buckets and databases."""

from collections.abc import Iterator
from typing import Any

from scripts.common.evaluate import Evaluated, Resource

from .compare import as_text
from .model import Change, PropertyChange, StackChanges
from .whole_values import is_unknown

_AUTH_TYPE, _ACCESS_CONTROL, _IS_PUBLIC = "AuthType", "AccessControl", "PubliclyAccessible"
# By type, empty for all types, and property: what each value opens.
_OPENINGS = {
    # https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    ("AWS::Lambda::Url", _AUTH_TYPE): {"none": "opens its function to requests without a signature"},
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl
    ("AWS::S3::Bucket", _ACCESS_CONTROL): {
        "publicread": "lets everybody read its objects",
        "publicreadwrite": "lets everybody read and write its objects",
        "authenticatedread": "lets everybody with an AWS account read its objects",
    },
    # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_VPC.WorkingWithRDSInstanceinaVPC.html
    ("", _IS_PUBLIC): {"true": "can be reached from the internet"},
}
_BLOCK = "PublicAccessBlockConfiguration"
_BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


def describe_openings(stack: StackChanges, before: Evaluated | None, after: Evaluated) -> Iterator[str]:
    """Yield a line for each resource that is opened by a property, or may be, and for each block of public access."""
    old = dict(before.walk()) if before else {}
    changes = {path: change for path, change in stack.walk() if not change.is_spurious}
    for path, resource in sorted(after.walk(), key=lambda pair: pair[0]):
        for (resource_type, name), effects in _OPENINGS.items():
            if resource_type in ("", resource.type):
                yield from _describe_opening(path, name, effects, old.get(path), resource, changes.get(path))
        if blocks := list(_list_lost_blocks(old.get(path), resource)):
            yield f"{path} ({resource.type}) does not block public access: {', '.join(blocks)}"


def _describe_opening(
    path: str, name: str, effects: dict[str, str], before: Resource | None, after: Resource, change: Change | None
) -> Iterator[str]:
    deployed = as_text(before.properties.get(name, "")) if before else ""
    declared = as_text(after.properties.get(name, ""))
    listed = [prop for prop in change.properties if prop.name == name] if change else []
    values = [declared if declared != deployed else "", *(prop.after or "" for prop in listed)]
    if value := next((value for value in values if value.lower() in effects), ""):
        yield f"{path} {effects[value.lower()]} ({name} {value})"
        return
    is_new = before is None or any((prop.before, prop.after) == (None, None) for prop in listed)
    if _may_open(listed, declared, is_new=is_new):
        may_be = " or ".join(effects.values())
        yield f"{path} may be opened by its {name}, whose value is not known before the deployment: then it {may_be}"


def _may_open(listed: list[PropertyChange], declared: str, *, is_new: bool) -> bool:
    return any(is_unknown(prop.after) for prop in listed) or (is_new and is_unknown(declared))


def _list_lost_blocks(before: Resource | None, after: Resource) -> Iterator[str]:
    """Yield the blocks that a bucket, or an access point, had or has by default, and is not known to have.

    A resource without the property has all of them. One that loses the property has none; CloudFormation then deletes
    the configuration: https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
    """
    declared = after.properties.get(_BLOCK)
    deployed = before.properties.get(_BLOCK) if before else None
    if declared != deployed:
        yield from (name for name in _BLOCKS if _blocks(deployed, name, default=True) and not _blocks(declared, name))


def _blocks(configuration: Any, name: str, *, default: bool = False) -> bool:
    if configuration is None:
        return default
    return isinstance(configuration, dict) and as_text(configuration.get(name, False)).lower() == "true"

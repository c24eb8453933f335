"""Finds what a plan opens to others by a property, not by a policy: functions, APIs, buckets, ports and databases."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from scripts.common.conditions import expand_choices
from scripts.common.evaluated import Evaluated, Resource, find_unknowable_reasons

from .compare import as_text
from .iam import as_list
from .model import Change, PropertyChange, StackChanges
from .whole_values import is_function, is_unknown

_AUTHORIZATION = "AuthorizationType"
_UNAUTHORIZED = {"none": "accepts requests without authorization"}
_AUTH_TYPE, _ACCESS_CONTROL, _IS_PUBLIC = "AuthType", "AccessControl", "PubliclyAccessible"
# By type, empty for all types, and property: what each value opens.
_OPENINGS = {
    # https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    ("AWS::Lambda::Url", _AUTH_TYPE): {"none": "opens its function to requests without a signature"},
    # https://docs.aws.amazon.com/apigateway/latest/api/API_Method.html
    ("AWS::ApiGateway::Method", _AUTHORIZATION): _UNAUTHORIZED,
    # https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-routes.html
    ("AWS::ApiGatewayV2::Route", _AUTHORIZATION): _UNAUTHORIZED,
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl
    ("AWS::S3::Bucket", _ACCESS_CONTROL): {
        "publicread": "lets everybody read its objects",
        "publicreadwrite": "lets everybody read and write its objects",
        "authenticatedread": "lets everybody with an AWS account read its objects",
    },
    # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_VPC.WorkingWithRDSInstanceinaVPC.html
    ("", _IS_PUBLIC): {"true": "can be reached from the internet"},
}
# Where a template sets none.
_DEFAULTS = {_AUTHORIZATION: "NONE"}
# By type: the property with the rules for incoming traffic; empty where the resource itself is one.
# https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html
_INGRESS = {"AWS::EC2::SecurityGroup": "SecurityGroupIngress", "AWS::EC2::SecurityGroupIngress": ""}
# Of a range with fewer bits, most addresses belong to nobody in particular: no private network is wider.
# https://datatracker.ietf.org/doc/html/rfc1918
_LEAST_BITS = 8
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
        for source in sorted(_list_sources(resource) - (_list_sources(old[path]) if path in old else set())):
            yield f"{path} ({resource.type}) lets in {source}"
        if blocks := list(_list_lost_blocks(old.get(path), resource)):
            yield f"{path} ({resource.type}) does not block public access: {', '.join(blocks)}"


def _describe_opening(
    path: str, name: str, effects: dict[str, str], before: Resource | None, after: Resource, change: Change | None
) -> Iterator[str]:
    default = _DEFAULTS.get(name, "")
    deployed = as_text(before.properties.get(name, default)) if before else ""
    declared = as_text(after.properties.get(name, default))
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


def _list_sources(resource: Resource) -> set[str]:
    """Return the ranges of addresses from which a security group may let in the internet, each with its ports."""
    name = _INGRESS.get(resource.type)
    if name is None:
        return set()
    choices = [choice for choice in expand_choices(resource.properties) if isinstance(choice, Mapping)]
    rules = [rule for choice in choices for rule in as_list(choice.get(name, []) if name else choice)]
    return {source for rule in rules if isinstance(rule, Mapping) for source in _describe_sources(rule)}


def _describe_sources(rule: Mapping[str, Any]) -> Iterator[str]:
    protocol, first, last = (as_text(rule.get(name, "")) for name in ("IpProtocol", "FromPort", "ToPort"))
    ports = f"{first}-{last}" if first != last else first
    for source in (rule[name] for name in ("CidrIp", "CidrIpv6") if name in rule):
        is_unclear = any(find_unknowable_reasons(source)) or (isinstance(source, dict) and is_function(source))
        if is_unclear or _is_internet(as_text(source)):
            suffix = ", which is not known before the deployment" if is_unclear else ""
            yield f"{as_text(source)} ({f'{protocol} {ports}'.strip()}){suffix}"


def _is_internet(source: str) -> bool:
    try:
        return ipaddress.ip_network(source.strip(), strict=False).prefixlen < _LEAST_BITS
    except ValueError:
        return False


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

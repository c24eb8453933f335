"""What a deployment grants and takes away: the statements of every policy in the tree, before and after.

All kinds of policies that a template can hold: an identity's, inline or managed, a role's trust, a key's, a topic's, a
queue's, a bucket's; managed policies attached by ARN, and permissions to invoke a function.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.common.evaluate import Evaluated, Resource

from .compare import as_text
from .model import StatementChange

# What a policy is called by the property that it stands in.
_KINDS = {
    "AssumeRolePolicyDocument": "trust",
    "KeyPolicy": "key policy",
    "Policies": "inline policy",
}
_KINDS_BY_TYPE = {
    "AWS::SNS::TopicPolicy": "topic policy",
    "AWS::SQS::QueuePolicy": "queue policy",
    "AWS::S3::BucketPolicy": "bucket policy",
    "AWS::IAM::ManagedPolicy": "managed policy",
    "AWS::IAM::Policy": "inline policy",
}
_PERMISSION = "AWS::Lambda::Permission"


@dataclass(frozen=True, order=True)
class _Grant:
    """The smallest thing that a policy says: one action on one resource, for one principal."""

    holder: str
    kind: str
    effect: str
    resource: str
    condition: str
    action: str


def statement_changes(before: Evaluated | None, after: Evaluated | None) -> tuple[StatementChange, ...]:
    """Those added and those removed, in the order of the holders; a statement whose condition changes is both."""
    old = set(_read_grants(before, "")) if before else set()
    new = set(_read_grants(after, "")) if after else set()
    changes = [*_group_actions(old - new, added=False), *_group_actions(new - old, added=True)]
    return tuple(sorted(changes, key=lambda one: (one.holder, one.kind, one.resource, one.added)))


def _group_actions(grants: set[_Grant], *, added: bool) -> Iterator[StatementChange]:
    """The actions that are alike in all else, together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for one in sorted(grants):
        groups.setdefault((one.holder, one.kind, one.effect, one.resource, one.condition), []).append(one.action)
    for (holder, kind, effect, resource, condition), actions in groups.items():
        yield StatementChange(added, holder, kind, effect, tuple(actions), resource, condition)


def _read_grants(stack: Evaluated, path: str) -> Iterator[_Grant]:
    for logical_id, resource in stack.resources.items():
        holder = f"{path}{logical_id}"
        yield from _permission_grants(holder, resource)
        for policy in resource.properties.get("ManagedPolicyArns", []):
            yield _Grant(holder, "attached", "Allow", as_text(policy), "", "(all that the policy says)")
        for kind, document in _policy_documents(resource):
            for statement in _as_list(document["Statement"]):
                yield from _statement_grants(holder, kind, statement)
    for logical_id, nested in stack.nested.items():
        yield from _read_grants(nested, f"{path}{logical_id}/")


def _policy_documents(resource: Resource) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Policy documents, wherever in the properties they stand."""
    for name, value in resource.properties.items():
        kind = _KINDS.get(name) or _KINDS_BY_TYPE.get(resource.type) or "policy"
        for document in _find_documents(value):
            yield kind, document


def _find_documents(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, str) and '"Statement"' in value:
        try:
            value = json.loads(value)
        except ValueError:
            return
    if isinstance(value, Mapping):
        if "Statement" in value:
            yield value
        else:
            for item in value.values():
                yield from _find_documents(item)
    elif isinstance(value, list):
        for item in value:
            yield from _find_documents(item)


def _statement_grants(holder: str, kind: str, statement: Mapping[str, Any]) -> Iterator[_Grant]:
    condition = as_text(statement["Condition"]) if statement.get("Condition") else ""
    principals = _describe_principals(statement)
    resources = _describe_element(statement, "Resource")
    for action in _describe_element(statement, "Action"):
        for principal in principals or [""]:
            for resource in resources or [""]:
                # A key's policy says "*" for the key itself: who it is for is what tells.
                shown = principal if principal and resource in ("", "*") else resource
                shown = f"{resource} for {principal}" if principal and shown == resource else shown
                yield _Grant(holder, kind, str(statement.get("Effect", "Allow")), shown, condition, action)


def _describe_principals(statement: Mapping[str, Any]) -> list[str]:
    for name, said in (("Principal", "{}"), ("NotPrincipal", "all but {}")):
        principal = statement.get(name)
        if isinstance(principal, Mapping):
            return [said.format(as_text(one)) for value in principal.values() for one in _as_list(value)]
        if principal is not None:
            return [said.format("everybody" if principal == "*" else principal)]
    return []


def _describe_element(statement: Mapping[str, Any], name: str) -> list[str]:
    """``Action`` or ``NotAction``, ``Resource`` or ``NotResource``; the latter is one thing, and not several."""
    if f"Not{name}" in statement:
        return ["all but " + ", ".join(as_text(one) for one in _as_list(statement[f"Not{name}"]))]
    return [as_text(one) for one in _as_list(statement.get(name, []))]


def _permission_grants(holder: str, resource: Resource) -> Iterator[_Grant]:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-permission.html"""
    if resource.type != _PERMISSION:
        return
    given = {name: as_text(value) for name, value in resource.properties.items()}
    limits = {name: given[name] for name in ("SourceArn", "SourceAccount", "PrincipalOrgID") if name in given}
    shown = f"{given.get('FunctionName')} for {given.get('Principal')}"
    condition = json.dumps(limits, sort_keys=True) if limits else ""
    yield _Grant(holder, "permission", "Allow", shown, condition, given.get("Action", ""))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

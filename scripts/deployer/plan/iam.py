"""Compares the policy statements of two trees: what a deployment grants, and what it revokes.

All policies that a template can hold count: inline and managed policies, trust policies, resource policies of keys,
topics, queues and buckets, attachments of managed policies, and permissions to invoke a function.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scripts.common.conditions import join_any, list_branches, list_choices, negate, read_choice
from scripts.common.evaluated import Evaluated, Resource

from .compare import as_text
from .model import Change, PropertyChange, StatementChange

# The kind of a policy, by the property that holds it.
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
RESOURCE_POLICIES = ("trust", "key policy", "topic policy", "queue policy", "bucket policy", "resource policy")
# The principal "*".
EVERYBODY = "everybody"
EVERY_ACTION_BUT = "every action but "
ALL_BUT = "all but "
# The kind of what somebody may do as a member of a group, or by a permission set that is assigned.
MEMBERSHIP = "membership"
# When there is a grant that hangs on no condition.
_CERTAIN = "always"
_ALL_OF_A_POLICY = "(all that the policy says)"
_ALL_OF_A_GROUP = "(all that its policies say)"
# The properties that attach policies of AWS or of the account, by their ARNs or names.
_ATTACHMENTS = ("ManagedPolicyArns", "ManagedPolicies", "CustomerManagedPolicyReferences")
# By type: the kind and the property of the group, and the property with its members; empty for the resource itself.
_MEMBERSHIPS = {
    "AWS::IAM::User": ("the group", "Groups", ""),
    "AWS::IAM::UserToGroupAddition": ("the group", "GroupName", "Users"),
    "AWS::IdentityStore::GroupMembership": ("the group", "GroupId", "MemberId"),
    "AWS::Cognito::UserPoolUserToGroupAttachment": ("the group", "GroupName", "Username"),
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sso-assignment.html
    "AWS::SSO::Assignment": ("the permission set", "PermissionSetArn", "PrincipalId"),
}
# The types that grant one action by properties instead of a document, and the property with what it is on.
_PERMISSIONS = {
    "AWS::Lambda::Permission": "FunctionName",
    "AWS::Lambda::LayerVersionPermission": "LayerVersionArn",
    "AWS::Events::EventBusPolicy": "EventBusName",
}


@dataclass(frozen=True, order=True)
class _Grant:
    """The smallest unit of a policy: one action on one resource, for one principal."""

    holder: str
    kind: str
    effect: str
    resource: str
    condition: str
    action: str


def statement_changes(before: Evaluated | None, after: Evaluated | None) -> tuple[StatementChange, ...]:
    """Return the added and removed statements by holder; one whose condition changes is both removed and added."""
    old = _collect_grants(before) if before else {}
    new = _collect_grants(after) if after else {}
    changed = {grant for grant in old.keys() | new.keys() if old.get(grant) != new.get(grant)}
    # What hangs on a condition may be missing: it is added where it was not certain, and removed where it is not.
    removed = {grant: _tell_when(old[grant], new.get(grant)) for grant in changed & old.keys()}
    added = {grant: _tell_when(new[grant], old.get(grant)) for grant in changed & new.keys()}
    removed = {grant: when for grant, when in removed.items() if new.get(grant) != _CERTAIN}
    added = {grant: when for grant, when in added.items() if old.get(grant) != _CERTAIN}
    changes = [*_group_actions(removed, added=False), *_group_actions(added, added=True)]
    return tuple(sorted(changes, key=lambda change: (change.holder, change.kind, change.resource, change.added)))


def _tell_when(condition: str, other: str | None) -> str:
    """Return when there is a grant that is not there on the other side; empty for any case.

    What was certain and hangs on a condition is gone if that is not met.
    """
    if condition != _CERTAIN:
        return condition
    if other is None:
        return ""
    # Of several literals, the first one's opposite is not the opposite of all.
    return f"not ({other})" if " and " in other else str(negate(other))


def holds_rights(change: Change, prop: PropertyChange) -> bool:
    """Whether a changed property grants or denies something."""
    name = prop.name.split("/")[0]
    if change.resource_type in _PERMISSIONS or name in _ATTACHMENTS:
        return True
    if name in _MEMBERSHIPS.get(change.resource_type, ()):
        return True
    return is_policy(prop.name, prop.deployed, prop.before, prop.after)


def is_policy(property_name: str, *values: str | None) -> bool:
    """Whether the property is a policy document, or holds one or is a part of one."""
    return "Statement" in property_name.split("/") or any(any(_find_documents(value)) for value in values)


def _group_actions(grants: Mapping[_Grant, str], *, added: bool) -> Iterator[StatementChange]:
    """Group the actions of grants that are otherwise equal; the value of each tells when there is one."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for grant in sorted(grants):
        key = (grant.holder, grant.kind, grant.effect, grant.resource, grant.condition, grants[grant])
        groups.setdefault(key, []).append(grant.action)
    for (holder, kind, effect, resource, condition, when), actions in groups.items():
        yield StatementChange(added, holder, kind, effect, tuple(actions), resource, condition, when)


def _collect_grants(stack: Evaluated) -> dict[_Grant, str]:
    """Return each grant that there may be, with when there is: ``_CERTAIN``, or a condition of the template."""
    conditions: dict[_Grant, set[str]] = {}
    for grant, condition in _read_grants(stack):
        conditions.setdefault(grant, set()).add(condition)
    return {grant: _join_conditions(texts) for grant, texts in conditions.items()}


def _join_conditions(conditions: set[str]) -> str:
    result = join_any(condition or True for condition in sorted(conditions))
    return _CERTAIN if result is True else str(result)


def _read_grants(stack: Evaluated) -> Iterator[tuple[_Grant, str]]:
    """Yield each grant with the condition that it hangs on; empty if there is none."""
    for holder, resource in stack.walk():
        properties = _leave_out_documents(resource.properties)
        choices = [
            (when, set(_property_grants(holder, replace(resource, properties=choice or {}))))
            for when, choice in list_choices(properties)
        ]
        yield from _qualify_grants(choices, resource.condition)
        for kind, document, condition in _policy_documents(resource):
            for when, statement in _list_statements(document["Statement"]):
                conditions = " and ".join(filter(None, (resource.condition, condition, when)))
                choices = [
                    # What is no mapping, such as a function that is not evaluated, is shown as a changed property.
                    (literal, set(_statement_grants(holder, kind, choice) if isinstance(choice, Mapping) else ()))
                    for literal, choice in list_choices(statement)
                ]
                yield from _qualify_grants(choices, conditions)


def _qualify_grants(choices: list[tuple[str, set[_Grant]]], condition: str) -> Iterator[tuple[_Grant, str]]:
    """Yield the grants of what a value may be: those of all choices hang on no condition of the value's own."""
    for grant in set().union(*(grants for _, grants in choices)):
        literals = [literal for literal, grants in choices if grant in grants]
        part = "" if len(literals) == len(choices) else str(join_any(literals))
        yield grant, " and ".join(filter(None, (condition, part)))


def _leave_out_documents(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name == "Statement" or not any(_find_documents(value))}


def _property_grants(holder: str, resource: Resource) -> Iterator[_Grant]:
    yield from _permission_grants(holder, resource)
    yield from _membership_grants(holder, resource)
    for policy in (item for name in _ATTACHMENTS for item in as_list(resource.properties.get(name, []))):
        yield _Grant(holder, "attached", "Allow", as_text(policy), "", _ALL_OF_A_POLICY)


def _list_statements(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each statement that there may be, with when: what hangs on a condition that is not known may be granted."""
    for when, statements in list_branches(value):
        for statement in as_list(statements):
            for condition, branch in list_branches(statement):
                yield " and ".join(filter(None, (when, condition))), branch


def _policy_documents(resource: Resource) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Yield each policy document in the properties, with its kind and the condition that it hangs on."""
    if resource.type in _PERMISSIONS and "Statement" in resource.properties:
        yield "resource policy", resource.properties, ""
        return
    for name, value in resource.properties.items():
        kind = _KINDS.get(name) or _KINDS_BY_TYPE.get(resource.type) or "policy"
        for document, condition in _find_documents(value):
            yield kind, document, condition


def _find_documents(value: Any, condition: str = "") -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the policy documents in a value, with when: a text may hold one as JSON."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[", '"')):
        try:
            value = json.loads(value)
        except ValueError:
            return
    if read_choice(value):
        for when, branch in list_branches(value, condition):
            yield from _find_documents(branch, when)
    elif isinstance(value, Mapping):
        if "Statement" in value:
            yield value, condition
        else:
            for item in value.values():
                yield from _find_documents(item, condition)
    elif isinstance(value, list):
        for item in value:
            yield from _find_documents(item, condition)


def _statement_grants(holder: str, kind: str, statement: Mapping[str, Any]) -> Iterator[_Grant]:
    condition = as_text(statement["Condition"]) if statement.get("Condition") else ""
    principals = _describe_principals(statement)
    # A policy that names for whom it is belongs to the resource that it protects.
    kind = "resource policy" if principals and kind == "policy" else kind
    resources = _describe_element(statement, "Resource")
    for action in _describe_element(statement, "Action"):
        for principal in principals or [""]:
            for resource in resources or [""]:
                target = resource
                if principal:
                    # In a key's policy "*" is the key itself, so the principal says more.
                    is_itself = resource in ("", "*") and resource != principal
                    target = principal if is_itself else f"{resource} for {principal}"
                yield _Grant(holder, kind, str(statement.get("Effect", "Allow")), target, condition, action)


def _describe_principals(statement: Mapping[str, Any]) -> list[str]:
    for name, pattern in (("Principal", "{}"), ("NotPrincipal", f"{ALL_BUT}{{}}")):
        principal = statement.get(name)
        if isinstance(principal, Mapping):
            return [
                pattern.format(_describe_principal(kind, as_text(item)))
                for kind, value in principal.items()
                for item in as_list(value)
            ]
        if principal is not None:
            return [pattern.format(EVERYBODY if principal == "*" else as_text(principal))]
    return []


def _describe_principal(kind: str, value: str) -> str:
    """Return the principal, with its kind where that does not follow from its form.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-anonymous
    """
    if (kind, value) == ("AWS", "*"):
        return EVERYBODY
    is_service = ".amazonaws." in value
    return value if kind == ("Service" if is_service else "AWS") else f"{kind} {value}"


def _describe_element(statement: Mapping[str, Any], name: str) -> list[str]:
    """Return the values of ``Action`` or ``Resource``, or those of ``NotAction`` or ``NotResource`` as one value."""
    if f"Not{name}" in statement:
        start = EVERY_ACTION_BUT if name == "Action" else ALL_BUT
        return [start + ", ".join(as_text(item) for item in as_list(statement[f"Not{name}"]))]
    return [as_text(item) for item in as_list(statement.get(name, []))]


def _permission_grants(holder: str, resource: Resource) -> Iterator[_Grant]:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-permission.html"""
    target_name = _PERMISSIONS.get(resource.type)
    # A policy of an event bus may also be a document.
    if target_name is None or "Statement" in resource.properties:
        return
    properties = {name: as_text(value) for name, value in resource.properties.items()}
    limits = {name: value for name, value in properties.items() if name not in ("Action", target_name, "Principal")}
    principal = properties.get("Principal", "")
    target = f"{properties.get(target_name)} for {EVERYBODY if principal == '*' else principal}"
    condition = json.dumps(limits, sort_keys=True) if limits else ""
    yield _Grant(holder, "permission", "Allow", target, condition, properties.get("Action", ""))


def _membership_grants(holder: str, resource: Resource) -> Iterator[_Grant]:
    kind, group_property, member_property = _MEMBERSHIPS.get(resource.type, ("", "", ""))
    for group in as_list(resource.properties.get(group_property, [])):
        for member in as_list(resource.properties.get(member_property, "")):
            target = f"{kind} {as_text(group)}" + (f" for {as_text(member)}" if member else "")
            yield _Grant(holder, MEMBERSHIP, "Allow", target, "", _ALL_OF_A_GROUP)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

"""The template of the artifacts stack while the platform is deployed: it holds the rights of both releases.

A new release may rename what a permissions boundary names. Until the platform is deployed, its running functions need
the old name, and its deployment needs both. So rights are added before the platform is deployed, and taken away after
it. The rights of another environment stay until that environment is deployed, because it still runs the earlier
release. A statement that refuses something is in force at once.
"""

import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scripts.common.errors import UserError
from scripts.common.evaluate import TOKEN, Evaluated, Resource, evaluate
from scripts.common.templates import Template, Tree, to_plain_types
from stacks import names

from .plan.iam import as_list

# Characters of a managed policy, and of all inline policies of a role together; white space does not count.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html#reference_iam-quotas-entity-length
LONGEST_MANAGED = 6_144
LONGEST_INLINE = 10_240
# The inline policy of a role with its rights of an earlier release.
INLINE_POLICY = "RightsOfAnEarlierRelease"
_MANAGED_POLICY = "AWS::IAM::ManagedPolicy"
_ROLE = "AWS::IAM::Role"
_POLICY_VARIABLE = re.compile(r"\$\{(?![A-Za-z0-9/]+(?:\.[A-Za-z0-9.]+)?\})")


class Right(NamedTuple):
    """The smallest unit of a policy. ``action`` and ``resource`` are JSON: of the whole list in ``NotAction``."""

    effect: str
    condition: str
    resource_key: str
    resource: str
    action_key: str
    action: str


# Whether a right that the new release takes away is kept: by the name of its holder, and the right.
Keep = Callable[[str, Right], bool]


@dataclass(frozen=True)
class Release:
    """A template of the artifacts stack with its parameters, and its evaluation."""

    template: Template
    evaluated: Evaluated

    @classmethod
    def from_template(cls, template: Template, parameters: Mapping[str, str], pseudo: Mapping[str, str]) -> "Release":
        return cls(template, evaluate(Tree(template), parameters, pseudo))


def list_environments(template: Template) -> list[str]:
    """Return the environments that have a permissions boundary in the template."""
    prefix = names.in_environment(names.BOUNDARY_POLICY, "")
    policies = [
        str(resource.get("Properties", {}).get("ManagedPolicyName", ""))
        for resource in template.get("Resources", {}).values()
        if resource.get("Type") == _MANAGED_POLICY
    ]
    return [policy.removeprefix(prefix) for policy in policies if policy.startswith(prefix)]


def keep_all(_holder: str, _right: Right) -> bool:
    """Keep every right, as while the platform is deployed."""
    return True


def keep_of(environments: Iterable[str]) -> Keep:
    """Return the rule that keeps the rights which name one of the environments, in their holder or their resource."""
    words = "|".join(map(re.escape, environments))
    pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])")
    return lambda holder, right: bool(words and (pattern.search(holder) or pattern.search(right.resource)))


def add_kept_rights(deployed: Release, new: Release, keep: Keep) -> Template:
    """Return the new template with the rights of the deployed one that it takes away and ``keep`` chooses.

    Boundaries hold them as statements; roles as an inline policy, because their managed policies are nearly full. A
    policy that only loses rights which are all kept stays as it is deployed. What the new template no longer has goes
    on outside the stack, because its deletion policy retains it. Raises ``UserError`` if a policy gets too long.
    """
    template: Template = to_plain_types(new.template)
    attached = set(_list_attached(new.evaluated)) | set(_list_attached(deployed.evaluated))
    documents: dict[str, Any] = {}
    for logical_id, policy in _select(new.evaluated, _MANAGED_POLICY):
        old = deployed.evaluated.resources.get(logical_id)
        documents[logical_id] = policy.properties["PolicyDocument"]
        if old is not None and old.type == _MANAGED_POLICY:
            changed = _choose_document(old, policy, keep, is_boundary=logical_id not in attached)
            if changed is not None:
                documents[logical_id] = changed
                _check_length(_name_holder(policy), changed, LONGEST_MANAGED)
                template["Resources"][logical_id]["Properties"]["PolicyDocument"] = _to_expression(changed, new)
    for logical_id, role in _select(new.evaluated, _ROLE):
        old_role = deployed.evaluated.resources.get(logical_id)
        if old_role is not None and old_role.type == _ROLE:
            before = _read_role(old_role, _read_documents(deployed.evaluated))
            holder = _name_holder(role)
            lost_rights = [right for right in before - _read_role(role, documents) if keep(holder, right)]
            # A right to refuse something is no right that a deployment needs.
            if kept_rights := [right for right in lost_rights if right.effect == "Allow"]:
                document = {"Version": "2012-10-17", "Statement": list(_write_statements(kept_rights))}
                policies = [*role.properties.get("Policies", []), {"PolicyDocument": document}]
                _check_length(holder, [item["PolicyDocument"] for item in policies], LONGEST_INLINE)
                properties = template["Resources"][logical_id]["Properties"]
                added = {"PolicyName": INLINE_POLICY, "PolicyDocument": _to_expression(document, new)}
                properties["Policies"] = [*properties.get("Policies", []), added]
    return template


def holds_only_rights_of(deployed: Release, end: Release, during: Release) -> bool:
    """Whether a template grants nothing that neither release grants, and is otherwise that of the end."""
    if during.evaluated.resources.keys() != end.evaluated.resources.keys():
        return False
    for logical_id, resource in during.evaluated.resources.items():
        last = end.evaluated.resources[logical_id]
        varying = {_MANAGED_POLICY: "PolicyDocument", _ROLE: "Policies"}.get(resource.type, "")
        rest, last_rest = (
            {name: value for name, value in item.properties.items() if name != varying} for item in (resource, last)
        )
        if (resource.type, rest) != (last.type, last_rest):
            return False
        if varying:
            before, after = (_list_rights_of(release, logical_id) for release in (deployed, end))
            rights = _list_rights_of(during, logical_id)
            allowed = {right for right in before | after if right.effect == "Allow"}
            is_wider = any(right.effect == "Allow" and right not in allowed for right in rights)
            refused = {right for right in before & after if right.effect != "Allow"}
            if is_wider or not refused <= rights:
                return False
    return True


def _list_rights_of(release: Release, logical_id: str) -> set[Right]:
    resource = release.evaluated.resources.get(logical_id)
    if resource is None:
        return set()
    if resource.type == _ROLE:
        return _read_role(resource, _read_documents(release.evaluated))
    return _read_rights(resource.properties.get("PolicyDocument", {"Statement": []}))


def _choose_document(old: Resource, new: Resource, keep: Keep, *, is_boundary: bool) -> Any:
    """Return the document of a policy that keeps rights, or None for the new one as it is."""
    before, after = (_read_rights(resource.properties["PolicyDocument"]) for resource in (old, new))
    lost_rights = before - after
    kept_rights = {right for right in lost_rights if keep(_name_holder(new), right)}
    if not kept_rights:
        return None
    if kept_rights == lost_rights and before >= after:
        return old.properties["PolicyDocument"]
    allowed = [right for right in kept_rights if right.effect == "Allow"]
    if not is_boundary or not allowed:
        return None
    document = new.properties["PolicyDocument"]
    return {**document, "Statement": [*as_list(document["Statement"]), *_write_statements(allowed)]}


def _read_role(role: Resource, documents: Mapping[str, Any]) -> set[Right]:
    """Return the rights of a role's own policies, and of the managed ones of the same template."""
    attached = [documents[name] for name in _list_attached_of(role) if name in documents]
    inline = [policy["PolicyDocument"] for policy in role.properties.get("Policies", [])]
    return {right for document in (*attached, *inline) for right in _read_rights(document)}


def _read_documents(stack: Evaluated) -> dict[str, Any]:
    return {name: policy.properties["PolicyDocument"] for name, policy in _select(stack, _MANAGED_POLICY)}


def _select(stack: Evaluated, kind: str) -> Iterator[tuple[str, Resource]]:
    return ((name, resource) for name, resource in stack.resources.items() if resource.type == kind)


def _list_attached(stack: Evaluated) -> Iterator[str]:
    for _, role in _select(stack, _ROLE):
        yield from _list_attached_of(role)


def _list_attached_of(role: Resource) -> Iterator[str]:
    """Yield the logical ids of the role's managed policies that are in its template."""
    for policy in role.properties.get("ManagedPolicyArns", []):
        token = TOKEN.fullmatch(policy) if isinstance(policy, str) else None
        if token:
            yield token[1]


def _name_holder(resource: Resource) -> str:
    return str(resource.properties.get("ManagedPolicyName") or resource.properties.get("RoleName") or "")


def _read_rights(document: Mapping[str, Any]) -> set[Right]:
    return {
        Right(str(statement.get("Effect", "Allow")), condition, resource_key, resource, action_key, action)
        for statement in as_list(document["Statement"])
        for condition in [json.dumps(statement.get("Condition") or {}, sort_keys=True)]
        for resource_key, resource in _read_element(statement, "Resource")
        for action_key, action in _read_element(statement, "Action")
    }


def _read_element(statement: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    if f"Not{name}" in statement:
        return [(f"Not{name}", json.dumps(statement[f"Not{name}"]))]
    return [(name, json.dumps(item)) for item in as_list(statement.get(name, []))]


def _write_statements(rights: Iterable[Right]) -> Iterator[dict[str, Any]]:
    """Yield statements that grant the rights: resources with the same actions share one."""
    actions: dict[tuple[str, ...], list[str]] = {}
    for right in sorted(rights):
        actions.setdefault(right[:5], []).append(right.action)
    resources: dict[tuple[Any, ...], list[str]] = {}
    for (effect, condition, resource_key, resource, action_key), listed in actions.items():
        resources.setdefault((effect, condition, resource_key, action_key, tuple(listed)), []).append(resource)
    for (effect, condition, resource_key, action_key, listed_actions), items in resources.items():
        yield {
            "Effect": effect,
            action_key: _parse_items(action_key, listed_actions),
            resource_key: _parse_items(resource_key, items),
            **({"Condition": json.loads(condition)} if condition != "{}" else {}),
        }


def _parse_items(key: str, items: Sequence[str]) -> Any:
    return json.loads(items[0]) if key.startswith("Not") else [json.loads(item) for item in items]


def _check_length(holder: str, documents: Any, longest: int) -> None:
    length = len(re.sub(r"\s", "", json.dumps(documents)))
    if length > longest:
        raise UserError(
            f"{holder} cannot hold the rights of both releases: it would have {length:,} of at most {longest:,} "
            "characters; deploy in two steps: first a release that takes no rights away, then the one that does"
        )


def _to_expression(value: Any, new: Release) -> Any:
    """Return an evaluated value as an expression: a token of a resource becomes ``Fn::Sub``, which has its form."""
    if isinstance(value, Mapping):
        return {key: _to_expression(item, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_expression(item, new) for item in value]
    if not isinstance(value, str) or not TOKEN.search(value):
        return value
    _check_tokens(value, new.evaluated.resources)
    return {"Fn::Sub": _POLICY_VARIABLE.sub("${!", value)}


def _check_tokens(text: str, resources: Container[str]) -> None:
    for token in TOKEN.finditer(text):
        if token[1] not in resources:
            raise UserError(
                f"a right on {text} cannot be kept while the platform is deployed, because {token[1]} is removed; "
                "deploy in two steps: first a release that takes no rights away, then the one that does"
            )

"""The template of the artifacts stack while the platform is deployed: what either release may do, is allowed.

A new release may rename what a permissions boundary names. Until the platform is deployed, its running functions need
the old name, and its deployment needs both. So what allows more is in force before the platform is deployed, and what
allows less only after it: allowances, trust and attached policies are added before and taken away after; denials and
permissions boundaries are taken away before and added after. What another environment needs stays until that
environment is deployed, because it still runs the earlier release.
"""

import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from scripts.common.errors import UserError
from scripts.common.evaluate import evaluate
from scripts.common.evaluated import TOKEN, Evaluated, Resource
from scripts.common.templates import Template, Tree, to_plain_types
from stacks import names

from .rights import Right, is_contained, join_rights, limit_document, read_rights, write_statements

# Characters of a managed policy, of all inline policies of a role together, and of a trust policy; white space does not
# count. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html#reference_iam-quotas-entity-length
LONGEST_MANAGED = 6_144
LONGEST_INLINE = 10_240
LONGEST_TRUST = 2_048
# Bytes of a bucket policy. https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html
LONGEST_BUCKET_POLICY = 20_480
# The inline policy of a role with its rights of an earlier release.
INLINE_POLICY = "RightsOfAnEarlierRelease"
_MANAGED_POLICY = "AWS::IAM::ManagedPolicy"
_BUCKET_POLICY = "AWS::S3::BucketPolicy"
_ROLE = "AWS::IAM::Role"
# The properties in which the template in between may differ from both others.
_VARYING = {
    _MANAGED_POLICY: ("PolicyDocument",),
    _BUCKET_POLICY: ("PolicyDocument",),
    _ROLE: ("Policies", "AssumeRolePolicyDocument", "ManagedPolicyArns", "PermissionsBoundary"),
}
_EMPTY: dict[str, Any] = {"Statement": []}
_TWO_STEPS = "deploy in two steps: first a release that takes no rights away, then the one that does"
_POLICY_VARIABLE = re.compile(r"\$\{(?![A-Za-z0-9/]+(?:\.[A-Za-z0-9.]+)?\})")


# Whether what differs is as both releases need it: by the name of its holder, and the right.
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
    """Return the rule that keeps the rights which name one of the environments: the holder, or the right itself."""
    words = "|".join(map(re.escape, environments))
    pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])")

    def names_environment(holder: str, right: Right) -> bool:
        return bool(words) and any(
            pattern.search(text) for text in (holder, right.resource, right.condition, right.principal)
        )

    return names_environment


def add_kept_rights(deployed: Release, new: Release, keep: Keep) -> Template:
    """Return the new template; what it takes from the deployed one and ``keep`` chooses is as both releases need it.

    Boundaries and bucket policies hold this as statements; roles as an inline policy, because their managed policies
    are nearly full. What the new template no longer has goes on outside the stack, because its deletion policy retains
    it. Raises ``UserError`` if a policy gets too long or empty, and for a role with another permissions boundary.
    """
    return _Transition(deployed, new, keep).make_template()


class _Transition:
    def __init__(self, deployed: Release, new: Release, keep: Keep) -> None:
        self.deployed, self.new, self.keep = deployed, new, keep
        self.template: Template = to_plain_types(new.template)
        self.attached = {*_list_attached(new.evaluated), *_list_attached(deployed.evaluated)}
        # Of each managed policy, as the result has it.
        self.documents = _read_documents(new.evaluated)

    def make_template(self) -> Template:
        for logical_id, policy in _select(self.new.evaluated, _MANAGED_POLICY):
            self._change_managed_policy(logical_id, policy)
        for logical_id, policy in _select(self.new.evaluated, _BUCKET_POLICY):
            if old := self._find_deployed(logical_id, _BUCKET_POLICY):
                self._join_documents(logical_id, policy, old, "PolicyDocument", LONGEST_BUCKET_POLICY)
        for logical_id, role in _select(self.new.evaluated, _ROLE):
            if old := self._find_deployed(logical_id, _ROLE):
                self._join_documents(logical_id, role, old, "AssumeRolePolicyDocument", LONGEST_TRUST)
                self._change_boundary(logical_id, role, old)
                self._change_policies(logical_id, role, old)
        return self.template

    def _find_deployed(self, logical_id: str, kind: str) -> Resource | None:
        resource = self.deployed.evaluated.resources.get(logical_id)
        return resource if resource is not None and resource.type == kind else None

    def _set(self, logical_id: str, name: str, value: Any) -> None:
        self.template["Resources"][logical_id]["Properties"][name] = _to_expression(value, self.new)

    def _join_documents(self, logical_id: str, resource: Resource, old: Resource, name: str, longest: int) -> None:
        holder = _name_holder(resource) or logical_id
        before, after = (read_rights(item.properties.get(name, _EMPTY)) for item in (old, resource))
        rights = join_rights(before, after, partial(self.keep, holder))
        if rights == after:
            return
        document = old.properties[name] if rights == before else limit_document(resource.properties[name], rights)
        _check_document(holder, document, longest)
        self.documents[logical_id] = document
        self._set(logical_id, name, document)

    def _change_managed_policy(self, logical_id: str, policy: Resource) -> None:
        old = self._find_deployed(logical_id, _MANAGED_POLICY)
        if logical_id not in self.attached:
            if old is not None:
                self._join_documents(logical_id, policy, old, "PolicyDocument", LONGEST_MANAGED)
            return
        holder, new_document = _name_holder(policy), policy.properties["PolicyDocument"]
        old_document = old.properties["PolicyDocument"] if old is not None else _EMPTY
        before, after = read_rights(old_document), read_rights(new_document)
        rights = join_rights(before, after, partial(self.keep, holder))
        if rights == before:
            document = old_document
        else:
            # Its roles hold what else is allowed.
            remaining = {right for right in rights if right.is_denial or right in after}
            document = limit_document(new_document, remaining or rights) if remaining != after else new_document
        if not document["Statement"] and old is None:
            # No document may be empty; the roles that have the policy get it later.
            return
        if document != new_document:
            _check_document(holder, document, LONGEST_MANAGED)
            self.documents[logical_id] = document
            self._set(logical_id, "PolicyDocument", document)

    def _change_boundary(self, logical_id: str, role: Resource, old: Resource) -> None:
        before, after = (item.properties.get("PermissionsBoundary") for item in (old, role))
        limit = Right("Deny", "{}", "Resource", '"*"', "Action", '"*"')
        if before == after or after is None or not self.keep(_name_holder(role), limit):
            return
        if before is not None:
            raise UserError(
                f"{_name_holder(role)} cannot have the permissions boundaries of both releases; deploy in two steps: "
                "first a release without a permissions boundary, then the one with the other"
            )
        del self.template["Resources"][logical_id]["Properties"]["PermissionsBoundary"]

    def _change_policies(self, logical_id: str, role: Resource, old: Resource) -> None:
        holder = _name_holder(role)
        keep = partial(self.keep, holder)
        before = _read_role(old, _read_documents(self.deployed.evaluated))
        rights = join_rights(before, _read_role(role, _read_documents(self.new.evaluated)), keep)
        policies = role.properties.get("Policies", [])
        inline = [
            {**policy, "PolicyDocument": _leave_out_denials(policy["PolicyDocument"], rights)} for policy in policies
        ]
        inline = [policy for policy in inline if policy["PolicyDocument"]["Statement"]]
        arns = self._list_policies(role, old, rights)
        current = _read_role(Resource(_ROLE, {"Policies": inline, "ManagedPolicyArns": arns}), self.documents)
        missing_rights = {
            right for right in rights - current if not right.is_denial or not is_contained(right, current)
        }
        if missing_rights:
            document = {"Version": "2012-10-17", "Statement": list(write_statements(missing_rights))}
            inline.append({"PolicyName": INLINE_POLICY, "PolicyDocument": document})
            _check_length(holder, [policy["PolicyDocument"] for policy in inline], LONGEST_INLINE)
        if inline[: len(policies)] == policies:
            # What the new template has stays in its own words.
            written = self.template["Resources"][logical_id]["Properties"].get("Policies", [])
            added = [_to_expression(policy, self.new) for policy in inline[len(policies) :]]
            if added:
                self.template["Resources"][logical_id]["Properties"]["Policies"] = [*written, *added]
        else:
            self._set(logical_id, "Policies", inline)
        if arns != role.properties.get("ManagedPolicyArns", []):
            self._set(logical_id, "ManagedPolicyArns", arns)

    def _list_policies(self, role: Resource, old: Resource, rights: set[Right]) -> list[Any]:
        """Return the managed policies of a role: those that deny nothing else, and those of the account of before."""
        arns: list[Any] = []
        for arn in role.properties.get("ManagedPolicyArns", []):
            document = self.documents.get(_read_token(arn))
            denials = {right for right in read_rights(document) if right.is_denial} if document else set()
            if all(is_contained(right, rights) for right in denials):
                arns.append(arn)
        for arn in _list_literal_policies(old):
            right = Right("Allow", "{}", "Resource", json.dumps(arn), "Action", '"*"')
            if arn not in arns and self.keep(_name_holder(role), right):
                arns.append(arn)
        return arns


def _leave_out_denials(document: Mapping[str, Any], rights: set[Right]) -> Mapping[str, Any]:
    """Return the document without its denials that are not among the rights."""
    rights_of_document = read_rights(document)
    remaining = {right for right in rights_of_document if not right.is_denial or right in rights}
    return document if remaining == rights_of_document else limit_document(document, remaining)


def holds_only_rights_of(deployed: Release, end: Release, during: Release) -> bool:
    """Whether a template allows nothing that neither release allows, and is otherwise that of the end."""
    if during.evaluated.resources.keys() != end.evaluated.resources.keys():
        return False
    for logical_id, resource in during.evaluated.resources.items():
        last = end.evaluated.resources[logical_id]
        varying = _VARYING.get(resource.type, ())
        fixed, last_fixed = (
            {name: value for name, value in item.properties.items() if name not in varying} for item in (resource, last)
        )
        if (resource.type, fixed) != (last.type, last_fixed):
            return False
        first = deployed.evaluated.resources.get(logical_id, Resource(resource.type, {}))
        holders = [
            _list_rights_of(item, release)
            for item, release in ((first, deployed), (last, end), (resource, during))
            if varying
        ]
        if any(_is_wider(*rights) for rights in zip(*holders, strict=True)):
            return False
        if resource.type == _ROLE and not _has_policies_of(first, last, resource):
            return False
    return True


def _is_wider(before: set[Right], after: set[Right], during: set[Right]) -> bool:
    allowed = {right for right in before | after if not right.is_denial}
    denied = {right for right in before & after if right.is_denial}
    if any(not right.is_denial and right not in allowed for right in during):
        return True
    return not all(is_contained(right, during) for right in denied)


def _has_policies_of(first: Resource, last: Resource, during: Resource) -> bool:
    """Whether a role has only attached policies and a boundary that one of the releases has."""
    arns = {*_list_literal_policies(first), *_list_literal_policies(last)}
    boundaries = [item.properties.get("PermissionsBoundary") for item in (first, last)]
    return arns >= set(_list_literal_policies(during)) and during.properties.get("PermissionsBoundary") in boundaries


def _list_rights_of(resource: Resource, release: Release) -> list[set[Right]]:
    """Return the rights of a policy; of a role those that it has, and those to assume it."""
    if resource.type == _ROLE:
        trust = resource.properties.get("AssumeRolePolicyDocument", _EMPTY)
        return [_read_role(resource, _read_documents(release.evaluated)), read_rights(trust)]
    return [read_rights(resource.properties.get("PolicyDocument", _EMPTY))]


def _read_role(role: Resource, documents: Mapping[str, Any]) -> set[Right]:
    """Return the rights of a role's own policies, and of the managed ones of the same template."""
    attached = [documents[name] for name in _list_attached_of(role) if name in documents]
    inline = [policy["PolicyDocument"] for policy in role.properties.get("Policies", [])]
    return {right for document in (*attached, *inline) for right in read_rights(document)}


def _read_documents(stack: Evaluated) -> dict[str, Any]:
    return {name: policy.properties["PolicyDocument"] for name, policy in _select(stack, _MANAGED_POLICY)}


def _select(stack: Evaluated, kind: str) -> Iterator[tuple[str, Resource]]:
    return ((name, resource) for name, resource in stack.resources.items() if resource.type == kind)


def _list_attached(stack: Evaluated) -> Iterator[str]:
    for _, role in _select(stack, _ROLE):
        yield from _list_attached_of(role)


def _list_attached_of(role: Resource) -> Iterator[str]:
    """Yield the logical ids of the role's managed policies that are in its template."""
    yield from filter(None, map(_read_token, role.properties.get("ManagedPolicyArns", [])))


def _list_literal_policies(role: Resource) -> list[str]:
    """Return the role's managed policies that are in no template, by their ARNs."""
    arns = role.properties.get("ManagedPolicyArns", [])
    return [arn for arn in arns if isinstance(arn, str) and "${" not in arn]


def _read_token(value: Any) -> str:
    token = TOKEN.fullmatch(value) if isinstance(value, str) else None
    return token[1] if token else ""


def _name_holder(resource: Resource) -> str:
    return str(resource.properties.get("ManagedPolicyName") or resource.properties.get("RoleName") or "")


def _check_document(holder: str, document: Any, longest: int) -> None:
    if not document["Statement"]:
        raise UserError(f"{holder} would say nothing while the platform is deployed; {_TWO_STEPS}")
    _check_length(holder, document, longest)


def _check_length(holder: str, documents: Any, longest: int) -> None:
    length = len(re.sub(r"\s", "", json.dumps(documents)))
    if length > longest:
        raise UserError(
            f"{holder} cannot hold the rights of both releases: it would have {length:,} of at most {longest:,} "
            f"characters; {_TWO_STEPS}"
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
                f"{_TWO_STEPS}"
            )

"""The rights in policy documents, one action on one resource each, and which of them two releases hold together.

A request is allowed if a statement allows it and none denies it. So two releases that run at the same time need what
either of them allows, and bear only what both of them deny.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .plan.iam import as_list


class Right(NamedTuple):
    """The smallest unit of a policy. ``action`` and ``resource`` are JSON: of the whole list in ``NotAction``.

    A trust policy has no resource, and ``principal`` is the element as JSON, with one principal of a ``Principal``.
    """

    effect: str
    condition: str
    resource_key: str
    resource: str
    action_key: str
    action: str
    principal: str = ""

    @property
    def is_denial(self) -> bool:
        return self.effect != "Allow"


def read_rights(document: Mapping[str, Any]) -> set[Right]:
    return {
        Right(str(statement.get("Effect", "Allow")), condition, resource_key, resource, action_key, action, principal)
        for statement in as_list(document["Statement"])
        for condition in [json.dumps(statement.get("Condition") or {}, sort_keys=True)]
        for resource_key, resource in _read_element(statement, "Resource") or [("", "")]
        for action_key, action in _read_element(statement, "Action")
        for principal in _read_principals(statement)
    }


def _read_element(statement: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    if f"Not{name}" in statement:
        return [(f"Not{name}", json.dumps(statement[f"Not{name}"]))]
    return [(name, json.dumps(item)) for item in as_list(statement.get(name, []))]


def _read_principals(statement: Mapping[str, Any]) -> list[str]:
    if "NotPrincipal" in statement:
        return [json.dumps({"NotPrincipal": statement["NotPrincipal"]}, sort_keys=True)]
    principal = statement.get("Principal")
    if not isinstance(principal, Mapping):
        return [json.dumps({"Principal": principal})] if principal is not None else [""]
    return [json.dumps({"Principal": {kind: item}}) for kind, items in principal.items() for item in as_list(items)]


def write_statements(rights: Iterable[Right]) -> Iterator[dict[str, Any]]:
    """Yield statements with exactly these rights: resources with the same actions share one.

    Each list of ``NotAction`` or ``NotResource`` needs a statement of its own.
    """
    actions: dict[tuple[str, ...], list[str]] = {}
    for right in sorted(rights):
        excluded_actions = right.action if right.action_key.startswith("Not") else ""
        actions.setdefault((*right[:5], right.principal, excluded_actions), []).append(right.action)
    resources: dict[tuple[Any, ...], list[str]] = {}
    for (effect, condition, resource_key, resource, action_key, principal, _), listed in actions.items():
        excluded_resources = resource if resource_key.startswith("Not") else ""
        key = (effect, condition, resource_key, action_key, tuple(listed), principal, excluded_resources)
        resources.setdefault(key, []).append(resource)
    for (effect, condition, resource_key, action_key, listed_actions, principal, _), items in resources.items():
        yield {
            "Effect": effect,
            **(json.loads(principal) if principal else {}),
            action_key: _parse_items(action_key, listed_actions),
            **({resource_key: _parse_items(resource_key, items)} if resource_key else {}),
            **({"Condition": json.loads(condition)} if condition != "{}" else {}),
        }


def _parse_items(key: str, items: Sequence[str]) -> Any:
    if not key.startswith("Not"):
        return [json.loads(item) for item in items]
    (excluded,) = items
    return json.loads(excluded)


def limit_document(document: Mapping[str, Any], rights: set[Right]) -> dict[str, Any]:
    """Return the document with exactly these rights: its own statements, as far as they hold nothing else."""
    statements: list[Any] = []
    for statement in as_list(document["Statement"]):
        rights_of_statement = read_rights({"Statement": [statement]})
        if rights_of_statement <= rights:
            statements.append(statement)
        else:
            statements += write_statements(rights_of_statement & rights)
    added = rights - read_rights({"Statement": statements})
    return {**document, "Statement": [*statements, *write_statements(added)]}


def join_rights(before: set[Right], after: set[Right], keep: Callable[[Right], bool]) -> set[Right]:
    """Return the rights of the later release, and of those that differ and ``keep`` chooses, what both releases need.

    That is each allowance of either release, and denials only as far as both releases deny.
    """
    allowed = {right for right in before - after if not right.is_denial and keep(right)}
    old, new = ({right for right in rights if right.is_denial} for rights in (before, after))
    delayed = {right for right in new if keep(right) and not is_contained(right, old)}
    denied = after - delayed
    return denied | allowed | _find_common_denials(old - denied, delayed, denied)


def _find_common_denials(old: set[Right], new: set[Right], denied: set[Right]) -> set[Right]:
    """Return what the denials of both releases deny in common, except what ``denied`` denies in any case."""
    common = {right for first in old for second in new if (right := _find_common_denial(first, second))}
    return {right for right in common if not is_contained(right, denied)}


def _find_common_denial(first: Right, second: Right) -> Right | None:
    """Return a denial of requests that both denials cover, if one of them contains the other but for its condition."""
    condition = _join_conditions(json.loads(first.condition), json.loads(second.condition))
    if condition is None:
        return None
    on_condition = json.dumps(condition, sort_keys=True)
    for inner, outer in ((first, second), (second, first)):
        if is_contained(inner._replace(condition=""), [outer._replace(condition="")]):
            return inner._replace(condition=on_condition)
    return None


def _join_conditions(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a condition that is met only where both are; None if there is none, or not in so few words.

    All operators and all keys of a condition have to be met, and one of the values of a key: with a negated operator,
    none of them. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
    """
    joined = {operator: dict(keys) for operator, keys in first.items()}
    for operator, keys in second.items():
        former_keys = joined.setdefault(operator, {})
        for key, value in keys.items():
            if key not in former_keys:
                # IAM ignores the case of keys, so that two spellings of one would be one key twice.
                if key.lower() in (former_key.lower() for former_key in former_keys):
                    return None
                former_keys[key] = value
            elif (values := _join_values(operator, as_list(former_keys[key]), as_list(value))) is not None:
                former_keys[key] = values
            else:
                return None
    return joined


def _join_values(operator: str, first: Sequence[Any], second: Sequence[Any]) -> list[Any] | None:
    if "Not" in operator:
        return [*first, *(value for value in second if value not in first)]
    # Patterns and numbers may match in common what their texts do not have in common; less is denied then.
    return [value for value in first if value in second] or None


def is_contained(inner: Right, rights: Iterable[Right]) -> bool:
    """Whether one of the rights covers every request that ``inner`` covers, as far as their texts tell.

    Conditions are not compared: one that differs may cover other requests.
    """
    return any(
        outer.effect == inner.effect
        and outer.condition in (inner.condition, "{}")
        and outer.principal in (inner.principal, '{"Principal": "*"}')
        and _covers((outer.resource_key, outer.resource), (inner.resource_key, inner.resource))
        and _covers((outer.action_key, outer.action.lower()), (inner.action_key, inner.action.lower()))
        for outer in rights
    )


def _covers(outer: tuple[str, str], inner: tuple[str, str]) -> bool:
    """Whether an element of a policy matches at least what another one matches. Each is its key and its JSON."""
    if outer == inner:
        return True
    if outer[0] != inner[0]:
        return False
    if outer[0].startswith("Not"):
        outer_items, inner_items = (as_list(json.loads(text)) for _, text in (outer, inner))
        return all(item in inner_items for item in outer_items)
    # In a variable such as ${*}, the characters of a pattern mean something else.
    if "${*" in outer[1] or "${?" in outer[1]:
        return False
    pattern = "".join({"*": ".*", "?": "[^*]"}.get(character, re.escape(character)) for character in outer[1])
    return re.fullmatch(pattern, inner[1], re.DOTALL) is not None

"""Compares two evaluated trees. Unlike a change set, the result does not include manual changes."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.common.evaluate import TOKEN, Evaluated, Resource
from scripts.common.templates import STACK

from .model import KNOWN_AFTER_APPLY, Change, PropertyChange, StackChanges
from .recreation import find_recreation

_EMPTY_STACK = Evaluated()
# The location of a nested template; its content is compared instead.
_LOCATION = "TemplateURL"


def compare_stacks(
    name: str, before: Evaluated | None, after: Evaluated | None, certainly_replaced: frozenset[str] = frozenset()
) -> StackChanges:
    """Return the changes of the tree; None stands for a stack that does not exist.

    ``certainly_replaced`` are paths of resources that the service is known to replace.
    """
    old, new = before or _EMPTY_STACK, after or _EMPTY_STACK
    replaced = certainly_replaced
    while True:
        # A replaced resource changes those that refer to it, which may replace them too.
        changes = _compare_stack(name, old, new, "", replaced)
        now_replaced = certainly_replaced | {path for path, change in changes.walk() if change.creates_resource}
        if now_replaced == replaced:
            return changes
        replaced = now_replaced


def _compare_stack(name: str, old: Evaluated, new: Evaluated, path: str, replaced: frozenset[str]) -> StackChanges:
    changes: list[Change] = []
    unchanged = []
    for logical_id in dict.fromkeys((*new.resources, *old.resources)):
        before, after = old.resources.get(logical_id), new.resources.get(logical_id)
        resource = before or after
        is_stack = resource is not None and resource.type == STACK
        nested = None
        if is_stack and (before is None or after is None or before.type == after.type):
            nested = _compare_stack(
                logical_id,
                old.nested.get(logical_id, _EMPTY_STACK),
                new.nested.get(logical_id, _EMPTY_STACK),
                f"{path}{logical_id}/",
                replaced,
            )
        change = _compare_resource(logical_id, before, after, replaced, nested)
        if change is not None:
            changes.append(change)
        elif is_stack:
            unchanged.append(logical_id)
    outputs: set[str] = set()
    if old is not _EMPTY_STACK:
        outputs = {difference.path[0] for difference in find_differences(old.outputs, new.outputs)}
    return StackChanges(name, tuple(changes), tuple(unchanged), tuple(sorted(outputs)))


def _compare_resource(
    logical_id: str,
    before: Resource | None,
    after: Resource | None,
    replaced: frozenset[str],
    nested: StackChanges | None = None,
) -> Change | None:
    """Return the change, or None if nothing changes."""
    if before is None and after is not None:
        return Change("Add", logical_id, after.type, nested=nested)
    if before is not None and after is None:
        is_retained = before.deletion_policy.startswith("Retain")
        policy_action = "Retain" if is_retained else before.deletion_policy
        return Change("Remove", logical_id, before.type, policy_action=policy_action, nested=nested)
    if before is None or after is None:
        return None
    if before.type != after.type:
        properties: tuple[PropertyChange, ...] = (PropertyChange("Type", before.type, after.type, "Always"),)
    else:
        properties = (*_changed_properties(before, after, replaced), *_changed_policies(before, after))
    if not properties and not (nested and (nested.changes or nested.outputs)):
        return None
    replacement = _overall_replacement(properties)
    policy_action = "" if replacement == "False" else f"ReplaceAnd{before.update_replace_policy}"
    return Change("Modify", logical_id, after.type, replacement, properties, policy_action, nested)


def _overall_replacement(properties: tuple[PropertyChange, ...]) -> str:
    recreations = {change.recreation for change in properties}
    return "True" if "Always" in recreations else "Conditional" if "Conditionally" in recreations else "False"


def _changed_properties(before: Resource, after: Resource, replaced: frozenset[str]) -> Iterator[PropertyChange]:
    for difference in find_differences(before.properties, _with_unknowns(after.properties, replaced)):
        if before.type == STACK and difference.path[0] == _LOCATION:
            continue
        yield PropertyChange(
            "/".join(difference.path),
            None if difference.before is None else as_text(difference.before),
            None if difference.after is None else as_text(difference.after),
            "Never" if before.type == STACK else find_recreation(before.type, difference.path),
        )


def _changed_policies(before: Resource, after: Resource) -> Iterator[PropertyChange]:
    """Yield the changed deletion policies; each counts as a change even if no property changes."""
    if before.deletion_policy != after.deletion_policy:
        yield PropertyChange("DeletionPolicy", before.deletion_policy, after.deletion_policy)
    if before.update_replace_policy != after.update_replace_policy:
        yield PropertyChange("UpdateReplacePolicy", before.update_replace_policy, after.update_replace_policy)


@dataclass(frozen=True)
class Difference:
    path: tuple[str, ...]
    before: Any
    after: Any


def find_differences(before: Any, after: Any, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    """Yield the innermost values that differ; a list whose length changes counts as one value."""
    if as_text(before) == as_text(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from find_differences(before.get(key), after.get(key), (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from find_differences(old, new, (*path, str(index)))
    else:
        yield Difference(path, before, after)


def _with_unknowns(value: Any, replaced: frozenset[str]) -> Any:
    """Mark each text that refers to a replaced resource as unknown until the deployment."""
    if isinstance(value, Mapping):
        return {key: _with_unknowns(item, replaced) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_unknowns(item, replaced) for item in value]
    if isinstance(value, str) and any(match[1] in replaced for match in TOKEN.finditer(value)):
        return KNOWN_AFTER_APPLY
    return value


def as_text(value: Any) -> str:
    """Return equal texts for values that CloudFormation treats as equal, such as 5 and "5"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list):
        return json.dumps(_to_texts(value), sort_keys=True, ensure_ascii=False)
    return str(value)


def _to_texts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _to_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_texts(item) for item in value]
    return as_text(value)

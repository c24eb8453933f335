"""The changes that lead from one evaluated tree to another: what a change set says, without the service.

What the service alone knows, such as a resource that was changed by hand, is not in it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.common.evaluate import TOKEN, Evaluated, Resource
from scripts.common.templates import STACK

from .model import KNOWN_AFTER_APPLY, Change, PropertyChange, StackChanges
from .recreation import find_recreation

_NONE = Evaluated()
# Where a nested template lies says nothing about what is in it; what is in it is compared.
_LOCATION = "TemplateURL"


def compare_stacks(
    name: str, before: Evaluated | None, after: Evaluated | None, replaced: frozenset[str] = frozenset()
) -> StackChanges:
    """The changes of the tree; None stands for stacks that there are not.

    ``replaced`` are paths of resources that somebody who knows better says are replaced.
    """
    old, new = before or _NONE, after or _NONE
    anew = replaced
    while True:
        # A resource made anew changes those that refer to it, which may make them anew too.
        changes = _compare_stack(name, old, new, "", anew)
        found = replaced | frozenset(_replaced_paths(changes, ""))
        if found == anew:
            return changes
        anew = found


def _replaced_paths(stack: StackChanges, path: str) -> Iterator[str]:
    for change in stack.changes:
        if change.nested:
            yield from _replaced_paths(change.nested, f"{path}{change.logical_id}/")
        if change.action == "Add" or change.replacement != "False":
            yield f"{path}{change.logical_id}"


def _compare_stack(name: str, old: Evaluated, new: Evaluated, path: str, anew: frozenset[str]) -> StackChanges:
    changes: list[Change] = []
    unchanged = []
    for logical_id in [*new.resources, *(one for one in old.resources if one not in new.resources)]:
        before, after = old.resources.get(logical_id), new.resources.get(logical_id)
        there = before or after
        if there is not None and there.type == STACK and (before is None or after is None or before.type == after.type):
            nested = _compare_stack(
                logical_id,
                old.nested.get(logical_id, _NONE),
                new.nested.get(logical_id, _NONE),
                f"{path}{logical_id}/",
                anew,
            )
            change = _compare_resource(logical_id, before, after, anew, nested)
        else:
            change = _compare_resource(logical_id, before, after, anew)
        if change is not None:
            changes.append(change)
        elif there is not None and there.type == STACK:
            unchanged.append(logical_id)
    outputs = {one.path[0] for one in find_differences(old.outputs, new.outputs)} if old is not _NONE else set()
    return StackChanges(name, tuple(changes), tuple(unchanged), tuple(sorted(outputs)))


def _compare_resource(
    logical_id: str,
    before: Resource | None,
    after: Resource | None,
    anew: frozenset[str],
    nested: StackChanges | None = None,
) -> Change | None:
    """None where nothing changes."""
    if before is None and after is not None:
        return Change("Add", logical_id, after.type, nested=nested)
    if before is not None and after is None:
        kept = before.deletion_policy.startswith("Retain")
        policy_action = "Retain" if kept else before.deletion_policy
        return Change("Remove", logical_id, before.type, policy_action=policy_action, nested=nested)
    if before is None or after is None:
        return None
    if before.type != after.type:
        properties: tuple[PropertyChange, ...] = (PropertyChange("Type", before.type, after.type, "Always"),)
    else:
        properties = (*_changed_properties(before, after, anew), *_changed_policies(before, after))
    if not properties and not (nested and (nested.changes or nested.outputs)):
        return None
    replacement = _overall_replacement(properties)
    policy_action = ""
    if replacement != "False":
        policy_action = f"ReplaceAnd{before.update_replace_policy}"
    return Change("Modify", logical_id, after.type, replacement, properties, policy_action, nested)


def _overall_replacement(properties: tuple[PropertyChange, ...]) -> str:
    kinds = {one.recreation for one in properties}
    return "True" if "Always" in kinds else "Conditional" if "Conditionally" in kinds else "False"


def _changed_properties(before: Resource, after: Resource, anew: frozenset[str]) -> Iterator[PropertyChange]:
    now = _with_unknowns(after.properties, anew)
    for one in find_differences(before.properties, now):
        if before.type == STACK and one.path[0] == _LOCATION:
            continue
        yield PropertyChange(
            "/".join(one.path),
            None if one.before is None else as_text(one.before),
            None if one.after is None else as_text(one.after),
            "Never" if before.type == STACK else find_recreation(before.type, one.path),
        )


def _changed_policies(before: Resource, after: Resource) -> Iterator[PropertyChange]:
    """What becomes of the resource when it goes; a change of that alone is one."""
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
    """The smallest properties that differ; a list whose length changes is one of them."""
    if as_text(before) == as_text(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from find_differences(before.get(key), after.get(key), (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from find_differences(one, other, (*path, str(index)))
    else:
        yield Difference(path, before, after)


def _with_unknowns(value: Any, anew: frozenset[str]) -> Any:
    """A text that names a resource made anew is known when that has been made."""
    if isinstance(value, Mapping):
        return {key: _with_unknowns(item, anew) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_unknowns(item, anew) for item in value]
    if isinstance(value, str) and any(match[1] in anew for match in TOKEN.finditer(value)):
        return KNOWN_AFTER_APPLY
    return value


def as_text(value: Any) -> str:
    """One text for values that CloudFormation takes for the same: 5 and "5", true and "true"."""
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

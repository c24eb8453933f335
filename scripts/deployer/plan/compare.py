"""Compares two evaluated trees: the changes of a change set, without the service.

Changes that only the service knows, such as those to a resource that was edited by hand, are missing. A value that may
change although no template does is listed as unknown.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scripts.common.conditions import join_literals, list_branches, negate, read_choice
from scripts.common.evaluated import TOKEN, Evaluated, Resource, Unknown, find_unknowable_reasons, mask_secrets
from scripts.common.templates import STACK

from .model import CONDITION, KNOWN_AFTER_APPLY, TYPE, Change, PropertyChange, StackChanges
from .recreation import find_recreation, has_constant_name, is_constant_attribute, is_property
from .whole_values import is_function, is_judged_whole, to_texts

_EMPTY_STACK = Evaluated()
# The location of a nested template; its content is compared instead.
_LOCATION = "TemplateURL"
_ALL_PROPERTIES = "Properties"
# Of a value with more branches, not each is compared with each.
_MOST_PAIRS = 400


def compare_stacks(
    name: str, before: Evaluated | None, after: Evaluated | None, certainly_replaced: frozenset[str] = frozenset()
) -> StackChanges:
    """Return the changes of the tree; None stands for a stack that does not exist.

    ``certainly_replaced`` are paths of resources that the service is known to replace.
    """
    old, new = before or _EMPTY_STACK, after or _EMPTY_STACK
    unsettled = _Unsettled(certainly_replaced)
    while True:
        # A resource that changes may change those that refer to it, which may replace them too.
        changes = _compare_stack(name, old, new, "", unsettled)
        following = _Unsettled(
            certainly_replaced
            | {path for path, change in changes.walk() if change.creates_resource or change.condition},
            {path: change for path, change in changes.walk() if change.action in ("Modify", "Dynamic")},
        )
        if following == unsettled:
            return changes
        unsettled = following


@dataclass(frozen=True)
class _Unsettled:
    """The resources, by path, whose references and attributes are not known before the deployment."""

    created: frozenset[str] = frozenset()
    modified: Mapping[str, Change] = field(default_factory=dict)

    def may_change(self, token: re.Match[str]) -> bool:
        """Whether the deployment may change the value that the token stands for."""
        path, attribute = token[1], token[2].removeprefix(".")
        change = self.modified.get(path)
        if path in self.created or change is None:
            return path in self.created
        if not attribute:
            return not has_constant_name(change.resource_type)
        if is_constant_attribute(change.resource_type, attribute):
            return False
        # A property that the template sets changes as the template says.
        changed = {prop.name.split("/")[0] for prop in change.properties}
        return attribute.split(".")[0] in changed or not is_property(change.resource_type, attribute)


def _compare_stack(name: str, old: Evaluated, new: Evaluated, path: str, unsettled: _Unsettled) -> StackChanges:
    changes: list[Change] = []
    unchanged = []
    unknowns = list(_list_unknowns(old, new))
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
                unsettled,
            )
        change = _compare_resource(logical_id, before, after, unsettled, nested)
        if change is not None:
            changes.append(change)
        elif nested is not None:
            # A value that may change although no template does may be one of its.
            unchanged += [] if nested.unknowns else [logical_id]
            unknowns += [unknown.prefix_path(logical_id) for unknown in nested.unknowns]
    if old is _EMPTY_STACK:
        # Of a stack that is created, a plan tells the resources and what they grant, as nothing of it is compared.
        return StackChanges(name, tuple(replace(change, properties=()) for change in changes), unknowns=tuple(unknowns))
    outputs = tuple(_list_changed_outputs(old, new, unsettled))
    return StackChanges(name, tuple(changes), tuple(unchanged), outputs, tuple(unknowns))


def _list_changed_outputs(old: Evaluated, new: Evaluated, unsettled: _Unsettled) -> Iterator[str]:
    """Yield the outputs whose value or export changes. Other stacks read an export by its name."""
    exports = {difference.path[0]: difference for difference in find_differences(old.exports, new.exports)}
    values = {
        difference.path[0] for difference in find_differences(old.outputs, _with_unknowns(new.outputs, unsettled))
    }
    for name in sorted(values | set(exports)):
        if export := exports.get(name):
            before, after = (
                as_text(value) if value is not None else "(none)" for value in (export.before, export.after)
            )
            yield f"{name} (export {before} → {after})"
        elif new is _EMPTY_STACK:
            # The stack is deleted with all its outputs.
            continue
        elif name not in old.outputs or name not in new.outputs:
            yield f"{name} ({'added' if name in new.outputs else 'removed'})"
        else:
            yield name


def _list_unknowns(old: Evaluated, new: Evaluated) -> Iterator[Unknown]:
    """Yield what the comparison cannot know; a resource that is created or removed changes in any case."""
    yield from new.unknowns
    for logical_id, resource in new.resources.items():
        if logical_id in old.resources:
            properties = resource.properties if resource.type != STACK else {}
            for name, value in {**properties, **resource.attributes, CONDITION: resource.condition}.items():
                for reason in dict.fromkeys(find_unknowable_reasons(value)):
                    yield Unknown(f"{logical_id}/{name}", reason)
    for name, value in new.outputs.items():
        for reason in dict.fromkeys(find_unknowable_reasons(value)) if name in old.outputs else ():
            yield Unknown(f"Outputs/{name}", reason)


def _compare_resource(
    logical_id: str,
    before: Resource | None,
    after: Resource | None,
    unsettled: _Unsettled,
    nested: StackChanges | None = None,
) -> Change | None:
    """Return the change, or None if nothing changes."""
    if before is None:
        return _describe_addition(logical_id, after, nested) if after else None
    if after is None:
        return _describe_removal(logical_id, before, nested)
    existence = tuple(_compare_existence(before, after, unsettled))
    if before.type != after.type:
        properties: tuple[PropertyChange, ...] = (PropertyChange(TYPE, before.type, after.type, "Always"),)
    else:
        properties = (*_changed_properties(before, after, unsettled), *_changed_attributes(before, after, unsettled))
    if not existence and not properties and not (nested and (nested.changes or nested.outputs)):
        return None
    replacement = _overall_replacement(properties)
    if existence:
        # The API's word for what cannot be determined before the deployment.
        action, policy_action, condition = "Dynamic", before.deletion_policy, ""
    else:
        policy_action = "" if replacement == "False" else f"ReplaceAnd{before.update_replace_policy}"
        action, condition = "Modify", mask_secrets(before.condition)
    properties = (*existence, *properties)
    return Change(action, logical_id, after.type, replacement, properties, policy_action, nested, condition=condition)


def _describe_addition(logical_id: str, after: Resource, nested: StackChanges | None) -> Change:
    added, condition = tuple(_list_added_properties(after)), mask_secrets(after.condition)
    return Change("Add", logical_id, after.type, properties=added, nested=nested, condition=condition)


def _describe_removal(logical_id: str, before: Resource, nested: StackChanges | None) -> Change:
    is_retained = before.deletion_policy.startswith("Retain")
    policy_action = "Retain" if is_retained else before.deletion_policy
    # A nested stack that is retained keeps all its resources, whatever their own policies are.
    nested = None if is_retained else nested
    condition = mask_secrets(before.condition)
    return Change("Remove", logical_id, before.type, policy_action=policy_action, nested=nested, condition=condition)


def _compare_existence(before: Resource, after: Resource, unsettled: _Unsettled) -> Iterator[PropertyChange]:
    """Yield the change of the condition of a resource, if its result is not known and may become another one."""
    old, new = before.condition, _with_unknowns(after.condition, unsettled)
    if old != new:
        yield PropertyChange(CONDITION, mask_secrets(old) or None, mask_secrets(new) or None)


def _list_added_properties(resource: Resource) -> Iterator[PropertyChange]:
    """Yield what the template sets on a new resource; a nested stack's resources say more than its parameters."""
    if resource.type != STACK:
        for name, value in resource.properties.items():
            yield _describe_difference(Difference((name,), None, value), "Never")


def _overall_replacement(properties: tuple[PropertyChange, ...]) -> str:
    recreations = {change.recreation for change in properties}
    return "True" if "Always" in recreations else "Conditional" if "Conditionally" in recreations else "False"


def _changed_properties(before: Resource, after: Resource, unsettled: _Unsettled) -> Iterator[PropertyChange]:
    for difference in _join_whole_values(before.type, before.properties, _with_unknowns(after.properties, unsettled)):
        if before.type == STACK and difference.path[0] == _LOCATION:
            continue
        recreation = "Never" if before.type == STACK else find_recreation(before.type, difference.path)
        yield _describe_difference(difference, recreation)


def _join_whole_values(
    resource_type: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> "Iterator[Difference]":
    """Yield the differences, one for a property that is judged as a whole."""
    joined = set[str]()
    for difference in find_differences(before, after):
        # All properties may hang on one condition.
        name = difference.path[0] if difference.path else _ALL_PROPERTIES
        if not difference.path:
            yield replace(difference, path=(name,))
        elif not is_judged_whole(resource_type, name) or name not in {**before, **after}:
            yield difference
        elif name not in joined:
            joined.add(name)
            yield Difference((name,), before.get(name), after.get(name))


def _changed_attributes(before: Resource, after: Resource, unsettled: _Unsettled) -> Iterator[PropertyChange]:
    """Yield the changed policies and metadata, each of which is a change even if no property changes."""
    if before.deletion_policy != after.deletion_policy:
        yield PropertyChange("DeletionPolicy", before.deletion_policy, after.deletion_policy)
    if before.update_replace_policy != after.update_replace_policy:
        yield PropertyChange("UpdateReplacePolicy", before.update_replace_policy, after.update_replace_policy)
    for difference in find_differences(before.attributes, _with_unknowns(after.attributes, unsettled)):
        yield _describe_difference(difference, "Never")


def _describe_difference(difference: "Difference", recreation: str) -> PropertyChange:
    before, after = (
        None if value is None else mask_secrets(as_text(value)) for value in (difference.before, difference.after)
    )
    condition = mask_secrets(difference.condition)
    return PropertyChange("/".join(difference.path), before, after, recreation, condition=condition)


@dataclass(frozen=True)
class Difference:
    path: tuple[str, ...]
    before: Any
    after: Any
    # When the values are these; empty if they are in any case.
    condition: str = ""


def find_differences(before: Any, after: Any, path: tuple[str, ...] = (), condition: str = "") -> Iterator[Difference]:
    """Yield the innermost values that differ; a list whose length changes counts as one value, but for tags.

    So does a function that is not evaluated. Of a value that hangs on a condition, each branch is compared.
    """
    if to_texts(before) == to_texts(after):
        return
    if read_choice(before) or read_choice(after):
        yield from _compare_branches(before, after, path, condition)
        return
    if path and any(isinstance(value, dict) and is_function(value) for value in (before, after)):
        yield Difference(path, before, after, condition)
        return
    pairs = _pair_members(before, after)
    if pairs is None:
        yield Difference(path, before, after, condition)
        return
    for key, old, new in pairs:
        yield from find_differences(old, new, (*path, key), condition)


def _pair_members(before: Any, after: Any) -> list[tuple[str, Any, Any]] | None:
    """Return the members of two objects, lists of tags or lists of equal length; None for values that have none."""
    old_tags, new_tags = _read_tags(before), _read_tags(after)
    if old_tags and new_tags and old_tags != new_tags:
        before, after = old_tags, new_tags
    if isinstance(before, dict) and isinstance(after, dict):
        return [(key, before.get(key), after.get(key)) for key in dict.fromkeys((*before, *after))]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [(str(index), old, new) for index, (old, new) in enumerate(zip(before, after, strict=True))]
    return None


def _compare_branches(before: Any, after: Any, path: tuple[str, ...], condition: str) -> Iterator[Difference]:
    """Yield the differences of the values for each result of a condition that is the same on both sides.

    Where it is not, any value before may become any value after.
    """
    old, new = read_choice(before), read_choice(after)
    if old and new and old.condition == new.condition:
        yield from find_differences(old.met, new.met, path, join_literals(condition, old.condition))
        unmet = str(negate(old.condition))
        yield from find_differences(old.unmet, new.unmet, path, join_literals(condition, unmet))
        return
    former, later = list(list_branches(before)), list(list_branches(after))
    if len(former) * len(later) > _MOST_PAIRS:
        yield Difference(path, before, after, condition)
        return
    pairs = set[tuple[tuple[str, ...], str, str]]()
    for (old_literal, old_value), (new_literal, new_value) in itertools.product(former, later):
        when = join_literals(condition, old_literal, "" if KNOWN_AFTER_APPLY in new_literal else new_literal)
        for difference in find_differences(old_value, new_value, path, when):
            pair = (difference.path, repr(difference.before), repr(difference.after))
            if pair not in pairs:
                pairs.add(pair)
                yield difference


def _read_tags(value: Any) -> dict[str, Any]:
    """Return a list of tags by their keys; empty if it is none."""
    if not isinstance(value, list) or not all(
        isinstance(tag, Mapping) and set(tag) == {"Key", "Value"} for tag in value
    ):
        return {}
    tags = {as_text(tag["Key"]): tag["Value"] for tag in value}
    return tags if len(tags) == len(value) else {}


def _with_unknowns(value: Any, unsettled: _Unsettled) -> Any:
    """Mark each text that the deployment of another resource may change as known only afterwards."""
    if isinstance(value, Mapping):
        return {key: _with_unknowns(item, unsettled) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_unknowns(item, unsettled) for item in value]
    if isinstance(value, str) and any(map(unsettled.may_change, TOKEN.finditer(value))):
        return KNOWN_AFTER_APPLY
    return value


def as_text(value: Any) -> str:
    """Return equal texts for values that CloudFormation treats as equal, such as 5 and "5"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list):
        return json.dumps(to_texts(value), sort_keys=True, ensure_ascii=False)
    return str(value)

"""Joins the service's changes with the compared ones, and detects those that do not change anything.

A parameter that takes its value from another stack's output is unknown while a change set is created. So the service
lists every resource that uses the parameter, often as one that may be replaced. Comparing the templates shows whether
a value behind it changes. Where the comparison cannot know that, the service is trusted.
"""

from collections.abc import Container, Iterator
from dataclasses import replace

from scripts.common.templates import STACK

from .danger import list_stateful_types
from .model import KNOWN_AFTER_APPLY, Change, PropertyChange, StackChanges
from .whole_values import is_judged_whole

_CHANGING = ("Modify", "Dynamic")


def mark_spurious(service: StackChanges, compared: StackChanges) -> StackChanges:
    """Return the service's changes, marking those with unknown values only that the comparison does not list.

    What only the comparison lists is added: the service omits resources under conditions that it does not document.
    """
    real_changes = {change.logical_id: change for change in compared.changes}
    uncertain = _list_uncertain_resources(compared)
    marked = [
        _mark_change(
            change,
            real_changes.get(change.logical_id),
            _describe_unchanged_stack(change.logical_id, compared),
            change.logical_id not in uncertain,
        )
        for change in service.changes
    ]
    # A nested stack in which nothing changes is unchanged, for whatever reason the service lists it.
    changes = [
        item for item in marked if not (item.is_spurious and item.resource_type == STACK and item.nested is None)
    ]
    listed = {change.logical_id for change in service.changes}
    changes += [change for change in compared.changes if change.logical_id not in listed]
    return replace(
        service,
        changes=tuple(changes),
        unchanged=tuple(_list_unchanged_stacks(compared, marked, changes)),
        outputs=compared.outputs,
        unknowns=compared.unknowns,
    )


def _list_uncertain_resources(compared: StackChanges) -> Container[str]:
    """Return the resources that may change without a change of the templates: all of them, below a macro."""
    if any(not unknown.path for unknown in compared.unknowns):
        return _AllResources()
    return {unknown.path.split("/")[0] for unknown in compared.unknowns}


class _AllResources:
    def __contains__(self, _: object) -> bool:
        return True


def _list_unchanged_stacks(compared: StackChanges, marked: list[Change], changes: list[Change]) -> Iterator[str]:
    remaining = {change.logical_id for change in changes}
    stacks = [*compared.unchanged, *(item.logical_id for item in marked if item.resource_type == STACK)]
    yield from (name for name in dict.fromkeys(stacks) if name not in remaining)


def _describe_unchanged_stack(name: str, compared: StackChanges) -> StackChanges:
    """Return a nested stack in which the comparison found no change, with what it cannot know there."""
    prefix = f"{name}/"
    unknowns = (
        replace(unknown, path=unknown.path.removeprefix(prefix).removeprefix(name))
        for unknown in compared.unknowns
        if not unknown.path or f"{unknown.path}/".startswith(prefix)
    )
    return StackChanges(name, unknowns=tuple(unknowns))


def _mark_change(change: Change, real: Change | None, nothing: StackChanges, is_certain: bool) -> Change:
    """``nothing`` is what the comparison says of a nested stack without changes.

    ``is_certain`` is False where the comparison cannot know whether a value of the resource changes.
    """
    if change.resource_type == STACK:
        change = _leave_out_location(change)
    if change.nested is not None:
        change = _mark_nested(change, change.nested, real, nothing)
    elif not is_certain:
        return _join_properties(change, real)
    elif change.action == "Add":
        # CloudFormation names no property of a resource that it adds.
        return replace(change, properties=change.properties or (real.properties if real is not None else ()))
    elif real is None and change.drift == "MODIFIED":
        return _drop_spurious_properties(change, Change("Modify", change.logical_id, change.resource_type))
    elif real is None:
        return replace(change, is_spurious=change.is_spurious or _may_be_spurious(change))
    if real is not None and (change.action, real.action) == ("Modify", "Modify"):
        change = _drop_spurious_properties(change, real)
    return _join_properties(change, real)


def _leave_out_location(change: Change) -> Change:
    """Leave out where the template of a nested stack is: packaging names it by its content, and that is compared."""
    properties = tuple(prop for prop in change.properties if prop.name != "TemplateURL" or prop.is_drifted)
    return replace(change, properties=properties)


def _mark_nested(change: Change, nested: StackChanges, real: Change | None, nothing: StackChanges) -> Change:
    """A nested stack is spurious if all its changes are."""
    marked = mark_spurious(nested, real.nested if real is not None and real.nested is not None else nothing)
    is_same = real is None and change.action == "Modify" and not change.is_drifted
    return replace(change, nested=marked, is_spurious=is_same and all(item.is_spurious for item in marked.changes))


def _may_be_spurious(change: Change) -> bool:
    """Whether the change rests on unknown values only.

    A certain replacement is real, and so is a possible one of a resource that holds data: there the service is trusted.
    So it is about a drifted resource: that templates are equal says nothing of its actual state.
    """
    if change.is_drifted:
        return False
    if change.action != "Modify" or change.replacement == "True" or change.resource_type == STACK:
        return False
    if change.resource_type in list_stateful_types() and change.replacement != "False":
        return False
    return bool(change.properties) and all(map(_is_unknown, change.properties))


def _drop_spurious_properties(change: Change, real: Change) -> Change:
    """Drop the properties that do not change, and the replacement if no other property can cause it."""
    real_names = {prop.name.split("/")[0] for prop in real.properties}
    unknown = [prop for prop in change.properties if _is_unknown(prop) and not prop.is_drifted]
    dropped = [prop for prop in unknown if prop.name.split("/")[0] not in real_names]
    properties = tuple(prop for prop in change.properties if prop not in dropped)
    is_in_place = all(prop.recreation == "Never" for prop in properties) and real.replacement == "False"
    holds_data = change.resource_type in list_stateful_types()
    if change.replacement == "Conditional" and dropped and is_in_place and not holds_data:
        return replace(change, properties=properties, replacement="False")
    return replace(change, properties=properties)


def _join_properties(change: Change, real: Change | None) -> Change:
    """Add the values and the properties that only the comparison has: an answer of the service may lack both.

    A nested stack's own properties say nothing that the changes in it do not.
    """
    if real is None or real.action not in _CHANGING or change.action not in _CHANGING or change.nested:
        return change
    joined = list(dict.fromkeys(item for prop in change.properties for item in _find_values(change, prop, real)))
    listed = {prop.name for prop in joined}
    for item in real.properties:
        if not any(_is_part(item.name, name) or _is_part(name, item.name) for name in listed):
            # Whether the resource is replaced is known by the service.
            recreation = item.recreation if change.replacement != "False" else "Never"
            joined.append(replace(item, recreation=recreation))
    return replace(change, properties=tuple(joined))


def _find_values(change: Change, prop: PropertyChange, real: Change) -> list[PropertyChange]:
    """Return the listed property, or what the comparison has of it if the service gives no values or only a part.

    Of a value that is not known before the deployment, the comparison may know parts, which are added.
    """
    is_part_of_whole = is_judged_whole(change.resource_type, prop.name.split("/")[0])
    if prop.is_drifted or not (is_part_of_whole or (prop.before, prop.after) == (None, None)):
        listed = _fill_value(prop, real)
        return [listed, *_list_parts_with_values(listed, real)] if _is_unknown(listed) else [listed]
    compared = [
        replace(item, recreation=prop.recreation)
        for item in real.properties
        if _is_part(item.name, prop.name) or (is_part_of_whole and _is_part(prop.name, item.name))
    ]
    return compared or [prop]


def _list_parts_with_values(prop: PropertyChange, real: Change) -> Iterator[PropertyChange]:
    for item in real.properties:
        if item.name != prop.name and _is_part(item.name, prop.name) and item.after != KNOWN_AFTER_APPLY:
            yield replace(item, recreation=prop.recreation)


def _is_part(name: str, whole_name: str) -> bool:
    return f"{name}/".startswith(f"{whole_name}/")


def _fill_value(prop: PropertyChange, real: Change) -> PropertyChange:
    """Fill the value before or after where the service gives the other only, or does not know any of the latter."""
    counterpart = next((item for item in real.properties if item.name == prop.name), None)
    if counterpart is None or prop.is_drifted:
        return prop
    if prop.after == KNOWN_AFTER_APPLY and counterpart.after is not None:
        prop = replace(prop, after=counterpart.after)
    before, after = (
        value if value is not None else other
        for value, other in ((prop.before, counterpart.before), (prop.after, counterpart.after))
    )
    return replace(prop, before=before, after=after)


def _is_unknown(prop: PropertyChange) -> bool:
    return KNOWN_AFTER_APPLY in (prop.after or "")


def fill_nested_stacks(service: StackChanges, compared: StackChanges) -> tuple[StackChanges, bool]:
    """Return the changes, with compared ones for nested stacks that the service does not list, and whether any are."""
    real_changes = {change.logical_id: change for change in compared.changes}
    uncertain = _list_uncertain_resources(compared)
    any_filled = False
    changes = []
    for change in service.changes:
        # The service lists no changes for a nested stack that is created or removed.
        if change.resource_type == STACK and change.nested is None:
            any_filled = any_filled or change.action == "Modify"
            real = real_changes.get(change.logical_id)
            # If neither the stack nor its parameters change, it is listed because its template has a new location.
            is_moved = all(prop.name.split("/")[0] in ("TemplateURL", "Parameters") for prop in change.properties)
            is_same = real is None and change.logical_id not in uncertain
            is_spurious = is_same and change.action == "Modify" and is_moved and not change.is_drifted
            change = replace(change, is_spurious=True) if is_spurious else _take_content(change, real)
        changes.append(change)
    return replace(service, changes=tuple(changes)), any_filled


def _take_content(change: Change, real: Change | None) -> Change:
    """Return the compared change of a nested stack, with what only the service knows: its actual state."""
    if real is None:
        return change
    drifted = tuple(prop for prop in change.properties if prop.is_drifted)
    compared = tuple(prop for prop in real.properties if prop.name not in {item.name for item in drifted})
    return replace(real, drift=change.drift, ignored_drift=change.ignored_drift, properties=(*compared, *drifted))

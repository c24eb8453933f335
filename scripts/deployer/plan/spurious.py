"""Which changes of a change set are none.

A parameter that another stack's output feeds is not known while a change set is made: the service lists every resource
that reads it, often as one that may be replaced. The templates tell whether anything behind it changes.
"""

from dataclasses import replace

from scripts.common.templates import STACK

from .danger import HOLDS_DATA
from .model import KNOWN_AFTER_APPLY, Change, PropertyChange, StackChanges


def mark_spurious(service: StackChanges, compared: StackChanges) -> StackChanges:
    """The service's changes, with those marked that rest on unknown values only and that the comparison has not."""
    real = {change.logical_id: change for change in compared.changes}
    found = [_mark_change(change, real.get(change.logical_id)) for change in service.changes]
    # A nested stack in which nothing changes is unchanged, whatever it was listed for.
    changes = tuple(one for one in found if not (one.is_spurious and one.resource_type == STACK and one.nested is None))
    named = {change.logical_id for change in changes}
    # Those that only the comparison has changed, too: of what is deployed the service knows more.
    stacks = [*compared.unchanged, *(one.logical_id for one in compared.changes if one.resource_type == STACK)]
    return replace(service, changes=changes, unchanged=tuple(name for name in stacks if name not in named))


def _mark_change(change: Change, real: Change | None) -> Change:
    if change.nested is not None:
        compared = real.nested if real is not None and real.nested is not None else StackChanges(change.logical_id)
        nested = mark_spurious(change.nested, compared)
        # A nested stack is one whose changes are all phantoms.
        hollow = real is None and change.action == "Modify" and all(one.is_spurious for one in nested.changes)
        change = replace(change, nested=nested, is_spurious=hollow)
    elif real is None:
        return replace(change, is_spurious=change.is_spurious or _may_be_spurious(change))
    return _drop_spurious_properties(change, real) if real is not None and change.action == "Modify" else change


def _may_be_spurious(change: Change) -> bool:
    """Whether nothing but values that are not known yet makes it a change.

    A replacement that is certain is one; of what holds data, one that is possible: there the service is believed.
    """
    if change.action == "Add":
        # The template's conditions leave it out; only an emulator lists such.
        return True
    if change.action != "Modify" or change.replacement == "True" or change.resource_type == STACK:
        return False
    if change.resource_type in HOLDS_DATA and change.replacement != "False":
        return False
    return bool(change.properties) and all(_is_unknown(one) for one in change.properties)


def _drop_spurious_properties(change: Change, real: Change) -> Change:
    """A change that is one, without the properties that stay; if only these may replace it, it is not replaced."""
    there = {one.name.split("/")[0] for one in real.properties}
    stay = [one for one in change.properties if _is_unknown(one) and one.name.split("/")[0] not in there]
    properties = tuple(one for one in change.properties if one not in stay)
    certain = all(one.recreation == "Never" for one in properties) and real.replacement == "False"
    certain = certain and change.resource_type not in HOLDS_DATA
    replacement = "False" if change.replacement == "Conditional" and stay and certain else change.replacement
    return replace(change, properties=properties, replacement=replacement)


def _is_unknown(one: PropertyChange) -> bool:
    return KNOWN_AFTER_APPLY in (one.after or "")


def fill_nested_stacks(service: StackChanges, compared: StackChanges) -> tuple[StackChanges, bool]:
    """The service's changes, those of nested stacks from the comparison where it gives none; and whether any was."""
    real = {change.logical_id: change for change in compared.changes}
    any_filled = False
    changes = []
    for change in service.changes:
        # Of a nested stack that goes, or was not there, no service needs to say more.
        if change.resource_type == STACK and change.nested is None:
            any_filled = any_filled or change.action == "Modify"
            found = real.get(change.logical_id)
            # Where neither it nor what it is given changes, it is listed because its template lies elsewhere.
            elsewhere = all(one.name.split("/")[0] in ("TemplateURL", "Parameters") for one in change.properties)
            unchanged = found is None and change.action == "Modify" and elsewhere
            change = replace(change, is_spurious=True) if unchanged else found or change
        changes.append(change)
    return replace(service, changes=tuple(changes)), any_filled

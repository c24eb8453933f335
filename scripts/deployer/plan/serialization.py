"""Plans as JSON, for programs and for saved plans."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from scripts.common.evaluated import Unknown

from .model import Change, Count, Plan, PropertyChange, StackChanges, StatementChange

# Fields whose documented name differs from the name in Python.
_JSON_NAMES = {
    "is_spurious": "phantom",
    "spurious": "phantom",
    "imports": "import",
    "is_drifted": "drifted",
}
# The fields whose texts may be JSON.
_VALUES = ("condition", "before", "after", "deployed")


def to_json(record: Count | Plan | StackChanges) -> dict[str, Any]:
    return asdict(record, dict_factory=lambda pairs: {_JSON_NAMES.get(name, name): value for name, value in pairs})


def plan_from_json(document: dict[str, Any]) -> Plan:
    """Return the plan that ``to_json`` gave. Raises ``KeyError`` or ``TypeError`` for any other document."""
    statements = [
        StatementChange(**fields | {"actions": tuple(fields["actions"])}) for fields in document["statements"]
    ]
    return Plan(_stack_from_json(document["stack"]), tuple(statements), tuple(document["notices"]), document["source"])


def map_texts(plan: Plan, change_text: Callable[[str], str], *, keeps_values: bool = True) -> Plan:
    """Return the plan with each of its texts changed, such as for a terminal.

    ``keeps_values`` leaves out the conditions of statements and the values of properties: escapes in their JSON would
    change what it says.
    """

    def change_value(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: item if keeps_values and name in _VALUES else change_value(item) for name, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [change_value(item) for item in value]
        return change_text(value) if isinstance(value, str) else value

    return plan_from_json(change_value(to_json(plan)))


def _stack_from_json(document: dict[str, Any]) -> StackChanges:
    changes = tuple(map(_change_from_json, document["changes"]))
    unknowns = tuple(Unknown(**unknown) for unknown in document["unknowns"])
    unchanged, outputs = tuple(document["unchanged"]), tuple(document["outputs"])
    return StackChanges(document["name"], changes, unchanged, outputs, unknowns, document["drift"])


def _change_from_json(document: dict[str, Any]) -> Change:
    fields = {name: value for name, value in document.items() if name != "phantom"} | {
        "is_spurious": document["phantom"],
        "properties": tuple(map(_property_from_json, document["properties"])),
        "ignored_drift": tuple(document["ignored_drift"]),
        "nested": _stack_from_json(document["nested"]) if document["nested"] else None,
    }
    return Change(**fields)


def _property_from_json(document: dict[str, Any]) -> PropertyChange:
    fields = {name: value for name, value in document.items() if name != "drifted"}
    return PropertyChange(**fields, is_drifted=document["drifted"])

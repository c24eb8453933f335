"""Short words for planting a defect into an emitted template. Each refuses to plant what would change nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Template = dict[str, Any]
Plant = Callable[[Template], None]

# A row of a table of defects: as ``Defect``.
Planted = list[tuple[str, str, Plant, str]]

ROOT = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}


@dataclass(frozen=True)
class Defect:
    name: str
    template: str
    plant: Plant
    # A test by its node id, or a rule as in "cfn-lint E1010".
    caught_by: str


def put(path: str, value: Any) -> Plant:
    """``path`` as in ``Transactions.Properties.SSESpecification``, below Resources; a number is a place in a list."""

    def plant(template: Template) -> None:
        parent, key = _reach(template, path)
        parent[key] = value

    return plant


def drop(path: str) -> Plant:
    def plant(template: Template) -> None:
        parent, key = _reach(template, path)
        del parent[key]

    return plant


def swap(first: str, second: str) -> Plant:
    def plant(template: Template) -> None:
        (a, one), (b, other) = _reach(template, first), _reach(template, second)
        a[one], b[other] = b[other], a[one]

    return plant


def change(path: str, old: str, new: str) -> Plant:
    """Replace a word in whatever stands there."""

    def plant(template: Template) -> None:
        parent, key = _reach(template, path)
        parent[key] = _replaced(parent[key], old, new)

    return plant


def both(*plants: Plant) -> Plant:
    def plant(template: Template) -> None:
        for one in plants:
            one(template)

    return plant


# Statements of policies, by their Sid


def statement(resource: str, sid: str, **fields: Any) -> Plant:
    def plant(template: Template) -> None:
        for _, _, found in _statements(template, resource, sid):
            found.update(fields)

    return plant


def may_also(resource: str, sid: str, *actions: str) -> Plant:
    def plant(template: Template) -> None:
        for _, _, found in _statements(template, resource, sid):
            found["Action"] = [*found["Action"], *actions]

    return plant


def may_not(resource: str, sid: str, *actions: str) -> Plant:
    def plant(template: Template) -> None:
        for _, _, granting in _statements(template, resource, sid):
            granting["Action"] = [action for action in granting["Action"] if action not in actions]

    return plant


def without(resource: str, sid: str) -> Plant:
    """Take the statement out."""

    def plant(template: Template) -> None:
        for statements, index, _ in list(_statements(template, resource, sid)):
            del statements[index]

    return plant


def unconditioned(resource: str, sid: str, *keys: str) -> Plant:
    """Take condition keys away from a statement; without any named, all of them."""

    def plant(template: Template) -> None:
        for _, _, found in _statements(template, resource, sid):
            for operator in list(found["Condition"]):
                for key in keys or list(found["Condition"][operator]):
                    found["Condition"][operator].pop(key, None)
                if not found["Condition"][operator]:
                    del found["Condition"][operator]
            if not found["Condition"]:
                del found["Condition"]

    return plant


def added(resource: str, **fields: Any) -> Plant:
    """One statement more."""

    def plant(template: Template) -> None:
        for statements in _documents(template["Resources"][resource]["Properties"]):
            statements.append({"Sid": "Added", "Effect": "Allow", "Resource": ["*"]} | fields)

    return plant


# States of the workflow


def state(name: str, **fields: Any) -> Plant:
    return both(*(put(f"{_STATES}.{name}.{field}", value) for field, value in fields.items()))


def in_state(path: str, value: Any) -> Plant:
    return put(f"{_STATES}.{path}", value)


def lost_in_state(path: str) -> Plant:
    return drop(f"{_STATES}.{path}")


_STATES = "PaymentWorkflow.Properties.Definition.States"


def _reach(template: Template, path: str) -> tuple[Any, Any]:
    value: Any = template if path.startswith("/") else template["Resources"]
    *way, last = path.removeprefix("/").split(".")
    for part in way:
        value = value[int(part) if isinstance(value, list) else part]
    return value, int(last) if isinstance(value, list) else last


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {_replaced(key, old, new): _replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    return value.replace(old, new) if isinstance(value, str) else value


def _documents(value: Any) -> Iterator[list[dict[str, Any]]]:
    """The statements of every policy document below, each branch of a condition too."""
    if isinstance(value, dict):
        if isinstance(value.get("Statement"), list):
            yield value["Statement"]
        else:
            for item in value.values():
                yield from _documents(item)
    elif isinstance(value, list):
        for item in value:
            yield from _documents(item)


def _statements(template: Template, resource: str, sid: str) -> Iterator[tuple[list[Any], int, dict[str, Any]]]:
    for statements in _documents(template["Resources"][resource]["Properties"]):
        for index, found in enumerate(statements):
            if found["Sid"] == sid:
                yield statements, index, found

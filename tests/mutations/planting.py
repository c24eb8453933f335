"""Functions that plant a defect into an emitted template. They raise an error if there is nothing to change."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

Template = dict[str, Any]
Plant = Callable[[Template], None]
Parameters = ParamSpec("Parameters")

# Rows of a table of defects of one template: the fields of ``Defect`` but that template.
Planted = list[tuple[str, Plant, str]]

ROOT = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}
_STATES = "PaymentWorkflow.Definition.States"
_ATTRIBUTES = {"Condition", "DeletionPolicy", "DependsOn", "Properties", "UpdateReplacePolicy"}


@dataclass(frozen=True)
class Defect:
    name: str
    template: str
    plant: Plant
    # The node id of a test, or a rule as in "cfn-lint E1010".
    detected_by: str


def make_defects(template: str, *tables: Planted) -> list[Defect]:
    return [Defect(name, template, plant, test) for table in tables for name, plant, test in table]


def deferred(edit: Callable[Concatenate[Template, Parameters], None]) -> Callable[Parameters, Plant]:
    """Make a function that edits a template return a ``Plant``, which edits the template that it is given."""

    def make_plant(*arguments: Parameters.args, **options: Parameters.kwargs) -> Plant:
        return lambda template: edit(template, *arguments, **options)

    return make_plant


# Values, by the path of a property or an attribute of a resource, such as ``Transactions.SSESpecification`` or
# ``Transactions.DeletionPolicy``; a number is a list index. A path that begins with a slash starts at the template.


@deferred
def set_value(template: Template, path: str, value: Any) -> None:
    parent, key = _find_parent(template, path)
    parent[key] = value


@deferred
def drop_value(template: Template, path: str) -> None:
    parent, key = _find_parent(template, path)
    del parent[key]


@deferred
def swap_values(template: Template, first: str, second: str) -> None:
    (first_parent, first_key), (second_parent, second_key) = (_find_parent(template, path) for path in (first, second))
    first_value = first_parent[first_key]
    first_parent[first_key], second_parent[second_key] = second_parent[second_key], first_value


@deferred
def replace_text(template: Template, path: str, old: str, new: str) -> None:
    """Replace a part of every text below ``path``."""
    parent, key = _find_parent(template, path)
    parent[key] = _replace_in(parent[key], old, new)


@deferred
def apply_all(template: Template, *plants: Plant) -> None:
    for plant in plants:
        plant(template)


# Statements of the policies of a resource, by their Sid


@deferred
def edit_statement(template: Template, resource: str, sid: str, **fields: Any) -> None:
    for _, _, statement in _find_statements(template, resource, sid):
        statement.update(fields)


@deferred
def add_actions(template: Template, resource: str, sid: str, *actions: str) -> None:
    for _, _, statement in _find_statements(template, resource, sid):
        statement["Action"] = [*statement["Action"], *actions]


@deferred
def drop_actions(template: Template, resource: str, sid: str, *actions: str) -> None:
    for _, _, statement in _find_statements(template, resource, sid):
        statement["Action"] = [action for action in statement["Action"] if action not in actions]


@deferred
def drop_statement(template: Template, resource: str, sid: str) -> None:
    for statements, index, _ in list(_find_statements(template, resource, sid)):
        del statements[index]


@deferred
def drop_conditions(template: Template, resource: str, sid: str, *keys: str) -> None:
    """Drop condition keys of a statement; all of them if none is named."""
    for _, _, statement in _find_statements(template, resource, sid):
        for operator in list(statement["Condition"]):
            for key in keys or list(statement["Condition"][operator]):
                statement["Condition"][operator].pop(key, None)
            if not statement["Condition"][operator]:
                del statement["Condition"][operator]
        if not statement["Condition"]:
            del statement["Condition"]


@deferred
def add_statement(template: Template, resource: str, **fields: Any) -> None:
    for statements in _find_documents(template["Resources"][resource]["Properties"]):
        statements.append({"Sid": "Added", "Effect": "Allow", "Resource": ["*"]} | fields)


# States of the workflow


def edit_state(name: str, **fields: Any) -> Plant:
    return apply_all(*(set_in_state(f"{name}.{field}", value) for field, value in fields.items()))


def set_in_state(path: str, value: Any) -> Plant:
    return set_value(f"{_STATES}.{path}", value)


def drop_in_state(path: str) -> Plant:
    return drop_value(f"{_STATES}.{path}")


def _find_parent(template: Template, path: str) -> tuple[Any, Any]:
    """Return the map or list that holds the value at ``path``, and its key or index there."""
    value: Any = template if path.startswith("/") else template["Resources"]
    *parents, last = path.removeprefix("/").split(".")
    if not path.startswith("/") and parents and (*parents, last)[1] not in _ATTRIBUTES:
        parents.insert(1, "Properties")
    for part in parents:
        value = value[int(part) if isinstance(value, list) else part]
    return value, int(last) if isinstance(value, list) else last


def _replace_in(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {_replace_in(key, old, new): _replace_in(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace_in(item, old, new) for item in value]
    return value.replace(old, new) if isinstance(value, str) else value


def _find_documents(value: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield the statements of every policy document below ``value``, in each branch of a condition."""
    if isinstance(value, dict):
        if isinstance(value.get("Statement"), list):
            yield value["Statement"]
        else:
            for item in value.values():
                yield from _find_documents(item)
    elif isinstance(value, list):
        for item in value:
            yield from _find_documents(item)


def _find_statements(template: Template, resource: str, sid: str) -> Iterator[tuple[list[Any], int, dict[str, Any]]]:
    """Yield each statement with this Sid, after the list that holds it and its index there."""
    for statements in _find_documents(template["Resources"][resource]["Properties"]):
        for index, statement in enumerate(statements):
            if statement["Sid"] == sid:
                yield statements, index, statement

"""Plants a defect into an emitted template, by operations on the values and the statements at a path.

A path is the title of a resource and the keys of a property or an attribute, as in ``Transactions.SSESpecification`` or
``Transactions.DeletionPolicy``; a number is the index in a list. A title, a slash and a Sid are every statement with
this Sid in the policies of the resource, as in ``QueueKey/AlarmsPublish.Condition``. A title may be a pattern, such as
``Service*``. A path that begins with a slash starts at the template, as in ``/Outputs.QueueArn``.
"""

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

Template = dict[str, Any]
# The argument of an operation, by operation and path.
Edits = dict[str, dict[str, Any]]
# The map or list that holds a value, and the key or the index of the value there.
Place = tuple[Any, Any]

_ATTRIBUTES = {"Condition", "DeletionPolicy", "DependsOn", "Properties", "UpdatePolicy", "UpdateReplacePolicy"}


def plant_edits(template: Template, edits: Edits) -> None:
    """Apply the edits to a template. Raises ``LookupError`` with the path of an edit that cannot be applied."""
    for operation, arguments in edits.items():
        for path, argument in arguments.items():
            try:
                OPERATIONS[operation](template, path, argument)
            except (LookupError, TypeError, ValueError) as error:
                raise LookupError(f"{operation} {path}: {error!r}") from error


def set_value(template: Template, path: str, value: Any) -> None:
    for parent, key in find_places(template, path):
        parent[key] = value


def drop_value(template: Template, path: str, _: None) -> None:
    # From the last, because the indices after a dropped item change.
    for parent, key in reversed(find_places(template, path)):
        del parent[key]


def swap_values(template: Template, path: str, other_path: str) -> None:
    pairs = zip(find_places(template, path), find_places(template, other_path), strict=True)
    for (parent, key), (other_parent, other_key) in pairs:
        parent[key], other_parent[other_key] = other_parent[other_key], parent[key]


def replace_text(template: Template, path: str, texts: tuple[str, str]) -> None:
    """Replace a part of every text below ``path``."""
    for parent, key in find_places(template, path):
        parent[key] = _replace_in(parent[key], *texts)


def add_actions(template: Template, path: str, actions: list[str]) -> None:
    for parent, key in find_places(template, path):
        parent[key]["Action"] = [*parent[key]["Action"], *actions]


def drop_actions(template: Template, path: str, actions: list[str]) -> None:
    for parent, key in find_places(template, path):
        parent[key]["Action"] = [action for action in parent[key]["Action"] if action not in actions]


def drop_conditions(template: Template, path: str, condition_keys: list[str]) -> None:
    for parent, key in find_places(template, path):
        conditions = parent[key].pop("Condition")
        for operator, values in conditions.items():
            remaining = {name: value for name, value in values.items() if name not in condition_keys}
            if remaining:
                parent[key].setdefault("Condition", {})[operator] = remaining


def add_statement(template: Template, path: str, fields: dict[str, Any]) -> None:
    """Add a statement to each policy document of a resource."""
    for parent, key in find_places(template, path):
        for statements in _find_documents(parent[key]):
            statements.append({"Sid": "Added", "Effect": "Allow", "Resource": ["*"]} | fields)


OPERATIONS: dict[str, Callable[[Template, str, Any], None]] = {
    "set": set_value,
    "drop": drop_value,
    "swap": swap_values,
    "replace": replace_text,
    "add_actions": add_actions,
    "drop_actions": drop_actions,
    "drop_conditions": drop_conditions,
    "add_statement": add_statement,
}


def find_places(template: Template, path: str) -> list[Place]:
    """Return where the values at ``path`` are. Only the last key need not exist. Raises ``LookupError``."""
    start, *keys = path.split(".")
    if keys and "/" not in start and keys[0] not in _ATTRIBUTES:
        keys.insert(0, "Properties")
    places = list(_find_first_places(template, start))
    if not places:
        raise LookupError(f"there is no {start}")
    for key in keys:
        values = [parent[index] for parent, index in places]
        places = [(value, int(key) if isinstance(value, list) else key) for value in values]
    return places


def _find_first_places(template: Template, start: str) -> Iterator[Place]:
    """Yield the places of what a path starts with: a key of the template, resources, or their statements."""
    pattern, slash, name = start.partition("/")
    if slash and not pattern:
        yield template, name
    resources = template["Resources"]
    for title in [title for title in resources if fnmatchcase(title, pattern)]:
        if slash:
            yield from _find_statements(resources[title], name)
        else:
            yield resources, title


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


def _find_statements(resource: dict[str, Any], sid: str) -> Iterator[Place]:
    for statements in _find_documents(resource["Properties"]):
        for index, statement in enumerate(statements):
            if statement["Sid"] == sid:
                yield statements, index

"""Evaluates a template with its parameters: resources whose properties are values.

A value that only the service knows becomes a token such as ``${Data/Transactions.Arn}``. It stays the same across a
deployment unless the deployment replaces the resource.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .templates import STACK, Tree

_NO_VALUE = object()
_VARIABLE = re.compile(r"\$\{(!?)([^}]+)\}")
# A token names a resource by its path in the tree, and perhaps an attribute of it.
TOKEN = re.compile(r"\$\{([A-Za-z0-9/]+)((?:\.[A-Za-z0-9.]+)?)\}")


@dataclass(frozen=True)
class Resource:
    type: str
    properties: dict[str, Any]
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"


@dataclass(frozen=True)
class Evaluated:
    """A stack as its template describes it, without the resources whose conditions are false."""

    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    nested: dict[str, "Evaluated"] = field(default_factory=dict)

    def walk(self, path: str = "") -> Iterator[tuple[str, Resource]]:
        """Yield each resource of the tree with its path from the root, such as Data/Transactions."""
        for logical_id, resource in self.resources.items():
            yield f"{path}{logical_id}", resource
            if logical_id in self.nested:
                yield from self.nested[logical_id].walk(f"{path}{logical_id}/")


def evaluate(tree: Tree, parameters: Mapping[str, Any], pseudo: Mapping[str, str], path: str = "") -> Evaluated:
    """Evaluate ``tree``. A pseudo parameter such as ``AWS::Region`` that is not in ``pseudo`` becomes a token."""
    return _Stack(tree, parameters, pseudo, path).evaluate()


class _Stack:
    def __init__(self, tree: Tree, parameters: Mapping[str, Any], pseudo: Mapping[str, str], path: str) -> None:
        self._tree, self._pseudo, self._path = tree, pseudo, path
        declared = tree.template.get("Parameters", {})
        self._parameters = {name: declaration.get("Default", f"${{{name}}}") for name, declaration in declared.items()}
        self._parameters |= {name: parameters[name] for name in declared if name in parameters}
        self._nested: dict[str, Evaluated] = {}

    def evaluate(self) -> Evaluated:
        resources = {}
        for logical_id, resource in self._tree.resources().items():
            if not self._is_created(resource):
                continue
            if resource["Type"] == STACK:
                self._evaluate_nested(logical_id)
            properties = self._resolve_value(resource.get("Properties", {}))
            resources[logical_id] = Resource(
                type=resource["Type"],
                properties=properties if isinstance(properties, dict) else {},
                deletion_policy=resource.get("DeletionPolicy", "Delete"),
                update_replace_policy=resource.get("UpdateReplacePolicy", "Delete"),
            )
        outputs = {
            name: self._resolve_value(output["Value"])
            for name, output in self._tree.template.get("Outputs", {}).items()
            if self._is_created(output)
        }
        return Evaluated(resources, outputs, self._nested)

    def _evaluate_nested(self, logical_id: str) -> Evaluated:
        """Evaluate a nested stack, once, on the first reference to it."""
        if logical_id not in self._nested:
            declared = self._tree.resources()[logical_id].get("Properties", {}).get("Parameters", {})
            values = {name: self._resolve_value(value) for name, value in declared.items()}
            parameters = {name: _to_text(value) for name, value in values.items() if value is not _NO_VALUE}
            self._nested[logical_id] = evaluate(
                self._tree.nested.get(logical_id, Tree({})), parameters, self._pseudo, f"{self._path}{logical_id}/"
            )
        return self._nested[logical_id]

    def _is_created(self, declared: Mapping[str, Any]) -> bool:
        name = declared.get("Condition")
        return name is None or self._is_true(self._tree.template["Conditions"][name])

    def _is_true(self, condition: Any) -> bool:
        ((function, argument),) = condition.items()
        if function == "Condition":
            return self._is_true(self._tree.template["Conditions"][argument])
        if function == "Fn::Equals":
            first, second = (_to_text(self._resolve_value(operand)) for operand in argument)
            return bool(first == second)
        results = [self._is_true(operand) for operand in argument]
        return {"Fn::Not": not results[0], "Fn::And": all(results), "Fn::Or": any(results)}[function]

    def _resolve_value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self._resolve_value, value) if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref":
                return self._resolve_reference(argument)
            if function in self._FUNCTIONS:
                return self._FUNCTIONS[function](self, argument)
        resolved = {key: self._resolve_value(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not _NO_VALUE}

    def _resolve_reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self._parameters:
            return self._parameters[name]
        if name.startswith("AWS::"):
            return self._pseudo.get(name, f"${{{name}}}")
        return f"${{{self._path}{name}}}"

    def _resolve_attribute(self, argument: Any) -> Any:
        logical_id, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
        resource = self._tree.resources().get(logical_id, {})
        if resource.get("Type") == STACK and attribute.startswith("Outputs."):
            name = attribute.removeprefix("Outputs.")
            return self._evaluate_nested(logical_id).outputs.get(name, f"${{{self._path}{logical_id}.{attribute}}}")
        return f"${{{self._path}{logical_id}.{attribute}}}"

    def _substitute_variables(self, argument: Any) -> str:
        text, variables = (argument, {}) if isinstance(argument, str) else argument
        values = {name: self._resolve_value(value) for name, value in variables.items()}

        def replace_variable(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in values:
                return str(_to_text(values[name]))
            return str(_to_text(self._resolve_attribute(name) if "." in name else self._resolve_reference(name)))

        return _VARIABLE.sub(replace_variable, text)

    def _join_parts(self, argument: Any) -> Any:
        separator, parts = argument
        parts = self._resolve_value(parts)
        return separator.join(str(_to_text(part)) for part in parts) if isinstance(parts, list) else parts

    def _select_item(self, argument: Any) -> Any:
        index, items = argument
        items = self._resolve_value(items)
        is_known = isinstance(items, list) and int(index) < len(items)
        return items[int(index)] if is_known else {"Fn::Select": [index, items]}

    def _split_text(self, argument: Any) -> Any:
        separator, text = argument
        text = self._resolve_value(text)
        return text.split(separator) if isinstance(text, str) else {"Fn::Split": [separator, text]}

    def _choose_branch(self, argument: Any) -> Any:
        name, true_value, false_value = argument
        return self._resolve_value(true_value if self._is_true({"Condition": name}) else false_value)

    def _find_in_map(self, argument: Any) -> Any:
        mapping, *keys = argument
        value = self._tree.template.get("Mappings", {}).get(mapping, {})
        for key in keys:
            value = value.get(_to_text(self._resolve_value(key)), {}) if isinstance(value, dict) else value
        return value

    _FUNCTIONS: Mapping[str, Callable[["_Stack", Any], Any]] = {
        "Fn::GetAtt": _resolve_attribute,
        "Fn::Sub": _substitute_variables,
        "Fn::Join": _join_parts,
        "Fn::Select": _select_item,
        "Fn::Split": _split_text,
        "Fn::If": _choose_branch,
        "Fn::FindInMap": _find_in_map,
    }


def _to_text(value: Any) -> Any:
    """Convert a value to text, as CloudFormation does for a parameter."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(str(_to_text(item)) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return value if isinstance(value, str) else str(value)

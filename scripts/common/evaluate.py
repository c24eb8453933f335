"""What a template says, once its parameters are known: resources whose properties are values.

What only the service will know stands as a token, ``${Data/Transactions.Arn}``: the same before and after a deployment
unless the resource behind it is made anew.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .templates import STACK, Tree

_NOTHING = object()
_VARIABLE = re.compile(r"\$\{(!?)([^}]+)\}")
# A token names a resource of the tree; nothing else that is written like a variable has a slash or stands alone.
TOKEN = re.compile(r"\$\{([A-Za-z0-9/]+)((?:\.[A-Za-z0-9.]+)?)\}")


@dataclass(frozen=True)
class Resource:
    type: str
    properties: dict[str, Any]
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"


@dataclass(frozen=True)
class Evaluated:
    """A stack as its template describes it. Conditions have been decided: what is not to be made is not in it."""

    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    nested: dict[str, "Evaluated"] = field(default_factory=dict)


def evaluate(tree: Tree, parameters: Mapping[str, Any], pseudo: Mapping[str, str], path: str = "") -> Evaluated:
    """``pseudo`` gives values of pseudo parameters such as ``AWS::Region``; others stay as they are written."""
    return _Stack(tree, parameters, pseudo, path).evaluate()


class _Stack:
    def __init__(self, tree: Tree, parameters: Mapping[str, Any], pseudo: Mapping[str, str], path: str) -> None:
        self._tree, self._pseudo, self._path = tree, pseudo, path
        declared = tree.template.get("Parameters", {})
        self._parameters = {name: one.get("Default", f"${{{name}}}") for name, one in declared.items()}
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
            name: self._resolve_value(one["Value"])
            for name, one in self._tree.template.get("Outputs", {}).items()
            if self._is_created(one)
        }
        return Evaluated(resources, outputs, self._nested)

    def _evaluate_nested(self, logical_id: str) -> Evaluated:
        """A nested stack, evaluated once, when the first reference to it is met."""
        if logical_id not in self._nested:
            given = self._tree.resources()[logical_id].get("Properties", {}).get("Parameters", {})
            values = {name: self._resolve_value(value) for name, value in given.items()}
            parameters = {name: _to_text(value) for name, value in values.items() if value is not _NOTHING}
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
            first, second = (_to_text(self._resolve_value(one)) for one in argument)
            return bool(first == second)
        held = [self._is_true(one) for one in argument]
        return {"Fn::Not": not held[0], "Fn::And": all(held), "Fn::Or": any(held)}[function]

    def _resolve_value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [one for one in map(self._resolve_value, value) if one is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref":
                return self._resolve_reference(argument)
            if function in self._FUNCTIONS:
                return self._FUNCTIONS[function](self, argument)
        found = {key: self._resolve_value(item) for key, item in value.items()}
        return {key: item for key, item in found.items() if item is not _NOTHING}

    def _resolve_reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
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

        def one(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in values:
                return str(_to_text(values[name]))
            return str(_to_text(self._resolve_attribute(name) if "." in name else self._resolve_reference(name)))

        return _VARIABLE.sub(one, text)

    def _join_parts(self, argument: Any) -> Any:
        separator, parts = argument
        parts = self._resolve_value(parts)
        return separator.join(str(_to_text(part)) for part in parts) if isinstance(parts, list) else parts

    def _select_item(self, argument: Any) -> Any:
        index, among = argument
        among = self._resolve_value(among)
        known = isinstance(among, list) and int(index) < len(among)
        return among[int(index)] if known else {"Fn::Select": [index, among]}

    def _split_text(self, argument: Any) -> Any:
        separator, text = argument
        text = self._resolve_value(text)
        return text.split(separator) if isinstance(text, str) else {"Fn::Split": [separator, text]}

    def _choose_branch(self, argument: Any) -> Any:
        name, then, otherwise = argument
        return self._resolve_value(then if self._is_true({"Condition": name}) else otherwise)

    def _find_in_map(self, argument: Any) -> Any:
        mapping, *keys = argument
        found = self._tree.template.get("Mappings", {}).get(mapping, {})
        for key in keys[:2]:
            found = found.get(_to_text(self._resolve_value(key)), {}) if isinstance(found, dict) else found
        return found

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
    """As CloudFormation passes a value on: parameters are text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(str(_to_text(one)) for one in value)
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return value if isinstance(value, str) else str(value)

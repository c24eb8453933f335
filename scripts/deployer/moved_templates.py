"""Writes the deployed templates as they are after resources have moved, and changes nothing else in them.

CloudFormation moves resources and refuses every other change: of properties, parameters, conditions or mappings. It
compares what the templates evaluate to, so each reference has to lead to the same value afterwards.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-refactoring.html
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.common.errors import UserError
from scripts.common.evaluated import Evaluated
from scripts.common.templates import Template, Tree

from .plan.compare import as_text
from .plan.moves import Move, explain_immovable_type, split_path

MOST_STACKS = 5
_VARIABLE = re.compile(r"\$\{(?!!)([^}.]+)([^}]*)\}")
# The pseudo parameters whose values differ between two stacks of a tree.
_OF_ONE_STACK = ("AWS::StackName", "AWS::StackId")
# Returns the name that takes the place of a name in an expression.
_Rename = Callable[[str], str]


@dataclass(frozen=True)
class DeployedTree:
    """The deployed templates, the parameters of the root, and what both evaluate to."""

    tree: Tree
    parameters: Mapping[str, str]
    evaluated: Evaluated

    def find_template(self, path: str) -> Template | None:
        """Return the template of the stack at ``path``, or None if there is no such stack."""
        tree: Tree | None = self.tree
        for logical_id in path.split("/") if path else ():
            tree = tree.nested.get(logical_id) if tree else None
        return tree.template if tree else None

    def read_parameters(self, path: str) -> dict[str, str]:
        """Return the parameters of the stack, evaluated: equal texts stand for equal values."""
        above, logical_id = split_path(path)
        stack = self.evaluated
        for name in above.split("/") if above else ():
            stack = stack.nested[name]
        arguments = stack.resources[logical_id].properties.get("Parameters", {}) if path else self.parameters
        declared = (self.find_template(path) or {}).get("Parameters", {})
        return {name: as_text(arguments.get(name, item.get("Default"))) for name, item in declared.items()}


def move_resources(
    deployed: DeployedTree, moves: Sequence[Move], outputs: Mapping[str, Mapping[str, str]]
) -> dict[str, Template]:
    """Return the templates of the stacks that the moves change, by the stack's path from the root.

    ``outputs`` has the deployed outputs by the same path: an output of a resource that leaves the stack keeps its value
    as text, because the stack around it may not change. Raises ``UserError`` for a move that cannot be expressed.
    """
    for move in moves:
        _check_move(deployed, moves, move)
    paths = dict.fromkeys(split_path(path)[0] for move in moves for path in (move.source, move.destination))
    if len(paths) > MOST_STACKS:
        raise UserError(
            f"CloudFormation moves resources between at most {MOST_STACKS} stacks at once, not {len(paths)}"
        )
    return {path: _Rewriting(deployed, moves, path).write_template(outputs.get(path, {})) for path in paths}


def _check_move(deployed: DeployedTree, moves: Sequence[Move], move: Move) -> None:
    """Raise ``UserError`` unless both stacks exist and the destination is free."""
    if reason := explain_immovable_type(move.resource_type):
        raise _refuse_move(move, reason)
    for path in (move.source, move.destination):
        stack, _ = split_path(path)
        template = deployed.find_template(stack)
        if template is None:
            raise _refuse_move(
                move, f"the stack {stack} is not deployed; deploy it first, with any other resource in it"
            )
        if "Transform" in template:
            raise _refuse_move(move, f"the template of {stack or 'the root stack'} has a transform")
    sources, destinations = [pair.source for pair in moves], [pair.destination for pair in moves]
    if sources.count(move.source) > 1 or destinations.count(move.destination) > 1:
        raise _refuse_move(move, "each resource and each place can be named only once")
    stack, logical_id = split_path(move.destination)
    if logical_id in (deployed.find_template(stack) or {}).get("Resources", {}) and move.destination not in sources:
        raise _refuse_move(move, f"there is a resource {move.destination} already")


def _refuse_move(move: Move, reason: str) -> UserError:
    return UserError(f"{move.source} cannot be moved to {move.destination}: {reason}")


class _Rewriting:
    """Rewrites the template of the stack at ``path``."""

    def __init__(self, deployed: DeployedTree, moves: Sequence[Move], path: str) -> None:
        self._deployed, self._path = deployed, path
        self._template = deployed.find_template(path) or {}
        self._arriving = [move for move in moves if split_path(move.destination)[0] == path]
        self._leaving = {split_path(move.source)[1]: move for move in moves if split_path(move.source)[0] == path}
        self._renamed = {
            name: split_path(move.destination)[1] for name, move in self._leaving.items() if move in self._arriving
        }
        self._departed = set(self._leaving) - set(self._renamed)

    def write_template(self, outputs: Mapping[str, str]) -> Template:
        resources = {}
        for name, resource in self._template.get("Resources", {}).items():
            if name not in self._departed:
                resources[self._renamed.get(name, name)] = self._rewrite_resource(name, resource)
        for move in self._arriving:
            if split_path(move.source)[0] != self._path:
                resources[split_path(move.destination)[1]] = self._adopt_resource(move)
        if not resources:
            raise UserError(
                f"{self._path} would have no resource left, and CloudFormation has no empty stacks; deploy it with any "
                "other resource first"
            )
        template = {**self._template, "Resources": resources}
        if "Outputs" in template:
            template["Outputs"] = {
                name: self._rewrite_output(name, output, outputs) for name, output in template["Outputs"].items()
            }
        return template

    def _rewrite_resource(self, name: str, resource: Template) -> Template:
        def rename_target(target: str) -> str:
            if target in self._departed:
                path = f"{self._path}/{name}".lstrip("/")
                reason = f"{path} refers to it; move that as well, or deploy first templates in which it does not"
                raise _refuse_move(self._leaving[target], reason)
            return self._renamed.get(target, target)

        return _map_resource(resource, rename_target, lambda target: target not in self._departed)

    def _rewrite_output(self, name: str, output: Template, values: Mapping[str, str]) -> Template:
        for target in self._departed.intersection(_list_names(output.get("Export"))):
            raise _refuse_move(self._leaving[target], f"the export of the output {name} is named after it")
        if self._departed.intersection(_list_names(output.get("Value"))):
            # The stack around it reads the output. Without a deployed value there is no such stack yet, only a plan.
            return {**output, "Value": values.get(name, "")}
        # The name of an export may be made of a resource's name as well.
        members = {name: output[name] for name in ("Value", "Export") if name in output}
        return {**output, **_map_names(members, lambda target: self._renamed.get(target, target))}

    def _adopt_resource(self, move: Move) -> Template:
        """Return the declaration of a resource of another stack, whose references have to lead to the same values."""
        origin, name = split_path(move.source)
        source = self._deployed.find_template(origin) or {}
        resource = source["Resources"][name]
        companions = {
            split_path(pair.source)[1]: split_path(pair.destination)[1]
            for pair in self._arriving
            if split_path(pair.source)[0] == origin
        }
        self._check_sections(move, source, resource)

        def rename_target(target: str) -> str:
            if target in companions:
                return companions[target]
            if target in source.get("Resources", {}):
                stays = f"{origin}/{target}".lstrip("/")
                raise _refuse_move(
                    move, f"it refers to {stays}; move that as well, or deploy first templates in which it does not"
                )
            self._check_parameter(move, target)
            return target

        return _map_resource(resource, rename_target, lambda target: target in companions)

    def _check_sections(self, move: Move, source: Template, value: Any) -> None:
        """Raise ``UserError`` unless both templates declare the conditions and mappings that the value needs alike."""
        for section, functions in (("Conditions", ("Condition", "Fn::If")), ("Mappings", ("Fn::FindInMap",))):
            for name in _list_arguments(value, *functions):
                declared = source.get(section, {}).get(name)
                if self._template.get(section, {}).get(name) != declared:
                    kind = section.lower().removesuffix("s")
                    stack = self._path or "the root stack"
                    raise _refuse_move(move, f"{stack} does not have the same {kind} {name}; deploy it there first")
                if section == "Conditions":
                    for parameter in _list_names(declared):
                        self._check_parameter(move, parameter)
                    self._check_sections(move, source, declared)

    def _check_parameter(self, move: Move, name: str) -> None:
        """Raise ``UserError`` unless the parameter has the same value in both stacks."""
        if name in _OF_ONE_STACK:
            raise _refuse_move(move, f"it refers to {name}, which differs between the stacks")
        if name.startswith("AWS::"):
            return
        before = self._deployed.read_parameters(split_path(move.source)[0])
        after = self._deployed.read_parameters(self._path)
        if name not in after or before.get(name) != after[name]:
            raise _refuse_move(
                move,
                f"it refers to the parameter {name}, which {self._path or 'the root stack'} does not have with the "
                "same value; deploy it there first",
            )


def _map_resource(resource: Template, rename: _Rename, is_in_stack: Callable[[str], bool]) -> Template:
    """Return the declaration with other names; an order of creation means nothing once resources exist."""
    mapped: Template = _map_names({key: value for key, value in resource.items() if key != "DependsOn"}, rename)
    depends = resource.get("DependsOn", [])
    dependencies = [rename(name) for name in ([depends] if isinstance(depends, str) else depends) if is_in_stack(name)]
    return {**mapped, "DependsOn": dependencies} if dependencies else mapped


def _map_names(value: Any, rename: _Rename) -> Any:
    """Return the expression with other names of resources and parameters."""
    if isinstance(value, list):
        return [_map_names(item, rename) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((function, argument),) = value.items()
        if function == "Ref" and isinstance(argument, str):
            return {function: rename(argument)}
        if function == "Fn::GetAtt":
            parts = argument.split(".", 1) if isinstance(argument, str) else argument
            names = [rename(parts[0]) if isinstance(parts[0], str) else _map_names(parts[0], rename)]
            return {function: [*names, *_map_names(parts[1:], rename)]}
        if function == "Fn::Sub":
            return {function: _map_substitution(argument, rename)}
    return {key: _map_names(item, rename) for key, item in value.items()}


def _map_substitution(argument: Any, rename: _Rename) -> Any:
    text, *arguments = argument if isinstance(argument, list) else [argument]
    variables = arguments[0] if arguments and isinstance(arguments[0], dict) else {}

    def replace_variable(variable: re.Match[str]) -> str:
        return variable[0] if variable[1] in variables else f"${{{rename(variable[1])}{variable[2]}}}"

    mapped = _VARIABLE.sub(replace_variable, text) if isinstance(text, str) else text
    return [mapped, *_map_names(arguments, rename)] if arguments else mapped


def _list_names(value: Any) -> list[str]:
    """Return the names of resources and parameters that the expression refers to."""
    names: list[str] = []

    def note_name(name: str) -> str:
        names.append(name)
        return name

    _map_names(value, note_name)
    return names


def _list_arguments(value: Any, *functions: str) -> Iterator[str]:
    """Yield what is named by the functions, anywhere in the expression, such as the condition of ``Fn::If``."""
    if isinstance(value, list):
        for item in value:
            yield from _list_arguments(item, *functions)
    if isinstance(value, dict):
        for key, item in value.items():
            first = item[0] if isinstance(item, list) and item else item
            if key in functions and isinstance(first, str):
                yield first
            yield from _list_arguments(item, *functions)

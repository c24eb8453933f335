"""Evaluates a template with its parameters: resources whose properties are values.

A value that only the service knows becomes a token (evaluated.py).

A function whose arguments are not known stays a function, with its arguments evaluated as far as they are. What hangs
on a condition that is not known is kept with both values, as in the module ``conditions``.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from .conditions import NO_VALUE, Result, choose, join_all, join_any, list_branches, map_branches, negate, read_choice
from .errors import UserError
from .evaluated import (
    ANY_TOKEN,
    HIDDEN_SECRET,
    NOT_KNOWN,
    SECRET,
    Evaluated,
    Resource,
    Unknown,
    find_unknowable_reasons,
    mask_secrets,
)
from .loops import LANGUAGE_EXTENSIONS, expand_loops
from .templates import STACK, Tree

_T = TypeVar("_T")
_NO_VALUE = object()
_VARIABLE = re.compile(r"\$\{(!?)([^}]+)\}")
# Each stack has values of its own for them; the others are those of the account.
_OF_STACK = ("AWS::StackName", "AWS::StackId", "AWS::NotificationARNs")
# A function that hangs on more conditions, or has more values by them, cannot be known.
_MOST_CONDITIONS = 64
# How many operands a condition function has.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-conditions.html
_OPERANDS = {"Fn::Equals": (2,), "Fn::Not": (1,), "Fn::And": range(2, 11), "Fn::Or": range(2, 11)}
# Tokens of secrets cannot be guessed from a plan, and mean nothing outside of this process.
_SALT = secrets.token_bytes(16)


def _choose_deletion_policy(resource_type: str, properties: Mapping[str, Any]) -> str:
    """Return the policy of a resource whose template sets none.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
    """
    is_instance = resource_type == "AWS::RDS::DBInstance" and "DBClusterIdentifier" not in properties
    return "Snapshot" if is_instance or resource_type == "AWS::RDS::DBCluster" else "Delete"


def evaluate(
    tree: Tree,
    parameters: Mapping[str, Any],
    pseudo: Mapping[str, str],
    path: str = "",
    hidden_parameters: Container[str] = (),
) -> Evaluated:
    """Evaluate ``tree``. A pseudo parameter such as ``AWS::Region`` that is not in ``pseudo`` becomes a token.

    ``AWS::StackName``, ``AWS::StackId`` and ``AWS::NotificationARNs`` in ``pseudo`` are those of the root.
    ``hidden_parameters`` are those ``NoEcho`` parameters of the root whose deployed values nobody can read.
    Raises ``UserError`` for a template that CloudFormation would refuse, and for a loop that cannot be expanded here.
    """
    return _Stack(tree, parameters, pseudo, path, _Tokens(), hidden_parameters).evaluate()


@dataclass(frozen=True)
class _Tokens:
    """What the conditions have to know of the tokens in the whole tree."""

    # The values of those that stand for a secret.
    secret_values: dict[str, str] = field(default_factory=dict)
    # Those that stand for a name or an id, which is never empty.
    names: set[str] = field(default_factory=set)


class _UndecidedError(Exception):
    """A function cannot be called until a condition is assumed to be met, or not."""

    def __init__(self, condition: str) -> None:
        super().__init__(condition)
        self.condition = condition


class _Stack:
    def __init__(
        self,
        tree: Tree,
        parameters: Mapping[str, Any],
        pseudo: Mapping[str, str],
        path: str,
        tokens: _Tokens,
        hidden_parameters: Container[str] = (),
    ) -> None:
        self._pseudo, self._path, self._tokens, self._hidden_parameters = pseudo, path, tokens, hidden_parameters
        self._name = path.rstrip("/") or "the template"
        declared = self._section_of_mappings(tree.template, "Parameters")
        for name, declaration in declared.items():
            if not isinstance(declaration.get("Type", ""), str):
                raise UserError(f"{self._name}: the parameter {name} has no Type that is text")
        values = {name: declaration.get("Default", f"${{{path}{name}}}") for name, declaration in declared.items()}
        values |= {name: parameters[name] for name in declared if name in parameters}
        self._values = {
            name: map_branches(value, partial(_type_parameter, declared[name])) for name, value in values.items()
        }
        self._secrets = {name for name in declared if _to_text(declared[name].get("NoEcho")) == "true"}
        self._unknowns: list[Unknown] = []
        self._nested_trees, self._nested = tree.nested, dict[str, Evaluated]()
        # Nested stacks and conditions that are being evaluated, in order: to need one of them again is a circle.
        self._in_progress: list[str] = []
        # The results that are assumed of conditions without a known one, and whether a function is being called.
        self._assumed: dict[str, bool] = {}
        self._is_calling = False
        self._read_template(tree.template)
        if LANGUAGE_EXTENSIONS in self._list_transforms():
            self._read_template(expand_loops(tree.template, self._resolve_value, self._name))

    def _read_template(self, template: dict[str, Any]) -> None:
        self._template = template
        self._resources = self._section(template, "Resources")
        self._conditions = self._section(template, "Conditions")

    def evaluate(self) -> Evaluated:
        resources = {}
        for logical_id, resource in self._resources.items():
            if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
                raise UserError(f"{self._name}: the resource {logical_id} has no Type that is text")
            existence = self._find_existence(resource)
            if existence is False:
                continue
            if resource["Type"] == STACK:
                self._evaluate_nested(logical_id)
            resources[logical_id] = self._evaluate_resource_if(existence, resource)
        declared = self._section_of_mappings(self._template, "Outputs")
        existing = {name: self._find_existence(output) for name, output in declared.items()}
        outputs = {
            name: self._resolve_if(existing[name], output.get("Value"))
            for name, output in declared.items()
            if existing[name] is not False
        }
        exports = {
            name: self._resolve_if(existing[name], output["Export"].get("Name"))
            for name, output in declared.items()
            if existing[name] is not False and isinstance(output.get("Export"), dict)
        }
        macros = [Unknown("", f"transform {name}") for name in self._list_transforms() if name != LANGUAGE_EXTENSIONS]
        return Evaluated(resources, outputs, self._nested, exports, (*macros, *dict.fromkeys(self._unknowns)))

    def _evaluate_resource_if(self, existence: Result, resource: Mapping[str, Any]) -> Resource:
        """Return the resource as it is if it exists."""
        if isinstance(existence, bool):
            return self._evaluate_resource(resource, "")
        return self._assume(existence, True, partial(self._evaluate_resource, resource, existence))

    def _resolve_if(self, existence: Result, value: Any) -> Any:
        if isinstance(existence, bool):
            return self._resolve_value(value)
        return choose(existence, self._assume(existence, True, partial(self._resolve_value, value)), NO_VALUE)

    def _evaluate_resource(self, resource: Mapping[str, Any], condition: str) -> Resource:
        properties = self._resolve_value(resource.get("Properties") or {})
        attributes = {
            name: self._resolve_value(resource[name])
            for name in ("Metadata", "CreationPolicy", "UpdatePolicy")
            if resource.get(name)
        }
        properties = properties if isinstance(properties, dict) else {}
        default_policy = _choose_deletion_policy(resource["Type"], properties)
        return Resource(
            type=resource["Type"],
            properties=properties,
            deletion_policy=str(_to_text(self._resolve_value(resource.get("DeletionPolicy", default_policy)))),
            update_replace_policy=str(_to_text(self._resolve_value(resource.get("UpdateReplacePolicy", "Delete")))),
            attributes={name: value for name, value in attributes.items() if value is not _NO_VALUE},
            condition=condition,
        )

    def _section(self, template: Mapping[str, Any], name: str) -> dict[str, Any]:
        section = template.get(name) or {}
        if not isinstance(section, dict):
            raise UserError(f"{self._name}: {name} is not a mapping")
        return section

    def _section_of_mappings(self, template: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
        section = self._section(template, name)
        for key, value in section.items():
            if not isinstance(value, dict):
                raise UserError(f"{self._name}: {name}: {key} is not a mapping")
        return section

    def _list_transforms(self) -> list[str]:
        transforms = self._template.get("Transform") or []
        transforms = transforms if isinstance(transforms, list) else [transforms]
        return [str(item.get("Name") if isinstance(item, dict) else item) for item in transforms]

    def _evaluate_nested(self, logical_id: str) -> Evaluated:
        """Evaluate a nested stack, once, on the first reference to it."""
        if logical_id not in self._nested:
            if logical_id not in self._nested_trees:
                self._unknowns.append(Unknown(logical_id, "its template is not at hand"))
            with _Evaluation(self._in_progress, logical_id, self._name):
                self._nested[logical_id] = self._without_assumptions(lambda: self._make_nested(logical_id).evaluate())
        return self._nested[logical_id]

    def _make_nested(self, logical_id: str) -> "_Stack":
        values = self._resolve_value(self._resources[logical_id].get("Properties") or {})
        parameters = (values.get("Parameters") or {}) if isinstance(values, dict) else None
        if not isinstance(parameters, dict):
            raise UserError(f"{self._name}: Properties or Parameters of {logical_id} are not a mapping")
        return _Stack(
            self._nested_trees.get(logical_id, Tree({})),
            {name: self._distribute(partial(self._pass_parameter, value)) for name, value in parameters.items()},
            {name: value for name, value in self._pseudo.items() if name not in _OF_STACK},
            f"{self._path}{logical_id}/",
            self._tokens,
        )

    def _pass_parameter(self, value: Any) -> Any:
        settled = self._settle(value)
        if isinstance(settled, list):
            settled = [item for item in map(self._settle, settled) if item is not _NO_VALUE]
        return settled if settled is _NO_VALUE else _to_text(settled)

    def _find_existence(self, declared: Mapping[str, Any]) -> Result:
        name = declared.get("Condition")
        return True if name is None else self._find_result(name)

    def _find_result(self, name: Any) -> Result:
        if not isinstance(name, str) or name not in self._conditions:
            raise UserError(f"{self._name}: there is no condition {name}")
        with _Evaluation(self._in_progress, f"condition {name}", self._name):
            return self._without_assumptions(lambda: self._judge_condition(self._conditions[name]))

    def _judge_condition(self, condition: Any) -> Result:
        if not isinstance(condition, dict) or len(condition) != 1:
            raise UserError(f"{self._name}: a condition is not a condition function: {_describe_value(condition)}")
        ((function, argument),) = condition.items()
        if function == "Condition":
            return self._find_result(argument)
        operands = argument if isinstance(argument, list) else [argument]
        if len(operands) not in _OPERANDS.get(function, (len(operands),)):
            raise UserError(f"{self._name}: {function} cannot take the arguments {_describe_value(argument)}")
        if function == "Fn::Equals":
            return self._judge_equality(operands)
        results = [self._judge_condition(operand) for operand in operands]
        match function:
            case "Fn::Not":
                return negate(results[0])
            case "Fn::And":
                return join_all(results)
            case "Fn::Or":
                return join_any(results)
        raise UserError(f"{self._name}: {function} is not a condition function")

    def _judge_equality(self, operands: list[Any]) -> Result:
        """Return whether the operands are equal, for each combination of the values that they may have."""
        first, second = ([*list_branches(self._resolve_value(operand))] for operand in operands)
        results = [
            join_all((*filter(None, (when, other_when)), self._compare_operands(value, other)))
            for when, value in first
            for other_when, other in second
        ]
        return join_any(results)

    def _compare_operands(self, first: Any, second: Any) -> Result:
        texts = [str(_to_text(value)) for value in (first, second)]
        revealed = [SECRET.sub(self._reveal_secret, text) for text in texts]
        is_unknowable = any(any(find_unknowable_reasons(text)) for text in revealed)
        if revealed[0] == revealed[1] and not is_unknowable:
            return True
        patterns = [
            ".*" if isinstance(value, dict) else self._write_pattern(text)
            for value, text in zip((first, second), revealed, strict=True)
        ]
        for pattern, other_pattern, other in zip(patterns, reversed(patterns), reversed(revealed), strict=True):
            if other_pattern == re.escape(other) and not re.fullmatch(pattern, other, re.DOTALL):
                return False
        first_text, second_text = map(json.dumps, texts)
        return f"{first_text} = {second_text}"

    def _write_pattern(self, text: str) -> str:
        """Return a regular expression for what the text may be once its tokens are known."""
        pattern, end = "", 0
        for match in NOT_KNOWN.finditer(text):
            pattern += re.escape(text[end : match.start()]) + (".+" if match[0] in self._tokens.names else ".*")
            end = match.end()
        return pattern + re.escape(text[end:])

    def _distribute(self, compute: Callable[[], Any]) -> Any:
        """Return the result of a function; one for each result of a condition that its arguments hang on."""
        if self._is_calling:
            return compute()
        self._is_calling = True
        try:
            return self._compute_branches(compute)
        finally:
            self._is_calling = False

    def _compute_branches(self, compute: Callable[[], Any]) -> Any:
        try:
            return compute()
        except _UndecidedError as undecided:
            condition = undecided.condition
        if len(self._assumed) >= _MOST_CONDITIONS:
            return "${?a value that hangs on too many conditions}"
        compute_branch = partial(self._compute_branches, compute)
        return choose(condition, *(self._assume(condition, is_met, compute_branch) for is_met in (True, False)))

    def _assume(self, condition: str, is_met: bool, compute: Callable[[], _T]) -> _T | Any:
        self._assumed[condition] = is_met
        try:
            value = compute()
        finally:
            del self._assumed[condition]
        return NO_VALUE if value is _NO_VALUE else value

    def _decide(self, result: Result) -> bool | None:
        """Return the result of a condition, as it is or as it is assumed; None if both branches have to be computed."""
        for literal, is_negated in ((result, False), (negate(result), True)):
            if isinstance(literal, bool):
                return literal is not is_negated
            if literal in self._assumed:
                return self._assumed[literal] is not is_negated
        if self._is_calling:
            raise _UndecidedError(str(result))
        return None

    def _settle(self, value: Any) -> Any:
        """Return a value that hangs on a condition as it is if the condition is met, while a function is called."""
        choice = read_choice(value) if self._is_calling or self._assumed else None
        if choice is None:
            return value
        is_met = self._decide(choice.condition)
        if is_met is None:
            return value
        branch = choice.met if is_met else choice.unmet
        return _NO_VALUE if branch is None else self._settle(branch)

    def _without_assumptions(self, compute: Callable[[], _T]) -> _T:
        """Return what is the same for all that refer to it."""
        assumed, is_calling = self._assumed, self._is_calling
        self._assumed, self._is_calling = {}, False
        try:
            return compute()
        finally:
            self._assumed, self._is_calling = assumed, is_calling

    def _reveal_secret(self, token: re.Match[str]) -> str:
        return self._tokens.secret_values.get(token[0], token[0])

    def _resolve_value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self._resolve_value, value) if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref":
                return self._resolve_reference(argument)
            if function == "Fn::If" or function in self._FUNCTIONS:
                return self._call_function(function, argument)
        resolved = {key: self._resolve_value(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not _NO_VALUE}

    def _call_function(self, function: str, argument: Any) -> Any:
        try:
            if function == "Fn::If":
                return self._choose_branch(argument)
            return self._distribute(partial(self._FUNCTIONS[function], self, argument))
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise UserError(
                f"{self._name}: {function} cannot take the arguments {_describe_value(argument)}"
            ) from error

    def _resolve_reference(self, name: Any) -> Any:
        if not isinstance(name, str):
            # The language extensions allow a function in a reference.
            name = self._resolve_value(name)
            if not isinstance(name, str):
                raise UserError(f"{self._name}: Ref cannot take {_describe_value(name)}")
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self._secrets:
            return self._name_secret(name)
        if name in self._values:
            return self._settle(self._values[name])
        if name in self._pseudo:
            return self._pseudo[name]
        token = f"${{{self._path if name in _OF_STACK or not name.startswith('AWS::') else ''}{name}}}"
        if name == "AWS::StackId" and self._path:
            # The stack around it refers to it by its id.
            token = f"${{{self._path.rstrip('/')}}}"
        if name != "AWS::NotificationARNs":
            self._tokens.names.add(token)
        return token

    def _name_secret(self, name: str) -> str:
        value = SECRET.sub(self._reveal_secret, str(_to_text(self._settle(self._values[name]))))
        is_hidden = name in self._hidden_parameters or HIDDEN_SECRET.search(value)
        digest = hashlib.blake2b(value.encode(), key=_SALT, digest_size=8).hexdigest()
        token = f"${{*{'?' if is_hidden else ''}{name} {digest}}}"
        # A condition on a value that nobody can read is not known.
        self._tokens.secret_values[token] = token if is_hidden else value
        return token

    def _resolve_attribute(self, argument: Any) -> Any:
        logical_id, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
        logical_id, attribute = self._resolve_value(logical_id), self._resolve_value(attribute)
        resource = self._resources.get(logical_id) or {}
        if resource.get("Type") == STACK and attribute.startswith("Outputs."):
            name = attribute.removeprefix("Outputs.")
            token = f"${{{self._path}{logical_id}.{attribute}}}"
            return self._settle(self._evaluate_nested(logical_id).outputs.get(name, token))
        return f"${{{self._path}{logical_id}.{attribute}}}"

    def _substitute_variables(self, argument: Any) -> str:
        text, variables = (argument, {}) if isinstance(argument, str) else (argument[0], dict(*argument[1:]))
        values = {name: self._resolve_value(value) for name, value in variables.items()}

        def replace_variable(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            name = name.strip()
            if name in values:
                return str(_to_text(values[name]))
            return str(_to_text(self._resolve_attribute(name) if "." in name else self._resolve_reference(name)))

        return _VARIABLE.sub(replace_variable, text)

    def _join_parts(self, argument: Any) -> Any:
        separator, parts = argument
        parts = self._resolve_value(parts)
        if not isinstance(parts, list) or any(isinstance(part, dict) for part in parts):
            return {"Fn::Join": [separator, parts]}
        return str(separator).join(str(_to_text(part)) for part in parts)

    def _select_item(self, argument: Any) -> Any:
        index, items = map(self._resolve_value, argument)
        is_known = isinstance(items, list) and not isinstance(index, dict) and str(index).isdigit()
        if not is_known:
            return {"Fn::Select": [index, items]}
        return items[int(index)]

    def _split_text(self, argument: Any) -> Any:
        separator, text = map(self._resolve_value, argument)
        text = text if isinstance(text, dict | list) else _to_text(text)
        if not isinstance(text, str) or ANY_TOKEN.search(text):
            return {"Fn::Split": [separator, text]}
        return text.split(separator)

    def _choose_branch(self, argument: Any) -> Any:
        name, met, unmet = argument
        result = self._find_result(name)
        is_met = self._decide(result)
        if is_met is not None:
            return self._resolve_value(met if is_met else unmet)
        branches = [
            self._assume(str(result), assumption, partial(self._resolve_value, branch))
            for assumption, branch in ((True, met), (False, unmet))
        ]
        value = choose(str(result), *branches)
        return _NO_VALUE if value == NO_VALUE else value

    def _find_in_map(self, argument: Any) -> Any:
        mapping, first, second, *options = argument
        keys = [self._resolve_value(key) for key in (mapping, first, second)]
        value: Any = self._section(self._template, "Mappings")
        for key in keys:
            value = self._look_up(value, key, has_default=bool(options))
            if value is _NO_VALUE:
                break
        if value is not _NO_VALUE:
            return self._resolve_value(value)
        if options:
            return self._resolve_value(options[0]["DefaultValue"])
        if self._assumed:
            # No deployment that succeeds comes by this combination of keys.
            return {"Fn::FindInMap": keys}
        words = (key if isinstance(key, str) else _describe_value(key) for key in keys)
        raise UserError(f"{self._name}: Fn::FindInMap finds no {' / '.join(map(mask_secrets, words))}")

    def _look_up(self, mapping: Any, key: Any, *, has_default: bool) -> Any:
        """Return the item at the key. One that is not known may be any; without a default, it is one of them."""
        if not isinstance(mapping, dict):
            return _NO_VALUE
        results = {name: self._compare_operands(key, name) for name in mapping}
        candidates = [name for name, result in results.items() if result is not False]
        for name in candidates:
            is_last = name == candidates[-1] and not has_default
            if is_last or self._decide(results[name]):
                return mapping[name]
        return _NO_VALUE

    def _encode_base64(self, argument: Any) -> Any:
        text = self._resolve_value(argument)
        if not isinstance(text, str) or ANY_TOKEN.search(text):
            return {"Fn::Base64": text}
        return base64.b64encode(text.encode()).decode()

    def _measure_length(self, argument: Any) -> Any:
        items = self._resolve_value(argument)
        return len(items) if isinstance(items, list) else {"Fn::Length": items}

    def _write_json(self, argument: Any) -> str:
        return json.dumps(self._resolve_value(argument), separators=(",", ":"), ensure_ascii=False)

    def _name_macro(self, argument: Any) -> str:
        return f"${{?transform {argument['Name']}}}"

    _FUNCTIONS: Mapping[str, Callable[["_Stack", Any], Any]] = {
        "Fn::GetAtt": _resolve_attribute,
        "Fn::Sub": _substitute_variables,
        "Fn::Join": _join_parts,
        "Fn::Select": _select_item,
        "Fn::Split": _split_text,
        "Fn::FindInMap": _find_in_map,
        "Fn::Base64": _encode_base64,
        "Fn::Length": _measure_length,
        "Fn::ToJsonString": _write_json,
        "Fn::Transform": _name_macro,
    }


def _describe_value(value: Any) -> str:
    return mask_secrets(json.dumps(value, default=str))[:200]


class _Evaluation:
    """The evaluation of a nested stack or condition, for the length of a ``with`` block; a circle is an error."""

    def __init__(self, in_progress: list[str], name: str, template: str) -> None:
        self._in_progress, self._name, self._template = in_progress, name, template

    def __enter__(self) -> None:
        if self._name in self._in_progress:
            circle = self._in_progress[self._in_progress.index(self._name) :]
            raise UserError(f"{self._template}: circular reference: {' -> '.join((*circle, self._name))}")
        self._in_progress.append(self._name)

    def __exit__(self, *_: object) -> None:
        self._in_progress.pop()


def _type_parameter(declaration: Mapping[str, Any], value: Any) -> Any:
    """Return a parameter's value; its default where the stack around it passes none."""
    return _to_typed(declaration.get("Type", ""), declaration.get("Default") if value is None else value)


def _to_typed(parameter_type: str, value: Any) -> Any:
    """Return a parameter's value as ``Ref`` gives it: a list for the types that are lists.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
    """
    if parameter_type.startswith("AWS::SSM::Parameter::Value<"):
        return f"${{?SSM parameter {value}}}"
    is_list = parameter_type == "CommaDelimitedList" or parameter_type.startswith("List<")
    if is_list and isinstance(value, str) and not ANY_TOKEN.fullmatch(value):
        return [item.strip() for item in value.split(",")]
    return value


def _to_text(value: Any) -> Any:
    """Convert a value to text, as CloudFormation does for a parameter."""
    if value is _NO_VALUE:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(str(_to_text(item)) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return value if isinstance(value, str) else str(value)

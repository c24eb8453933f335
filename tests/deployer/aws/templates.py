"""Evaluates templates with MiniStack's engine, because the tests examine the deployer's own evaluator."""

import contextvars
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml
from ministack.core import responses
from ministack.services.cloudformation import engine

from tests.deployer.aws.settings import ACCOUNT, REGION

if TYPE_CHECKING:
    from tests.deployer.aws.stacks import Stack

Resources = dict[str, dict[str, Any]]


class _Loader(yaml.CSafeLoader):
    """Reads short forms such as ``!Sub`` as MiniStack does, but with libyaml, which is ten times faster."""

    yaml_constructors = engine.CfnLoader.yaml_constructors


@lru_cache(maxsize=64)
def parse_template(text: str) -> dict[str, Any]:
    template: dict[str, Any] = yaml.load(text, Loader=_Loader)  # noqa: S506 - it extends the safe loader
    return template


@lru_cache(maxsize=64)
def select_resources(text: str, parameters: tuple[tuple[str, str], ...]) -> Resources:
    """Return the declarations of the resources whose conditions are true with these parameters."""
    template = parse_template(text)
    conditions = engine._evaluate_conditions(template, _complete_parameters(template, dict(parameters)))
    declared = template.get("Resources", {}).items()
    return {name: resource for name, resource in declared if conditions.get(resource.get("Condition"), True)}


def evaluate_outputs(stack: "Stack", parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the outputs whose conditions are true. Every attribute of a resource is its physical name."""
    evaluation = _Evaluation(stack, parameters)
    outputs = parse_template(stack.text).get("Outputs", {}).items()
    return {
        name: str(evaluation.resolve_expression(output["Value"]))
        for name, output in outputs
        if evaluation.conditions.get(output.get("Condition"), True)
    }


def evaluate_resources(stack: "Stack", generated_names: Mapping[str, str]) -> Resources:
    """Return the declarations of the resources that exist, with the values of their properties.

    ``generated_names`` has the names of resources that no template names, where they differ from their logical ids.
    """
    evaluation = _Evaluation(stack, stack.parameters, generated_names)
    return {
        name: {**resource, "Properties": evaluation.resolve_expression(resource.get("Properties", {}))}
        for name, resource in stack.resources.items()
    }


class _Evaluation(Mapping[str, dict[str, Any]]):
    """The resources of a stack, each with the physical id and the attributes that expressions read."""

    def __init__(
        self, stack: "Stack", parameters: Mapping[str, str], generated_names: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._generated_names = generated_names
        self._stack, self._template = stack, parse_template(stack.text)
        self._parameters = _complete_parameters(self._template, parameters)
        self.conditions = engine._evaluate_conditions(self._template, self._parameters)
        self._resources: dict[str, dict[str, Any]] = {}

    def resolve_expression(self, expression: Any) -> Any:
        context = contextvars.copy_context()
        context.run(responses.set_request_region, REGION)
        context.run(responses.set_request_account_id, ACCOUNT)
        mappings, name, stack_id = self._template.get("Mappings", {}), self._stack.name, self._stack.id
        variables = (self._parameters, self.conditions, mappings, name, stack_id)
        return context.run(engine._resolve_refs, expression, self, *variables)

    def __getitem__(self, logical_id: str) -> dict[str, Any]:
        # Kept, because a nested stack is evaluated with the outputs of those before it, and they with theirs.
        if logical_id not in self._resources:
            self._resources[logical_id] = self._evaluate_resource(logical_id)
        return self._resources[logical_id]

    def _evaluate_resource(self, logical_id: str) -> dict[str, Any]:
        properties = self._template["Resources"][logical_id].get("Properties", {})
        nested = self._stack.nested.get(logical_id)
        if nested:
            values = properties.get("Parameters", {}).items()
            arguments = {name: _as_text(self.resolve_expression(value)) for name, value in values}
            outputs = {f"Outputs.{name}": value for name, value in evaluate_outputs(nested, arguments).items()}
            return {"PhysicalResourceId": nested.id, "Attributes": outputs}
        physical_name = next(
            (self.resolve_expression(value) for key, value in properties.items() if key.endswith("Name")),
            self._generated_names.get(logical_id, logical_id),
        )
        physical = (
            f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{physical_name}"
            if "Alarm" in logical_id
            else str(physical_name)
        )
        return {"PhysicalResourceId": physical, "Attributes": _EveryAttribute(physical)}

    def __iter__(self) -> Iterator[str]:
        return iter(self._template["Resources"])

    def __len__(self) -> int:
        return len(self._template["Resources"])


class _EveryAttribute(dict[str, str]):
    def __init__(self, value: str) -> None:
        super().__init__()
        self._value = value

    def __contains__(self, _: object) -> bool:
        return True

    def __getitem__(self, _: str) -> str:
        return self._value


def _complete_parameters(template: dict[str, Any], parameters: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the parameters, with defaults for missing ones, in the form that MiniStack's engine expects."""
    declared = template.get("Parameters", {}).items()
    values = {name: parameters.get(name, _as_text(parameter.get("Default", ""))) for name, parameter in declared}
    return {name: {"Value": value, "Type": template["Parameters"][name]["Type"]} for name, value in values.items()}


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_as_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)

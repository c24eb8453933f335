"""How a module becomes a nested stack.

A module offers two frozen dataclasses of ``Value`` fields and one function::

    @dataclass(frozen=True, kw_only=True)
    class Inputs:
        topic_arn: Value  # an output of another stack
        reviews_threshold: Value = Settings.reviews_threshold.ref
    @dataclass(frozen=True, kw_only=True)
    class Outputs: ...
    def build(template: Template, inputs: Inputs) -> Outputs: ...

``Nest.add`` calls ``build`` once. Inside the nested template every input is a ``Ref`` to a parameter; in the parent
every output is a ``GetAtt`` on the nested stack. Because of the dataclasses, the type checker reports a misspelt
output, a missing input, a literal, or the use of a stack before it exists.
"""

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from troposphere import AWSHelperFn, GetAtt, Output, Parameter, Ref, Tags, Template
from troposphere.cloudformation import Stack

from .settings import Bootstrap, Settings, all_settings

Value = AWSHelperFn
# The parameter that every template has.
ENVIRONMENT = Ref("Environment")
# The attributes of a resource that outlives its stack, unless its creation is rolled back.
RETAINED: dict[str, Any] = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
# How troposphere says that a property is missing; the type is that of the resource, or of one of its properties.
_MISSING = re.compile(r"Resource (\w+) required in type (?:<class '(?:\w+\.)*)?([\w:]+).*")
I = TypeVar("I")  # noqa: E741 - Inputs
O = TypeVar("O")  # noqa: E741 - Outputs


def to_pascal_case(name: str) -> str:
    """Return a name such as ``dynamodb_key_arn`` or ``dynamodb-key-arn`` as a logical id: ``DynamodbKeyArn``."""
    return "".join(part.capitalize() for part in re.split("[-_]", name))


def platform_tags() -> Tags:
    """Return the tags of every resource that can have tags."""
    return Tags(**platform_tag_map())


def platform_tag_map() -> dict[str, Any]:
    """Return the same tags as a map, the form that AWS Backup requires."""
    return {
        "Environment": ENVIRONMENT,
        "Owner": "PaymentTeam",
        "CostCenter": "Engineering",
        "DataClassification": "Sensitive",
    }


class ResourceError(ValueError):
    """troposphere refuses a resource. The message is one line with the logical id and the reason."""


class CheckedTemplate(Template):
    """A template that checks each resource when it is added, while the line that declares it can still be named."""

    def add_resource(self, resource: Any) -> Any:
        """Add the resource and return it. Raises ``ResourceError`` if it is incomplete or its logical id is taken."""
        try:
            resource.to_dict()
            return super().add_resource(resource)
        except (AttributeError, TypeError, ValueError) as error:
            reason = _MISSING.sub(r"the property \1 of \2 is missing", " ".join(str(error).split()))
            raise ResourceError(f"{resource.title}: {reason}") from error


class Nest:
    """A parent template and the nested templates added to it, in deployment order."""

    def __init__(self, parent: Template, suffix: str) -> None:
        self.parent = parent
        self.suffix = suffix
        self.children: dict[str, Template] = {}

    def add(self, title: str, build: Callable[[Template, I], O], inputs: I, description: str) -> O:
        """Add the nested stack ``title``. Returns its outputs as the parent refers to them."""
        child = CheckedTemplate(Description=description)
        child.set_version()
        parameter_types = {
            setting.name: setting.parameter_type for setting in (*all_settings(Settings), *all_settings(Bootstrap))
        }
        parameters = {name: to_pascal_case(name) for name in _field_names(inputs)}
        for name, parameter in parameters.items():
            child.add_parameter(Parameter(parameter, Type=parameter_types.get(name, "String")))
        outputs = build(child, type(inputs)(**{name: Ref(parameter) for name, parameter in parameters.items()}))
        for name in _field_names(outputs):
            child.add_output(Output(to_pascal_case(name), Value=getattr(outputs, name)))

        self.children[title.lower()] = child
        self.parent.add_resource(
            Stack(
                title,
                # A local path, which packaging replaces with an S3 URL.
                TemplateURL=f"./{title.lower()}.{self.suffix}",
                Parameters={parameter: getattr(inputs, name) for name, parameter in parameters.items()},
                Tags=platform_tags(),
                # Resources that must outlive their stack have their own policies.
                DeletionPolicy="Delete",
                UpdateReplacePolicy="Delete",
            )
        )
        return type(outputs)(
            **{name: GetAtt(title, f"Outputs.{to_pascal_case(name)}") for name in _field_names(outputs)}
        )


def _field_names(dataclass_instance: Any) -> list[str]:
    return [field.name for field in fields(dataclass_instance)]

"""How a module becomes a nested stack: the only machinery there is.

A module offers two frozen dataclasses of ``Value`` fields and one function::

    @dataclass(frozen=True, kw_only=True)
    class Inputs: ...
    @dataclass(frozen=True, kw_only=True)
    class Outputs: ...
    def build(template: Template, inputs: Inputs) -> Outputs: ...

``Nest.add`` calls ``build`` once. Inside the nested template every input is a ``Ref`` to a parameter; in the parent
every output is a ``GetAtt`` on the nested stack. The type checker sees the dataclasses, so a misspelt output, a
missing input, a literal or a use before the stack exists is an error before anything runs.
"""

from collections.abc import Callable
from dataclasses import Field, fields
from typing import Annotated, Any, TypeVar

from troposphere import AWSHelperFn, GetAtt, Output, Parameter, Ref, Tags, Template
from troposphere.cloudformation import Stack

Value = AWSHelperFn
# An input that CloudFormation shall treat as a number; the metadata is the parameter's type.
NumberValue = Annotated[Value, "Number"]
I = TypeVar("I")  # noqa: E741 - Inputs
O = TypeVar("O")  # noqa: E741 - Outputs


def pascal(name: str) -> str:
    """``dynamodb_key_arn`` as CloudFormation logical ids are written: ``DynamodbKeyArn``."""
    return "".join(part.capitalize() for part in name.split("_"))


def tags() -> Tags:
    """The tags of the house, on everything that takes tags."""
    return Tags(**house_tags())


def house_tags() -> dict[str, Any]:
    """The same as a map, which is how AWS Backup takes them."""
    return {
        "Environment": Ref("Environment"),
        "Owner": "PaymentTeam",
        "CostCenter": "Engineering",
        "DataClassification": "Sensitive",
    }


class Nest:
    """A parent template and the nested templates added to it, in deployment order."""

    def __init__(self, parent: Template, suffix: str) -> None:
        self.parent = parent
        self.suffix = suffix
        self.children: dict[str, Template] = {}

    def add(self, title: str, build: Callable[[Template, I], O], inputs: I, description: str) -> O:
        """Add the nested stack ``title`` and give its outputs as the parent refers to them."""
        child = Template(Description=description)
        child.set_version()
        names = {f.name: pascal(f.name) for f in fields(inputs)}  # type: ignore[arg-type]
        for f in fields(inputs):  # type: ignore[arg-type]
            child.add_parameter(Parameter(names[f.name], Type=_parameter_type(f)))
        outputs = build(child, type(inputs)(**{name: Ref(parameter) for name, parameter in names.items()}))
        for f in fields(outputs):  # type: ignore[arg-type]
            child.add_output(Output(pascal(f.name), Value=getattr(outputs, f.name)))

        name = title.lower()
        self.children[name] = child
        self.parent.add_resource(
            Stack(
                title,
                # A local path, as `aws cloudformation package` reads it; packaging makes it an S3 URL.
                TemplateURL=f"./{name}.{self.suffix}",
                Parameters={names[f.name]: getattr(inputs, f.name) for f in fields(inputs)},  # type: ignore[arg-type]
                Tags=tags(),
                # What must outlive a stack says so inside it.
                DeletionPolicy="Delete",
                UpdateReplacePolicy="Delete",
            )
        )
        return type(outputs)(
            **{f.name: GetAtt(title, f"Outputs.{pascal(f.name)}") for f in fields(outputs)}  # type: ignore[arg-type]
        )


def _parameter_type(f: Field[Any]) -> str:
    return str(getattr(f.type, "__metadata__", ("String",))[0])

"""Emits a troposphere template as text for review, in CloudFormation's customary order and short forms."""

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from troposphere import Template

_HEADER = "# Emitted by `python generate.py` from stacks/. Never edit it by hand.\n"
_SECTIONS = ("AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Conditions", "Resources", "Outputs")
# All attributes: one that is not here is not emitted.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-product-attribute-reference.html
_RESOURCE = (
    *("Type", "Condition", "DependsOn", "CreationPolicy", "UpdatePolicy"),
    *("DeletionPolicy", "UpdateReplacePolicy", "Metadata", "Properties"),
)


def as_json(order_sections: dict[str, Any]) -> str:
    return json.dumps(order_sections, indent=2, ensure_ascii=False) + "\n"


def as_yaml(document: dict[str, Any]) -> str:
    return _HEADER + to_yaml(document)


def to_yaml(document: dict[str, Any]) -> str:
    """Return a template document as YAML with CloudFormation's short forms (``!Ref``, ``!GetAtt``, ``!Sub``...)."""
    # libyaml's emitter, because it is several times faster than any in Python.
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return text


def document(template: "Template") -> dict[str, Any]:
    """Return the template as plain data, with sections and attributes in the customary order and without empty ones."""
    document: dict[str, Any] = template.to_dict()
    document["Resources"] = {
        title: {key: resource[key] for key in _RESOURCE if key in resource}
        for title, resource in document["Resources"].items()
    }
    return {section: document[section] for section in _SECTIONS if document.get(section)}


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _represent_mapping(dumper: yaml.CSafeDumper, data: dict[str, Any]) -> yaml.Node:
    if len(data) == 1:
        ((key, value),) = data.items()
        tag = "!" + key.removeprefix("Fn::")
        if key in ("Ref", "Condition") and isinstance(value, str):
            return dumper.represent_scalar(tag, value)
        if key == "Fn::GetAtt" and isinstance(value, list) and all(isinstance(part, str) for part in value):
            return dumper.represent_scalar(tag, ".".join(value))
        if key.startswith("Fn::") and key != "Fn::GetAtt":
            if isinstance(value, str):
                return dumper.represent_scalar(tag, value, style="|" if "\n" in value else None)
            if isinstance(value, list):
                return dumper.represent_sequence(tag, value)
        # Anything else keeps the long form, which allows any value.
    return dumper.represent_mapping("tag:yaml.org,2002:map", data.items())


# Text that some YAML readers take for a number or a date, and libyaml does not.
_LIKE_A_NUMBER = re.compile(r"[-+.]?[0-9][0-9a-zA-Z_.:+-]*")


def _represent_text(dumper: yaml.CSafeDumper, data: str) -> yaml.Node:
    style = "|" if "\n" in data else "'" if _LIKE_A_NUMBER.fullmatch(data) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(dict, _represent_mapping)
_Dumper.add_representer(str, _represent_text)

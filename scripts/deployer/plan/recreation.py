"""Tells which changed properties replace a resource, by the resource schemas that cfn-lint ships."""

from collections.abc import Iterable
from functools import cache

from scripts.common.evaluated import Resource

from .resource_schemas import read_schema

# Types whose identifier an update changes in place: a job definition's has its revision, and the function behind a
# custom resource may answer an update with another one.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-batch-jobdefinition.html
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes-update.html
_RENAMED = ("AWS::Batch::JobDefinition", "AWS::CloudFormation::CustomResource")


def find_recreation(resource_type: str, path: tuple[str, ...]) -> str:
    """Return "Never", "Conditionally" or "Always" for a property path; "Conditionally" for a type without a schema."""
    always, conditionally = _create_only(resource_type)
    if any(_is_affected(path, pointer) for pointer in always):
        return "Always"
    return "Conditionally" if any(_is_affected(path, pointer) for pointer in conditionally) else "Never"


def find_strongest_recreation(recreations: Iterable[str]) -> str:
    return max(recreations, key=("Never", "Conditionally", "Always").index)


_Paths = tuple[tuple[str, ...], ...]


@cache
def _create_only(resource_type: str) -> tuple[_Paths, _Paths]:
    """https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html#schema-properties-createonlyproperties"""
    schema = read_schema(resource_type)
    if schema is None:
        return (), ((),)
    always = _split_pointers(schema.get("createOnlyProperties", []))
    return always, _split_pointers(schema.get("conditionalCreateOnlyProperties", []))


def has_constant_name(resource_type: str) -> bool:
    """Whether ``Ref`` gives the same for a resource until it is replaced; False for a type without a schema."""
    return resource_type not in _RENAMED and read_schema(resource_type) is not None


def is_constant_attribute(resource_type: str, attribute: str) -> bool:
    """Whether the attribute identifies the resource, and so stays the same until the resource is replaced.

    That holds for the primary identifier of the schema, for properties that cannot be updated, and for the resource's
    own ARN. Other read-only properties, such as ``StreamArn``, may change in place.
    https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html
    """
    if not has_constant_name(resource_type):
        return False
    schema = read_schema(resource_type) or {}
    pointer = "/properties/" + attribute.replace(".", "/")
    if pointer not in schema.get("readOnlyProperties", []):
        return pointer in schema.get("createOnlyProperties", [])
    return pointer in schema.get("primaryIdentifier", []) or attribute in (
        "Arn",
        f"{resource_type.rpartition(':')[2]}Arn",
    )


def is_property(resource_type: str, attribute: str) -> bool:
    """Whether a template may set the property of this name, which ``Fn::GetAtt`` then returns."""
    schema = read_schema(resource_type) or {}
    is_read_only = "/properties/" + attribute.replace(".", "/") in schema.get("readOnlyProperties", [])
    return attribute.split(".")[0] in schema.get("properties", {}) and not is_read_only


@cache
def list_naming_properties(resource_type: str) -> tuple[str, ...]:
    """Return the properties that name a resource of the type, or nothing if no template can name one.

    A name is what identifies a resource, may be set and cannot be updated; where the service makes up the identifier,
    it is the property ``Name``, or ``QueueName`` of a queue. The name of what belongs to another resource, such as a
    function's alias, counts only with that resource.
    """
    schema = read_schema(resource_type) or {}
    settable = {
        pointer.removeprefix("/properties/")
        for pointer in schema.get("createOnlyProperties", [])
        if pointer not in schema.get("readOnlyProperties", [])
    }
    identifiers = [pointer.removeprefix("/properties/") for pointer in schema.get("primaryIdentifier", [])]
    if settable.issuperset(identifiers):
        return tuple(identifiers)
    names = settable & {"Name", f"{resource_type.rpartition(':')[2]}Name"}
    return (*sorted(names), *sorted(settable.intersection(schema.get("required", [])) - names)) if names else ()


def find_fixed_name(resource: Resource) -> str:
    """Return the name that the template fixes; empty if CloudFormation generates a name.

    No second resource of the type can have it. Where a name counts only within another resource, both are part of it.
    """
    names = [resource.properties.get(name) for name in list_naming_properties(resource.type)]
    return "/".join(map(str, names)) if all(isinstance(name, str) for name in names) else ""


@cache
def list_identifiers(resource_type: str) -> tuple[str, ...]:
    """Return the properties that identify a resource, or nothing if a template cannot set one of them.

    https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html#schema-properties-primaryidentifier
    """
    schema = read_schema(resource_type) or {}
    identifiers = schema.get("primaryIdentifier", [])
    if not set(identifiers).isdisjoint(schema.get("readOnlyProperties", [])):
        return ()
    return tuple(pointer.removeprefix("/properties/") for pointer in identifiers)


def _split_pointers(pointers: list[str]) -> _Paths:
    return tuple(tuple(pointer.removeprefix("/properties/").split("/")) for pointer in pointers)


def _is_affected(path: tuple[str, ...], pointer: tuple[str, ...]) -> bool:
    """Whether one path contains the other; ``*`` stands for any item of a list."""
    return all(expected in ("*", part) for part, expected in zip(path, pointer, strict=False))

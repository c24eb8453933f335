"""Tells which changed properties replace a resource, by the resource schemas that cfn-lint ships."""

from functools import cache
from typing import Any

# Schemas differ between Regions only in properties that are not available yet.
_REGION = "us-east-1"


def find_recreation(resource_type: str, path: tuple[str, ...]) -> str:
    """Return "Never", "Conditionally" or "Always" for a property path; "Conditionally" for a type without a schema."""
    always, conditionally = _create_only(resource_type)
    if any(_is_affected(path, pointer) for pointer in always):
        return "Always"
    return "Conditionally" if any(_is_affected(path, pointer) for pointer in conditionally) else "Never"


_Paths = tuple[tuple[str, ...], ...]


@cache
def _create_only(resource_type: str) -> tuple[_Paths, _Paths]:
    """https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html#schema-properties-createonlyproperties"""
    schema = read_schema(resource_type)
    if schema is None:
        return (), ((),)
    always = _split_pointers(schema.get("createOnlyProperties", []))
    return always, _split_pointers(schema.get("conditionalCreateOnlyProperties", []))


def read_schema(resource_type: str) -> dict[str, Any] | None:
    """Return the schema of a resource type, or None if cfn-lint does not have it."""
    # Imported here because it takes most of a second, and few commands need it.
    from cfnlint.schema._exceptions import ResourceNotFoundError
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    try:
        return dict(PROVIDER_SCHEMA_MANAGER.get_resource_schema(_REGION, resource_type).schema)
    except ResourceNotFoundError:
        return None


def _split_pointers(pointers: list[str]) -> _Paths:
    return tuple(tuple(pointer.removeprefix("/properties/").split("/")) for pointer in pointers)


def _is_affected(path: tuple[str, ...], pointer: tuple[str, ...]) -> bool:
    """Whether one path contains the other; ``*`` stands for any item of a list."""
    return all(expected in ("*", part) for part, expected in zip(path, pointer, strict=False))

"""Which changed properties replace a resource, by the resource types' own schemas, which cfn-lint carries."""

from functools import cache

# Schemas are the same in every region but for what is not offered yet.
_REGION = "us-east-1"


def find_recreation(resource_type: str, path: tuple[str, ...]) -> str:
    """Never, Conditionally or Always, for a property by its path; Conditionally for a type without a schema."""
    always, conditionally = _create_only(resource_type)
    if any(_is_affected(path, one) for one in always):
        return "Always"
    return "Conditionally" if any(_is_affected(path, one) for one in conditionally) else "Never"


_Paths = tuple[tuple[str, ...], ...]


@cache
def _create_only(resource_type: str) -> tuple[_Paths, _Paths]:
    """https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html#schema-properties-createonlyproperties"""
    # cfn-lint takes most of a second to import, and only a comparison needs it.
    from cfnlint.schema._exceptions import ResourceNotFoundError
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    try:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(_REGION, resource_type).schema
    except ResourceNotFoundError:
        return (), ((),)
    always = _split_pointers(schema.get("createOnlyProperties", []))
    return always, _split_pointers(schema.get("conditionalCreateOnlyProperties", []))


def _split_pointers(pointers: list[str]) -> _Paths:
    return tuple(tuple(pointer.removeprefix("/properties/").split("/")) for pointer in pointers)


def _is_affected(path: tuple[str, ...], pointer: tuple[str, ...]) -> bool:
    """Whether one is, or is within, the other; ``*`` is any item of a list."""
    return all(there in ("*", here) for here, there in zip(path, pointer, strict=False))

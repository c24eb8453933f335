"""Names the parts of a Lambda version's description, of which a plan would otherwise show digests and bare values.

``stacks/compute/versions.py`` joins the description of a digest and the values of parameters, without their names,
because Lambda accepts 256 characters.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from scripts.common.templates import Tree

from .model import Change, PropertyChange, StackChanges

VERSION = "AWS::Lambda::Version"
_PART = re.compile(r"Description/Fn::Join/1/(\d+)")
_DIGESTS = {"code": "digest of code and configuration", "layer": "digest of the layer"}


def list_version_fields(tree: Tree, path: str = "") -> dict[str, tuple[str, ...]]:
    """Return what each part of the description is, by the path of the version in a tree of templates.

    A version that a loop makes has none: its description is not one of ours.
    """
    fields = {
        f"{path}{logical_id}": tuple(_name_part(part) for part in parts)
        for logical_id, resource in tree.resources().items()
        if isinstance(resource, dict)
        and resource["Type"] == VERSION
        and (parts := _list_parts(resource.get("Properties", {}).get("Description")))
    }
    for logical_id, nested in tree.nested.items():
        fields |= list_version_fields(nested, f"{path}{logical_id}/")
    return fields


def split_descriptions(stack: StackChanges, fields: Mapping[str, tuple[str, ...]], path: str = "") -> StackChanges:
    """Return the changes with a property for each part of a description that differs, such as Description/OpenShards.

    A description that does not consist of these parts before and after stays as it is.
    """
    changes = tuple(_split_change(change, fields, f"{path}{change.logical_id}") for change in stack.changes)
    return replace(stack, changes=changes)


def _split_change(change: Change, fields: Mapping[str, tuple[str, ...]], path: str) -> Change:
    if change.nested:
        return replace(change, nested=split_descriptions(change.nested, fields, f"{path}/"))
    if path not in fields:
        return change
    return replace(
        change, properties=tuple(part for prop in change.properties for part in _split_property(prop, fields[path]))
    )


def _split_property(prop: PropertyChange, names: tuple[str, ...]) -> Iterator[PropertyChange]:
    # A comparison that does not know every value names the part of the expression.
    if (part := _PART.fullmatch(prop.name)) and int(part[1]) < len(names):
        yield replace(prop, name=f"Description/{names[int(part[1])]}")
        return
    before, after = ((text or "").split(" ") for text in (prop.before, prop.after))
    if prop.name != "Description" or prop.is_drifted or not len(before) == len(after) == len(names):
        yield prop
        return
    for name, old, new in zip(names, before, after, strict=True):
        if old != new:
            yield replace(prop, name=f"{prop.name}/{name}", before=old, after=new)


def _list_parts(description: Any) -> list[Any]:
    """Return the parts of a description that is joined by spaces; none of another one."""
    arguments = description.get("Fn::Join") if isinstance(description, dict) else None
    match arguments:
        case [" ", [*parts]]:
            return parts
    return []


def _name_part(part: Any) -> str:
    """Return the parameter that a part is the value of, or which digest it is."""
    if isinstance(part, dict) and "Ref" in part:
        return str(part["Ref"])
    text = part["Fn::If"][1] if isinstance(part, dict) and "Fn::If" in part else part
    return _DIGESTS.get(str(text).partition("-")[0], "another part")

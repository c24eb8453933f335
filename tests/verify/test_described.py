"""Every resource type of the templates is compared, and every gap is of a property of the templates."""

from typing import Any

import pytest

from scripts.local import gaps
from scripts.verify.described import DESCRIBED, PROPERTIES, SILENT
from scripts.verify.resources import ACCESS, RESOURCES

STACK = "AWS::CloudFormation::Stack"
# The groups "keys" and "versions" check them.
TYPES_OF_OTHER_GROUPS = {"AWS::KMS::Key", "AWS::KMS::Alias", "AWS::Lambda::Version", "AWS::Lambda::Alias"}


def list_resources(templates: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the resources of all stacks but the account's own."""
    return [
        resource
        for name, template in templates.items()
        if name != "artifacts"
        for resource in template["Resources"].values()
    ]


def test_every_resource_type_of_the_templates_is_compared(templates: dict[str, dict[str, Any]]) -> None:
    types = {resource["Type"] for resource in list_resources(templates)} - {STACK}
    assert types == set(DESCRIBED) | SILENT
    assert set(DESCRIBED) == {kind for types in (RESOURCES | ACCESS).values() for kind in types} | TYPES_OF_OTHER_GROUPS


@pytest.mark.parametrize("name", [*gaps.PROPERTIES, *PROPERTIES])
def test_every_gap_is_a_property_of_the_templates(name: str, templates: dict[str, dict[str, Any]]) -> None:
    resource_type, property_name = name.rsplit(".", 1)
    assert any(
        resource["Type"] == resource_type and property_name in resource["Properties"]
        for resource in list_resources(templates)
    )

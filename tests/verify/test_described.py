"""What is compared covers the templates, and what is left out is there to be left out."""

from typing import Any

import pytest

from scripts.local import gaps
from scripts.verify.described import DESCRIBED, PROPERTIES, SILENT
from scripts.verify.resources import ROWS

STACK = "AWS::CloudFormation::Stack"
# In groups of their own, or a detail of another resource.
ELSEWHERE = {
    "AWS::IAM::Role",
    "AWS::IAM::ManagedPolicy",
    "AWS::KMS::Key",
    "AWS::KMS::Alias",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::Lambda::Alias",
}


def declared(templates: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The resources of the platform's stacks; the account's own stack is not an environment's."""
    return [
        one for name, template in templates.items() if name != "artifacts" for one in template["Resources"].values()
    ]


def test_every_resource_type_of_the_templates_is_compared(templates: dict[str, dict[str, Any]]) -> None:
    types = {one["Type"] for one in declared(templates)} - {STACK}
    assert types == set(DESCRIBED) | SILENT
    assert set(DESCRIBED) == {one for row in ROWS.values() for one in row} | ELSEWHERE


@pytest.mark.parametrize("name", [*gaps.PROPERTIES, *PROPERTIES])
def test_a_property_that_is_left_out_is_one_of_the_templates(name: str, templates: dict[str, dict[str, Any]]) -> None:
    resource_type, property_name = name.rsplit(".", 1)
    assert any(one["Type"] == resource_type and property_name in one["Properties"] for one in declared(templates))

"""Every resource type of the templates is compared, and every gap is of a property of the templates."""

from typing import Any

import pytest

from scripts.local import gaps
from scripts.verify.described import DESCRIBED, PROPERTIES, SILENT
from scripts.verify.resources import ACCESS, RESOURCES
from tests.emitted import load_template

STACK = "AWS::CloudFormation::Stack"
ROWS = {kind for types in (RESOURCES | ACCESS).values() for kind in types}
# The groups "keys" and "versions" check them.
TYPES_OF_OTHER_GROUPS = {"AWS::KMS::Key", "AWS::KMS::Alias", "AWS::Lambda::Version", "AWS::Lambda::Alias"}
# The group "account" compares them in the stack that all environments share.
TYPES_OF_THE_ACCOUNT = {"AWS::S3::Bucket", "AWS::S3::BucketPolicy"}


def test_every_resource_type_of_the_templates_is_compared(templates: dict[str, dict[str, Any]]) -> None:
    types = {resource["Type"] for template in templates.values() for resource in template["Resources"].values()}
    types -= {STACK}
    assert not types - set(DESCRIBED) - SILENT, "scripts/verify/described.py: describe them"
    assert not types - ROWS - SILENT - TYPES_OF_OTHER_GROUPS, "scripts/verify/resources.py: give them a row"
    assert set(DESCRIBED) | SILENT <= types | TYPES_OF_THE_ACCOUNT
    assert set(DESCRIBED) == ROWS | TYPES_OF_OTHER_GROUPS | TYPES_OF_THE_ACCOUNT


@pytest.mark.parametrize("name", [*gaps.PROPERTIES, *PROPERTIES])
def test_every_gap_is_a_property_of_the_templates(name: str, templates: dict[str, dict[str, Any]]) -> None:
    resource_type, property_name = name.rsplit(".", 1)
    assert any(
        resource["Type"] == resource_type and property_name in resource["Properties"]
        for template in (*templates.values(), load_template("artifacts"))
        for resource in template["Resources"].values()
    )

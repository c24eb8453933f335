"""Reads what cfn-lint ships of resource types: their schemas, and which of them hold data.

The files are read without cfn-lint itself, whose import takes longer than all of a plan.
"""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Schemas differ between Regions only in properties that are not available yet.
_REGION = "us-east-1"
_CUSTOM = "AWS::CloudFormation::CustomResource"


@cache
def read_schema(resource_type: str) -> dict[str, Any] | None:
    """Return the schema of a resource type, or None if cfn-lint does not ship it."""
    file = _list_files().get(_CUSTOM if resource_type.startswith("Custom::") else resource_type)
    return _read("schemas", "resources", f"{file}.json") if file else None


def read_stateful_types() -> list[str]:
    """Return the resource types that hold data (rule I3011).

    https://github.com/aws-cloudformation/cfn-lint/blob/main/docs/rules.md
    """
    return sorted(_read("AdditionalSpecs", "StatefulResources.json")["ResourceTypes"])


@cache
def _list_files() -> dict[str, str]:
    """Return the name of the schema's file for each resource type, those of AWS SAM included."""
    return {**_read("schemas", "providers", f"{_REGION}.json"), **_read("schemas", "providers", "sam.json")}


def _read(*path: str) -> dict[str, Any]:
    package = find_spec("cfnlint")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'cfnlint'", name="cfnlint")
    file = Path(package.submodule_search_locations[0]).joinpath("data", *path)
    content: dict[str, Any] = json.loads(file.read_bytes())
    return content

"""The committed templates, read for the tests."""

import re
from pathlib import Path
from typing import Any

import cfn_flip

ROOT = Path(__file__).resolve().parents[1]
NESTED = ("security", "data", "compute", "workflow", "monitoring")


def load_template(name: str) -> dict[str, Any]:
    """A committed template, with intrinsic functions in their long form."""
    return cfn_flip.load((ROOT / "templates" / f"{name}.yaml").read_text())[0]


def resources(template: dict[str, Any], resource_type: str | None = None) -> dict[str, Any]:
    return {
        title: resource
        for title, resource in template["Resources"].items()
        if resource_type in (None, resource["Type"])
    }


def strings(value: Any) -> list[str]:
    """Every string in a document, keys too."""
    if isinstance(value, dict):
        return [*map(str, value), *(text for item in value.values() for text in strings(item))]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def substitutions(text: str) -> set[str]:
    return set(re.findall(r"\$\{([A-Za-z0-9]+)\}", text))

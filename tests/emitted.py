"""The committed templates, or others that stand for them (``pytest --templates DIR``), read for the tests."""

import json
import re
from pathlib import Path
from typing import Any

import cfn_flip

ROOT = Path(__file__).resolve().parents[1]
NESTED = ("security", "data", "compute", "workflow", "monitoring")
ALL = ("parent", *NESTED, "artifacts")

_folder = ROOT / "templates"
_read: dict[str, dict[str, Any]] = {}


def read_from(folder: Path) -> None:
    """Before a test module is imported: some read their template at once."""
    global _folder
    _folder = folder
    _read.clear()


def stand_in(templates: dict[str, dict[str, Any]]) -> None:
    """These from now on, and not what is in any folder."""
    _read.update(templates)


def load_template(name: str) -> dict[str, Any]:
    """A template, with intrinsic functions in their long form. Nobody changes what others read, too."""
    if name not in _read:
        path = _folder / f"{name}.json"
        if path.exists():
            _read[name] = json.loads(path.read_text(encoding="utf-8"))
        else:
            _read[name] = cfn_flip.load((_folder / f"{name}.yaml").read_text(encoding="utf-8"))[0]
    return _read[name]


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

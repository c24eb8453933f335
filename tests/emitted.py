"""Reads the committed templates for the tests, or those of another folder (``pytest --templates DIR``)."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from cfn_tools.yaml_loader import CfnYamlLoader

ROOT = Path(__file__).resolve().parents[1]
NESTED = ("security", "data", "compute", "workflow", "monitoring")
TEMPLATES = ("parent", *NESTED, "artifacts")


class _Loader(yaml.CSafeLoader):
    """Reads templates as cfn-flip does, but with libyaml, which is ten times as fast."""

    yaml_constructors = CfnYamlLoader.yaml_constructors
    yaml_multi_constructors = CfnYamlLoader.yaml_multi_constructors


_folder = ROOT / "templates"
_loaded: dict[str, dict[str, Any]] = {}


def read_from(folder: Path) -> None:
    """Read another folder. Call this before test modules are imported, because some load their template then."""
    global _folder
    _folder = folder
    _loaded.clear()


def stand_in(templates: dict[str, dict[str, Any]]) -> None:
    """Return these templates from now on, instead of those in a folder."""
    _loaded.update(templates)


def how_to_update(golden: Path, tests: str) -> str:
    """Return the advice for a file of what was last reviewed; ``tests`` select those that write it."""
    file = golden.relative_to(ROOT)
    command = f"UPDATE_GOLDEN=1 .venv/bin/python -m pytest {file.parent} -k {tests}"
    return f"{file} is what was last reviewed. If the change is meant, write it again, and review the diff: {command}"


def load_template(name: str) -> dict[str, Any]:
    """Return a template, with intrinsic functions in their long form. It is shared: do not change it."""
    if name not in _loaded:
        path = _folder / f"{name}.json"
        if path.exists():
            _loaded[name] = json.loads(path.read_text(encoding="utf-8"))
        else:
            text = (_folder / f"{name}.yaml").read_text(encoding="utf-8")
            document = yaml.load(text, Loader=_Loader)  # noqa: S506 - it extends the safe loader
            # Plain dicts: each look into a mapping of cfn-flip creates a class.
            _loaded[name] = json.loads(json.dumps(document))
    return _loaded[name]


def resources(template: dict[str, Any], resource_type: str | None = None) -> dict[str, Any]:
    return {
        title: resource
        for title, resource in template["Resources"].items()
        if resource_type in (None, resource["Type"])
    }


def strings(value: Any) -> list[str]:
    """Return every string in a document, its keys included."""
    if isinstance(value, dict):
        return [*map(str, value), *(text for item in value.values() for text in strings(item))]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def find_arguments(function: str, value: Any) -> list[Any]:
    """Return the arguments of each use of an intrinsic function in a part of a template."""
    if isinstance(value, dict):
        nested = [argument for item in value.values() for argument in find_arguments(function, item)]
        return [value[function], *nested] if function in value else nested
    items = value if isinstance(value, list) else []
    return [argument for item in items for argument in find_arguments(function, item)]


def find_references(value: Any) -> set[str]:
    """Return the names that a part of a template refers to: by Ref, and by Sub that does not define them itself."""
    references = set(find_arguments("Ref", value))
    for argument in find_arguments("Fn::Sub", value):
        text, variables = argument if isinstance(argument, list) else (argument, {})
        references |= set(re.findall(r"\$\{([A-Za-z0-9]+)\}", text)) - set(variables)
    return references

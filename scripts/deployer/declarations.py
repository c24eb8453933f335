"""Finds where a resource is declared: the line with its logical id in ``stacks/``, and its line in ``templates/``."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.common.paths import ROOT


@dataclass(frozen=True)
class Declaration:
    """Where a resource is declared: two places as ``file:line`` in the repository, empty where it was not found."""

    source: str = ""
    template: str = ""

    def __str__(self) -> str:
        return ", emitted to ".join(place for place in (self.source, self.template) if place)


def find_declaration(path: str) -> Declaration | None:
    """Return where a resource with a path such as ``Data/Transactions`` is declared; None if no template has it."""
    *stacks, logical_id = path.split("/")
    # A resource of a root stack is the parent's, or of the stack with the artifact bucket.
    for name in [stacks[-1].lower()] if stacks else ["parent", "artifacts"]:
        if template := _find_in_template(ROOT / "templates" / f"{name}.yaml", logical_id):
            return Declaration(_find_in_source(name, logical_id), template)
    return None


def find_source_of_line(template: Path, line: int) -> str:
    """Return the line in ``stacks/`` of the resource around a line of a template; empty if it is found nowhere."""
    lines = template.read_text(encoding="utf-8").splitlines()[:line]
    headings = [text for text in lines if re.match(r"(?:  )?\w+:", text)]
    section = next((text for text in reversed(headings) if not text.startswith(" ")), "")
    if section != "Resources:" or not headings[-1].startswith(" "):
        return ""
    return _find_in_source(template.stem, headings[-1].strip().removesuffix(":"))


def _find_in_template(path: Path, logical_id: str) -> str:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    resources = lines.index("Resources:") if "Resources:" in lines else len(lines)
    for number, line in enumerate(lines[resources:], resources + 1):
        if line == f"  {logical_id}:":
            return f"{path.relative_to(ROOT)}:{number}"
    return ""


def _find_in_source(name: str, logical_id: str) -> str:
    """Return the line with the logical id, or with the longest beginning of it that a function completes.

    A call that declares a resource, such as ``sns.Topic("Notifications")`` or ``add_bucket(template, "Artifacts")``,
    is preferred to other calls. Returns an empty text if two lines remain, because one of them would be wrong.
    """
    package = ROOT / "stacks" / name
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package.with_suffix(".py")]
    places: dict[tuple[int, bool], list[str]] = {}
    for path in filter(Path.is_file, files):
        for literal, line, is_declaration in _literals(ast.parse(path.read_text(encoding="utf-8"))):
            # ``Validation`` is the title of ``ValidationRole``, and not of ``ValidationsRole``; ``{}`` is a number.
            pattern = re.escape(literal).replace(r"\{\}", r"\d+")
            if literal and re.match(rf"{pattern}(?![a-z])", logical_id):
                places.setdefault((len(literal), is_declaration), []).append(f"{path.relative_to(ROOT)}:{line}")
    best = places[max(places)] if places else []
    return best[0] if len(best) == 1 else ""


def _literals(tree: ast.Module) -> Iterator[tuple[str, int, bool]]:
    """Yield the text and the line of each literal argument or constant, or of the literal that begins an f-string."""
    for node in ast.walk(tree):
        values = node.args if isinstance(node, ast.Call) else [node.value] if isinstance(node, ast.Assign) else []
        is_declaration = isinstance(node, ast.Call) and _declares_resource(node)
        for value in values:
            literal = value.values[0] if isinstance(value, ast.JoinedStr) else value
            if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                yield literal.value, literal.lineno, is_declaration


def _declares_resource(call: ast.Call) -> bool:
    """Tell a constructor, or a function that adds a resource to the template that it is given, from other calls."""
    function = ast.unparse(call.func).rsplit(".", 1)[-1]
    return function[:1].isupper() or (bool(call.args) and ast.unparse(call.args[0]) == "template")

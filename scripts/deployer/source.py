"""Where a resource was declared: the line of ``stacks/`` that made it, and the line of the template it became."""

import ast
import inspect
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

from troposphere import Template

from scripts.common.paths import ROOT


@dataclass(frozen=True)
class Declaration:
    """File and line, relative to the repository; empty where it is not found."""

    source: str = ""
    template: str = ""

    def __str__(self) -> str:
        return ", emitted to ".join(one for one in (self.source, self.template) if one)


def declaration(where: str) -> Declaration | None:
    """Of ``Data/Transactions``, or of ``Data`` itself; None for what no template declares."""
    *stacks, logical_id = where.split("/")
    name = stacks[-1].lower() if stacks else "parent"
    template = _template_line(ROOT / "templates" / f"{name}.yaml", logical_id)
    source = _source_line(name, logical_id)
    return Declaration(source, template) if source or template else None


def _template_line(path: Path, logical_id: str) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for number, line in enumerate(lines, 1):
        if line == f"  {logical_id}:" and "Resources:" in lines[: number - 1]:
            return f"{path.relative_to(ROOT)}:{number}"
    return ""


def _source_line(name: str, logical_id: str) -> str:
    """The stacks are built once more, and whoever adds the resource is asked where they stand."""
    found: list[tuple[Template, str]] = []
    add = Template.add_resource

    def adding(template: Template, resource: Any) -> Any:
        for one in resource if isinstance(resource, list) else [resource]:
            if one.title == logical_id:
                found.append((template, _line(inspect.currentframe(), logical_id)))
        return add(template, resource)

    from stacks import parent

    with patch.object(Template, "add_resource", adding):
        built = parent.build(suffix="yaml")
    return next((line for template, line in found if template is built.get(name)), "")


def _line(frame: FrameType | None, logical_id: str) -> str:
    """The innermost line of ``stacks/`` that names the resource; else the innermost that had a hand in it."""
    lines: list[tuple[Path, int]] = []
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT / "stacks"):
            lines.append((path, frame.f_lineno))
        frame = frame.f_back
    for path, number in lines:
        if _names(_statement(path, number), logical_id):
            return f"{path.relative_to(ROOT)}:{number}"
    for path, _ in lines[:1]:
        if number := _names(_parsed(path), logical_id):
            return f"{path.relative_to(ROOT)}:{number}"
    for path, number in lines:
        # Made by a function that completes the name: whoever called it with the beginning.
        if _names(_statement(path, number), logical_id, beginning=True):
            return f"{path.relative_to(ROOT)}:{number}"
    return f"{lines[0][0].relative_to(ROOT)}:{lines[0][1]}" if lines else ""


def _statement(path: Path, number: int) -> ast.stmt | None:
    """The smallest statement that has the line."""
    around = [
        node
        for node in ast.walk(_parsed(path))
        if isinstance(node, ast.stmt) and node.lineno <= number <= (node.end_lineno or number)
    ]
    return min(around, key=lambda node: (node.end_lineno or number) - node.lineno, default=None)


def _names(tree: ast.AST | None, logical_id: str, *, beginning: bool = False) -> int:
    """The line of a call that is given the name, or the beginning of it; 0 if there is none."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)] if tree else []
    for call in calls:
        texts = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if logical_id in texts or (beginning and any(text and logical_id.startswith(text) for text in texts)):
            return call.lineno
    return 0


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))

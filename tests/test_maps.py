"""The map in a package's docstring names each of its modules and sub-packages, and nothing that is not there."""

import ast
import re
from pathlib import Path

import pytest

from tests.emitted import ROOT

PACKAGES = {
    path.parent.relative_to(ROOT).as_posix(): path.parent
    for top in ("lambda", "scripts", "stacks")
    for path in (ROOT / top).rglob("__init__.py")
} | {name: ROOT / name for name in ("tests/asl", "tests/conformance", "tests/deployer/aws")}
NAME = re.compile(r"(?<!\S)\w+(?:\.py|/)(?=[\s:,]|$)")


def list_mapped_names(docstring: str) -> list[str]:
    """The names at the beginning of lines; other lines may mention any file."""
    return [name for line in docstring.splitlines() if NAME.match(line.strip()) for name in NAME.findall(line)]


def list_contents(package: Path) -> list[str]:
    modules = [path.name for path in package.glob("*.py") if path.name != "__init__.py"]
    return modules + [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_the_map_is_true(name: str) -> None:
    docstring = ast.get_docstring(ast.parse((PACKAGES[name] / "__init__.py").read_text(encoding="utf-8")))
    mapped, contents = set(list_mapped_names(docstring or "")), set(list_contents(PACKAGES[name]))
    assert mapped == contents, (
        f"the docstring of {name}/__init__.py maps the package: "
        f"add a line for {sorted(contents - mapped)}, and remove those of {sorted(mapped - contents)}"
    )

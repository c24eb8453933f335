"""Every resource of every template is found where it is declared, in stacks/ and in templates/."""

import re

import pytest

from scripts.deployer.declarations import find_declaration
from stacks import settings
from stacks.wiring import to_pascal_case
from tests.emitted import ROOT, TEMPLATES, load_template

# Functions of stacks/ append these to the title of a resource to name another resource that belongs to it.
SUFFIXES = "Alias|Policy|Role|Function|Logs|Version|Live|Shift"
ENVIRONMENTS = "|".join(map(to_pascal_case, (*settings.deployed_environments(), settings.LOCAL)))
ROOTS = ("parent", "artifacts")
RESOURCES = [(name, logical_id) for name in TEMPLATES for logical_id in load_template(name)["Resources"]]


def read_line(place: str) -> str:
    path, line = place.split(":")
    return (ROOT / path).read_text(encoding="utf-8").splitlines()[int(line) - 1]


@pytest.mark.parametrize(("name", "logical_id"), RESOURCES)
def test_a_resource_is_found_where_its_logical_id_is_written(name: str, logical_id: str) -> None:
    declaration = find_declaration(logical_id if name in ROOTS else f"{name.capitalize()}/{logical_id}")
    assert declaration
    template, source = declaration.template, declaration.source
    assert template.startswith(f"templates/{name}.yaml:")
    assert read_line(template) == f"  {logical_id}:"
    assert source.startswith(f"stacks/{name}")
    boundary = re.fullmatch(rf"(Boundary)({ENVIRONMENTS})", logical_id)
    title = boundary[1] if boundary else re.sub(rf"({SUFFIXES})$", "", logical_id)
    titles = {logical_id, title, re.sub(r"\d+$", "{}", title)}
    assert any(re.search(rf'["(]{re.escape(text)}["{{]', read_line(source)) for text in titles), read_line(source)


def test_an_undeclared_resource_is_not_found() -> None:
    assert find_declaration("Data/Undeclared") is None
    assert find_declaration("Undeclared") is None
    assert find_declaration("Nowhere/Transactions") is None

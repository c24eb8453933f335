"""Mermaid renders every diagram in the Markdown files: GitHub shows an error for one that it cannot read."""

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.emitted import ROOT

from .conftest import MERMAID

if TYPE_CHECKING:
    from playwright.sync_api import Page

# The width of GitHub's column in pixels; a wider diagram is scaled down, and becomes illegible.
COLUMN = 850
LEAST_SCALE = 0.6
DRAW = """
async ([id, text]) => {
  mermaid.initialize({startOnLoad: false, securityLevel: 'strict'});
  document.body.innerHTML = '<div id="here"></div>';
  const here = document.getElementById('here');
  here.innerHTML = (await mermaid.render(id, text)).svg;
  const size = element => { const box = element.getBBox(); return [box.width, box.height]; };
  const nodes = [...here.querySelectorAll('.node')];
  return {
    width: here.querySelector('svg').viewBox.baseVal.width,
    nodes: nodes.length,
    flat: nodes.filter(node => Math.min(...size(node)) < 4).map(node => node.id),
  };
}
"""


def find_diagrams(file: str, text: str) -> dict[str, str]:
    """Return the ``mermaid`` blocks of a Markdown file by their place: the file and the line."""
    blocks = re.finditer(r"^( *)```mermaid *\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    return {f"{file}:{len(text[: block.start()].splitlines()) + 1}": block[2] for block in blocks}


LISTED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=ROOT, check=True, capture_output=True, text=True,
).stdout  # fmt: skip
DIAGRAMS: dict[str, str] = {}
for name in sorted(set(LISTED.splitlines())):
    if (ROOT / name).exists():
        DIAGRAMS |= find_diagrams(name, (ROOT / name).read_text(encoding="utf-8"))


def draw_diagram(page: "Page", place: str, text: str) -> dict[str, float]:
    from playwright.sync_api import Error

    try:
        measurements: dict[str, float] = page.evaluate(DRAW, ["drawn", text])
    except Error as error:
        message = error.message.partition("\n    at ")[0]
        pytest.fail(f"{place}: Mermaid cannot draw it: {message}", pytrace=False)
    return measurements


@pytest.fixture
def mermaid_page(page: "Page") -> "Page":
    page.add_script_tag(path=MERMAID)
    return page


@pytest.mark.parametrize("place", DIAGRAMS)
def test_a_diagram_is_rendered_and_legible(mermaid_page: "Page", place: str) -> None:
    measurements = draw_diagram(mermaid_page, place, DIAGRAMS[place])
    assert measurements["nodes"] > 1, place
    assert not measurements["flat"], f"{place}: nothing is to be seen of {measurements['flat']}"
    assert COLUMN / measurements["width"] >= LEAST_SCALE, (
        f"{place}: {measurements['width']:.0f} px wide, of which GitHub shows {COLUMN}"
    )


def test_the_files_of_the_repository_are_read_and_the_readme_opens_with_a_diagram() -> None:
    lines = {file: int(line) for file, line in (place.rsplit(":", 1) for place in reversed(DIAGRAMS))}
    assert {"README.md", "docs/architecture.md", "docs/payment-status.md"} <= set(lines)
    assert lines["README.md"] < 12


def test_a_broken_diagram_is_reported_by_file_and_line(mermaid_page: "Page") -> None:
    ((place, broken),) = find_diagrams("docs/some.md", "# Title\n\n```mermaid\nflowchart LR\n  a -->\n```\n").items()
    with pytest.raises(pytest.fail.Exception, match=r"docs/some\.md:3: Mermaid cannot draw it: .*Parse error"):
        draw_diagram(mermaid_page, place, broken)


def test_other_fenced_text_is_not_a_diagram() -> None:
    assert find_diagrams("a.md", "```text\nmermaid\n```\n```sh\nls\n```\n") == {}

"""Every diagram in the Markdown files is drawn by the real Mermaid: what it cannot read, GitHub shows as an error."""

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.emitted import ROOT

from .conftest import MERMAID

if TYPE_CHECKING:
    from playwright.sync_api import Page

# GitHub's column; what is wider is shrunk, and what is shrunk by much cannot be read at a glance.
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


@dataclass(frozen=True)
class Diagram:
    file: str
    line: int
    text: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def diagrams(file: str, text: str) -> list[Diagram]:
    """The ``mermaid`` blocks of a Markdown file, with the line that each begins in."""
    blocks = re.finditer(r"^( *)```mermaid *\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    return [Diagram(file, text.count("\n", 0, block.start()) + 1, block[2]) for block in blocks]


def markdown_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return sorted(name for name in set(listed.split("\n")) if name and (ROOT / name).exists())


DIAGRAMS = [one for name in markdown_files() for one in diagrams(name, (ROOT / name).read_text(encoding="utf-8"))]


def draw(page: "Page", diagram: Diagram) -> dict[str, float]:
    from playwright.sync_api import Error

    try:
        drawn: dict[str, float] = page.evaluate(DRAW, ["drawn", diagram.text])
    except Error as error:
        told = error.message.partition("\n    at ")[0]
        pytest.fail(f"{diagram.place}: Mermaid cannot draw it: {told}", pytrace=False)
    return drawn


@pytest.fixture
def mermaid(page: "Page") -> "Page":
    page.add_script_tag(path=MERMAID)
    return page


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda one: one.place)
def test_it_is_drawn_and_can_be_read(mermaid: "Page", diagram: Diagram) -> None:
    drawn = draw(mermaid, diagram)
    assert drawn["nodes"] > 1, diagram.place
    assert not drawn["flat"], f"{diagram.place}: nothing is to be seen of {drawn['flat']}"
    assert COLUMN / drawn["width"] >= LEAST_SCALE, (
        f"{diagram.place}: {drawn['width']:.0f} px wide, of which GitHub shows {COLUMN}"
    )


def test_the_readme_opens_with_one() -> None:
    assert [one.file for one in DIAGRAMS if one.line < 12 and one.file == "README.md"]


def test_a_broken_one_is_told_by_file_and_line(mermaid: "Page") -> None:
    (broken,) = diagrams("docs/some.md", "# Title\n\n```mermaid\nflowchart LR\n  a -->\n```\n")
    with pytest.raises(pytest.fail.Exception, match=r"docs/some\.md:3: Mermaid cannot draw it: .*Parse error"):
        draw(mermaid, broken)


def test_fenced_text_of_another_kind_is_none() -> None:
    assert diagrams("a.md", "```text\nmermaid\n```\n```sh\nls\n```\n") == []


def test_each_file_is_read_from_the_repository() -> None:
    assert {"README.md", "docs/architecture.md", "docs/payment-status.md"} <= {one.file for one in DIAGRAMS}

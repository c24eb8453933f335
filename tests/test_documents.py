"""What the documents show is what the commands print, and their links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from scripts.local.examples import EXAMPLES
from scripts.operator import cli
from tests.emitted import ROOT
from tests.ops.conftest import FIGURES
from tests.prove.conftest import FINDINGS

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROVED = {
    name
    for path in (ROOT / "tests" / "prove").glob("*.py")
    for name in re.findall(r'tried\("([^"]+)"', path.read_text(encoding="utf-8"))
}
DOCUMENTS = [ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))


def commands(group: click.Group, path: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}"


def anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("command", list(commands(cli.main)))
def test_the_readme_shows_every_command_of_the_operator(command: str) -> None:
    assert re.search(rf"payments\.sh --env dev {command}\b", README)


@pytest.mark.parametrize("what", [example.what for example in EXAMPLES])
def test_the_readme_shows_every_payment_of_the_demonstration(what: str) -> None:
    assert re.search(rf"^{re.escape(what)} +\d", README, re.MULTILINE)


@pytest.mark.parametrize("figure", [*FIGURES, *sorted(PROVED), *FINDINGS])
def test_the_readme_shows_every_figure_under_its_name(figure: str) -> None:
    assert re.search(rf"^{re.escape(figure)} +[\d,]+$", README, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_each_link_leads_somewhere(document: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link

"""The documents that the page serves: their links lead to a document, a heading or the web."""

import re
from html import unescape
from urllib.parse import urldefrag, urljoin

import pytest

from scripts.page.documents import list_documents, render_document
from tests.ops.test_runbook import COMMANDS_BY_SECTION


@pytest.mark.parametrize("path", sorted(list_documents()))
def test_every_link_of_a_document_leads_somewhere(path: str) -> None:
    links = [unescape(link) for link in re.findall(r'<a href="([^"]*)"', render_document(path))]
    assert links or path != "/docs/runbook.md"
    for link in links:
        if link.startswith("https://"):
            continue
        address, anchor = urldefrag(urljoin(path, link))
        assert address in list_documents()
        assert not anchor or f' id="{anchor}"' in render_document(address), link


def test_every_section_of_the_runbook_can_be_linked_to() -> None:
    anchors = set(re.findall(r'<h\d id="([^"]+)"', render_document("/docs/runbook.md")))
    assert {name for name in COMMANDS_BY_SECTION if name.startswith("alarm-")} <= anchors


@pytest.mark.parametrize("path", sorted(list_documents()))
def test_a_document_has_no_markup_of_its_own(path: str) -> None:
    """What looks like markup in the text is shown as text, and the policy of the page would refuse a style."""
    assert not re.search(r"<(script|style|iframe)|<[^>]* (style|on[a-z]+)=", render_document(path))

"""The documents that the page links to, as HTML: the runbook, and what it refers to."""

import posixpath
import re
from functools import cache
from html import escape
from urllib.parse import urldefrag, urljoin, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from scripts.common.paths import ROOT

_FRAME = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>{title}</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/page.css">
  </head>
  <body class="document">
    <main class="card">
{content}
    </main>
  </body>
</html>
"""


@cache
def list_documents() -> frozenset[str]:
    """Return the paths of the documents on the page's server."""
    return frozenset(f"/docs/{document.name}" for document in (ROOT / "docs").glob("*.md")) | {"/SECURITY.md"}


def render_document(path: str) -> str:
    """Return one of ``list_documents`` as an HTML page, whose headings have the anchors that GitHub gives them.

    Links to files that are not served become plain text.
    """
    text = (ROOT / path.removeprefix("/")).read_text(encoding="utf-8")
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for position, token in enumerate(tokens):
        # The policy of the page allows no styles in the text, such as the alignment of a column.
        token.attrs.pop("style", None)
        if token.type == "heading_open":
            token.attrs["id"] = make_anchor(tokens[position + 1].content)
        for child in token.children or []:
            _resolve_link(child, path)
    content = markdown.renderer.render(tokens, markdown.options, {})
    # A wide table scrolls by itself.
    content = content.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return _FRAME.format(title=escape(posixpath.basename(path)), content=content)


def make_anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _resolve_link(token: Token, path: str) -> None:
    if token.type == "image":
        token.attrs["src"] = ""
    if token.type != "link_open":
        return
    address = str(token.attrs["href"])
    is_served = urldefrag(urljoin(path, address)).url in list_documents()
    if not is_served and urlsplit(address).scheme not in ("https", "http"):
        del token.attrs["href"]

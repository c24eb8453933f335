"""Texts that come from elsewhere, such as AWS's reasons and names, without what could control a terminal."""

import re

# Control characters but tab and line feed, the separators of lines and paragraphs, and the characters that change the
# direction of the text around them.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def join_lines(text: str) -> str:
    """Return the text in one line: AWS's reasons may have several, and an error has one."""
    return " ".join(text.split())


def make_printable(text: str) -> str:
    r"""Return the text with ``\x1b`` in place of each character that could control a terminal."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)

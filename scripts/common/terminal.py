"""Prints texts that come from elsewhere, such as AWS's reasons and names, so that they cannot control the terminal."""

import errno
import os
import re
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# Control characters but tab and line feed, and the characters that change the direction of the text around them.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def make_printable(text: str) -> str:
    r"""Return the text with ``\x1b`` in place of each character that could control a terminal."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def make_line(text: str) -> str:
    r"""Return the text as a part of one line that looks as it is: ``\n`` and ``\xa0`` in place of what is not seen.

    These are all characters but the printable ones and the space: https://docs.python.org/3/library/stdtypes.html#str.isprintable
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def echo(message: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a message with ``click.echo``, without control characters."""
    click.echo(make_printable(str(message)), err=err, nl=nl)


class SafeConsole(Console):
    """A console that prints control characters of texts as escapes; its own colours stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(make_printable(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Raise the error, for the command to report; rich would end the process at once, without a message."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def create_console(**arguments: Any) -> Console:
    """Return a console without highlighting that is safe for texts from elsewhere; the arguments are those of rich."""
    return SafeConsole(**{"highlight": False, **arguments})

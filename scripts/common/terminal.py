"""Prints texts that come from elsewhere, such as AWS's reasons and names, so that they cannot control the terminal."""

from typing import TYPE_CHECKING, Any

import click

from .printable import make_printable as make_printable

if TYPE_CHECKING:
    from rich.console import Console


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


def create_console(**arguments: Any) -> "Console":
    """Return a console without highlighting that is safe for texts from elsewhere; the arguments are those of rich."""
    from .console import SafeConsole

    return SafeConsole(**{"highlight": False, **arguments})

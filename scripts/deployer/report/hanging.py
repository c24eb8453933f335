"""Texts whose wrapped lines stand to the right of the first one, and break between words or at separators of names.

A command that a message suggests is never broken: it begins a line if it does not fit into the rest of one, and the
terminal itself wraps what is longer than a line, without a line break that would be copied.
"""

import re
from collections.abc import Iterator

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from scripts.common.suggestion import find_suggestions

INDENT = 2
# A line that ends before a long name has at least so many columns: "on" does not stand alone.
_LEAST_COLUMNS = 12
_WORD = re.compile(r"\s*\S+\s*")
# Where an ARN or a path is broken, and otherwise any other name.
_SEPARATORS = (re.compile(r"[:/]"), re.compile(r"[^\w$]|_"))


class Hanging:
    """A text for a terminal; ``indent`` is how many columns its second and later lines stand to the right."""

    def __init__(self, text: Text, indent: int = INDENT) -> None:
        self._text, self._indent = text, indent

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        others = max(width - self._indent, 1)
        for number, line in enumerate(self._text.divide(find_breaks(self._text.plain, width, others))):
            line.rstrip()
            yield Text(" " * (self._indent if number else 0), no_wrap=True, overflow="ignore").append(line)

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width).clamp(max_width=max(cell_len(self._text.plain), 1))


def print_hanging(console: Console, text: Text, indent: int = INDENT) -> None:
    """Print a text as one line, which wraps on a terminal only, so that programs and searches find all of it."""
    if console.is_terminal:
        console.print(Hanging(text, indent), crop=False)
    else:
        console.print(text, soft_wrap=True)


def print_warning(console: Console, text: str, colour: str) -> None:
    """Print a line that begins with an exclamation mark; what wraps stands below the text, not below the mark."""
    print_hanging(console, Text.assemble(("! ", f"bold {colour}"), (text, colour)))


def find_breaks(text: str, first: int, others: int) -> list[int]:
    """Return the offsets at which lines begin, but for the first one; ``first`` and ``others`` are their columns."""
    breaks: list[int] = []
    room, used = first, 0
    for start, stop, is_command in _list_words(text):
        end = start + len(text[start:stop].rstrip())
        if is_command:
            if used and cell_len(text[start:end]) > room - used:
                breaks.append(start)
                room, used = others, 0
            # Behind a command that is longer than the line, the next word begins another one.
            used = min(used + cell_len(text[start:stop]), room)
            continue
        is_moved = used >= _LEAST_COLUMNS and room - used < cell_len(text[start:end]) <= others
        while is_moved or cell_len(text[start:end]) > room - used:
            if not is_moved:
                start += _find_break(text[start:end], room - used, is_line_empty=used == 0)
            breaks.append(start)
            room, used, is_moved = others, 0, False
        used += cell_len(text[start:stop])
    return breaks


def _list_words(text: str) -> Iterator[tuple[int, int, bool]]:
    """Yield the start and the end of each word, and whether it is a suggested command with what adjoins it."""
    commands = find_suggestions(text)
    begun = None
    for match in _WORD.finditer(text):
        start = match.start() if begun is None else begun
        if any(first < match.end() < last for first, last in commands):
            begun = start
            continue
        begun = None
        yield start, match.end(), any(start < last and first < match.end() for first, last in commands)


def _find_break(word: str, room: int, *, is_line_empty: bool) -> int:
    """Return the offset in a word behind its last separator that fits into the room.

    Without one, it is 0, and the word is moved to the next line, unless the line is empty.
    """
    fitting = chop_cells(word, room)[0] if room > 0 else ""
    for separator in _SEPARATORS:
        ends = [match.end() for match in separator.finditer(fitting)]
        # Lines that are nearly empty are worse than a break at another place.
        if ends and (not is_line_empty or ends[-1] > len(fitting) // 2):
            return ends[-1]
    return len(fitting) if is_line_empty else 0

"""The console of rich, safe for texts from elsewhere. ``terminal.create_console`` imports it when it is needed."""

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from .printable import make_printable

_SPACES_AT_END = re.compile(" +\n")


class SafeConsole(Console):
    """A console that prints control characters of texts as escapes, and no spaces at the end of a line.

    Its own colours stay.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        # Spaces that may turn out to end a line, such as those that fill up the last column of a table.
        spaces: list[Segment] = []
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
                continue
            text = _SPACES_AT_END.sub("\n", make_printable(segment.text))
            if text.startswith("\n"):
                spaces.clear()
            if not text.strip(" "):
                spaces.append(Segment(text, segment.style))
                continue
            yield from spaces
            spaces.clear()
            rest = text.rstrip(" ")
            yield Segment(rest, segment.style)
            if rest != text:
                spaces.append(Segment(text[len(rest) :], segment.style))
        yield from spaces

"""The console of rich, safe for texts from elsewhere. ``terminal.create_console`` imports it when it is needed."""

import errno
import os
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from .printable import make_printable


class SafeConsole(Console):
    """A console that prints control characters of texts as escapes; its own colours stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(make_printable(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Raise the error, for the command to report; rich would end the process at once, without a message."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

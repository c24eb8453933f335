"""What goes on if a command ends now: an operation that it has begun or joined, and whose end it has not seen."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from .command import resume_interrupts
from .errors import OutputError, StillRunning, describe_error

Listener = TypeVar("Listener")


@dataclass
class Watch:
    """The operation that a command watches. Whatever ends the command asks here whether that continues.

    An interrupt may arrive at any moment, also while another one is being reported, and would take its place.
    """

    _continuation: str = ""
    _has_begun: Callable[[], bool] = lambda: True
    _is_interrupted: bool = False

    def begin(self, continuation: str, has_begun: Callable[[], bool] = lambda: True) -> None:
        """Watch an operation from now on, or from when ``has_begun`` is true.

        ``continuation`` says that it continues and how to watch it, as the end of a sentence.
        """
        self._continuation, self._has_begun = continuation, has_begun

    def end(self) -> None:
        """Note that the operation has been seen to end."""
        self._continuation = ""

    def postpone_interrupt(self) -> None:
        """Note an interrupt that came while the end of an operation was shown: there was nothing to watch any more."""
        self._is_interrupted = True
        resume_interrupts()

    def raise_postponed_interrupt(self) -> None:
        """Raise ``KeyboardInterrupt`` if one was postponed, before something else begins."""
        if self._is_interrupted:
            raise KeyboardInterrupt

    @contextmanager
    def show_progress(self, progress: AbstractContextManager[Listener]) -> Iterator[Listener]:
        """Show the progress of the operation in a ``with`` block; what ends it is reported as it is.

        An interrupt that comes while the last state is drawn is postponed if the operation was seen to end.
        """
        with self.report_continuation():
            listener = progress.__enter__()
            try:
                yield listener
            finally:
                try:
                    progress.__exit__(*sys.exc_info())
                except KeyboardInterrupt:
                    if self.continuation:
                        raise
                    self.postpone_interrupt()

    @property
    def continuation(self) -> str:
        return self._continuation if self._continuation and self._has_begun() else ""

    @contextmanager
    def report_continuation(self) -> Iterator[None]:
        """Raise ``StillRunning`` for what ends the command, an interrupt or its output, while the operation runs."""
        try:
            yield
        except (KeyboardInterrupt, OutputError) as error:
            if not self.continuation:
                raise
            raise StillRunning(f"{describe_error(error)}; {self.continuation}") from error

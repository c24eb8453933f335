"""Undoes what a run has changed: each change once, the latest first, however the run ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

from scripts.common.command import INTERRUPTS
from scripts.common.errors import AWS_ERRORS, UserError, describe_error, is_refusal

from .results import Stopped

# What to do with what is not undone.
GUIDE = "docs/first-deployment.md"
Answer = TypeVar("Answer")


@dataclass(eq=False)
class _Change:
    description: str
    # None: it lasts.
    undo: Callable[[], object] | None
    is_undone: bool = False


class Cleanup:
    """The changes of a run; threads may make changes at the same time. ``problems`` says what could not be undone.

    A change is noted before its request, because the answer may be lost, or an interrupt may come before it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: list[_Change] = []
        # Whether all is undone from now on, so that nothing more may be changed.
        self._is_closed = False
        self._is_interrupted = False
        self.problems: list[str] = []
        # Called with the description of each change before it is undone.
        self.report: Callable[[str], object] = str

    @property
    def has_changes(self) -> bool:
        """Whether anything was changed, or may have been."""
        return bool(self._changes)

    @property
    def has_remains(self) -> bool:
        """Whether anything stays changed after ``undo_all``."""
        return bool(self.problems or self._list_lasting())

    def describe_fate(self) -> str:
        """Return what has become of the changes after ``undo_all``, as the end of a sentence."""
        problems = [f"not undone: {problem}" for problem in self.problems]
        undone = [*problems, f"see {GUIDE}"] if problems else ["what was changed has been undone"]
        return "; ".join([*undone, *self._list_lasting()])

    def add_step(self, description: str, undo: Callable[[], object]) -> Callable[[], None]:
        """Add a step to undo. The returned function undoes it at once, unless it is undone already."""
        change = self._note_change(description, undo)
        return lambda: self._undo_change(change)

    def make_change(self, description: str, request: Callable[[], Answer], undo: Callable[[], object]) -> Answer:
        """Make a change and return its answer. ``undo`` must not fail if the change was not made."""
        return self._send_request(self._note_change(description, undo), request)

    def make_lasting_change(self, description: str, request: Callable[[], Answer]) -> Answer:
        """Make a change that is not undone, and return its answer. ``description`` says what stays."""
        return self._send_request(self._note_change(description, None), request)

    @contextmanager
    def undo_after(
        self, description: str, request: Callable[[], Answer], undo: Callable[[], object]
    ) -> Iterator[Answer]:
        """Make a change for a ``with`` block, and undo it at its end, or at the end of the run if that comes first."""
        change = self._note_change(description, undo)
        try:
            yield self._send_request(change, request)
        finally:
            self._undo_change(change)

    @contextmanager
    def undo_at_end(self) -> Iterator[None]:
        """Undo all changes at the end of a ``with`` block, in which one interrupt at most is raised.

        None is raised while changes are undone.
        """
        with self._raise_first_interrupt():
            try:
                try:
                    yield
                finally:
                    self.undo_all()
            finally:
                # The interrupt may have come just before the line above.
                self.undo_all()

    def undo_all(self) -> None:
        """Undo all remaining changes. An AWS error becomes a problem and is not raised."""
        self._is_closed = True
        while change := self._find_latest():
            self._undo_change(change)

    @contextmanager
    def _raise_first_interrupt(self) -> Iterator[None]:
        handlers = {number: signal.getsignal(number) for number in INTERRUPTS}
        for number, handler in handlers.items():
            # As `nohup` ignores SIGHUP.
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._interrupt)
        try:
            yield
        finally:
            # After an interrupt, no other may come between it and its message.
            if not self._is_interrupted:
                for number, handler in handlers.items():
                    signal.signal(number, handler)

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        if self._is_closed or self._is_interrupted:
            self.report("still undoing the changes; please wait")
        else:
            self._is_interrupted = True
            raise KeyboardInterrupt

    def _note_change(self, description: str, undo: Callable[[], object] | None) -> _Change:
        """Raise ``Stopped`` if the changes are being undone already."""
        change = _Change(description, undo)
        with self._lock:
            if self._is_closed:
                raise Stopped
            self._changes.append(change)
        return change

    def _send_request(self, change: _Change, request: Callable[[], Answer]) -> Answer:
        """Send the request of a change that was noted, and forget the change if AWS refuses it."""
        try:
            return request()
        except AWS_ERRORS as error:
            if is_refusal(error):
                with self._lock:
                    self._changes.remove(change)
            raise

    def _list_lasting(self) -> list[str]:
        return list(dict.fromkeys(change.description for change in self._changes if change.undo is None))

    def _find_latest(self) -> _Change | None:
        with self._lock:
            return next((change for change in reversed(self._changes) if change.undo and not change.is_undone), None)

    def _undo_change(self, change: _Change) -> None:
        with self._lock:
            if change.undo is None or change.is_undone or change not in self._changes:
                return
            change.is_undone = True
        self.report(f"undoing: {change.description}")
        try:
            change.undo()
        except BaseException as error:
            self.problems.append(f"{change.description}: {describe_error(error)}")
            if not isinstance(error, (*AWS_ERRORS, UserError)):
                raise

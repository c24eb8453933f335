"""Undoes what a run has changed: each step once, the latest first, however the run ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scripts.common.errors import AWS_ERRORS, UserError, describe_error


class Cleanup:
    """The steps to undo; threads may add steps at the same time. ``problems`` says what could not be undone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: list[tuple[str, Callable[[], object]]] = []
        self.problems: list[str] = []
        # Called with the description of each step before it is undone.
        self.report: Callable[[str], object] = str

    def add_step(self, description: str, undo: Callable[[], object]) -> Callable[[], None]:
        """Add a step. The returned function undoes it at once, unless it is undone already."""
        step = (description, undo)
        with self._lock:
            self._steps.append(step)
        return lambda: self._undo_step(step)

    @contextmanager
    def undo_after(self, description: str, undo: Callable[[], object]) -> Iterator[None]:
        """Undo at the end of a ``with`` block, or at the end of the run if that comes first."""
        undo_now = self.add_step(description, undo)
        try:
            yield
        finally:
            undo_now()

    def undo_all(self) -> None:
        """Undo all remaining steps, even after Ctrl-C. An AWS error becomes a problem and is not raised."""
        with self._defer_interrupts():
            while step := self._latest_step():
                self._undo_step(step)

    @contextmanager
    def _defer_interrupts(self) -> Iterator[None]:
        """Ignore Ctrl-C with a notice. Python handles signals in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = signal.signal(signal.SIGINT, lambda *_: self.report("still undoing the changes; please wait"))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def _latest_step(self) -> tuple[str, Callable[[], object]] | None:
        with self._lock:
            return self._steps[-1] if self._steps else None

    def _undo_step(self, step: tuple[str, Callable[[], object]]) -> None:
        with self._lock:
            if step not in self._steps:
                return
            self._steps.remove(step)
        description, undo = step
        self.report(f"undoing: {description}")
        try:
            undo()
        except (*AWS_ERRORS, UserError) as error:
            self.problems.append(f"{description}: {describe_error(error)}")

"""What a run has to undo: each step once, the latest first, however the run ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scripts.common.errors import AWS_ERRORS, UserError, describe_error


class Cleanup:
    """Steps may be added by several threads. What could not be undone is in ``problems``, with what is left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: list[tuple[str, Callable[[], object]]] = []
        self.problems: list[str] = []
        # Told of each step as it begins.
        self.say: Callable[[str], object] = str

    def add(self, description: str, undo: Callable[[], object]) -> Callable[[], None]:
        """Remember to ``undo``; the returned function does it at once, if it has not been done."""
        step = (description, undo)
        with self._lock:
            self._steps.append(step)
        return lambda: self._take(step)

    @contextmanager
    def after(self, description: str, undo: Callable[[], object]) -> Iterator[None]:
        """Undo at the end of a ``with`` block, or at the end of the run if that comes first."""
        undo_now = self.add(description, undo)
        try:
            yield
        finally:
            undo_now()

    def run(self) -> None:
        """Undo what is left to undo, through any number of Ctrl-C. Never raises for an error of AWS."""
        with self._uninterrupted():
            while step := self._last():
                self._take(step)

    @contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        """Every step ends by itself. Python takes signals in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = signal.signal(signal.SIGINT, lambda *_: self.say("still undoing; it ends by itself"))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def _last(self) -> tuple[str, Callable[[], object]] | None:
        with self._lock:
            return self._steps[-1] if self._steps else None

    def _take(self, step: tuple[str, Callable[[], object]]) -> None:
        with self._lock:
            if step not in self._steps:
                return
            self._steps.remove(step)
        description, undo = step
        self.say(f"undoing: {description}")
        try:
            undo()
        except (*AWS_ERRORS, UserError) as error:
            self.problems.append(f"{description}: {describe_error(error)}")

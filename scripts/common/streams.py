"""Standard input, output and error, usable whatever the caller has closed, with errors that tell of the output."""

import errno
import io
import os
import select
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from .errors import OutputError


@dataclass
class _Fate:
    """What happens when standard output can no longer be written, and what has happened."""

    # The command that then goes on; empty if it ends.
    outlasting_command: str = ""
    loss: OutputError | None = None
    # Standard error itself: what draws progress puts a stream of its own in its place. And what that writes to.
    stderr: Any = None
    error_descriptor: io.FileIO | None = None


_fate = _Fate()


class _Descriptor(io.FileIO):
    """Standard output or error, whose failed writes are ``OutputError``, whatever their number.

    Another file may fail with the same number, for another reason. Everything is written: without a buffer, as with
    `python -u`, the interpreter would lose what a pipe does not take at once. A descriptor that does not block is
    waited for. Once a command outlasts its output (``outlast_output``), no write fails.
    """

    is_output = False

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        length = len(rest)
        if self.is_output and _fate.outlasting_command and _fate.loss:
            # Also if it can be written again: whoever reads the rest finds all of it in one place.
            _redirect(_fate.loss, rest)
            return length
        try:
            while rest:
                written = super().write(rest)
                if written is None:
                    select.select([], [self], [])
                rest = rest[written or 0 :]
        except OSError as error:
            loss = OutputError(error.errno, error.strerror)
            if not _fate.outlasting_command:
                raise loss from None
            if self.is_output:
                _redirect(loss, rest)
        return length


def _redirect(loss: OutputError, data: memoryview) -> None:
    """Write to standard error what standard output has not taken, after a line that says so, the first time."""
    stderr = _fate.stderr
    with suppress(OSError):
        if _fate.loss is None:
            _fate.loss = loss
            stderr.write(f"{_fate.outlasting_command}: {loss}; the command continues, and writes the rest here\n")
        stderr.flush()
        stderr.buffer.write(data)
        stderr.flush()


def outlast_output(command: str) -> None:
    """From now on, write to standard error what standard output does not take, instead of raising ``OutputError``.

    For what has to be done to its end, whoever reads of it. What neither of them takes is lost.
    """
    _fate.outlasting_command = command


def require_output() -> None:
    """Let a write that fails raise ``OutputError`` again. Raises that of a write which has failed meanwhile."""
    _fate.outlasting_command = ""
    if _fate.loss:
        raise _fate.loss


def check_prompt() -> None:
    """Raise ``OutputError`` if nobody reads standard error: ``input`` would wait for the answer to an unseen prompt."""
    if _fate.error_descriptor:
        poll = select.poll()
        poll.register(_fate.error_descriptor, 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
            raise OutputError(errno.EPIPE, "Broken pipe")


def find_lost_output() -> OutputError | None:
    """Return why standard output could not be written while the command outlasted that; None if it could."""
    return _fate.loss


def prepare_streams() -> None:
    """Make the standard streams usable, whatever the caller has closed, and whatever characters they lack.

    What is closed is empty, or swallows what is written.
    """
    _fate.outlasting_command, _fate.loss = "", None
    # A stream that is closed is None.
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 - as long as the process
    sys.stdout = _prepare_output(sys.stdout, sys.__stdout__)
    sys.stderr = _fate.stderr = _prepare_output(sys.stderr, sys.__stderr__)
    threading.excepthook = _report_thread_error


def _prepare_output(stream: Any, original: IO[str] | None) -> Any:
    if stream is None:
        return open(os.devnull, "w")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    # A terminal whose encoding lacks a character shows a placeholder.
    stream.reconfigure(errors="replace")
    if stream is not original:
        return stream
    raw = _Descriptor(stream.fileno(), "w", closefd=False)
    raw.is_output = original is sys.__stdout__
    if not raw.is_output:
        _fate.error_descriptor = raw
    is_buffered = isinstance(stream.buffer, io.BufferedWriter)
    return io.TextIOWrapper(
        io.BufferedWriter(raw) if is_buffered else raw,
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _report_thread_error(failure: threading.ExceptHookArgs) -> None:
    """Report no output that cannot be written, as by a thread that draws: the command meets the same error itself."""
    if not isinstance(failure.exc_value, OutputError):
        threading.__excepthook__(failure)

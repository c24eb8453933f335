"""Standard input, output and error, usable whatever the caller has closed, with errors that tell of the output."""

import io
import os
import select
import sys
import threading
from typing import IO, Any

from .errors import OutputError


class _Descriptor(io.FileIO):
    """Standard output or error, whose failed writes are ``OutputError``, whatever their number.

    Another file may fail with the same number, for another reason. Everything is written: without a buffer, as with
    `python -u`, the interpreter would lose what a pipe does not take at once. A descriptor that does not block is
    waited for.
    """

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        length = len(rest)
        try:
            while rest:
                written = super().write(rest)
                if written is None:
                    select.select([], [self], [])
                rest = rest[written or 0 :]
        except OSError as error:
            raise OutputError(error.errno, error.strerror) from None
        return length


def prepare_streams() -> None:
    """Make the standard streams usable, whatever the caller has closed, and whatever characters they lack.

    What is closed is empty, or swallows what is written.
    """
    # A stream that is closed is None.
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 - as long as the process
    sys.stdout = _prepare_output(sys.stdout, sys.__stdout__)
    sys.stderr = _prepare_output(sys.stderr, sys.__stderr__)
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

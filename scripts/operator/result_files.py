"""The results of many payments as a table, one line for each."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path

from scripts.common.errors import UserError
from scripts.common.files import PRIVATE, check_writable

from .batch import Result

COLUMNS = tuple(field.name for field in fields(Result) if field.name != "is_final")
_HEADER = ",".join(COLUMNS) + "\n"


class ResultFile:
    """An open table of results, which keeps those of an earlier run until it has a first one of its own."""

    def __init__(self, path: Path, descriptor: int, *, has_earlier_results: bool) -> None:
        self._path = path
        self._has_earlier_results = has_earlier_results
        self._has_header = False
        # With each line, so that it shows how far an interrupted command came.
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="", buffering=1)
        self._writer = csv.DictWriter(self._file, COLUMNS, extrasaction="ignore", lineterminator="\n")

    def add_result(self, result: Result) -> None:
        """Append a line. Raises ``UserError`` if it cannot be written, for example to a full disk."""
        try:
            if not self._has_header:
                self._begin()
            self._writer.writerow(vars(result))
        except OSError as error:
            raise UserError(f"{self._path}: cannot be written: {error.strerror}") from error

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        # Each line was written before, or its error was raised.
        with suppress(OSError):
            self._file.close()

    def _begin(self) -> None:
        if self._has_earlier_results:
            os.ftruncate(self.fileno(), 0)
        self._file.write(_HEADER)
        self._has_header = True


@contextmanager
def open_results(path: Path) -> Iterator[ResultFile]:
    """Open a new table, or one of an earlier run, which the first result replaces.

    Raises ``UserError`` for a file that is something else, or that cannot be written.
    """
    check_writable(path)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
    head = os.pread(descriptor, len(_HEADER), 0)
    if head and head != _HEADER.encode():
        os.close(descriptor)
        raise UserError(f"{path}: is no file of results, so it is not replaced; name another file")
    results = ResultFile(path, descriptor, has_earlier_results=bool(head))
    try:
        yield results
    finally:
        results.close()

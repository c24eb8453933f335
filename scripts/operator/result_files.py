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
    """An open table of results."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        # With each line, so that it shows how far an interrupted command came.
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="", buffering=1)
        self._writer = csv.DictWriter(self._file, COLUMNS, extrasaction="ignore", lineterminator="\n")

    def add_header(self) -> None:
        self._file.write(_HEADER)

    def add_result(self, result: Result) -> None:
        """Append a line. Raises ``UserError`` if it cannot be written, for example to a full disk."""
        try:
            self._writer.writerow(vars(result))
        except OSError as error:
            raise UserError(f"{self._path}: cannot be written: {error.strerror}") from error

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        # Each line was written before, or its error was raised.
        with suppress(OSError):
            self._file.close()


@contextmanager
def open_results(path: Path) -> Iterator[ResultFile]:
    """Open a new table, or replace one of an earlier run.

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
    os.ftruncate(descriptor, 0)
    results = ResultFile(path, descriptor)
    try:
        results.add_header()
        yield results
    finally:
        results.close()

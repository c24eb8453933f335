"""Reads and writes the JSON files that are kept between two commands."""

import json
import stat
from pathlib import Path
from typing import Any

from scripts.common.errors import UserError
from scripts.common.files import PRIVATE, parse_json, write_file

# Of the saved plans and of the records of last deployments.
VERSION = 1


def check_texts(values: dict[str, Any], exceptions: tuple[str, ...] = ()) -> None:
    """Raise ``TypeError`` for a value that is not a string."""
    for name, value in values.items():
        if name not in exceptions and not isinstance(value, str):
            raise TypeError(name)


def read_document(path: Path, kind: str, advice: str) -> dict[str, Any]:
    """Return the fields that ``write_document`` wrote.

    Raises ``UserError``, which ends with ``advice``, for a file that cannot be read, is not ``kind``, or that another
    version of this program wrote.
    """
    try:
        # A pipe may never end, and is empty when it is read again.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path}: not a regular file, so not {kind}; name a file on the disk")
        document = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; {advice}") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON, so not {kind}; {advice}") from error
    if not isinstance(document, dict) or "version" not in document:
        raise UserError(f"{path}: not {kind}; {advice}")
    if document.pop("version") != VERSION:
        raise UserError(f"{path}: written by another version of this program; {advice}")
    return document


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Replace the file atomically; only the user may read it. Raises ``UserError`` if it cannot be written."""
    text = json.dumps({"version": VERSION, **document}, indent=1, ensure_ascii=False)
    write_file(path, text.encode(), PRIVATE)

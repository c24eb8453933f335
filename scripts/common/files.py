"""Writes the files that a user names, and reads JSON that may be anything."""

import contextlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from .errors import UserError

# Only the user may read a file that may hold parameters and names of an account.
PRIVATE = 0o600
PUBLIC = 0o644


def is_file(path: Path) -> bool:
    """Whether the path is a file that this user may look up.

    ``Path.is_file`` raises ``PermissionError`` for one in a folder that may not be searched, before Python 3.14.
    https://docs.python.org/3/library/pathlib.html#pathlib.Path.is_file
    """
    return os.path.isfile(path)


def is_missing(path: Path) -> bool:
    """Whether nothing is there. False if this user may not look it up: reading it then says why."""
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


def check_writable(path: Path) -> None:
    """Raise ``UserError`` unless ``path`` is, or can become, a regular file: never a device, a pipe or a folder."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        folder = path.resolve().parent if path.is_symlink() else path.parent
        if not folder.is_dir():
            raise UserError(f"{path}: cannot be written: there is no folder {folder}") from None
        return
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: not a regular file, so it is not written; name another file")


def write_file(path: Path, content: bytes, mode: int = PUBLIC) -> None:
    """Replace the file atomically; a link is followed. Raises ``UserError`` if it cannot be written."""
    check_writable(path)
    destination = path.resolve()
    try:
        handle, temporary = tempfile.mkstemp(dir=destination.parent, prefix=f".{destination.name[:50]}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), mode)
            os.replace(temporary, destination)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def parse_json(text: str) -> Any:
    """Return the value. Raises ``ValueError`` for what is not JSON, or is nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None

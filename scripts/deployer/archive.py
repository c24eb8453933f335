"""Zips whose bytes depend on the files only: not on their dates or modes, on the machine, or on a library."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

from scripts.common.errors import UserError
from scripts.common.packaging import ZipEntry
from stacks.compute import function_code

# The earliest time in a zip; a fixed one keeps the bytes the same.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def zip_folder(folder: Path, extra: tuple[ZipEntry, ...] = ()) -> bytes:
    """Return a zip of the folder's source files. Raises ``UserError`` if there are none."""
    entries: list[ZipEntry] = [(name, content, 0o644) for name, content in function_code.list_files(folder)]
    if not entries:
        raise UserError(f"{folder} holds no Python files to package")
    return zip_entries([*entries, *extra])


def zip_entries(entries: Iterable[ZipEntry]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content, mode in sorted(entries):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # Unix, on every machine
            info.external_attr = mode << 16
            # Not compressed: the bytes of deflate depend on the library.
            info.compress_type = zipfile.ZIP_STORED
            archive.writestr(info, content)
    return buffer.getvalue()

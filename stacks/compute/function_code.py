"""The source files of the functions, and their digest."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "lambda"
LAYER = FOLDER.parent / "lambda-layers" / "stripe"


def list_files(folder: Path = FOLDER) -> Iterator[tuple[str, bytes]]:
    """Yield the path inside the package and the content of each source file, sorted by path.

    Hidden files and caches, which editors and interpreters leave behind, are skipped.
    """
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
        if path.is_file() and not hidden:
            yield inside.as_posix(), path.read_bytes()


def digest_code(folder: Path = FOLDER) -> str:
    """Return a digest of paths and contents, which is independent of dates and of the machine."""
    sha = hashlib.sha256()
    for name, content in list_files(folder):
        sha.update(f"{name}\0{len(content)}\0".encode() + content)
    return sha.hexdigest()

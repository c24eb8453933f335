"""Remembers which templates were found to be what ``stacks/`` generates, so that the next command generates none."""

import contextlib
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.common.paths import ROOT

COMPARED = ROOT / ".local" / "fresh"
# What the templates are generated from: the code of the functions and of their layer is named in them by its digest.
_SOURCES = ("stacks", "lambda", "lambda-layers")
# Names the releases of the generator's libraries.
_LOCK = "locks/deploy.txt"


def check_fresh_once(templates: Path, root: Path = ROOT, compared: Path = COMPARED) -> None:
    """Raise ``UserError`` for a template that differs from what ``stacks/`` generates, as ``validate.check_fresh``.

    Templates and sources that were compared before are not compared again.
    """
    files = {str(path.relative_to(root)): path for path in _list_sources(root)}
    files |= {f"templates: {path.name}": path for path in sorted(templates.glob("*.yaml"))}
    marker = compared / _compute_digest(files)
    if marker.exists():
        return
    from .validate import check_fresh

    check_fresh(templates)
    # If this cannot be written, the next run compares again.
    with contextlib.suppress(OSError):
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def _list_sources(root: Path) -> Iterator[Path]:
    yield root / _LOCK
    for folder in _SOURCES:
        yield from sorted(path for path in (root / folder).rglob("*") if path.suffix != ".pyc" and path.is_file())


def _compute_digest(files: dict[str, Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name, file in files.items():
        content = file.read_bytes()
        # The length keeps two files from being taken for others whose names and contents make up the same bytes.
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()

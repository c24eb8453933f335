"""Remembers which templates were found to be what ``stacks/`` generates, so that the next command generates none."""

import contextlib
import hashlib
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.common.errors import UserError
from scripts.common.files import is_file
from scripts.common.paths import ROOT
from scripts.common.requests import NOTHING

COMPARED = ROOT / ".local" / "fresh"
# What the templates are generated from: the code of the functions and of their layer is named in them by its digest.
_SOURCES = ("stacks", "lambda", "lambda-layers")
# What is read in stacks/: an editor keeps backups there. Every file in lambda/ is part of the functions' code.
_SUFFIXES = {"stacks": (".py", ".toml")}
# Names the releases of the generator's libraries.
_LOCK = "locks/deploy.txt"


def check_fresh_once(templates: Path, root: Path = ROOT, compared: Path = COMPARED) -> str:
    """Raise ``UserError`` for a template that differs from what ``stacks/`` generates, as ``validate.check_fresh``.

    Templates and sources that were compared before are not compared again. Returns their digest, which is for
    ``check_same_sources``. To be called once, at the beginning: later, the modules of ``stacks/`` are those of before
    an edit.
    """
    digest = _digest_sources(templates, root)
    marker = compared / digest
    if is_file(marker):
        return digest
    from .validate import check_fresh

    check_fresh(templates)
    # If this cannot be written, the next run compares again.
    with contextlib.suppress(OSError):
        # What was edited meanwhile was not compared.
        if _digest_sources(templates, root) == digest:
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
    return digest


def check_same_sources(templates: Path, digest: str, root: Path = ROOT) -> None:
    """Raise ``UserError`` if the templates, or what they are generated from, were edited since they were compared.

    To be called once they are packaged. Code that was edited between the two is not that of its version: its digest
    is in the template, so a later deployment of the same code would publish the same version again, which is refused.
    """
    if _digest_sources(templates, root) != digest:
        raise UserError(
            f"{templates}, or what it is generated from, was edited since this command began; {NOTHING}; run it again"
        )


def _digest_sources(templates: Path, root: Path) -> str:
    files = {str(path.relative_to(root)): path for path in _list_sources(root)}
    files |= {f"templates: {path.name}": path for path in sorted(templates.glob("*.yaml"))}
    return _compute_digest(files)


def _list_sources(root: Path) -> Iterator[Path]:
    """Yield the sources, without the hidden files and caches that an editor or another command may be writing."""
    yield root / _LOCK
    for folder in _SOURCES:
        for path in sorted((root / folder).rglob("*")):
            inside = path.relative_to(root).parts
            is_hidden = "__pycache__" in inside or any(part.startswith(".") for part in inside)
            if not is_hidden and path.name.endswith(_SUFFIXES.get(folder, "")) and _may_be_file(path):
                yield path


def _may_be_file(path: Path) -> bool:
    """Whether the path is a file; True if this user may not look it up, and reading it then says why."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        return isinstance(error, PermissionError)


def _compute_digest(files: dict[str, Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name, file in files.items():
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            # Deleted since it was listed.
            continue
        except OSError as error:
            raise UserError(f"{file}: cannot be read: {error.strerror}") from error
        # The length keeps two files from being taken for others whose names and contents make up the same bytes.
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()

"""The layer with the gateway's library: the files that it is built of, and a digest of what it contains."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STRIPE = Path(__file__).resolve().parents[2] / "lambda-layers" / "stripe" / "requirements.txt"
# The way in which scripts/deployer/layer.py makes the layer of these files. Count up when other bytes come of it.
BUILD = 2
# One distribution, pinned to one file; as pip writes it in its hash-checking mode.
# https://pip.pypa.io/en/stable/topics/secure-installs/#hash-checking-mode
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+) --hash=sha256:([0-9a-f]{64})")


class RequirementError(ValueError):
    """A layer's requirements that cannot be read, or a line of them that does not name exactly one file."""


@dataclass(frozen=True)
class Pin:
    name: str
    version: str
    sha256: str


def read_pins(requirements: Path) -> Iterator[Pin]:
    """Each distribution. Raises ``RequirementError`` for a line without its version or without exactly one hash."""
    try:
        text = requirements.read_text(encoding="utf-8")
    except OSError as error:
        raise RequirementError(
            f"{requirements}: cannot be read ({error.strerror}); the layer is built of it"
        ) from error
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _PIN.fullmatch(line)
        if match is None:
            raise RequirementError(f"{requirements}: not a version pinned by one hash: {line}")
        yield Pin(*match.groups())


def digest_requirements(requirements: Path) -> str:
    """Of what the layer contains: it depends on the files it is built of, and on how; not on comments or order."""
    files = sorted({pin.sha256 for pin in read_pins(requirements)})
    return hashlib.sha256("\n".join([str(BUILD), *files]).encode()).hexdigest()

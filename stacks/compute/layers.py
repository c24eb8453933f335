"""The layer with the gateway's library: the distributions that it contains, and their digest."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STRIPE = Path(__file__).resolve().parents[2] / "lambda-layers" / "stripe" / "requirements.txt"
# The version of the build in scripts/deployer/layer.py. Increment it when the build produces other bytes.
BUILD = 2
# One distribution, pinned to one file, in the format of pip's hash-checking mode.
# https://pip.pypa.io/en/stable/topics/secure-installs/#hash-checking-mode
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+) --hash=sha256:([0-9a-f]{64})")


class RequirementError(ValueError):
    """The requirements cannot be read, or a line does not name exactly one file."""


@dataclass(frozen=True)
class Pin:
    name: str
    version: str
    sha256: str


def read_pins(requirements: Path) -> Iterator[Pin]:
    """Yield each distribution. Raises ``RequirementError`` for a line that is not a version pinned by one hash."""
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
    """Return a digest of the layer's files and of the build's version, independent of comments and order."""
    files = sorted({pin.sha256 for pin in read_pins(requirements)})
    return hashlib.sha256("\n".join([str(BUILD), *files]).encode()).hexdigest()

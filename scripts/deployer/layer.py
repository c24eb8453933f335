"""The gateway's layer as a zip: the files of its distributions, and nothing that pip or this machine adds to them.

https://docs.aws.amazon.com/lambda/latest/dg/python-layers.html
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.common.errors import UserError
from stacks.compute import function_code
from stacks.compute.runtime import ARCHITECTURE, PYTHON

from .archive import zip_entries

# What pip writes into a .dist-info beside the distribution's own files; it differs by pip's release and options.
# https://packaging.python.org/en/latest/specifications/recording-installed-packages/
_INSTALLERS_OWN = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def build_layer(requirements: Path) -> bytes:
    """The layer of what ``requirements`` lists, each file by its hash, for Lambda's platform.

    The same bytes on every machine; a change to that counts up ``stacks.layers.BUILD``. Raises ``UserError``.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pip = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
                *("--require-hashes", "--no-deps", "--only-binary", ":all:"),
                *("--platform", f"manylinux2014_{ARCHITECTURE}", "--implementation", "cp", "--python-version", PYTHON),
                *("--target", str(folder / "python"), "--requirement", str(requirements)),
            ],
            capture_output=True,
            text=True,
        )
        if pip.returncode:
            raise UserError(f"{requirements}: pip cannot install it: {pip.stderr.strip().splitlines()[-1]}")
        entries = [(path, content, 0o644) for path, content in function_code.files(folder) if _is_content(path)]
    return zip_entries(entries)


def _is_content(path: str) -> bool:
    """Whether a file is the distribution's. Scripts in bin/ begin with the path of the interpreter that ran pip."""
    _, top, *rest = path.split("/")
    return top != "bin" and not (top.endswith(".dist-info") and rest[0] in _INSTALLERS_OWN)

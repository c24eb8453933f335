"""Builds the gateway's layer: the files of its distributions, without what pip or this machine adds.

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

# What pip adds to a .dist-info; it depends on the release and the options of pip.
# https://packaging.python.org/en/latest/specifications/recording-installed-packages/
_WRITTEN_BY_PIP = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def build_layer(requirements: Path) -> bytes:
    """Return the layer of the ``requirements``, each checked by its hash, for Lambda's platform, as a zip.

    The bytes are the same on every machine; a change that alters them must increase ``stacks.compute.layers.BUILD``.
    Raises ``UserError`` if pip fails.
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
        entries = [(path, content, 0o644) for path, content in function_code.list_files(folder) if _is_content(path)]
    return zip_entries(entries)


def _is_content(path: str) -> bool:
    """Whether a file belongs to the distribution. Scripts in bin/ contain the path of pip's interpreter."""
    _, folder, *names = path.split("/")
    return folder != "bin" and not (folder.endswith(".dist-info") and names[0] in _WRITTEN_BY_PIP)

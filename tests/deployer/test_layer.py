"""The gateway's layer: the same bytes on every machine, for Lambda's platform, of files known by their hash."""

import glob
import io
import itertools
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.common.errors import UserError
from scripts.deployer import layer
from scripts.deployer.layer import build_layer
from stacks.compute.layers import STRIPE


@pytest.fixture(scope="module")
def built() -> bytes:
    return build_layer(STRIPE)


def other_interpreters() -> list[str]:
    """Of another minor version than this one's, with pip."""
    found = [shutil.which(f"python3.{minor}") for minor in range(11, 16)]
    found += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.1[1-9]*/bin/python")))
    return [path for path in found if path and _is_other(path)]


def _is_other(path: str) -> bool:
    code = "import sys, pip; print(*sys.version_info[:2])"
    ran = subprocess.run([path, "-c", code], capture_output=True, text=True)
    return ran.returncode == 0 and tuple(map(int, ran.stdout.split())) != sys.version_info[:2]


def test_another_interpreter_umask_and_folder_give_the_same_bytes(
    built: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreters = other_interpreters()
    if not interpreters:
        pytest.skip(f"there is no other Python with pip than {sys.version.split()[0]}")
    monkeypatch.setattr(layer.sys, "executable", interpreters[-1])
    monkeypatch.setattr(layer.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    umask = os.umask(0o077)
    try:
        assert build_layer(STRIPE) == built
    finally:
        os.umask(umask)


def test_what_pip_adds_is_left_out_and_the_distributions_files_are_there(built: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(built)) as archive:
        names = archive.namelist()
        texts = b"".join(archive.read(name) for name in names)
    assert {"python/stripe/__init__.py", "python/requests/__init__.py", "python/typing_extensions.py"} <= set(names)
    assert any(name.endswith(".dist-info/METADATA") for name in names)
    # Compiled files would be for one runtime and architecture; none is needed.
    assert not [name for name in names if name.endswith(".so")]
    assert not [name for name in names if name.startswith("python/bin/") or "__pycache__" in name]
    assert not {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"} & {Path(name).name for name in names}
    assert sys.prefix.encode() not in texts


def test_it_is_for_the_functions_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever runs pip: a file for the other runtime is not taken."""
    pip: list[list[str]] = []
    monkeypatch.setattr(layer.subprocess, "run", lambda command, **_: pip.append(command) or _Failed())
    monkeypatch.setattr(layer, "PYTHON", "3.13")
    monkeypatch.setattr(layer, "ARCHITECTURE", "aarch64")
    with pytest.raises(UserError, match="pip cannot install it: no"):
        build_layer(tmp_path)
    (command,) = pip
    options = dict(itertools.pairwise(command))
    assert (options["--python-version"], options["--platform"]) == ("3.13", "manylinux2014_aarch64")
    assert options["--only-binary"] == ":all:"


class _Failed:
    returncode, stderr = 1, "no"


def test_a_requirement_whose_hash_is_wrong_is_not_taken(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"idna==3.20 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(UserError, match=r"requirements\.txt: pip cannot install it"):
        build_layer(requirements)

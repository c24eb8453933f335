"""The gateway's layer has the same bytes on every machine, and contains only hashed files for Lambda's platform."""

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
def layer_zip() -> bytes:
    return build_layer(STRIPE)


def other_interpreters() -> list[str]:
    """Return interpreters with pip and another minor version than the current one."""
    paths = [shutil.which(f"python3.{minor}") for minor in range(11, 16)]
    paths += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.1[1-9]*/bin/python")))
    return [path for path in paths if path and _is_other(path)]


def _is_other(path: str) -> bool:
    code = "import sys, pip; print(*sys.version_info[:2])"
    process = subprocess.run([path, "-c", code], capture_output=True, text=True)
    return process.returncode == 0 and tuple(map(int, process.stdout.split())) != sys.version_info[:2]


@pytest.mark.nightly
def test_another_interpreter_umask_and_folder_give_the_same_bytes(
    layer_zip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreters = other_interpreters()
    if not interpreters:
        pytest.skip(f"there is no other Python with pip than {sys.version.split()[0]}")
    monkeypatch.setattr(layer.sys, "executable", interpreters[-1])
    monkeypatch.setattr(layer.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    umask = os.umask(0o077)
    try:
        assert build_layer(STRIPE) == layer_zip
    finally:
        os.umask(umask)


def test_the_layer_contains_the_files_of_the_distributions_without_those_that_pip_adds(layer_zip: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(layer_zip)) as archive:
        names = archive.namelist()
        texts = b"".join(archive.read(name) for name in names)
    assert {"python/stripe/__init__.py", "python/requests/__init__.py", "python/typing_extensions.py"} <= set(names)
    assert any(name.endswith(".dist-info/METADATA") for name in names)
    # Compiled files would tie the layer to one runtime and architecture.
    assert not [name for name in names if name.endswith(".so")]
    assert not [name for name in names if name.startswith("python/bin/") or "__pycache__" in name]
    assert not {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"} & {Path(name).name for name in names}
    assert sys.prefix.encode() not in texts


def test_pip_installs_only_hashed_wheels_for_the_platform_of_the_functions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(layer.subprocess, "run", lambda command, **_: commands.append(command) or _Failed())
    monkeypatch.setattr(layer, "PYTHON", "3.13")
    monkeypatch.setattr(layer, "ARCHITECTURE", "aarch64")
    with pytest.raises(UserError, match="pip cannot install it: no"):
        build_layer(tmp_path)
    (command,) = commands
    options = dict(itertools.pairwise(command))
    assert (options["--python-version"], options["--platform"]) == ("3.13", "manylinux2014_aarch64")
    assert options["--only-binary"] == ":all:"
    # Without --require-hashes, pip checks only requirements with a hash; compiled files would depend on this machine.
    assert {"--require-hashes", "--no-deps", "--no-compile"} <= set(command)


class _Failed:
    returncode, stderr = 1, "no"


@pytest.mark.parametrize("digest", [f" --hash=sha256:{'0' * 64}", ""])
def test_a_requirement_with_a_wrong_or_missing_hash_is_refused(tmp_path: Path, digest: str) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"idna==3.20{digest}\n")
    with pytest.raises(UserError, match=r"requirements\.txt: pip cannot install it"):
        build_layer(requirements)

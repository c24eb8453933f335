"""Files that a user names: written whole or not at all, and only where a regular file is or can be."""

import os
import stat
from pathlib import Path

import pytest

from scripts.common.errors import UserError
from scripts.common.files import PRIVATE, parse_json, write_file


def test_a_file_is_replaced_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b"old")
    write_file(path, b"new", PRIVATE)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to-null").symlink_to("/dev/null")
    for path in (Path("/dev/null"), tmp_path / "pipe", tmp_path / "to-null", tmp_path):
        with pytest.raises(UserError, match=r"not a regular file, so it is not written; name another file"):
            write_file(path, b"new")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"there is no folder {tmp_path}/none"):
        write_file(tmp_path / "none" / "plan.json", b"new")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", fail)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        write_file(path, b"new")
    assert [(child.name, child.read_bytes()) for child in tmp_path.iterdir()] == [("plan.json", b"old")]


def test_json_that_is_nested_too_deeply_is_no_crash() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000)

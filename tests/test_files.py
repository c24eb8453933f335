"""Files that a user names: written whole or not at all, and only where a regular file is or can be."""

import ast
import os
import re
import stat
from pathlib import Path

import pytest

from scripts.common.errors import UserError
from scripts.common.files import PRIVATE, is_file, is_missing, parse_json, write_file
from scripts.deployer import saved_plan, validate
from scripts.deployer.freshness import check_fresh_once
from tests.emitted import ROOT


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


def test_a_link_to_a_missing_folder_names_that_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "none" / "plan.json")
    with pytest.raises(UserError, match=rf"there is no folder {tmp_path}/none"):
        write_file(tmp_path / "link", b"new")


# What writes otherwise than by `write_file`, and why it may: nobody else reads the file, or nothing is in it.
OTHER_WRITERS = {
    "scripts/common/files.py": "the function itself",
    "scripts/common/streams.py": "/dev/null, for a closed stream",
    "scripts/deployer/offline.py": "in a temporary folder",
    "scripts/operator/result_files.py": "line by line, so that it shows how far an interrupted command came",
    "scripts/audit/recorded_runs.py": "in a folder of recordings that counts only with this file",
    "scripts/audit/deployed.py": "in a temporary folder",
    "scripts/bench/deployments.py": "in a temporary folder",
    "scripts/bench/sides.py": "in a temporary folder",
    "scripts/local/emulator_process.py": "a lock without content",
    "scripts/local/recorder.py": "appends each request as it comes",
    "scripts/local/server.py": "a lock without content, and a log",
    "scripts/locks.py": "in a temporary folder",
}


def test_every_other_file_is_written_by_the_function_that_replaces_it_as_a_whole() -> None:
    sources = [ROOT / "generate.py", *(ROOT / "scripts").rglob("*.py"), *(ROOT / "stacks").rglob("*.py")]
    writers = {str(path.relative_to(ROOT)) for path in sources if writes_files(path.read_text(encoding="utf-8"))}
    assert writers == set(OTHER_WRITERS)


@pytest.mark.parametrize(
    ("source", "is_writing"),
    [
        ("path.write_text('x')", True),
        ("path.write_bytes(b'x')", True),
        ("open(path, 'w')", True),
        ("path.open(mode='ab')", True),
        ("os.fdopen(1, 'wb')", True),
        ("open(path)", False),
        ("path.open('rb')", False),
    ],
)
def test_a_writer_is_recognised(source: str, is_writing: bool) -> None:
    assert writes_files(source) is is_writing


def writes_files(source: str) -> bool:
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        modes = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
        texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
        is_open_to_write = name in ("open", "fdopen") and any(re.fullmatch(r"[wax]b?\+?|r\+b?", text) for text in texts)
        if name in ("write_text", "write_bytes") or is_open_to_write:
            return True
    return False


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


# No root is denied anything, but each user a name that is too long; before Python 3.14 both raise in pathlib.
UNREACHABLE = Path("x" * 300, "file")


def test_a_path_that_this_user_may_not_look_up_is_no_file_and_not_missing(tmp_path: Path) -> None:
    assert (is_file(UNREACHABLE), is_missing(UNREACHABLE)) == (False, False)
    assert (is_file(tmp_path), is_missing(tmp_path)) == (False, False)
    (file := tmp_path / "file").touch()
    assert (is_file(file), is_missing(file)) == (True, False)
    for absent in (tmp_path / "absent", file / "below"):
        assert (is_file(absent), is_missing(absent)) == (False, True)


def test_a_plan_in_a_folder_of_another_user_is_not_read() -> None:
    assert not saved_plan.holds_change_set(UNREACHABLE, "deploy-1")
    saved_plan.delete_plan_of(UNREACHABLE, ["deploy-1"])


def test_markers_in_a_folder_of_another_user_are_those_of_no_earlier_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[object] = []
    monkeypatch.setattr(validate, "check_fresh", checks.append)
    monkeypatch.setattr(validate, "lint_templates", lambda paths: checks.append(paths) or [])
    monkeypatch.setattr(validate, "LINTED", UNREACHABLE)
    for _ in range(2):
        check_fresh_once(tmp_path, tmp_path, UNREACHABLE)
        validate.check_lint(tmp_path)
    assert len(checks) == 4

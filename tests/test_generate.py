"""The command `python generate.py`, as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

import generate
from tests.emitted import ROOT

FILES = {f"{name}.yaml" for name in ("parent", "security", "data", "compute", "workflow", "monitoring", "artifacts")}


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "generate.py", *arguments], cwd=cwd, capture_output=True, text=True)


def test_it_writes_all_templates_wherever_it_is_called_from(tmp_path: Path) -> None:
    ran = run("--output", "out", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    for name in FILES:
        assert (tmp_path / "out" / name).read_text() == (ROOT / "templates" / name).read_text()


def test_json(tmp_path: Path) -> None:
    assert run("--output", str(tmp_path), "--format", "json").returncode == 0
    assert '"TemplateURL": "./security.json"' in (tmp_path / "parent.json").read_text()


def test_check_tells_a_stale_template_by_a_diff_and_writes_nothing(tmp_path: Path) -> None:
    run("--output", str(tmp_path))
    data = tmp_path / "data.yaml"
    stale = data.read_text().replace("PAY_PER_REQUEST", "PROVISIONED")
    data.write_text(stale)
    ran = run("--check", "--output", str(tmp_path))
    assert ran.returncode == 1
    assert "-      BillingMode: PROVISIONED\n+      BillingMode: PAY_PER_REQUEST\n" in ran.stdout
    assert "1 of 7 templates" in ran.stderr
    assert f"run `python generate.py --output {tmp_path}`" in ran.stderr
    assert data.read_text() == stale


def test_check_tells_a_template_that_nothing_generates(tmp_path: Path) -> None:
    run("--output", str(tmp_path))
    (tmp_path / "gone.yaml").write_text("Resources: {}\n")
    ran = run("--check", "--output", str(tmp_path))
    assert ran.returncode == 1
    assert "gone.yaml (committed)" in ran.stdout


def test_check_tells_line_ends_that_git_may_have_changed(tmp_path: Path) -> None:
    run("--output", str(tmp_path))
    data = tmp_path / "data.yaml"
    data.write_bytes(data.read_bytes().replace(b"\n", b"\r\n"))
    assert run("--check", "--output", str(tmp_path)).returncode == 1


def test_json_does_not_mix_with_the_committed_yaml() -> None:
    ran = run("--format", "json")
    assert ran.returncode == 1
    assert "name another --output" in ran.stderr


def test_a_python_without_the_dependencies_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "generate.py").write_text((ROOT / "generate.py").read_text())
    ran = subprocess.run([sys.executable, "-S", tmp_path / "generate.py"], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 1
    assert "`make generate` installs all that is needed" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_check_tells_a_missing_template(tmp_path: Path) -> None:
    ran = run("--check", "--output", str(tmp_path))
    assert ran.returncode == 1
    assert "7 of 7 templates" in ran.stderr
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("--output", str(tmp_path / "file"))
    assert ran.returncode == 1
    assert ran.stderr.startswith("generate.py: ")
    assert len(ran.stderr.splitlines()) == 1


def test_code_that_changes_makes_the_templates_stale(tmp_path: Path) -> None:
    """A new version has to be published for new code: its description carries the code's digest."""
    from stacks.compute import function_code

    before = function_code.digest()
    (tmp_path / "a.py").write_text("x = 1")
    assert function_code.digest(tmp_path) != before
    (tmp_path / "__pycache__").mkdir()
    with_cache = function_code.digest(tmp_path)
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"1")
    assert function_code.digest(tmp_path) == with_cache


def test_the_committed_pictures_are_checked_with_the_templates(tmp_path: Path) -> None:
    ran = run("--check")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 pictures" in ran.stdout
    assert "pictures written" not in run("--output", str(tmp_path)).stdout


def test_a_stale_picture_is_told_by_a_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.md").write_text("old\n")
    assert generate.check_files({"a.md": "new\n", "docs/b.svg": "<svg/>\n"}, tmp_path, "pictures") == 1
    told = capsys.readouterr()
    assert "-old\n+new\n" in told.out
    assert "2 of 2 pictures" in told.err
    assert generate.write_files({"a.md": "new\n", "docs/b.svg": "<svg/>\n"}, tmp_path, "pictures") == 0
    assert generate.check_files({"a.md": "new\n", "docs/b.svg": "<svg/>\n"}, tmp_path, "pictures") == 0

"""Runs `python3 generate.py` as a user does."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import generate
from stacks import settings
from tests.emitted import ROOT

FILES = {f"{name}.yaml" for name in ("parent", "security", "data", "compute", "workflow", "monitoring", "artifacts")}


def run_generate(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "generate.py", *arguments], cwd=cwd, capture_output=True, text=True)


def test_it_writes_all_templates_wherever_it_is_called_from(tmp_path: Path) -> None:
    process = run_generate("--output", "out", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    for name in FILES:
        assert (tmp_path / "out" / name).read_text() == (ROOT / "templates" / name).read_text()


def test_a_full_disk_leaves_every_file_whole(tmp_path: Path) -> None:
    assert run_generate("--output", str(tmp_path)).returncode == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    compute = tmp_path / "compute.yaml"
    compute.write_bytes(before["compute.yaml"] + b"# stale\n")

    def allow_small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    process = subprocess.run(
        [sys.executable, ROOT / "generate.py", "--output", tmp_path],
        preexec_fn=allow_small_files_only,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (
        1, f"generate.py: {compute}: cannot be written: File too large\n",
    )  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == set(before)
    assert compute.read_bytes() == before["compute.yaml"] + b"# stale\n"


def test_a_template_that_is_a_link_to_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "parent.yaml").symlink_to("/dev/null")
    process = run_generate("--output", str(tmp_path))
    assert process.returncode == 1
    assert f"{tmp_path / 'parent.yaml'}: not a regular file, so it is not written" in process.stderr


def test_the_templates_can_be_written_as_json(tmp_path: Path) -> None:
    assert run_generate("--output", str(tmp_path), "--format", "json").returncode == 0
    assert '"TemplateURL": "./security.json"' in (tmp_path / "parent.json").read_text()


def test_check_shows_the_diff_of_a_stale_template_and_writes_nothing(tmp_path: Path) -> None:
    run_generate("--output", str(tmp_path))
    data = tmp_path / "data.yaml"
    stale = data.read_text().replace("PAY_PER_REQUEST", "PROVISIONED")
    data.write_text(stale)
    process = run_generate("--check", "--output", str(tmp_path))
    assert process.returncode == 1
    assert "-      BillingMode: PROVISIONED\n+      BillingMode: PAY_PER_REQUEST\n" in process.stdout
    assert "1 of 7 templates" in process.stderr
    assert f"run `python3 generate.py --output {tmp_path}`" in process.stderr
    assert data.read_text() == stale


def test_check_reports_a_template_that_nothing_generates(tmp_path: Path) -> None:
    run_generate("--output", str(tmp_path))
    (tmp_path / "gone.yaml").write_text("Resources: {}\n")
    process = run_generate("--check", "--output", str(tmp_path))
    assert process.returncode == 1
    assert "gone.yaml (committed)" in process.stdout


def test_check_reports_line_endings_that_git_may_have_changed(tmp_path: Path) -> None:
    run_generate("--output", str(tmp_path))
    data = tmp_path / "data.yaml"
    data.write_bytes(data.read_bytes().replace(b"\n", b"\r\n"))
    assert run_generate("--check", "--output", str(tmp_path)).returncode == 1


def test_json_does_not_mix_with_the_committed_yaml() -> None:
    process = run_generate("--format", "json")
    assert process.returncode == 1
    assert "name another --output" in process.stderr


def test_a_python_without_the_dependencies_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "generate.py").write_text((ROOT / "generate.py").read_text())
    process = subprocess.run(
        [sys.executable, "-S", tmp_path / "generate.py"], capture_output=True, text=True, cwd=tmp_path
    )
    assert process.returncode == 1
    assert "`make generate` installs all that is needed" in process.stderr
    assert "Traceback" not in process.stderr


def test_check_reports_a_missing_template(tmp_path: Path) -> None:
    process = run_generate("--check", "--output", str(tmp_path))
    assert process.returncode == 1
    assert "7 of 7 templates" in process.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = run_generate("--output", str(tmp_path / "file"))
    assert process.returncode == 1
    assert process.stderr.startswith("generate.py: ")
    assert len(process.stderr.splitlines()) == 1


def test_code_that_changes_makes_the_templates_stale(tmp_path: Path) -> None:
    """The description of a version contains the digest of its code, so that new code publishes a new version."""
    from stacks.compute import function_code

    before = function_code.digest_code()
    (tmp_path / "a.py").write_text("x = 1")
    assert function_code.digest_code(tmp_path) != before
    (tmp_path / "__pycache__").mkdir()
    with_cache = function_code.digest_code(tmp_path)
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"1")
    assert function_code.digest_code(tmp_path) == with_cache


def test_the_committed_pictures_are_checked_with_the_templates(tmp_path: Path) -> None:
    process = run_generate("--check")
    assert process.returncode == 0, process.stdout + process.stderr
    assert "5 pictures" in process.stdout
    assert "pictures written" not in run_generate("--output", str(tmp_path)).stdout


def test_a_mistake_in_the_settings_is_reported_after_the_templates_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "environments.toml"
    text = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8")
    path.write_text(text.replace("log_retention_days = 400", 'log_retention_days = "400"'), encoding="utf-8")
    monkeypatch.setattr(settings, "check_file", partial(settings.check_file, path))
    assert generate.main(["--output", str(tmp_path / "out")]) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    message = f'generate.py: {path}: [prod] log_retention_days = "400": it must be a number, not text'
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.parametrize(
    ("tool", "read_values"),
    [
        ("aws", lambda document: dict(entry.split("=", 1) for entry in document)),
        ("sam", lambda document: document),
        ("rain", lambda document: document.pop("Parameters") | document),
    ],
)
def test_the_parameters_of_an_environment_are_printed_as_each_tool_reads_them(
    tool: str, read_values: Callable[[Any], dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, values in (("prod", settings.load("prod")), ("bootstrap", settings.load_bootstrap())):
        assert generate.main(["--parameters", name, "--tool", tool]) == 0
        assert read_values(json.loads(capsys.readouterr().out)) == values


def test_the_aws_cli_is_the_default_tool_of_the_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--parameters", "dev"]) == 0
    assert "LogRetentionDays=1" in json.loads(capsys.readouterr().out)


def test_parameters_of_an_unknown_environment_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--parameters", "nowhere"]) == 1
    output = capsys.readouterr()
    assert (output.out, len(output.err.splitlines())) == ("", 1)
    assert "generate.py: stacks/environments.toml: no environment [nowhere]" in output.err


def test_check_shows_the_diff_of_a_stale_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.md").write_text("old\n")
    assert generate.check_files({"a.md": "new\n", "docs/b.svg": "<svg/>\n"}, tmp_path, "pictures") == 1
    output = capsys.readouterr()
    assert "-old\n+new\n" in output.out
    assert "2 of 2 pictures" in output.err
    assert generate.write_files({"a.md": "new\n", "docs/b.svg": "<svg/>\n"}, tmp_path, "pictures") == 0
    assert generate.check_files({"a.md": "new\n", "docs/b.svg": "<svg/>\n"}, tmp_path, "pictures") == 0

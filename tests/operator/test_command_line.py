"""Where the options of `payments.sh` may stand, what takes their place, and how a shell completes its words."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from scripts.operator import cli
from scripts.operator.cli import common
from stacks import settings
from tests.emitted import ROOT


def list_paths(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    """Return the words that lead to the group and to each command within it."""
    paths = [path]
    for name, command in group.commands.items():
        paths += list_paths(command, *path, name) if isinstance(command, click.Group) else [(*path, name)]
    return paths


def run_command(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, environment: str = ""
) -> tuple[Result, list[tuple[str | Path | None, ...]]]:
    """Return the result, and the environment, profile, Region and settings of each platform that was reached."""
    reached: list[tuple[str | Path | None, ...]] = []

    def refuse_to_reach(*place: str | Path | None) -> None:
        reached.append(place)
        raise common.UserError("not reached")

    monkeypatch.setattr(common, "reach_platform", refuse_to_reach)
    return CliRunner().invoke(cli.main, arguments, env={"PAYMENT_ENV": environment}), reached


@pytest.mark.parametrize(
    "arguments",
    [
        ("--env", "dev", "--region", "eu-west-1", "--settings", "a.toml", "dlq", "list"),
        ("dlq", "--env", "dev", "list", "--region=eu-west-1", "--settings=a.toml"),
        ("dlq", "list", "--json", "--settings", "a.toml", "--region", "eu-west-1", "--env=dev"),
    ],
)
def test_options_of_the_program_stand_before_or_after_the_command(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_command(monkeypatch, *arguments)[1] == [("dev", None, "eu-west-1", Path("a.toml"))]


@pytest.mark.parametrize(("arguments", "environment"), [((), "staging"), (("--env", "dev"), "dev")])
def test_a_variable_takes_the_place_of_the_environment_and_an_option_that_of_the_variable(
    arguments: tuple[str, ...], environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_command(monkeypatch, "list", *arguments, environment="staging")[1] == [
        (environment, None, None, settings.ENVIRONMENTS_FILE)
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list"], "no environment; add --env ENVIRONMENT"),
        (["list", "--env"], "Option '--env' requires an argument"),
        (["show", "--", "--env"], "no environment; add --env ENVIRONMENT"),
        (["show", "--", "T-1", "--env", "dev"], "Got unexpected extra arguments"),
    ],
)
def test_a_missing_environment_is_a_wrong_argument(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, reached = run_command(monkeypatch, *arguments)
    assert (result.exit_code, reached) == (2, [])
    assert message in result.stderr


@pytest.mark.parametrize("path", list_paths(cli.main), ids=" ".join)
def test_help_needs_no_environment_and_fits_a_terminal(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = run_command(monkeypatch, *path, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    # Of a longer first sentence, click shows the beginning.
    assert not re.search(r"^  [a-z]+ .*\.\.\.$", result.output, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("payments.sh dlq ", {"list", "explain", "redrive", "clear"}),
        ("payments.sh re", {"reconcile", "refund", "resolve"}),
        ("payments.sh start --dr", {"--dry-run"}),
    ],
)
def test_a_shell_completes_commands_and_options(words: str, completions: set[str]) -> None:
    variables = {"_PAYMENTS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    variables |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'lambda'}"}
    process = subprocess.run(
        [sys.executable, "-m", "scripts.operator"], cwd=ROOT, env=os.environ | variables, capture_output=True, text=True
    )
    assert {line.partition(",")[2] for line in process.stdout.splitlines()} == completions


def test_an_unknown_environment_is_a_wrong_argument() -> None:
    result = CliRunner().invoke(cli.main, ["--env", "lcal", "list"], prog_name="payments")
    assert result.exit_code == 2
    assert "no environment [lcal]; did you mean local?" in result.stderr


def test_payments_are_checked_by_the_settings_file_of_their_environment(tmp_path: Path) -> None:
    amounts = "maximum_amounts = { GBP = 10000 }\nhigh_value_amounts = { GBP = 5000 }\n"
    text = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8").replace("[dev]\n", f"[dev]\n{amounts}")
    path = tmp_path / "environments.toml"
    path.write_text(text, encoding="utf-8")
    payment = ["T-1", "--amount", "5.00", "--method", "credit_card", "--customer", "C-1", "--currency", "GBP"]
    arguments = ["start", *payment, "--dry-run", "--env", "dev"]
    assert CliRunner().invoke(cli.main, arguments).exit_code == 2
    accepted = CliRunner().invoke(cli.main, [*arguments, "--settings", str(path)])
    assert (accepted.exit_code, accepted.stdout) == (0, "5.00 GBP in 1 payment\n")

"""A command starts without what it does not need: help, refused arguments and offline plans do not wait for the SDK."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from scripts.capacity import cli as capacity
from scripts.deployer.cli import deploy, destroy, invoke, outputs, status
from scripts.operator import cli as payments
from scripts.operator.cli import logs
from scripts.simulation import cli as simulation
from scripts.verify import cli as verify
from scripts.verify.runner import GROUPS
from tests.emitted import ROOT

# Each takes longer to import than a command takes to print its help.
SDK = {"boto3", "botocore.session", "botocore.exceptions"}
GENERATOR = {"troposphere", "awacs", "cfnlint"}
OUTPUT = {"rich.console", "yaml"}
COMMANDS: dict[str, tuple[str, click.Command]] = {
    "capacity": ("scripts.capacity", capacity.main),
    "deploy": ("scripts.deployer.cli.deploy", deploy.main),
    "destroy": ("scripts.deployer.cli.destroy", destroy.main),
    "invoke": ("scripts.deployer.cli.invoke", invoke.main),
    "logs": ("scripts.operator.cli.logs", logs.main),
    "outputs": ("scripts.deployer.cli.outputs", outputs.main),
    "status": ("scripts.deployer.cli.status", status.main),
    "simulate": ("scripts.simulation", simulation.main),
    "payments": ("scripts.operator", payments.main),
    "verify": ("scripts.verify", verify.main),
}
# Runs a module as a command, and writes what it has imported to the file that is its first argument.
_RUN = """
import json, runpy, sys
_, file, module, *arguments = sys.argv
sys.argv = [module, *arguments]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    with open(file, "w") as report:
        json.dump(sorted(sys.modules), report)
"""


def list_imports(folder: Path, module: str, *arguments: str) -> tuple[int, set[str]]:
    """Return the exit code of the command, and the modules that it has imported."""
    file = folder / "modules.json"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'lambda'}"}
    command = [sys.executable, "-c", _RUN, str(file), module, *arguments]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in process.stderr, process.stderr
    return process.returncode, set(json.loads(file.read_text()))


def walk_commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the command and its sub-commands, each with the words that select it."""
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from walk_commands(child, (*path, name))


def test_the_modules_that_come_late_are_imported_by_somebody(tmp_path: Path) -> None:
    """Or else the tests below would pass for names that are out of date."""
    _, modules = list_imports(
        tmp_path, "scripts.verify", "dev", "--region", "nowhere-1", "--profile", "no-such-profile"
    )
    assert modules >= {*SDK, "rich.console", "yaml", "troposphere"}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "arguments", [("--help",), ("--no-such-option",), ("no-such-environment",)], ids=["help", "option", "environment"]
)
def test_help_and_refused_arguments_need_neither_the_sdk_nor_the_generator(
    name: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    if name == "payments" and arguments == ("no-such-environment",):
        arguments = ("--env", "no-such-environment", "dlq", "list")
    code, modules = list_imports(tmp_path, COMMANDS[name][0], *arguments)
    assert (code == 0) == (arguments == ("--help",))
    # An error of `deploy` is reported like a plan.
    is_reported = name == "deploy" and arguments == ("no-such-environment",)
    assert modules & (SDK | GENERATOR | (set() if is_reported else OUTPUT)) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("deploy", "plan", "--help"),
        ("deploy", "dev", "--frobnicate"),
        ("payments", "--env", "dev", "start", "--help"),
        ("payments", "--env", "dev", "start", "T-1"),
        ("payments", "--env", "dev", "dlq", "redrive"),
        ("payments", "--env", "dev", "list", "--since", "later"),
    ],
    ids=" ".join,
)
def test_a_sub_command_refuses_its_arguments_as_early(arguments: tuple[str, ...], tmp_path: Path) -> None:
    _, modules = list_imports(tmp_path, COMMANDS[arguments[0]][0], *arguments[1:])
    assert modules & (SDK | GENERATOR | OUTPUT) == set()


def test_an_offline_plan_needs_neither_the_sdk_nor_the_generator(tmp_path: Path) -> None:
    arguments = ("plan", "dev", "--offline", "--against", "HEAD")
    # The first plan after a change of the sources generates the templates.
    list_imports(tmp_path, "scripts.deployer.cli.deploy", *arguments)
    code, modules = list_imports(tmp_path, "scripts.deployer.cli.deploy", *arguments)
    assert code in (0, 2)
    assert modules & (SDK | GENERATOR) == set()
    # A plan with changes reads the schemas of their resource types.
    settings = tmp_path / "environments.toml"
    committed = (ROOT / "stacks" / "environments.toml").read_text(encoding="utf-8")
    settings.write_text(committed.replace("log_retention_days = 1\n", "log_retention_days = 7\n"), encoding="utf-8")
    code, modules = list_imports(tmp_path, "scripts.deployer.cli.deploy", *arguments, "--settings", str(settings))
    assert code == 2
    assert modules & (SDK | GENERATOR) == set()


def test_the_names_of_the_groups_of_checks_are_those_of_the_groups() -> None:
    assert [group.name for group in GROUPS] == list(verify.GROUP_NAMES)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_80_columns(name: str) -> None:
    for path, command in walk_commands(COMMANDS[name][1]):
        context = click.Context(command, info_name=" ".join((f"scripts/{name}.sh", *path)), max_content_width=80)
        context.terminal_width = 80
        assert [line for line in command.get_help(context).splitlines() if len(line) > 80] == []


def test_each_command_and_target_keeps_what_python_compiles() -> None:
    """In an image of Python, whose variables forbid it, each process would compile the libraries again."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    show = "import sys; print(sys.dont_write_bytecode)"
    command = ["scripts/python.sh", "timeit", "--number", "1", "--repeat", "1", "--setup", show, "pass"]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[0] == "False"

    rule = f"show:\n\t@{sys.executable} -c '{show}'\n"
    command = ["make", "--no-print-directory", "--file", "Makefile", "--file", "-", "show"]
    process = subprocess.run(command, cwd=ROOT, env=environment, input=rule, capture_output=True, text=True, check=True)
    assert process.stdout == "False\n"

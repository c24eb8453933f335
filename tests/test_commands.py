"""Starts commands as processes: an expected error is one line, and `nohup` keeps a command running."""

import json
import signal
import subprocess
import sys
from typing import NoReturn

import click
import jsonschema
import pytest
from botocore.exceptions import NoCredentialsError
from click.testing import CliRunner

from scripts.capacity import cli as capacity
from scripts.common.errors import StillRunning, UserError
from scripts.deployer import apply
from scripts.deployer.cli import deploy, status
from scripts.deployer.report.markdown import escape_cell
from scripts.local import choose_target
from scripts.operator import cli as payments
from scripts.page import __main__ as page
from scripts.simulation import cli as simulation
from scripts.verify import cli as verify
from stacks import settings
from tests.emitted import ROOT
from tests.shell import run_shell
from tests.test_documents import PROGRAMS

ENVIRONMENTS = ", ".join(sorted((*settings.deployed_environments(), settings.LOCAL)))


def start_process(inside: str, *before: str, options: str = "") -> subprocess.Popen[str]:
    code = f"""
import sys
from scripts.common.command import Interrupted, end_silently_if_unread, report_errors
from scripts.common.errors import OutputError, StillRunning, UserError
from stacks.settings import SettingsError
with report_errors("test", interrupt_message="it goes on"{options}):
    print("begun", flush=True)
    {inside}
print("went on")
"""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*before, sys.executable, "-c", code],
        cwd=ROOT,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        # Whoever runs the tests with nohup makes them ignore it, and so the command.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )


@pytest.mark.parametrize(
    ("inside", "code", "message"),
    [
        ("raise UserError('no bucket')", 1, "test: no bucket\n"),
        ("raise SettingsError('no environment')", 1, "test: no environment\n"),
        ("raise KeyboardInterrupt", 130, "test: interrupted; it goes on\n"),
        ("raise Interrupted('two were sent')", 130, "test: interrupted; two were sent\n"),
        # What only reads ends as other tools do.
        ("with end_silently_if_unread(): raise OutputError(32, 'Broken pipe')", 141, ""),
        ("raise StillRunning('the deployment continues')", 3, "test: the deployment continues\n"),
        ("pass", 0, ""),
    ],
)
def test_an_expected_error_is_reported_in_one_line(inside: str, code: int, message: str) -> None:
    process = start_process(inside)
    _, error_text = process.communicate(timeout=60)
    assert (process.returncode, error_text) == (code, message)


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(("end", "code"), [("pass", 0), ("sys.exit(2)", 2), ("raise UserError('no bucket')", 1)])
def test_an_interrupt_after_the_result_does_not_change_it(end: str, code: int, number: str) -> None:
    """The interpreter takes a while to end, in which Ctrl-C would kill the process: 130 says that nothing was done."""
    late = f"import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.{number}); {end}"
    process = start_process(late)
    output, error_text = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in error_text, "begun" in output) == (code, False, True)


@pytest.mark.parametrize(("inside", "code"), [("raise UserError('no bucket')", 1), ("raise KeyboardInterrupt", 130)])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(inside: str, code: int) -> None:
    process = start_process(inside, options=", debug=True")
    _, error_text = process.communicate(timeout=60)
    assert process.returncode == code
    assert error_text.startswith("Traceback")
    assert error_text.splitlines()[-1].startswith("test: ")


@pytest.mark.parametrize(
    ("before", "signal_number", "code"),
    [
        ((), signal.SIGTERM, 130),
        ((), signal.SIGHUP, 130),
        (("nohup",), signal.SIGTERM, 130),
        (("nohup",), signal.SIGHUP, 0),
    ],
)
def test_a_closed_terminal_interrupts_a_command_unless_it_is_to_outlive_it(
    before: tuple[str, ...], signal_number: signal.Signals, code: int
) -> None:
    process = start_process("sys.stdin.readline()", *before)
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal_number)
    out, _ = process.communicate("\n", timeout=60)
    assert (process.returncode, out) == (code, "" if code else "went on\n")


def test_a_wrong_argument_ends_each_command_with_its_own_code() -> None:
    """A deployment's exit code 2 means that a plan has changes."""
    codes = {capacity.main: 1, deploy.main: 1, verify.main: 1, payments.main: 2, page.main: 2, simulation.main: 2}
    for command, code in codes.items():
        assert CliRunner().invoke(command, ["--frobnicate"]).exit_code == code


@pytest.mark.parametrize(
    ("command", "arguments", "line"),
    [
        (
            deploy.main,
            "plan dev --json --frobnicate",
            "deploy: No such option '--frobnicate'; see deploy plan --help\n",
        ),
        (deploy.main, "plan dev --settings", "deploy: Option '--settings' requires an argument; see deploy --help\n"),
        (status.main, "dev --settings", "status: Option '--settings' requires an argument; see status --help\n"),
        (status.main, "dev --frobnicate", "status: No such option '--frobnicate'; see status --help\n"),
        (
            payments.main,
            "--env local shw",
            "payments: No such command 'shw'. Did you mean 'show'? See payments --help\n",
        ),
        (payments.main, "dlq lst", "payments: No such command 'lst'. Did you mean 'list'? See payments dlq --help\n"),
        *(
            (deploy.main, arguments, f"deploy: No such command {name!r}. Did you mean {nearest}? See deploy --help\n")
            for arguments, name, nearest in (
                ("pln dev", "pln", "'plan'"),
                ("dev pln", "pln", "'plan'"),
                ("--yes aply dev plan.json", "aply", "'apply'"),
                # Never "deploy", which is like it.
                ("destroy dev", "destroy", "scripts/destroy.sh"),
                ("dev status", "status", "scripts/status.sh"),
            )
        ),
        (deploy.main, "dev plan.json", "deploy: neither 'dev' nor 'plan.json' is a command; see deploy --help\n"),
        (
            deploy.main,
            "dev --pln",
            "deploy: No such option '--pln'. Did you mean one of: '--apply', '--plan'? See deploy deploy --help\n",
        ),
        (
            deploy.main,
            "pln",
            "deploy: stacks/environments.toml: no environment [pln]; it has dev, local, prod, staging; or did you mean "
            "the command plan?\n",
        ),
        (
            status.main,
            "dve",
            "status: stacks/environments.toml: no environment [dve]; did you mean dev? it has dev, local, prod, "
            "staging\n",
        ),
        (page.main, "--frobnicate", "page: No such option '--frobnicate'; see page --help\n"),
    ],
)
def test_a_wrong_argument_is_one_line(command: click.Command, arguments: str, line: str) -> None:
    assert CliRunner().invoke(command, arguments, prog_name=line.split(":")[0]).stderr == line


def test_a_group_without_arguments_shows_its_help() -> None:
    assert "Commands:" in CliRunner().invoke(payments.main, [], prog_name="payments").stderr


@pytest.mark.parametrize(
    "arguments", ["plan local --json --bogus", "--json", "dev apply --json", "dev --apply x --plan --json"]
)
def test_wrong_arguments_of_a_deployment_end_with_a_record_for_programs(arguments: str) -> None:
    result = CliRunner().invoke(deploy.main, arguments, prog_name="deploy")
    (record,) = map(json.loads, result.stdout.splitlines())
    schema = json.loads((ROOT / "docs" / "deploy-output.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(record, schema, jsonschema.Draft202012Validator)
    assert (record["type"], record["result"], record["stack_name"]) == ("result", "failed", "")
    assert result.stderr == f"deploy: {record['message']}\n"
    assert result.exit_code == 1


@pytest.mark.parametrize("command", [status.main, verify.main])
@pytest.mark.parametrize("arguments", ["nosuch --json", "dev --json --bogus", "--json"])
def test_an_error_is_a_document_for_programs(command: click.Command, arguments: str) -> None:
    result = CliRunner().invoke(command, arguments, prog_name="x")
    document = json.loads(result.stdout)
    schema = json.loads((ROOT / "docs" / "verify-output.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
    assert result.stderr.partition(": ")[2] == f"{document['error']}\n"
    assert result.exit_code == 1


# The commands with a record or a document of an error on standard output, with their arguments.
FILES = {"apply": ["plan.json"], "discard": ["plan.json"]}
RECORDING = {
    **{f"deploy {name}": (deploy.main, [name, "dev", *FILES.get(name, []), "--json"]) for name in deploy.main.commands},
    "deploy plan, Markdown": (deploy.main, ["plan", "dev", "--markdown"]),
    "status": (status.main, ["dev", "--json"]),
    "verify": (verify.main, ["dev", "--json", "--yes"]),
    "capacity": (capacity.main, ["dev", "--json", "--per-second", "1"]),
}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (UserError("no Region"), 1),
        (StillRunning("the deployment continues"), 3),
        (NoCredentialsError(), 1),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", RECORDING)
def test_programs_get_the_message_that_is_on_standard_error(
    name: str, error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(choose_target, "reach_environment", fail)
    # The file of a saved plan is read before anything is reached.
    monkeypatch.setattr(apply, "check_environment", lambda *_: None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    command, arguments = RECORDING[name]
    result = CliRunner().invoke(command, arguments, prog_name=name)
    message = result.stderr.removeprefix(f"{name.split()[0]}: ").strip()
    assert (result.exit_code, len(result.stderr.splitlines())) == (code, 1)
    if "--markdown" in arguments:
        assert f"**No plan:** {escape_cell(message)}\n" in result.stdout
    else:
        record = json.loads(result.stdout)
        assert message in (record.get("error"), record.get("message"))
    # Of an interrupt, too, it says what was changed.
    assert code != 130 or "was not changed" in message or "nothing was changed" in message


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_command_of_an_environment_takes_its_settings_file(program: str) -> None:
    main = PROGRAMS[program]
    commands = list(main.commands.values()) if main is deploy.main else [main]
    for command in commands:
        parameters = {parameter.opts[0]: parameter for parameter in command.params}
        has_environment = bool(parameters.keys() & {"environment", "--env"})
        assert has_environment == ("--settings" in parameters), command.name
        if has_environment:
            (help_text, default) = (getattr(parameters["--settings"], name) for name in ("help", "default"))
            assert help_text == "The settings file.  [default: stacks/environments.toml]"
            assert default == settings.ENVIRONMENTS_FILE


@pytest.mark.parametrize("command", [status.main, verify.main, deploy.main])
def test_an_error_prints_no_document_for_people(command: click.Command) -> None:
    assert CliRunner().invoke(command, "nosuch --bogus").stdout == ""


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", "2>&-", "| head -c 1 >/dev/null"])
def test_a_full_a_closed_or_an_unread_output_gives_no_traceback(redirection: str) -> None:
    result = run_shell(f"$python -m scripts.operator --env nowhere list {redirection}")
    assert len(result.stderr.splitlines()) <= 1
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("module", ["deployer.cli.deploy", "deployer.cli.destroy", "deployer.cli.status", "operator"])
@pytest.mark.parametrize(
    ("arguments", "redirection", "ending"),
    [
        ("--help", ">/dev/full", "the output cannot be written: No space left on device\n"),
        ("--help", ">&-", ""),
        ("--help", "| true", ""),
        ("nowhere", ">&-", f"no environment [nowhere]; it has {ENVIRONMENTS}\n"),
    ],
)
def test_help_and_errors_without_an_output_are_one_line(
    module: str, arguments: str, redirection: str, ending: str
) -> None:
    if module == "operator" and arguments == "nowhere":
        arguments = "--env nowhere list"
        ending = ending and f"{ending.rstrip()}; see scripts/payments.sh list --help\n"
    name = "payments" if module == "operator" else module.rpartition(".")[2]
    result = run_shell(f"$python -m scripts.{module} {arguments} {redirection}")
    assert (result.stderr == "") if not ending else result.stderr.startswith(f"{name}: ")
    assert result.stderr.endswith(ending)
    assert len(result.stderr.splitlines()) <= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["operator", "deployer.cli.deploy", "verify", "demo"])
def test_an_interrupt_while_a_command_still_imports_is_one_line(module: str, number: signal.Signals) -> None:
    """The signal arrives when a module is imported late."""
    code = (
        "import builtins, os, runpy, sys\n"
        "load = builtins.__import__\n"
        "def interrupt(name, *rest, **others):\n"
        f"    if name == 'click': os.kill(os.getpid(), {number})\n"
        "    return load(name, *rest, **others)\n"
        "builtins.__import__ = interrupt\n"
        f"runpy.run_module('scripts.{module}', run_name='__main__', alter_sys=True)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'lambda'}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stderr == "interrupted\n"
    # The shell sees a process that the signal ended.
    assert result.returncode == -signal.SIGINT


def test_the_list_of_targets_fits_a_terminal() -> None:
    process = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "make demo " in process.stdout
    assert max(map(len, process.stdout.splitlines())) <= 80


def test_a_module_is_asked_for_in_one_line() -> None:
    process = subprocess.run(["bash", "scripts/python.sh"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (2, "usage: scripts/python.sh MODULE [ARGUMENT...]\n")


def test_every_option_of_the_simulation_is_described() -> None:
    undescribed = [
        option.name for option in simulation.main.params if isinstance(option, click.Option) and not option.help
    ]
    assert undescribed == []

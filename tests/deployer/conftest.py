"""Runs the deployer's commands, over HTTP, against a simulated AWS account."""

import errno
import fcntl
import functools
import importlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pyte
import pytest
from click.testing import CliRunner

from scripts.common import connections
from scripts.common.packaging import Destination
from scripts.common.terminal import echo
from scripts.deployer import code_only, deploy, refactor
from scripts.deployer.package import Package, package_templates
from stacks import names, render, settings
from stacks.monitoring.alarms import alarm_names
from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.endpoint import serve_account
from tests.deployer.aws.settings import REGION
from tests.deployer.aws.stacks import Stack
from tests.emitted import ROOT

_SCHEMA = json.loads((ROOT / "docs" / "deploy-output.schema.json").read_text(encoding="utf-8"))
# jsonschema.validate would check the schema itself for each record.
_RECORD_VALIDATOR = jsonschema.Draft202012Validator(_SCHEMA)
_RECORD_VALIDATOR.check_schema(_SCHEMA)
GOLDEN = Path(__file__).with_name("golden")
BUCKET = f"payment-artifacts-123456789012-{REGION}"
OWNER_TAGS = [{"Key": "ManagedBy", "Value": "payment-platform"}]
LONGEST_SECONDS = 90

# No command changes the sources, so that their templates and packages are the same for all commands of a test run.
_render = functools.cache(render.render_files)
_package = functools.cache(package_templates)

# Returns the text of a template in an earlier release, given its name and its current text.
Edit = Callable[[str, str], str]


@dataclass
class CommandResult:
    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def read_records(self) -> list[dict[str, Any]]:
        """Return the JSON Lines of the standard output, each valid by the documented schema."""
        records = [json.loads(line) for line in self.stdout.splitlines()]
        for record in records:
            _RECORD_VALIDATOR.validate(record)
        return records


@dataclass
class Command:
    """Runs the commands of scripts/*.sh, without the AWS configuration of this machine."""

    url: str
    folder: Path
    # How many times shorter pauses are: between polls, and before retries.
    haste: int = 20

    def __call__(
        self, *arguments: str, script: str = "deploy", code: int | None = None, **environment: str
    ) -> CommandResult:
        """Run a script's command in this process, which takes a fraction of the time of a process of its own.

        Fails if ``code`` is given and the command does not end with that exit code.
        """
        main = importlib.import_module(f"scripts.deployer.cli.{script}").main
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name in os.environ:
                patch.delenv(name)
            for name, value in self.make_environment(**environment).items():
                patch.setenv(name, value)
            patch.setattr(render, "render_files", _render)
            for module in (deploy, refactor, code_only):
                patch.setattr(module, "package_templates", _package)
            patch.setattr(time, "sleep", functools.partial(_sleep_briefly, time.sleep, self.haste))
            patch.setattr(connections, "echo", _echo_unless_slow)
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
            try:
                runner = CliRunner(charset=environment.get("PYTHONIOENCODING", "utf-8"))
                result = runner.invoke(main, arguments, prog_name=f"scripts/{script}.sh")
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        assert code in (None, result.exit_code), result.output
        return CommandResult(result.exit_code, result.stdout, result.stderr)

    def start(self, *arguments: str, script: str = "deploy", **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", f"scripts.deployer.cli.{script}", *arguments],
            env=self.make_environment(**environment),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def make_environment(self, **variables: str) -> dict[str, str]:
        # Users have the buffers that the tests' own environment may switch off.
        prefixes = ("AWS_", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}
        return (
            clean
            | {
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_ACCESS_KEY_ID": "x",
                "AWS_SECRET_ACCESS_KEY": "x",
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ENDPOINT_URL": self.url,
                "PYTHONPATH": f"{ROOT}:{ROOT / 'lambda'}",
                "DEPLOYED_FOLDER": str(self.folder / "deployed"),
            }
            | variables
        )

    def run_on_terminal(
        self,
        *arguments: str,
        types: str = "",
        columns: int = 100,
        script: str = "deploy",
        interrupts_at: str = "",
        closes_at: str = "",
    ) -> "Terminal":
        """Run a command on a terminal whose user types ``types``, and Ctrl-C once ``interrupts_at`` is shown.

        The user closes the terminal once ``closes_at`` is shown.
        """
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", f"scripts.deployer.cli.{script}", *arguments],
            env=self.make_environment(COLUMNS=str(columns), LINES="100", TERM="xterm-256color"),
            cwd=self.folder,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            # Its keys send signals only to the session that it controls.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(follower)
        os.write(leader, types.encode())
        terminal = Terminal(pyte.Screen(columns, 100), [])
        stream = pyte.ByteStream(terminal.screen)
        deadline = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < deadline:
            try:
                chunk = os.read(leader, 4096)
            except OSError as error:
                if error.errno != errno.EIO:  # the last process has closed the terminal
                    raise
                break
            if not chunk:
                break
            stream.feed(chunk)
            terminal.written += chunk
            terminal.frames.append(terminal.text)
            if interrupts_at and interrupts_at in terminal.text:
                os.write(leader, b"\x03")
                interrupts_at = ""
            if closes_at and closes_at in terminal.text:
                break
        os.close(leader)
        terminal.code = process.wait(timeout=LONGEST_SECONDS)
        return terminal


def _sleep_briefly(sleep: Callable[[float], None], haste: int, seconds: float) -> None:
    """Shorten the pauses between polls and before retries, which the simulated services do not need."""
    sleep(seconds / haste)


def _echo_unless_slow(line: str, *, err: bool) -> None:
    """Print a line about a connection, but not that the simulated service is slow, because the machine may be busy."""
    if not line.endswith(", which has not answered yet"):
        echo(line, err=err)


@dataclass
class Terminal:
    """The final screen of a command, the screens before it, and what it wrote, also between two of them."""

    screen: pyte.Screen
    frames: list[str]
    written: bytes = b""
    code: int = -1

    @property
    def transcript(self) -> str:
        """The text that was written, without what positions and colours it."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.written.decode())

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip() + "\n"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how the commands ended in the cells of the fault matrix, by exit code."""
    ended = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    cells = [value for report in ended for key, value in report.user_properties if key == "fault cells"]
    if not cells:
        return
    counts: Counter[tuple[str, str, int]] = Counter()
    for name, situation, code, count in cells:
        counts[name, situation, code] += count
    codes = sorted({code for _, _, code in counts})
    terminalreporter.section("faults: commands by exit code")
    terminalreporter.write_line(f"{'command':<12} {'situation':<14} {'cells':>6} " + "".join(f"{c:>6}" for c in codes))
    for name, situation in dict.fromkeys((name, situation) for name, situation, _, _ in cells):
        row = [counts[name, situation, code] for code in codes]
        columns = "".join(f"{count:>6}" for count in row)
        terminalreporter.write_line(f"{name:<12} {situation:<14} {sum(row):>6} {columns}")
    terminalreporter.write_line(f"{'all':<27} {counts.total():>6}")


@pytest.fixture
def aws() -> Service:
    return Service()


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def command(aws: Service, account: Account, tmp_path: Path) -> Iterator[Command]:
    with serve_account(aws, account) as url:
        yield Command(url, tmp_path)


@pytest.fixture
def settings_file(tmp_path: Path) -> Callable[..., str]:
    """Write changed settings and return the path: ``settings_file("dev", log_retention_days=7)``."""

    def write(environment: str, **changes: object) -> str:
        text = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8")
        before, table = text.split(f"[{environment}]\n")
        for name, value in changes.items():
            table = re.sub(rf"^{name} = .*\n", "", table, count=1, flags=re.MULTILINE)
            before_value = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
            table = f"{name} = {before_value}\n{table}"
        path = tmp_path / "environments.toml"
        path.write_text(f"{before}[{environment}]\n{table}", encoding="utf-8")
        return str(path)

    return write


def add_bootstrap_stack(aws: Service, **parameters: str) -> None:
    """Add the stack of the artifact bucket."""
    text = (ROOT / "templates" / "artifacts.yaml").read_text(encoding="utf-8")
    stack = Stack(
        "payment-artifacts", aws.make_arn("stack", "payment-artifacts"), "CREATE_COMPLETE", text=text, tags=OWNER_TAGS
    )
    stack.parameters = {"Owner": "PaymentTeam", **settings.load_bootstrap(), **parameters}
    aws.stacks[stack.id] = stack


def add_platform(
    aws: Service, edit: Edit | None = None, environment: str = "dev", *, code: str = "", **attributes: object
) -> Stack:
    """Deploy the platform from the current templates, or from those of an earlier release, which ``edit`` makes.

    ``code`` is a line that the functions of that release have, and the current ones do not.
    """
    add_bootstrap_stack(aws)
    packaged = package_release(edit, environment, code)
    for key, content in packaged.files.items():
        aws.objects[f"{BUCKET}/{key}"] = content.decode("latin-1")
    stack = aws.propose_stack(None, f"payment-platform-{environment}", packaged.template, settings.load(environment))
    stack.status, stack.tags = "UPDATE_COMPLETE", OWNER_TAGS
    for _, nested in stack.walk()[1:]:
        nested.status, nested.root = "UPDATE_COMPLETE", stack
    for name, value in attributes.items():
        setattr(stack, name, value)
    aws.stacks[stack.id] = stack
    aws.provision_resources(stack)
    aws.alarms = {names.in_environment(name, environment): "OK" for name in alarm_names()}
    return stack


@functools.cache
def package_release(edit: Edit | None, environment: str, code: str = "") -> Package:
    destination = Destination.for_environment(BUCKET, f"https://s3.{REGION}.amazonaws.com", environment)
    if edit is None and not code:
        return _package(ROOT / "templates" / "parent.yaml", destination)
    with tempfile.TemporaryDirectory() as release:
        templates = Path(release) / "templates"
        shutil.copytree(ROOT / "templates", templates)
        shutil.copytree(ROOT / "lambda", Path(release) / "lambda")
        if code:
            (Path(release) / "lambda" / "payments" / "release.py").write_text(f"{code}\n", encoding="utf-8")
        (Path(release) / "lambda-layers").symlink_to(ROOT / "lambda-layers")
        for path in templates.glob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            if code:
                text = re.sub(r"\bcode-[0-9a-f]{8}", "code-00000000", text)
            path.write_text(edit(path.name, text) if edit else text, encoding="utf-8")
        return package_templates(templates / "parent.yaml", destination)


def assert_golden(name: str, output: str) -> None:
    """Compare with a golden file; UPDATE_GOLDEN=1 writes it, to be reviewed before it is committed."""
    path = GOLDEN / name
    output = re.sub(r"deploy-[0-9a-f]{12}", "deploy-…", output)
    output = re.sub(r"[0-9a-f]{64}", "…", output)
    output = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "…", output)
    output = re.sub(r"code-[0-9a-f]{16}", "code-…", output)
    output = re.sub(r"(?<=COMPLETE )\d+:\d\d\b", "m:ss", output)
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(output, encoding="utf-8")
    test = os.environ["PYTEST_CURRENT_TEST"].split("[")[0].split(" ")[0]
    assert output == path.read_text(encoding="utf-8"), (
        f"{path.relative_to(ROOT)} is what was last reviewed. If the change is meant, write it again, and review the "
        f"diff: UPDATE_GOLDEN=1 .venv/bin/python -m pytest {test}"
    )


def interrupt_when(process: subprocess.Popen[str], is_due: Callable[[], bool]) -> CommandResult:
    """Send one Ctrl-C as soon as ``is_due`` returns True."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while not is_due():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=LONGEST_SECONDS)
    return CommandResult(process.returncode, stdout, stderr)

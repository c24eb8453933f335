"""The deployer's commands, over HTTP, against a CloudFormation that behaves as AWS's."""

import errno
import functools
import importlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyte
import pytest
from click.testing import CliRunner

from scripts.common.packaging import Destination
from scripts.deployer import validate
from scripts.deployer.package import package_templates
from stacks import names, settings
from stacks.monitoring.alarm_table import alarm_names
from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import REGION, Stack
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.endpoint import serving
from tests.emitted import ROOT

GOLDEN = Path(__file__).with_name("golden")
BUCKET = f"payment-artifacts-123456789012-{REGION}"
OURS = [{"Key": "ManagedBy", "Value": "payment-platform"}]
LONGEST_SECONDS = 90

# The templates of stacks/, which no command changes.
_render = functools.cache(validate.render)

# A template's name and text -> the text as it was in the release that is deployed.
Edit = Callable[[str, str], str]


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass
class Command:
    """Runs the commands of scripts/*.sh, without the AWS configuration of this machine."""

    url: str
    folder: Path

    def __call__(self, *arguments: str, script: str = "deploy", **environment: str) -> Ran:
        """Run a script's command in this process, which takes a fraction of the time of a process of its own."""
        main = importlib.import_module(f"scripts.deployer.cli.{script}").main
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name in os.environ:
                patch.delenv(name)
            for name, value in self.environment(environment).items():
                patch.setenv(name, value)
            patch.setattr(validate, "render", _render)
            patch.setattr(time, "sleep", functools.partial(_sleep_briefly, time.sleep))
            handlers = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
            try:
                runner = CliRunner(charset=environment.get("PYTHONIOENCODING", "utf-8"))
                ran = runner.invoke(main, arguments, prog_name=f"scripts/{script}.sh")
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        return Ran(ran.exit_code, ran.stdout, ran.stderr)

    def started(self, *arguments: str, script: str = "deploy", **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", f"scripts.deployer.cli.{script}", *arguments],
            env=self.environment(environment),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
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
            | more
        )

    def on_a_terminal(self, *arguments: str, types: str = "", columns: int = 100, script: str = "deploy") -> "Terminal":
        """With somebody at it, who types when asked."""
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", f"scripts.deployer.cli.{script}", *arguments],
            env=self.environment({"COLUMNS": str(columns), "LINES": "100", "TERM": "xterm-256color"}),
            cwd=self.folder,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)
        os.write(leader, types.encode())
        terminal = Terminal(pyte.Screen(columns, 100), [])
        stream = pyte.ByteStream(terminal.screen)
        deadline = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < deadline:
            try:
                drawn = os.read(leader, 4096)
            except OSError as error:
                if error.errno != errno.EIO:  # what a terminal says when the last process has gone
                    raise
                break
            if not drawn:
                break
            stream.feed(drawn)
            terminal.frames.append(terminal.text)
        os.close(leader)
        terminal.code = process.wait(timeout=10)
        return terminal


def _sleep_briefly(sleep: Callable[[float], None], seconds: float) -> None:
    """Shorten the pauses between two looks at a deployment, and before a retry: the service here needs none."""
    sleep(seconds / 20)


@dataclass
class Terminal:
    """What stood on it, at the end and in between."""

    screen: pyte.Screen
    frames: list[str]
    code: int = -1

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip() + "\n"


@pytest.fixture
def aws() -> Service:
    return Service()


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def command(aws: Service, account: Account, tmp_path: Path) -> Iterator[Command]:
    with serving(aws, account) as url:
        yield Command(url, tmp_path)


@pytest.fixture
def settings_file(tmp_path: Path) -> Callable[..., str]:
    """The settings, with some of an environment changed: ``settings_file("dev", log_retention_days=7)``."""

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


def bootstrapped(aws: Service, **parameters: str) -> None:
    """The artifact bucket is there."""
    text = (ROOT / "templates" / "artifacts.yaml").read_text(encoding="utf-8")
    stack = Stack("payment-artifacts", aws._arn("stack", "payment-artifacts"), "CREATE_COMPLETE", text=text, tags=OURS)
    stack.parameters = {"Owner": "PaymentTeam", **settings.load_bootstrap(), **parameters}
    aws.stacks[stack.id] = stack


def deployed(aws: Service, tmp_path: Path, edit: Edit | None = None, environment: str = "dev", **more: object) -> Stack:
    """The platform is there, as the templates say now or, with an ``edit``, said in an earlier release."""
    bootstrapped(aws)
    templates = ROOT / "templates"
    if edit:
        release = tmp_path / "release"
        shutil.copytree(templates, release / "templates")
        for folder in ("lambda", "lambda-layers"):
            (release / folder).symlink_to(ROOT / folder)
        templates = release / "templates"
        for path in templates.glob("*.yaml"):
            path.write_text(edit(path.name, path.read_text(encoding="utf-8")), encoding="utf-8")
    destination = Destination.for_environment(BUCKET, f"https://s3.{REGION}.amazonaws.com", environment)
    packaged = package_templates(templates / "parent.yaml", destination)
    for key, content in packaged.files.items():
        aws.objects[f"{BUCKET}/{key}"] = content.decode("latin-1")
    stack = aws._proposed(None, f"payment-platform-{environment}", packaged.template, settings.load(environment))
    stack.status, stack.tags = "UPDATE_COMPLETE", OURS
    for _, nested in stack.walk()[1:]:
        nested.status, nested.root = "UPDATE_COMPLETE", stack
    for name, value in more.items():
        setattr(stack, name, value)
    aws.stacks[stack.id] = stack
    aws.provision(stack)
    aws.alarms = {names.in_environment(name, environment): "OK" for name in alarm_names()}
    return stack


def matches(name: str, said: str) -> None:
    """Against a golden file; UPDATE_GOLDEN=1 writes it, to be read before it is committed."""
    path = GOLDEN / name
    said = re.sub(r"deploy-[0-9a-f]{12}", "deploy-…", said)
    said = re.sub(r"[0-9a-f]{64}", "…", said)
    said = re.sub(r"code-[0-9a-f]{16}", "code-…", said)
    said = re.sub(r"(?<=COMPLETE )\d+:\d\d\b", "m:ss", said)
    said = "\n".join(line.rstrip() for line in said.splitlines()) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(said, encoding="utf-8")
    assert said == path.read_text(encoding="utf-8"), f"{path} says otherwise; UPDATE_GOLDEN=1 writes it"


def interrupted(process: subprocess.Popen[str], when: Callable[[], bool]) -> Ran:
    """Ctrl-C, once, as soon as ``when`` holds."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while not when():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LONGEST_SECONDS)
    return Ran(process.returncode, out, err)

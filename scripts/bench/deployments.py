"""Deploys the same templates to the AWS emulator by our deployer and by the AWS CLI; counts seconds and AWS calls."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.common.paths import ROOT
from scripts.deployer.freshness import COMPARED
from scripts.deployer.validate import LINTED
from scripts.local import server
from stacks import settings

from .generator import children_cpu_seconds
from .proxy import Exchange, run_proxy

AWS_CLI = ROOT / ".venv" / "awscli" / "bin" / "aws"
ENVIRONMENT = "dev"
# The setting that the deployment "one change" changes.
CHANGED_SETTING = {"LogRetentionDays": "7"}


@dataclass(frozen=True)
class Measurement:
    seconds: float
    # Of the command alone, without the emulator.
    cpu_seconds: float
    calls: int

    def __str__(self) -> str:
        return f"{self.seconds:5.1f} s {self.cpu_seconds:5.1f} s CPU {self.calls:4} calls"


def compare_deployments() -> Iterator[str]:
    """Yield a table row for each deployment: ours, and `aws cloudformation package` and `deploy`."""
    deployer, aws_cli = _measure_deployer(), _measure_aws_cli()
    yield f"{'':18}{'ours':>29}{'AWS CLI':>29}"
    for name in deployer:
        yield f"{name:18}{deployer[name]!s:>29}{aws_cli[name]!s:>29}"


def _measure_deployer() -> dict[str, Measurement]:
    # As on a machine that has never deployed.
    for records in (LINTED, COMPARED):
        shutil.rmtree(records, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder, server.run_server() as running, _count_calls(running.port) as counter:
        before, after = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8").split(f"[{ENVIRONMENT}]\n")
        initial, changed = Path(folder) / "initial.toml", Path(folder) / "changed.toml"
        initial.write_text(f"{before}[{ENVIRONMENT}]\ncomposite_alarm = false\n{after}")
        changed.write_text(initial.read_text().replace("log_retention_days = 1\n", "log_retention_days = 7\n", 1))
        deploy = [str(ROOT / "scripts" / "deploy.sh"), ENVIRONMENT, "--yes", "--settings"]
        environment = {"DEPLOYED_FOLDER": folder}
        return {
            "first deployment": counter.measure([[*deploy, str(initial)]], environment),
            "one change": counter.measure([[*deploy, str(changed)]], environment),
            "no change": counter.measure([[*deploy, str(changed)]], environment),
        }


def _measure_aws_cli() -> dict[str, Measurement]:
    with tempfile.TemporaryDirectory() as folder, server.run_server() as running, _count_calls(running.port) as counter:
        bucket, packaged = "artifacts", f"{folder}/packaged.yaml"
        # The AWS CLI needs an existing bucket; our deployer creates one.
        make_bucket = [[str(AWS_CLI), "s3", "mb", f"s3://{bucket}"]]
        package = [str(AWS_CLI), "cloudformation", "package", "--template-file", str(ROOT / "templates/parent.yaml")]
        package += ["--s3-bucket", bucket, "--output-template-file", packaged]
        deploy = [str(AWS_CLI), "cloudformation", "deploy", "--template-file", packaged]
        deploy += ["--stack-name", f"payment-platform-{ENVIRONMENT}", "--capabilities", "CAPABILITY_NAMED_IAM"]
        deploy += ["--no-fail-on-empty-changeset", "--parameter-overrides"]
        # Our deployer first creates the stack with the boundary; the emulator creates no composite alarm.
        parameters = settings.load(ENVIRONMENT) | {"PermissionsBoundary": "", "CompositeAlarm": "false"}
        before = [f"{name}={value}" for name, value in parameters.items()]
        after = [f"{name}={value}" for name, value in (parameters | CHANGED_SETTING).items()]
        return {
            "first deployment": counter.measure([*make_bucket, package, [*deploy, *before]], {}),
            "one change": counter.measure([package, [*deploy, *after]], {}),
            "no change": counter.measure([package, [*deploy, *after]], {}),
        }


@dataclass
class _CallCounter:
    """Counts the calls that pass through the proxy at ``url``."""

    url: str = ""
    calls: int = 0

    def measure(self, commands: list[list[str]], environment: dict[str, str]) -> Measurement:
        emulator = server.emulator_environment(self.url)
        before, started, cpu_before = self.calls, time.monotonic(), children_cpu_seconds()
        for command in commands:
            process = subprocess.run(command, env=emulator | environment, capture_output=True, text=True, timeout=600)
            if process.returncode:
                raise RuntimeError(f"{' '.join(command[:3])}: {(process.stdout + process.stderr)[-500:]}")
        cpu_seconds = children_cpu_seconds() - cpu_before
        return Measurement(time.monotonic() - started, cpu_seconds, self.calls - before)


@contextmanager
def _count_calls(port: int) -> Iterator[_CallCounter]:
    """Run a proxy in front of the emulator that counts the requests."""
    counter = _CallCounter()

    def count_call(_: Exchange) -> None:
        counter.calls += 1

    with run_proxy(port, count_call) as counter.url:
        yield counter

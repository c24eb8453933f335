"""Deployments of the same templates to an AWS emulator, by our deployer and by the AWS CLI: wall time and AWS calls."""

import http.client
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from scripts.common.paths import ROOT
from scripts.deployer.validate import LINTED
from scripts.local import server
from stacks import settings

AWS_CLI = ROOT / ".venv" / "awscli" / "bin" / "aws"
ENVIRONMENT = "dev"
# What a change of one setting is.
CHANGED = {"LogRetentionDays": "7"}


@dataclass(frozen=True)
class Measured:
    seconds: float
    calls: int

    def __str__(self) -> str:
        return f"{self.seconds:5.1f} s {self.calls:4} calls"


def compare_deployments() -> Iterator[str]:
    """A line for each deployment: ours, and that of `aws cloudformation package` and `deploy`."""
    ours, theirs = _measure_deployer(), _measure_aws_cli()
    yield f"{'':18}{'ours':>18}{'AWS CLI':>18}"
    for name in ours:
        yield f"{name:18}{ours[name]!s:>18}{theirs[name]!s:>18}"


def _measure_deployer() -> dict[str, Measured]:
    # As on a machine that has not deployed before.
    shutil.rmtree(LINTED, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder, server.run_server() as running, _count_calls(running.port) as counted:
        before, after = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8").split(f"[{ENVIRONMENT}]\n")
        given, changed = Path(folder) / "given.toml", Path(folder) / "changed.toml"
        given.write_text(f"{before}[{ENVIRONMENT}]\ncomposite_alarm = false\n{after}")
        changed.write_text(given.read_text().replace("log_retention_days = 1\n", "log_retention_days = 7\n", 1))
        deploy = [str(ROOT / "scripts" / "deploy.sh"), ENVIRONMENT, "--yes", "--settings"]
        environment = {"DEPLOYED_FOLDER": folder}
        return {
            "first deployment": counted.measure([[*deploy, str(given)]], environment),
            "one change": counted.measure([[*deploy, str(changed)]], environment),
            "no change": counted.measure([[*deploy, str(changed)]], environment),
        }


def _measure_aws_cli() -> dict[str, Measured]:
    with tempfile.TemporaryDirectory() as folder, server.run_server() as running, _count_calls(running.port) as counted:
        bucket, packaged = "artifacts", f"{folder}/packaged.yaml"
        # Ours makes its bucket; theirs has to be there.
        first = [[str(AWS_CLI), "s3", "mb", f"s3://{bucket}"]]
        package = [str(AWS_CLI), "cloudformation", "package", "--template-file", str(ROOT / "templates/parent.yaml")]
        package += ["--s3-bucket", bucket, "--output-template-file", packaged]
        deploy = [str(AWS_CLI), "cloudformation", "deploy", "--template-file", packaged]
        deploy += ["--stack-name", f"payment-platform-{ENVIRONMENT}", "--capabilities", "CAPABILITY_NAMED_IAM"]
        deploy += ["--no-fail-on-empty-changeset", "--parameter-overrides"]
        # The boundary comes with the stack that ours makes first; the AWS emulator makes no composite alarm.
        parameters = settings.load(ENVIRONMENT) | {"PermissionsBoundary": "", "CompositeAlarm": "false"}
        before = [f"{name}={value}" for name, value in parameters.items()]
        after = [f"{name}={value}" for name, value in (parameters | CHANGED).items()]
        return {
            "first deployment": counted.measure([*first, package, [*deploy, *before]], {}),
            "one change": counted.measure([package, [*deploy, *after]], {}),
            "no change": counted.measure([package, [*deploy, *after]], {}),
        }


@dataclass
class _Counted:
    """The calls that go through, whoever makes them."""

    url: str = ""
    calls: int = 0

    def measure(self, commands: list[list[str]], environment: dict[str, str]) -> Measured:
        reach = server.emulator_environment(self.url)
        before, started = self.calls, time.monotonic()
        for command in commands:
            ran = subprocess.run(command, env=reach | environment, capture_output=True, text=True, timeout=600)
            if ran.returncode:
                raise RuntimeError(f"{' '.join(command[:3])}: {(ran.stdout + ran.stderr)[-500:]}")
        return Measured(time.monotonic() - started, self.calls - before)


@contextmanager
def _count_calls(port: int) -> Iterator[_Counted]:
    """A proxy in front of the AWS emulator, which counts and passes on."""
    counted = _Counted()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def pass_on(self) -> None:
            with lock:
                counted.calls += 1
            if self.headers.get("Expect"):
                self.send_response_only(100)
                self.end_headers()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name != "Expect"}
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            length = answer.headers.get("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            upstream.close()

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = pass_on

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        counted.url = f"http://127.0.0.1:{proxy.server_port}"
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield counted
        finally:
            proxy.shutdown()

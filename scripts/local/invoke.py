"""Runs a function from lambda/ with an event, on the tables of the AWS emulator."""

import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scripts.common.errors import UserError
from scripts.common.paths import ROOT
from scripts.common.suggestion import suggest_command
from scripts.common.terminal import echo

if TYPE_CHECKING:
    from scripts.common.target import Target

    from .runtime_api import Answer

_LOCAL = "local"
_CODE = ROOT / "lambda"


def invoke_function(target: "Target", function: str, event: bytes, code: Path = _CODE) -> "Answer":
    """Run the function on the emulator, relay its log to standard error, and return its answer.

    Raises ``UserError`` if it is not deployed there, if it needs a layer, or if it ends or takes too long without an
    answer.
    """
    from .runtime import link_packages
    from .runtime_api import RuntimeApi

    deployed = _describe_function(target, function)
    if deployed.get("Layers"):
        raise UserError(f"{function} has a layer in {_LOCAL}, and runs here without any; set gateway to simulator")
    timeout = float(deployed["Timeout"])
    api = RuntimeApi(event, deployed["FunctionArn"], timeout)
    with tempfile.TemporaryDirectory() as folder, api.serve():
        packages = Path(folder) / "packages"
        link_packages(packages)
        environment = _make_environment(target, deployed)
        environment |= {"AWS_LAMBDA_RUNTIME_API": api.address, "PYTHONPATH": f"{code}{os.pathsep}{packages}"}
        process = subprocess.Popen(
            [sys.executable, "-S", "-m", "awslambdaric", deployed["Handler"]],
            cwd=code,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        relay = threading.Thread(target=_relay_log, args=(process.stdout,), daemon=True)
        relay.start()
        try:
            return _wait_for_answer(process, api.answers, function, timeout)
        finally:
            process.kill()
            process.wait()
            # It ends with the process's output.
            relay.join(timeout=5)


def _describe_function(target: "Target", function: str) -> dict[str, Any]:
    from botocore.exceptions import ClientError

    from stacks import names

    name = names.in_environment(names.Function(function).name, _LOCAL)
    try:
        return dict(target.client("lambda").get_function_configuration(FunctionName=name))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
    raise UserError(f"{name} does not exist; deploy it with {suggest_command('deploy', _LOCAL)}")


def _make_environment(target: "Target", deployed: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that Lambda sets, with the credentials of the emulator, and the function's own.

    Only Lambda may assume the role of a function. https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
    """
    keys = target.session.get_credentials()
    if keys is None:
        raise UserError(f"there are no credentials for {_LOCAL}")
    return {
        **deployed.get("Environment", {}).get("Variables", {}),
        "_HANDLER": deployed["Handler"],
        "AWS_LAMBDA_FUNCTION_NAME": deployed["FunctionName"],
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(deployed["MemorySize"]),
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": deployed.get("LoggingConfig", {}).get("ApplicationLogLevel", "INFO"),
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_REGION": target.region,
        "AWS_DEFAULT_REGION": target.region,
        "AWS_ENDPOINT_URL": target.endpoint_url or "",
        "LAMBDA_TASK_ROOT": str(_CODE),
        # The sources stay as they are.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _relay_log(stream: IO[str] | None) -> None:
    for line in stream or ():
        echo(line.rstrip("\n"), err=True)


def _wait_for_answer(
    process: "subprocess.Popen[str]", answers: "queue.Queue[Answer]", function: str, timeout: float
) -> "Answer":
    deadline = time.monotonic() + timeout
    while True:
        has_ended = process.poll() is not None
        try:
            return answers.get(timeout=0.05)
        except queue.Empty:
            if has_ended:
                raise UserError(f"{function} ended with exit code {process.returncode} before it answered") from None
            if time.monotonic() > deadline:
                raise UserError(f"{function} did not answer within its timeout of {timeout:.0f} s") from None

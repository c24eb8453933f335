"""The emitted templates, as they are, deployed by the commands that docs/deploying.md shows for the AWS CLI."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from scripts.deployer.stack import describe_stack
from scripts.local import server, target
from stacks import settings
from tests.emitted import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]
AWS_CLI = ROOT / ".venv" / "awscli" / "bin"
DOCUMENT = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
# What the commands read from the repository that they run in.
SOURCES = ("generate.py", "templates", "lambda", "lambda-layers", ".venv")


def read_commands() -> tuple[str, str, str]:
    """Return the commands that deploy, those that delete the stack, and those that find the emulator."""
    section = DOCUMENT.split("## With the AWS CLI, the SAM CLI or rain\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    # As the document advises for the emulator.
    deploy, delete, find = (re.sub(r"\bdev\b", settings.LOCAL, commands) for commands in blocks)
    return deploy, delete, find


def run_commands(commands: str, folder: Path) -> None:
    """Run the commands with no other configuration of AWS than they make."""
    path = os.pathsep.join((str(AWS_CLI), str(Path(sys.executable).parent), os.environ["PATH"]))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    process = subprocess.run(
        ["bash", "-euc", commands],
        cwd=folder,
        env=clean | {"PATH": path, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert process.returncode == 0, process


def test_the_documented_commands_deploy_the_emitted_templates_with_the_aws_cli(tmp_path: Path) -> None:
    """The CLI polls each stack every 30 seconds, so this test takes a minute and a half."""
    for name in SOURCES:
        (tmp_path / name).symlink_to(ROOT / name)
    # The copy has an emulator of its own.
    for name in ("scripts", "stacks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    deploy, delete, find = read_commands()
    with server.run_server() as running:
        (tmp_path / ".local").mkdir()
        (tmp_path / ".local" / server.STATE.name).write_text(json.dumps(asdict(running)))
        run_commands(f"{find}\n{deploy}", tmp_path)
        cloudformation = target.emulator_target(running).client("cloudformation")
        stack = describe_stack(cloudformation, "payment-platform-local")
        assert (stack.status, len(stack.outputs)) == ("CREATE_COMPLETE", 43)
        assert stack.parameters == settings.load(settings.LOCAL)
        bootstrap = describe_stack(cloudformation, "payment-artifacts")
        assert bootstrap.status == "CREATE_COMPLETE"
        assert bootstrap.parameters == {"Owner": "PaymentTeam", **settings.load_bootstrap()}
        assert stack.owned
        assert bootstrap.owned
        run_commands(f"{find}\n{delete}", tmp_path)
        assert not describe_stack(cloudformation, "payment-platform-local").exists

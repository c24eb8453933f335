"""The emitted templates, as they are, deployed by the commands that docs/deploying.md shows for the AWS CLI."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.deployer.stack import describe_stack
from scripts.local import server, target
from stacks import settings
from tests.emitted import ROOT

pytestmark = pytest.mark.e2e
AWS_CLI = ROOT / ".venv" / "awscli" / "bin"
DOCUMENT = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
# What the commands read from the repository that they run in.
SOURCES = ("generate.py", "templates", "lambda", "lambda-layers")


def read_commands() -> str:
    section = DOCUMENT.split("## With the AWS CLI, the SAM CLI or rain\n")[1].split("\n## ")[0]
    (commands,) = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    # The emulator has no composite alarms, which the settings of local consider.
    return re.sub(r"\bdev\b", settings.LOCAL, commands)


def test_the_documented_commands_deploy_the_emitted_templates_with_the_aws_cli(tmp_path: Path) -> None:
    """The CLI polls each stack every 30 seconds, so this test takes a minute."""
    for name in SOURCES:
        (tmp_path / name).symlink_to(ROOT / name)
    with server.run_server() as running:
        path = os.pathsep.join((str(AWS_CLI), str(Path(sys.executable).parent), os.environ["PATH"]))
        process = subprocess.run(
            ["bash", "-euc", read_commands()],
            cwd=tmp_path,
            env=server.emulator_environment(running.url) | {"PATH": path, "BUCKET": "our-artifacts"},
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert process.returncode == 0, process
        cloudformation = target.emulator_target(running).client("cloudformation")
        stack = describe_stack(cloudformation, "payment-platform-local")
        assert (stack.status, len(stack.outputs)) == ("CREATE_COMPLETE", 43)
        assert stack.parameters == settings.load(settings.LOCAL)
        bootstrap = describe_stack(cloudformation, "payment-artifacts")
        assert bootstrap.status == "CREATE_COMPLETE"
        assert bootstrap.parameters == {"Owner": "PaymentTeam", **settings.load_bootstrap()}
        assert stack.owned
        assert bootstrap.owned

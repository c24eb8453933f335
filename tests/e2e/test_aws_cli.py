"""The emitted templates, as they are, with `aws cloudformation package` and `deploy`."""

import subprocess
from pathlib import Path

import pytest

from scripts.deployer.stack import describe_stack
from scripts.local import server, target
from stacks import settings
from tests.emitted import ROOT

pytestmark = pytest.mark.e2e
AWS = ROOT / ".venv" / "awscli" / "bin" / "aws"


def test_the_emitted_templates_deploy_unchanged_with_the_aws_cli(tmp_path: Path) -> None:
    """The CLI polls a stack every 30 seconds, so this test takes that long."""
    with server.run_server() as running:
        environment = server.emulator_environment(running.url)

        def aws(*arguments: str) -> str:
            process = subprocess.run([AWS, *arguments], env=environment, capture_output=True, text=True, timeout=200)
            assert process.returncode == 0, process
            return process.stdout

        packaged = str(tmp_path / "packaged.yaml")
        aws("s3", "mb", "s3://artifacts")
        templates = str(ROOT / "templates" / "parent.yaml")
        package = ("cloudformation", "package", "--template-file", templates, "--s3-bucket", "artifacts")
        aws(*package, "--output-template-file", packaged)
        # The bootstrap stack contains the boundary, and the emulator creates no composite alarm.
        settings_by_name = settings.load("dev") | {"PermissionsBoundary": "", "CompositeAlarm": "false"}
        parameters = [f"{name}={value}" for name, value in settings_by_name.items()]
        deploy = ("cloudformation", "deploy", "--template-file", packaged, "--stack-name", "payment-platform-dev")
        output = aws(*deploy, "--capabilities", "CAPABILITY_NAMED_IAM", "--parameter-overrides", *parameters)
        assert "Successfully created/updated stack - payment-platform-dev" in output
        stack = describe_stack(target.emulator_target(running).client("cloudformation"), "payment-platform-dev")
        assert (stack.status, len(stack.outputs)) == ("CREATE_COMPLETE", 43)

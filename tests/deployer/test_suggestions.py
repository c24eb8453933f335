"""The commands that messages suggest can be pasted into a shell, and lead to the same settings, account and Region."""

import re
import shutil
from pathlib import Path

import pytest

from scripts.common.suggestion import repeat_options, suggest_command
from scripts.deployer.statuses import list_commands
from stacks import settings
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.conftest import Command, add_platform
from tests.deployer.releases import edit_harmlessly
from tests.emitted import ROOT


def test_a_command_is_quoted_for_a_shell() -> None:
    assert suggest_command("deploy", "apply", "dev", "my plan.json") == "scripts/deploy.sh apply dev 'my plan.json'"
    # Nothing is quoted that need not be.
    plain = suggest_command("deploy", "dev", "refactor", "--move", "Data/Old=Data/New")
    assert plain == "scripts/deploy.sh dev refactor --move Data/Old=Data/New"


def test_the_options_are_repeated_while_the_command_runs() -> None:
    with repeat_options(("--settings", "a b.toml", "--region", "eu-west-1")):
        commands = list_commands("payment-platform-dev", "dev")
        assert commands["follow"] == "scripts/deploy.sh dev --follow --settings 'a b.toml' --region eu-west-1"
        assert commands["status"] == "scripts/status.sh dev --settings 'a b.toml' --region eu-west-1"
    assert suggest_command("deploy", "dev") == "scripts/deploy.sh dev"


@pytest.fixture
def settings_path(tmp_path: Path) -> Path:
    path = tmp_path / "my settings.toml"
    shutil.copy(settings.ENVIRONMENTS_FILE, path)
    return path


def test_each_command_repeats_what_it_was_given(command: Command, aws: Service, settings_path: Path) -> None:
    options = ("--settings", str(settings_path), "--region", "eu-west-1")
    repeated = f"--settings '{settings_path}' --region eu-west-1"
    missing = command("dev", *options, script="outputs", code=1)
    assert missing.stderr.endswith(f"deploy it with scripts/deploy.sh dev {repeated}\n")
    add_platform(aws, edit_harmlessly)
    wrong = command("dev", "Nope", *options, script="outputs", code=1)
    assert wrong.stderr.endswith(f"see scripts/outputs.sh dev {repeated}\n")
    status = command("dev", *options, script="status", code=0)
    assert f"run scripts/status.sh dev --drift {repeated}\n" in status.stdout
    planned = command("plan", "dev", "--out", "my plan.json", *options, code=2)
    for name in ("apply", "discard"):
        assert f"scripts/deploy.sh {name} dev 'my plan.json' {repeated}" in planned.stdout
    # A command without these options repeats none of an earlier one.
    assert command("dev", "Nope", script="outputs", code=1).stderr.endswith("see scripts/outputs.sh dev\n")


def test_no_command_of_the_deployer_is_written_into_a_message() -> None:
    """It would lack the options, and perhaps quotes."""
    written = re.compile(r"scripts/(?:deploy|destroy|status|outputs)\.sh(?: \w+)? \{")
    sources = [*(ROOT / "scripts" / "deployer").rglob("*.py"), *(ROOT / "scripts" / "verify").rglob("*.py")]
    assert not [path.name for path in sources if written.search(path.read_text(encoding="utf-8"))]

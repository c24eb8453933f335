"""Plans without AWS."""

from pathlib import Path
from typing import Any

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.conftest import Command, add_platform
from tests.deployer.releases import edit_harmlessly

NAME = "payment-platform-dev"


def test_an_offline_plan_compares_with_the_last_deployment_from_this_machine(
    command: Command, aws: Service, settings_file: Any
) -> None:
    add_platform(aws, edit_harmlessly)
    command("dev", "--yes", code=0)
    aws.calls.clear()
    unchanged = command("dev", "--plan", "--offline", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", code=0)
    assert unchanged.stdout == f"{NAME}: no changes\n"
    changed = command("dev", "--plan", "--offline", "--settings", settings_file("dev", log_retention_days=7), code=2)
    assert "Plan: 0 to add, 4 to change, 0 to destroy.\n" in changed.stdout
    assert "Based on a comparison of the local templates with what was deployed from this machine on " in changed.stdout
    assert aws.calls == []


def test_an_offline_plan_compares_with_a_git_revision(command: Command, aws: Service, settings_file: Any) -> None:
    path = settings_file("dev", log_retention_days=7)
    changed = command("dev", "--plan", "--offline", "--against", "HEAD", "--settings", path)
    # The plan may contain other uncommitted changes.
    assert (changed.code, "RetentionInDays: 1 → 7" in changed.stdout) == (2, True), changed
    wrong = command("dev", "--plan", "--offline", "--against", "--upload-pack=x", code=1)
    assert wrong.stderr.startswith("deploy: --against --upload-pack=x: ")


def test_an_offline_plan_without_a_deployment_record_says_what_to_do(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    result = command("dev", "--plan", "--offline", code=1)
    assert "Until then, compare with a git revision: --offline --against REVISION" in result.stderr
    (tmp_path / "deployed").mkdir()
    (tmp_path / "deployed" / "dev.json").write_text('{"version": 1}')
    assert "not a valid deployment record; delete it" in command("dev", "--plan", "--offline").stderr

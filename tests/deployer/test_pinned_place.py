"""No command reaches another account or Region than the settings of its environment name."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scripts.common import suggestion
from scripts.common.errors import UserError
from scripts.deployer import apply
from scripts.deployer.cli import deploy, destroy, outputs, status
from scripts.local import choose_target
from scripts.operator.cli import logs
from scripts.operator.cli import main as payments
from scripts.verify import cli as verify
from stacks import settings
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.settings import ACCOUNT, REGION
from tests.deployer.conftest import Command

ANOTHER_ACCOUNT, ANOTHER_REGION = "111122223333", "eu-central-1"
FILES = {"apply": ["plan.json"], "discard": ["plan.json"]}
COMMANDS = {
    **{f"deploy.sh {name}": (deploy.main, [name, "dev", *FILES.get(name, [])]) for name in deploy.main.commands},
    "destroy.sh": (destroy.main, ["dev", "--yes"]),
    "outputs.sh": (outputs.main, ["dev"]),
    "status.sh": (status.main, ["dev"]),
    "verify.sh": (verify.main, ["dev", "--read-only"]),
    "payments.sh": (payments, ["--env", "dev", "list"]),
    "logs.sh": (logs.main, ["dev"]),
}

# Runs one of the commands with a configured Region, and with rollout settings of dev.
Run = Callable[..., Result]


@pytest.fixture
def write_rollout(tmp_path: Path) -> Callable[..., Path]:
    def write(**rollout: str) -> Path:
        keys = "".join(f'{key} = "{value}"\n' for key, value in rollout.items())
        text = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8")
        path = tmp_path / "environments.toml"
        path.write_text(text.replace("[dev.rollout]\n", f"[dev.rollout]\n{keys}"), encoding="utf-8")
        return path

    return write


@pytest.fixture
def run(command: Command, write_rollout: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Run:
    def run_command(name: str, configured_region: str, **rollout: str) -> Result:
        path = write_rollout(**rollout)
        main, arguments = COMMANDS[name]
        # The file of a saved plan is read before anything is reached.
        monkeypatch.setattr(apply, "check_environment", lambda *_: None)
        for variable in ("AWS_REGION", "AWS_PROFILE"):
            monkeypatch.delenv(variable, raising=False)
        return CliRunner().invoke(
            main,
            [*arguments, "--settings", str(path)],
            env=command.make_environment(AWS_DEFAULT_REGION=configured_region),
        )

    return run_command


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_reaches_another_account(name: str, run: Run, aws: Service) -> None:
    result = run(name, REGION, account=ANOTHER_ACCOUNT)
    assert result.exit_code == 1, result.output
    assert f"dev belongs to account {ANOTHER_ACCOUNT}, and this command would reach {ACCOUNT} as arn:" in result.stderr
    assert f"name a --profile of account {ANOTHER_ACCOUNT}" in result.stderr
    assert [operation for operation, _ in aws.calls] == ["GetCallerIdentity"]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_reaches_another_region(name: str, run: Run, aws: Service) -> None:
    result = run(name, ANOTHER_REGION, region=REGION)
    assert result.exit_code == 1, result.output
    assert f"dev belongs to Region {REGION}, and this command would reach {ANOTHER_REGION}" in result.stderr
    assert f"name --region {REGION}" in result.stderr
    assert aws.calls == []


@pytest.mark.parametrize("name", ["status.sh", "payments.sh"])
def test_a_command_of_the_right_account_and_region_is_not_refused(name: str, run: Run, aws: Service) -> None:
    result = run(name, REGION, account=ACCOUNT, region=REGION)
    assert "belongs to" not in result.output
    assert {operation for operation, _ in aws.calls} > {"GetCallerIdentity"}


@pytest.mark.parametrize("variable", ["", "AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_of_the_environment_is_the_default_and_another_is_refused(
    variable: str, write_rollout: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    path = write_rollout(region=REGION)
    monkeypatch.setattr(suggestion, "_pinned_region", "")
    assert choose_target.reach_environment("dev", None, None, settings_file=path).region == REGION
    if variable:
        monkeypatch.setenv(variable, ANOTHER_REGION)
    option = None if variable else ANOTHER_REGION
    with pytest.raises(UserError, match=f"Region {REGION}, and this command would reach {ANOTHER_REGION}"):
        choose_target.reach_environment("dev", None, option, settings_file=path)
    # The option takes precedence over the variables.
    assert choose_target.reach_environment("dev", None, REGION, settings_file=path).region == REGION


def test_an_empty_variable_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CI system sets a variable that has no value to an empty text."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_REGION", "")
    monkeypatch.setenv("AWS_DEFAULT_REGION", ANOTHER_REGION)
    assert choose_target.reach_environment("dev", None, None).region == ANOTHER_REGION


def test_local_belongs_to_no_account(tmp_path: Path) -> None:
    path = tmp_path / "environments.toml"
    text = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8")
    rollout = "[local.rollout]\n"
    assert rollout in text
    path.write_text(text.replace(rollout, f'{rollout}account = "{ACCOUNT}"\n'), encoding="utf-8")
    with pytest.raises(settings.SettingsError, match="the AWS emulator has neither account nor region"):
        settings.load("local", path)

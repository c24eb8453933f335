"""The commands that messages suggest can be pasted into a shell, and lead to the same settings, account and Region."""

import ast
import re
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import click
import pytest
from botocore.exceptions import TokenRetrievalError
from click.testing import CliRunner

from scripts.common.suggestion import (
    complete_aws_commands,
    pin_region,
    repeat_options,
    suggest_command,
    suggest_payments_command,
)
from scripts.deployer.cli import deploy, outputs, status
from scripts.deployer.statuses import list_commands
from scripts.operator import payment_lists
from scripts.operator.cli import logs
from scripts.operator.cli import main as payments
from scripts.verify import cli as verify
from stacks import settings
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.settings import REGION
from tests.deployer.conftest import Command, add_platform
from tests.deployer.releases import edit_harmlessly
from tests.emitted import ROOT


def test_a_command_is_quoted_for_a_shell() -> None:
    assert suggest_command("deploy", "apply", "dev", "my plan.json") == "scripts/deploy.sh apply dev 'my plan.json'"
    # Nothing is quoted that need not be.
    plain = suggest_command("deploy", "refactor", "dev", "--move", "Data/Old=Data/New")
    assert plain == "scripts/deploy.sh refactor dev --move Data/Old=Data/New"


def test_the_options_are_repeated_while_the_command_runs() -> None:
    with repeat_options(("--settings", "a b.toml", "--region", "eu-west-1")):
        commands = list_commands("payment-platform-dev", "dev")
        assert commands["follow"] == "scripts/deploy.sh follow dev --settings 'a b.toml' --region eu-west-1"
        assert commands["status"] == "scripts/status.sh dev --settings 'a b.toml' --region eu-west-1"
    assert suggest_command("deploy", "dev") == "scripts/deploy.sh dev"


def test_each_command_of_the_aws_cli_gets_the_region_and_the_profile() -> None:
    delete = "aws sqs delete-queue --queue-url $(aws sqs get-queue-url --queue-name a --output text)"
    with repeat_options(("--settings", "a.toml", "--region", "eu-west-1", "--profile", "my own")):
        options = "--region eu-west-1 --profile 'my own'"
        assert complete_aws_commands(f"delete it: {delete}") == (
            f"delete it: aws sqs delete-queue {options} --queue-url $(aws sqs get-queue-url {options} --queue-name a "
            "--output text)"
        )
        # A command that names its Region, and one that lists the profiles there are.
        named = complete_aws_commands("aws sns unsubscribe --region us-east-1")
        assert named == "aws sns unsubscribe --profile 'my own' --region us-east-1"
        assert complete_aws_commands("aws configure list-profiles") == "aws configure list-profiles"
        payments = suggest_payments_command("dev", "dlq", "list")
        assert payments == f"scripts/payments.sh --env dev dlq list --settings a.toml {options}"
        pin_region("eu-central-1")
        assert complete_aws_commands("aws sso login") == f"aws sso login {options}"
    with repeat_options(()):
        pin_region("eu-central-1")
        assert complete_aws_commands(f"{delete}; {delete}").count("--region eu-central-1 ") == 4
    assert complete_aws_commands(delete) == delete


# The commands that work on a deployed environment, each with its arguments.
OPERATING: dict[str, tuple[click.Command, list[str]]] = {
    "status": (status.main, ["dev-us"]),
    "outputs": (outputs.main, ["dev-us"]),
    "verify": (verify.main, ["dev-us", "--read-only"]),
    "logs": (logs.main, ["dev-us"]),
    **{f"payments {words}": (payments, [*words.split(), "--env", "dev-us"]) for words in ("list", "tail", "dlq list")},
}


@pytest.mark.parametrize("name", OPERATING)
@pytest.mark.parametrize("region", ["", "eu-west-1"])
def test_each_command_operates_an_environment_of_another_file_and_repeats_its_options(
    name: str, region: str, command: Command, aws: Service, tmp_path: Path
) -> None:
    """As docs/deploying.md has it for a second Region. ``aws`` has no stack of this environment."""
    path = tmp_path / "us.toml"
    text = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8")
    path.write_text(re.sub(r"^\[dev(?=[\].])", "[dev-us", text, flags=re.MULTILINE), encoding="utf-8")
    options = ["--settings", str(path), *(["--region", region] if region else [])]
    main, arguments = OPERATING[name]
    result = CliRunner().invoke(main, [*arguments, *options], env=command.make_environment())
    advice = f"payment-platform-dev-us is not deployed; deploy it with scripts/deploy.sh dev-us {' '.join(options)}\n"
    assert (result.exit_code, aws.stacks) == (1, {})
    assert result.stderr.endswith(advice)


def test_payments_names_the_pinned_region_in_a_command_of_the_aws_cli(
    command: Command, aws: Service, settings_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise TokenRetrievalError(provider="sso", error_msg="it has expired")

    monkeypatch.setattr(payment_lists, "list_recent_payments", fail)
    text = settings_path.read_text(encoding="utf-8")
    settings_path.write_text(text.replace("[dev.rollout]", f'[dev.rollout]\nregion = "{REGION}"'), encoding="utf-8")
    arguments = ["list", "--env", "dev", "--settings", str(settings_path)]
    result = CliRunner().invoke(payments, arguments, env=command.make_environment())
    assert result.stderr.endswith(f"sign in again: `aws sso login --region {REGION}`\n")


def test_an_error_names_the_region_in_the_command_that_cleans_up(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.errors["DeleteChangeSet"] = [Refused("AccessDenied", "no", 403)] * 30
    refused = command("plan", "dev", "--region", "eu-west-1", code=1)
    assert "delete it with: aws cloudformation delete-change-set --region eu-west-1 --stack-name" in refused.stderr


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


_SUB_COMMANDS = "|".join(name for name in deploy.main.commands if name != "deploy")


def test_every_text_names_the_command_before_its_environment() -> None:
    """As docs/deploying.md does: `scripts/deploy.sh plan dev`, although other orders are accepted."""
    # "plan" has an option --import, so that `plan dev --import` is right.
    command = rf"(?:{_SUB_COMMANDS})\b(?!-)"
    reversed_command = re.compile(rf"deploy\.sh (?!{command})\S+ (?:--)?{command}|deploy\.sh --{command}")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    texts = [path for path in map(ROOT.joinpath, listed.stdout.split()) if path.suffix not in (".png", ".gif")]
    assert len(texts) > 300
    reversed_suggestions = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in texts
        if path.is_file()
        for match in reversed_command.finditer(path.read_text(encoding="utf-8", errors="replace"))
    }
    assert reversed_suggestions == set()


def test_every_suggestion_of_the_deployer_names_the_command_before_its_environment() -> None:
    """`suggest_command` joins what it is given, so that no text has the whole command."""
    reversed_command = re.compile(
        rf"""suggest_command\(\s*["']deploy["'],\s*[^"')]+,[^)]*["'](?:--)?(?:{_SUB_COMMANDS})["']"""
    )
    sources = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "scripts").rglob("*.py")}
    assert {name for name, text in sources.items() if reversed_command.search(text)} == set()
    # Options that a variable passes on.
    option = re.compile(rf"""["']--(?:{_SUB_COMMANDS})["']""")
    assert {name for name, text in sources.items() if option.search(text)} <= {"deploy.py", "logs.py"}


def test_no_command_of_the_deployer_is_written_into_a_message() -> None:
    """It would lack the options, and perhaps quotes."""
    written = re.compile(r"scripts/(?:deploy|destroy|status|outputs)\.sh(?: \w+)? \{")
    sources = [*(ROOT / "scripts" / "deployer").rglob("*.py"), *(ROOT / "scripts" / "verify").rglob("*.py")]
    assert not [path.name for path in sources if written.search(path.read_text(encoding="utf-8"))]


def list_incomplete_commands(tree: ast.Module) -> set[str]:
    """Return the names of the functions and tables that write a command of the AWS CLI, and do not complete it."""
    written = re.compile(r"\baws (?!configure |account )[a-z0-9]+ [a-z][a-z0-9-]+")
    functions = [(node.name, node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    tables = [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    incomplete = set()
    for name, node in [*functions, *((re.split(r"\W", ast.unparse(node))[0], node) for node in tables)]:
        docstring = ast.get_docstring(node, clean=False) if isinstance(node, ast.FunctionDef) else None
        parts = list(ast.walk(node))
        texts = {str(part.value) for part in parts if isinstance(part, ast.Constant)} - {docstring}
        completes = any(isinstance(part, ast.Name) and part.id == "complete_aws_commands" for part in parts)
        if not completes and any(map(written.search, texts)):
            incomplete.add(name)
    return incomplete


def test_no_function_writes_a_command_of_the_aws_cli_into_a_message_without_its_options() -> None:
    incomplete = {
        (path.name, name)
        for path in (ROOT / "scripts").rglob("*.py")
        for name in list_incomplete_commands(ast.parse(path.read_text(encoding="utf-8")))
    }
    # Tables that a function completes, and a demonstration.
    assert incomplete == {
        ("errors.py", "_ADVICE"),
        ("errors.py", "_LIMIT_ADVICE"),
        ("statuses.py", "_EVENTS"),
        ("name_lookups.py", "_ALARM"),
        ("name_lookups.py", "LOOKUPS"),
        ("run.py", "list_next_steps"),
    }

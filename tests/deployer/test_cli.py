"""scripts/deploy.sh in its own process: an error is one line and a non-zero exit code."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from scripts.deployer.validate import lint_templates
from stacks import settings
from tests.emitted import ROOT

ENVIRONMENTS = ", ".join(sorted((*settings.deployed_environments(), settings.LOCAL)))
NOWHERE = {
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}
KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}


def deploy(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    return subprocess.run(
        [ROOT / "scripts" / "deploy.sh", *arguments],
        env=clean | NOWHERE | environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["nowhere"], KEYS, f"no environment [nowhere]; it has {ENVIRONMENTS}"),
        (["dev", "--settings", "none.toml"], KEYS, "none.toml: cannot be read"),
        (["dev", "--profile", "none"], KEYS, "profile (none) could not be found"),
        (["dev", "--yes"], {"AWS_DEFAULT_REGION": "us-east-1"}, "Unable to locate credentials; configure them"),
        (["dev", "--yes"], KEYS | {"AWS_DEFAULT_REGION": ""}, "no region; name a --region"),
        (
            ["dev", "--yes"],
            KEYS | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"},
            "Could not connect to the endpoint URL",
        ),
    ],
)
def test_an_error_is_reported_in_one_line(arguments: list[str], environment: dict[str, str], message: str) -> None:
    result = deploy(*arguments, **environment)
    assert result.returncode == 1, result
    assert message in result.stderr
    assert result.stderr.startswith("deploy: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.stdout + result.stderr


def test_debug_shows_the_traceback() -> None:
    result = deploy("nowhere", "--debug", **KEYS)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "stacks.settings.UnknownEnvironment: " in result.stderr


def test_a_wrong_argument_is_a_usage_error() -> None:
    result = deploy("dev", "--frobnicate", **KEYS)
    assert result.returncode == 1
    assert "--frobnicate" in result.stderr


def test_help_names_the_command_by_its_script() -> None:
    result = deploy("--help")
    assert result.returncode == 0
    assert "Usage: scripts/deploy.sh [COMMAND] [OPTIONS] ENVIRONMENT" in result.stdout


def test_a_mistake_of_python_in_the_stacks_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --debug, the traceback comes before it."""
    from scripts.common.errors import UserError
    from scripts.deployer.validate import check_fresh
    from stacks.data import stack

    def build(*_: object) -> object:
        return stack._transactions_table(None)  # type: ignore[arg-type]

    monkeypatch.setattr(stack, "build", build)
    with pytest.raises(UserError) as refused:
        check_fresh(tmp_path)
    mistake = r"stacks/data/stack\.py:\d+: AttributeError: 'NoneType' object has no attribute '\w+'"
    assert re.fullmatch(f"{mistake}; the whole traceback: python3 generate.py", str(refused.value))


def test_stale_templates_are_not_deployed(tmp_path: Path) -> None:
    from scripts.common.errors import UserError
    from scripts.deployer.validate import check_fresh
    from stacks.render import render_files

    for name, text in render_files().items():
        (tmp_path / name).write_text(text)
    check_fresh(tmp_path)
    (tmp_path / "data.yaml").write_text((tmp_path / "data.yaml").read_text() + "# edited by hand\n")
    with pytest.raises(
        UserError, match=r"data\.yaml is stale \(differs from what stacks/ generates\); run `python3 generate.py`"
    ):
        check_fresh(tmp_path)


def test_a_finding_of_cfn_lint_names_its_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("Resources:\n  A:\n    Type: AWS::SNS::Topic\n    Properties: {Nmae: x}\n")
    (finding,) = lint_templates([path])
    assert finding.startswith(f"{path}:4: E3002")


def test_a_finding_of_cfn_lint_names_the_line_that_declares_its_resource(tmp_path: Path) -> None:
    text = (ROOT / "templates" / "data.yaml").read_text(encoding="utf-8")
    path = tmp_path / "data.yaml"
    path.write_text(text.replace("TopicName:", "TopicNames:", 1), encoding="utf-8")
    finding = next(finding for finding in lint_templates([path]) if "TopicNames" in finding)
    place = re.search(r" \((stacks/data/stack\.py):(\d+) declares it\)$", finding)
    assert place, finding
    lines = (ROOT / place[1]).read_text(encoding="utf-8").splitlines()
    assert '"Notifications"' in lines[int(place[2]) - 1]


def test_a_finding_outside_of_the_resources_has_no_line_of_a_resource(tmp_path: Path) -> None:
    text = (ROOT / "templates" / "data.yaml").read_text(encoding="utf-8")
    path = tmp_path / "data.yaml"
    path.write_text(text.replace("Outputs:\n", "Outputs:\n  Wrong:\n    Value: !Ref Nowhere\n", 1), encoding="utf-8")
    (finding,) = lint_templates([path])
    assert "declares it" not in finding


def test_templates_that_cfn_lint_refuses_are_not_deployed_and_accepted_ones_are_linted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.common.errors import UserError
    from scripts.deployer import validate

    monkeypatch.setattr(validate, "LINTED", tmp_path / "linted")
    linted = []
    findings = ["data.yaml:1: E3002 wrong"]
    monkeypatch.setattr(validate, "lint_templates", lambda paths: linted.append(paths) or findings)
    with pytest.raises(UserError, match=r"cfn-lint refuses the templates:\ndata\.yaml:1: E3002 wrong"):
        validate.check_lint(ROOT / "templates")
    # What the date alone brings is a warning: a runtime at its end must not keep anybody from deploying a fix.
    findings[:] = ["compute.yaml:146: W2531 Runtime 'python3.11' was deprecated on '2027-06-30'"]
    assert validate.check_lint(ROOT / "templates") == findings
    findings.clear()
    for _ in range(3):
        assert validate.check_lint(ROOT / "templates") == []
    assert len(linted) == 3

"""code-only changes at once what the workflow calls, and the next deployment takes it back."""

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from scripts.deployer.code_only import update_code
from scripts.deployer.deploy import deploy
from scripts.deployer.deployment_options import DeploymentOptions, Rollout
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.session import Session
from scripts.deployer.status import read_status
from stacks import names
from tests.e2e.conftest import ENVIRONMENT, Platform
from tests.emitted import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]
FUNCTIONS = tuple(names.in_environment(function.name, "local") for function in names.FUNCTIONS)
# Replaces the limits of the settings.
LOWER_LIMITS = """

def parse_amounts(_setting: str) -> dict[str, Money]:
    return {"USD": Money.parse(1, "USD")}
"""


def open_session(platform: Platform, root: Path = ROOT) -> Session:
    options = DeploymentOptions(
        ENVIRONMENT, platform.parameters, rollout=Rollout(code_only=True), templates=root / "templates"
    )
    console = Console(file=io.StringIO(), width=200)
    return Session(options, platform.target, ConsoleReporter(console), confirm=lambda *_: True)


@pytest.fixture
def edited(platform: Platform, tmp_path: Path) -> Iterator[Session]:
    """Yield a session with lower limits in lambda/; the deployed code is there again at the end."""
    for folder in ("templates", "lambda", "lambda-layers"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "lambda" / "handlers" / "validation.py").open("a", encoding="utf-8") as handler:
        handler.write(LOWER_LIMITS)
    yield open_session(platform, tmp_path)
    deploy(open_session(platform))


def read_versions(platform: Platform) -> list[str]:
    client = platform.client("lambda")
    return [client.get_alias(FunctionName=name, Name="live")["FunctionVersion"] for name in FUNCTIONS]


def test_code_reaches_the_workflow_at_once_and_the_next_deployment_takes_it_back(
    platform: Platform, edited: Session
) -> None:
    deployed = read_versions(platform)
    assert update_code(edited).changed
    assert read_versions(platform) == ["$LATEST"] * len(FUNCTIONS)
    _, refused = platform.pay(payment_amount=900)
    assert refused.output["reasons"] == ["payment_amount exceeds the limit"]
    status = read_status("payment-platform-local", platform.target, allows_code_only=True)
    assert set(status.changed_functions) == set(FUNCTIONS)
    assert not update_code(edited).changed
    result = deploy(open_session(platform))
    assert result.message == f"no changes; {len(FUNCTIONS)} functions have the code of the last deployment again"
    assert read_versions(platform) == deployed
    assert platform.pay(payment_amount=900)[1].output["status"] == "COMPLETED"
    assert not deploy(open_session(platform)).changed


def test_a_deployment_of_the_same_code_publishes_it(
    platform: Platform, edited: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The functions had that code already when the versions were replaced."""
    for name in ("check_fresh_once", "check_same_sources"):
        monkeypatch.setattr(f"scripts.deployer.deploy.{name}", lambda *_: None)
    deployed = read_versions(platform)
    update_code(edited)
    compute = edited.options.templates / "compute.yaml"
    # As `python3 generate.py` does after a change of the code.
    text = re.sub(r"\bcode-[0-9a-f]{8}", "code-00000000", compute.read_text(encoding="utf-8"))
    compute.write_text(text, encoding="utf-8")
    assert deploy(edited).changed
    published = read_versions(platform)
    assert not {*published} & {*deployed, "$LATEST"}
    assert platform.pay(payment_amount=900)[1].output["reasons"] == ["payment_amount exceeds the limit"]

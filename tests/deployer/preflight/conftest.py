"""Runs the preflight checks against simulated services, which all tests of a module share."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from scripts.common.target import Target
from scripts.deployer.deployment_options import DeploymentOptions
from scripts.deployer.finding import Finding, Verdict
from scripts.deployer.preflight.examine import CHECKS, read_situation
from scripts.deployer.preflight.situation import Situation
from stacks import names, settings
from stacks.monitoring.alarms import alarm_names
from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.endpoint import serve_account
from tests.deployer.aws.settings import REGION

PLATFORM_TAGS = {"ManagedBy": "payment-platform"}
FOREIGN_TAGS = {"Team": "orders"}
FUNCTIONS = tuple(names.in_environment(function.name, "prod") for function in names.FUNCTIONS)
Reader = Callable[..., Situation]


@pytest.fixture(scope="module")
def simulated() -> Iterator[tuple[Service, Account, Target]]:
    service, account_ = Service(), Account()
    with serve_account(service, account_) as url:
        yield service, account_, Target(boto3.Session("x", "x", region_name=REGION), url)


@pytest.fixture
def aws(simulated: tuple[Service, Account, Target]) -> Service:
    """The shared service, reset."""
    vars(simulated[0]).update(vars(Service()))
    return simulated[0]


@pytest.fixture
def account(simulated: tuple[Service, Account, Target]) -> Account:
    """The shared account, reset."""
    vars(simulated[1]).update(vars(Account()))
    return simulated[1]


@pytest.fixture
def situation_of(aws: Service, account: Account, simulated: tuple[Service, Account, Target]) -> Reader:
    """Return a function that reads the situation of an environment, with changed parameters."""

    def read_environment(
        environment: str = "prod",
        *,
        only_plan: bool = False,
        out: Path | None = None,
        with_bootstrap: bool = False,
        imports_existing: bool = False,
        **parameters: str,
    ) -> Situation:
        bootstrap = settings.load_bootstrap()
        bootstrap |= {name: parameters[name] for name in ("ServiceRole", "GithubRepository") if name in parameters}
        options = DeploymentOptions(
            environment,
            settings.load(environment) | parameters,
            bootstrap,
            only_plan=only_plan,
            out=out,
            imports_existing=imports_existing,
        )
        return read_situation(options, replace(simulated[2]), with_bootstrap=with_bootstrap)

    return read_environment


def not_passed(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.verdict is not Verdict.OK]


def findings_of(subject: str, situation: Situation) -> list[tuple[str, str, str]]:
    """Run one check; return the verdict, the text and the next step of each finding."""
    findings = CHECKS[subject](situation)
    assert {finding.subject for finding in findings} == {subject}
    return [(finding.verdict.value, finding.text, finding.next_step) for finding in findings]


_NAMED_CONSTANTS = r".*(TABLE|QUEUE|TOPIC|_ALIAS|_ROLE|_POLICY|_RULE|_VAULT|_LOG_GROUP)|WORKFLOW|DASHBOARD"
# From the catalogue of names, not from the templates that the checks read.
_CATALOGUE = {str(value) for constant, value in vars(names).items() if re.fullmatch(_NAMED_CONSTANTS, constant)}
_CATALOGUE |= {
    name for function in names.FUNCTIONS for name in (function.name, function.role, function.policy, function.log_group)
}
_OF_ACCOUNT = {names.SERVICE_ROLE, names.BOUNDARY_POLICY, names.GATEWAY_POLICY}
# Of a setting that prod does not have.
_OF_ACCOUNT |= {names.TRAFFIC_SHIFT_ROLE, names.TRAFFIC_SHIFT_POLICY}
EXPECTED_NAMES = {names.in_environment(name, "prod") for name in (_CATALOGUE - _OF_ACCOUNT).union(alarm_names())}


def occupy_all_names(aws: Service, account: Account, tags: dict[str, str]) -> None:
    """Create each resource of prod outside any stack."""
    account.existing = dict.fromkeys(EXPECTED_NAMES, tags)
    account.functions = dict.fromkeys(FUNCTIONS)
    aws.alarms = dict.fromkeys([name for name in EXPECTED_NAMES if name.startswith("alarm-")], "OK")

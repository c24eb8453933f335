"""A deployment reports the findings, and a failure stops it before it changes anything."""

import pytest

from scripts.deployer.preflight.examine import CHECKS
from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.conftest import GOLDEN, Command, add_bootstrap_stack, add_platform, assert_golden
from tests.deployer.preflight.conftest import FOREIGN_TAGS, PLATFORM_TAGS
from tests.emitted import ROOT


def create_obstacles(account: Account) -> None:
    account.concurrency = 10
    account.existing = {
        "dynamodb-transactions-dev": PLATFORM_TAGS,
        "dynamodb-payment-ledger-dev": PLATFORM_TAGS,
        "payment-dlq-dev": FOREIGN_TAGS,
    }
    account.denied = {"logs:DescribeResourcePolicies"}


@pytest.mark.parametrize("is_failed_creation", [False, True])
def test_a_failure_stops_the_deployment_before_it_changes_anything(
    command: Command, aws: Service, account: Account, is_failed_creation: bool
) -> None:
    """Before the first deployment of an account, and after a failed creation."""
    if is_failed_creation:
        add_platform(aws, status="ROLLBACK_COMPLETE")
        aws.holdings.resources.clear()
        aws.alarms = {}
    stacks, objects = set(aws.stacks), dict(aws.objects)
    create_obstacles(account)
    assert command("dev", "--yes", code=1).stderr.splitlines() == [
        "deploy: 3 findings stop the deployment; follow the next step given with each, and run the command again; "
        "nothing was changed"
    ]
    assert aws.find_writes() == []
    assert (set(aws.stacks), aws.objects) == (stacks, objects)


def test_the_findings_are_printed_as_in_the_documentation(command: Command, aws: Service, account: Account) -> None:
    add_bootstrap_stack(aws)
    create_obstacles(account)
    assert_golden("preflight.txt", command("dev", "--plan", code=1).stdout)
    text = (GOLDEN / "preflight.txt").read_text(encoding="utf-8")
    assert text in (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")


def test_the_findings_fit_a_terminal(command: Command, aws: Service, account: Account) -> None:
    add_bootstrap_stack(aws)
    create_obstacles(account)
    terminal = command.run_on_terminal("dev", "--plan", columns=80)
    assert_golden("preflight_80.txt", terminal.text)


def test_the_findings_are_available_as_json_and_as_markdown(command: Command, aws: Service, account: Account) -> None:
    add_bootstrap_stack(aws)
    create_obstacles(account)
    records = command("dev", "--plan", "--json").read_records()
    (preflight,) = [record for record in records if record["type"] == "preflight"]
    # No repository is set.
    assert {finding["subject"] for finding in preflight["findings"]} == set(CHECKS) - {"github"}
    assert {finding["verdict"] for finding in preflight["findings"]} == {"ok", "warning", "failure", "unknown"}
    assert_golden("preflight.md", command("dev", "--plan", "--markdown").stdout)

"""One deployment takes rights away while another one relies on them: none of both loses what its release needs."""

from datetime import timedelta

import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.stacks import Stack
from tests.deployer.both_stacks import EARLIER, PLATFORM, add_earlier_release, find_artifacts, list_ledgers
from tests.deployer.conftest import Command, add_platform
from tests.deployer.releases import edit_harmlessly

# Each takes several deployments.
pytestmark = pytest.mark.nightly


def put_earlier_release_back(aws: Service, status: str) -> None:
    """Deploy the earlier release of dev again, as another deployer does to whom the artifacts stack need not change."""
    earlier = Service()
    add_platform(earlier, edit_harmlessly)
    texts = {path: stack.text for path, stack in find_platform(earlier).walk()}
    for path, stack in find_platform(aws).walk():
        stack.text = texts[path]
    platform = find_platform(aws)
    for progress in ("UPDATE_IN_PROGRESS", status):
        aws.add_event(platform, "", "AWS::CloudFormation::Stack", progress)
    platform.updated += timedelta(minutes=5)


def find_platform(aws: Service) -> Stack:
    (stack,) = [stack for stack in aws.stacks.values() if stack.name == PLATFORM]
    return stack


def test_a_plan_of_the_artifacts_stack_alone_takes_no_right_from_a_release_that_came_back(
    command: Command, aws: Service
) -> None:
    artifacts = add_earlier_release(aws)
    command("dev", "--yes", "--express")
    command("plan", "dev", "--out", "plan.json", code=2)
    put_earlier_release_back(aws, "UPDATE_COMPLETE")
    refused = command("apply", "dev", "plan.json", "--yes", code=1)
    reason = f"{PLATFORM} was deployed since the plan was made; create a new plan"
    assert refused.stderr.startswith(f"deploy: plan.json: {reason}; the plan is still saved; delete it with scripts/")
    assert list_ledgers(artifacts) == ["dynamodb-ledger", "dynamodb-payment-ledger"]


def test_a_change_of_the_artifacts_stack_alone_stops_if_the_platform_is_deployed_meanwhile(
    command: Command, aws: Service
) -> None:
    artifacts = add_earlier_release(aws)
    command("dev", "--yes", "--express")

    def deploy() -> None:
        aws.before = {}
        put_earlier_release_back(aws, "UPDATE_IN_PROGRESS")

    aws.before["CreateChangeSet"] = deploy
    refused = command("dev", "--yes", code=1)
    assert refused.stderr.startswith(f"deploy: {PLATFORM} was deployed since the plan was made; nothing of this ")
    assert list_ledgers(artifacts) == ["dynamodb-ledger", "dynamodb-payment-ledger"]


def test_a_platform_is_not_deployed_if_the_artifacts_stack_changes_after_the_plan(
    command: Command, aws: Service
) -> None:
    add_platform(aws, edit_harmlessly)

    def change_artifacts() -> None:
        aws.before = {}
        find_artifacts(aws).updated += timedelta(minutes=5)

    aws.before["CreateChangeSet"] = change_artifacts
    refused = command("dev", "--yes", code=1)
    assert refused.stderr.startswith("deploy: payment-artifacts was deployed since the plan was made; nothing of this ")
    assert aws.find_requests("ExecuteChangeSet") == []


@pytest.mark.parametrize("arguments", [("plan", "dev"), ("plan", "dev", "--out", "plan.json"), ("dev", "--yes")])
def test_a_plan_of_the_artifacts_stack_is_not_shown_if_that_changes_after_it_was_read(
    command: Command, aws: Service, arguments: tuple[str, ...]
) -> None:
    """Its statements would be compared with those of a template that another deployment has replaced."""
    artifacts = add_earlier_release(aws)

    def change_artifacts() -> None:
        del aws.before["CreateChangeSet"]
        artifacts.text = EARLIER.replace("dynamodb-ledger-", "dynamodb-third-")
        artifacts.updated += timedelta(minutes=5)

    aws.before["CreateChangeSet"] = change_artifacts
    refused = command(*arguments, code=1)
    assert refused.stderr.startswith("deploy: payment-artifacts was deployed since it was read; nothing of this ")
    assert "dynamodb-ledger-dev" not in refused.stdout
    assert (aws.find_requests("ExecuteChangeSet"), aws.remaining_names) == ([], [])
    assert not (command.folder / "plan.json").exists()


def test_a_saved_plan_of_the_platform_is_refused_after_a_change_of_the_artifacts_stack(
    command: Command, aws: Service
) -> None:
    add_platform(aws, edit_harmlessly)
    command("plan", "dev", "--out", "plan.json", code=2)
    find_artifacts(aws).updated += timedelta(minutes=5)
    refused = command("apply", "dev", "plan.json", "--yes", code=1)
    reason = "payment-artifacts has changed since the plan was made; create a new plan"
    assert refused.stderr.startswith(f"deploy: plan.json: {reason}; the plan is still saved; delete it with scripts/")
    assert aws.find_requests("ExecuteChangeSet") == []


def test_a_right_of_the_new_release_that_is_taken_away_meanwhile_is_named_as_missing(
    command: Command, aws: Service
) -> None:
    artifacts = add_earlier_release(aws)

    def take_away() -> None:
        if len(aws.find_requests("ExecuteChangeSet")) == 2:
            aws.before = {}
            artifacts.text = EARLIER
            artifacts.updated += timedelta(minutes=5)

    aws.before["CreateChangeSet"] = take_away
    result = command("dev", "--yes", code=1)
    assert result.stderr == (
        f"deploy: {PLATFORM} is deployed, but payment-artifacts was changed while {PLATFORM} was deployed, and lacks "
        "permissions that this release needs; add them with scripts/deploy.sh dev\n"
    )


def test_a_deployment_that_begins_before_the_rights_are_taken_away_keeps_them(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release(aws)

    def deploy() -> None:
        if len(aws.find_requests("ExecuteChangeSet")) == 2:
            aws.before = {}
            put_earlier_release_back(aws, "UPDATE_IN_PROGRESS")

    aws.before["CreateChangeSet"] = deploy
    result = command("dev", "--yes")
    assert f"payment-artifacts keeps the permissions of both releases, because {PLATFORM} was deployed" in result.stdout
    assert list_ledgers(artifacts) == ["dynamodb-ledger", "dynamodb-payment-ledger"]


def test_a_deployment_that_begins_while_the_first_one_tidies_up_keeps_them(command: Command, aws: Service) -> None:
    """Its state is not taken for that of the first one: what it runs is not known yet."""
    artifacts = add_earlier_release(aws)

    def deploy() -> None:
        if len(aws.find_requests("ExecuteChangeSet")) == 2 and find_platform(aws).status == "UPDATE_COMPLETE":
            aws.before = {}
            put_earlier_release_back(aws, "UPDATE_IN_PROGRESS")

    aws.before["ListStackResources"] = deploy
    result = command("dev", "--yes")
    reason = f"another deployment of {PLATFORM} has begun (UPDATE_IN_PROGRESS)"
    assert f"payment-artifacts keeps the permissions of both releases, because {reason}" in result.stdout
    assert list_ledgers(artifacts) == ["dynamodb-ledger", "dynamodb-payment-ledger"]


@pytest.mark.parametrize("is_saved", [False, True])
def test_a_release_that_came_back_while_the_first_deployment_tidied_up_keeps_its_rights(
    command: Command, aws: Service, is_saved: bool
) -> None:
    """Its deployment has ended by then, and has not changed the artifacts stack, which has the rights of both."""
    artifacts = add_earlier_release(aws)
    if is_saved:
        command("plan", "dev", "--out", "plan.json", code=2)

    def deploy() -> None:
        if len(aws.find_requests("ExecuteChangeSet")) == 2 and find_platform(aws).status == "UPDATE_COMPLETE":
            aws.before = {}
            put_earlier_release_back(aws, "UPDATE_COMPLETE")

    aws.before["ListStackResources"] = deploy
    result = command(*(("apply", "dev", "plan.json") if is_saved else ("dev",)), "--yes")
    assert aws.before == {}
    reason = f"{PLATFORM} was deployed again before payment-artifacts was updated"
    assert f"payment-artifacts keeps the permissions of both releases, because {reason}" in result.stdout
    assert list_ledgers(artifacts) == ["dynamodb-ledger", "dynamodb-payment-ledger"]


@pytest.mark.parametrize("changes", [1, 2])
def test_a_deployment_that_is_overtaken_while_it_plans_takes_no_right_away(
    command: Command, aws: Service, changes: int
) -> None:
    """Another one has ended before the first (or the second) of its change sets of the artifacts stack is created."""
    artifacts = add_earlier_release(aws)
    newer = EARLIER.replace("dynamodb-ledger-", "dynamodb-newer-ledger-")

    def deploy() -> None:
        names = [request["StackName"] for request in aws.find_requests("CreateChangeSet")]
        if names.count("payment-artifacts") == changes:
            aws.before = {}
            artifacts.text = newer
            for stack in (artifacts, find_platform(aws)):
                for status in ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"):
                    aws.add_event(stack, "", "AWS::CloudFormation::Stack", status)
                stack.updated += timedelta(minutes=5)

    aws.before["CreateChangeSet"] = deploy
    refused = command("dev", "--yes", code=1)
    assert aws.before == {}
    assert "deployed since" in refused.stderr
    assert artifacts.text == newer
    assert aws.find_requests("ExecuteChangeSet") == []

"""The files in the artifact bucket stay if another deployment may need them by the time that they would be deleted."""

from collections.abc import Callable

import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.stacks import STACK, ChangeSet, Stack
from tests.deployer.conftest import BUCKET, Command, add_platform, package_release
from tests.deployer.releases import edit_harmlessly

NAME = "payment-platform-dev"
# One that neither this release nor the one before names: it may be of the next one.
KEY = f"payment-platform/dev/{'0' * 64}.yaml"


def deploy_again(aws: Service, stack: Stack) -> None:
    for status in ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"):
        aws.add_event(stack, "", STACK, status)


def begin_update(aws: Service, stack: Stack) -> None:
    aws.add_event(stack, "", STACK, "UPDATE_IN_PROGRESS")


def plan_update(aws: Service, stack: Stack) -> None:
    aws.change_sets["other"] = ChangeSet("other", "deploy-0123456789ab", stack, [])


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (deploy_again, f"{NAME} was deployed again"),
        (begin_update, f"another deployment of {NAME} has begun (UPDATE_IN_PROGRESS)"),
        (plan_update, f"another deployment of {NAME} is planned (deploy-0123456789ab)"),
    ],
)
def test_a_deployment_keeps_the_files_of_the_next_one(
    command: Command, aws: Service, act: Callable[[Service, Stack], None], reason: str
) -> None:
    stack = add_platform(aws, edit_harmlessly)

    def let_another_deployment_come() -> None:
        if "ExecuteChangeSet" not in [operation for operation, _ in aws.calls]:
            return
        del aws.before["ListObjectsV2"]
        aws.objects[f"{BUCKET}/{KEY}"] = "the next release"
        act(aws, stack)

    aws.before["ListObjectsV2"] = let_another_deployment_come
    deployed = command("dev", "--yes", code=0).stdout
    assert f"Deployed, but what it does not need stays in the artifact bucket: {reason}\n" in deployed
    assert (f"{BUCKET}/{KEY}" in aws.objects, aws.retired) == (True, set())


def test_a_deployment_without_another_one_deletes_what_nothing_needs(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.objects[f"{BUCKET}/{KEY}"] = "long ago"
    assert "stays in the artifact bucket" not in command("dev", "--yes", code=0).stdout
    assert f"{BUCKET}/{KEY}" not in aws.objects


@pytest.mark.parametrize("plan", [[], ["--plan", "--out", "saved.json"]])
def test_files_that_were_deleted_before_the_change_set_could_be_seen_are_uploaded_again(
    command: Command, aws: Service, plan: list[str]
) -> None:
    add_platform(aws, edit_harmlessly)
    needed = {f"{BUCKET}/{key}" for key in package_release(None, "dev").files}

    def delete_files() -> None:
        del aws.before["DescribeChangeSet"]
        for key in needed:
            del aws.objects[key]

    aws.before["DescribeChangeSet"] = delete_files
    output = command("dev", *(plan or ["--yes"]), code=2 if plan else 0).output
    assert f"Uploaded {len(needed)} files again, which were deleted meanwhile\n" in output
    assert needed <= set(aws.objects)


def test_a_deletion_whose_status_lags_behind_its_events_deletes_the_files(command: Command, aws: Service) -> None:
    stack = add_platform(aws)

    def lag_behind() -> None:
        if stack.status == "DELETE_COMPLETE":
            stack.status = "DELETE_IN_PROGRESS"

    aws.before["ListObjectsV2"] = lag_behind
    deleted = command("dev", "--yes", "--destroys", NAME, script="destroy", code=0).stdout
    assert "stay in the artifact bucket" not in deleted
    assert aws.retired


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "CREATE_IN_PROGRESS", "REVIEW_IN_PROGRESS"])
def test_a_deletion_keeps_the_files_of_an_environment_that_was_created_again(
    command: Command, aws: Service, status: str
) -> None:
    stack = add_platform(aws)

    def create_again() -> None:
        if stack.status == "DELETE_COMPLETE":
            del aws.before["ListObjectsV2"]
            aws.stacks["arn:again"] = Stack(NAME, "arn:again", status)

    aws.before["ListObjectsV2"] = create_again
    deleted = command("dev", "--yes", "--destroys", NAME, script="destroy", code=0).stdout
    line = f"Deleted, but its files stay in the artifact bucket: {NAME} was created again ({status})\n"
    assert line in deleted
    assert aws.retired == set()

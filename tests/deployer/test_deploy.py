"""The steps in order, over a CloudFormation and an S3 in memory: what is asked, what is done, what is left."""

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scripts.deployer import change_set
from scripts.deployer import deploy as steps
from scripts.deployer.deploy import Deployed, deploy
from scripts.deployer.errors import Aborted, DeployError
from scripts.deployer.package import Destination
from tests.deployer.fake_cloudformation import NAME, FakeCloudFormation, change, error, stack
from tests.emitted import ROOT

PARAMETERS = {"Environment": "dev"}


class FakeTarget:
    """Two CloudFormations, because the fake holds one change set: the bucket's stack and the platform's."""

    runtime = None
    poll_seconds = 0.0

    def __init__(self, cloudformation: FakeCloudFormation) -> None:
        self.cloudformation = cloudformation
        self.objects: dict[str, bytes] = {}
        # What was asked: the names of what would be lost, by question.
        self.asked: list[list[str]] = []

    def client(self, service: str) -> Any:
        return self.cloudformation if service == "cloudformation" else self

    def destination(self, bucket: str) -> Destination:
        return Destination(bucket, "https://s3")

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123"}

    def head_object(self, *, Bucket: str, Key: str, ExpectedBucketOwner: str) -> None:
        assert (Bucket, ExpectedBucketOwner) == ("bucket", "123")
        if Key not in self.objects:
            missing = error("404")
            missing.response["ResponseMetadata"] = {"HTTPStatusCode": 404}  # type: ignore[typeddict-item]
            raise missing

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ExpectedBucketOwner: str) -> None:
        assert (Bucket, ExpectedBucketOwner) == ("bucket", "123")
        self.objects[Key] = Body


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_set, "POLL_SECONDS", 0)


@pytest.fixture
def target() -> FakeTarget:
    bucket = stack(
        "payment-artifacts", "CREATE_COMPLETE", Outputs=[{"OutputKey": "BucketName", "OutputValue": "bucket"}]
    )
    cloudformation = FakeCloudFormation(
        stacks={"payment-artifacts": bucket},
        templates={"payment-artifacts": (ROOT / "templates" / "artifacts.yaml").read_text()},
    )
    return FakeTarget(cloudformation)


def run(
    target: FakeTarget, answer: object = True, templates: Path = ROOT / "templates", only_plan: bool = False
) -> tuple[Deployed, str]:
    console = Console(file=io.StringIO(), width=100)
    asked = target.asked

    def confirm(_question: str, lost: Sequence[str]) -> bool:
        asked.append(list(lost))
        if isinstance(answer, BaseException):
            raise answer
        return bool(answer)

    deployed = deploy(
        "dev",
        PARAMETERS,
        target,
        console,
        confirm,
        templates,
        only_plan=only_plan,  # type: ignore[arg-type]
    )
    return deployed, console.file.getvalue()  # type: ignore[attr-defined]


def test_a_first_deployment(target: FakeTarget) -> None:
    deployed, said = run(target)
    assert deployed.changed
    (asked,) = target.cloudformation.called("create_change_set")
    assert (asked["StackName"], asked["ChangeSetType"]) == (NAME, "CREATE")
    assert asked["Parameters"] == [{"ParameterKey": "Environment", "ParameterValue": "dev"}]
    key = asked["TemplateURL"].removeprefix("https://s3/bucket/")
    assert b"AWS::CloudFormation::Stack" in target.objects[key]
    assert "Packaged 7 files, 7 of them uploaded" in said
    assert "CREATE_COMPLETE" in said
    assert target.cloudformation.left == []


def test_a_second_deployment_writes_nothing(target: FakeTarget) -> None:
    run(target)
    cloudformation = target.cloudformation
    (asked,) = cloudformation.called("create_change_set")
    key = asked["TemplateURL"].removeprefix("https://s3/bucket/")
    cloudformation.templates[NAME] = target.objects[key].decode()
    cloudformation.stacks[NAME]["Parameters"] = asked["Parameters"]
    cloudformation.calls.clear()
    deployed, said = run(target)
    assert not deployed.changed
    assert "0 of them uploaded" in said
    assert {name for name, _ in cloudformation.calls} == {"describe_stacks"}


@pytest.mark.parametrize("answer", [False, KeyboardInterrupt(), DeployError("nobody to ask")])
def test_without_a_yes_nothing_is_deployed_and_nothing_left(target: FakeTarget, answer: object) -> None:
    with pytest.raises((Aborted, KeyboardInterrupt, DeployError)):
        run(target, answer)
    assert target.cloudformation.called("execute_change_set") == []
    assert target.cloudformation.left == []
    assert NAME not in target.cloudformation.stacks


def test_a_stack_that_is_busy_is_left_alone(target: FakeTarget) -> None:
    target.cloudformation.stacks[NAME] = stack(NAME, "UPDATE_IN_PROGRESS")
    with pytest.raises(DeployError, match="another deployment is running"):
        run(target)
    assert target.cloudformation.called("create_change_set") == []


OURS = [{"Key": "ManagedBy", "Value": "payment-platform"}]


def test_what_is_left_of_a_failed_creation_of_ours_is_deleted_first(target: FakeTarget) -> None:
    target.cloudformation.stacks[NAME] = stack(NAME, "ROLLBACK_COMPLETE", Tags=OURS)
    deployed, said = run(target)
    assert deployed.changed
    assert "deleting it first" in said
    # By its id: another stack of that name may be there by then.
    assert target.cloudformation.called("delete_stack") == [{"StackName": f"arn:{NAME}"}]
    (asked,) = target.cloudformation.called("create_change_set")
    assert asked["ChangeSetType"] == "CREATE"


@pytest.mark.parametrize(("tags", "only_plan"), [([], False), (OURS, True)])
def test_a_failed_creation_that_is_not_ours_or_only_planned_on_is_left_alone(
    target: FakeTarget, tags: list[dict[str, str]], only_plan: bool
) -> None:
    target.cloudformation.stacks[NAME] = stack(NAME, "ROLLBACK_COMPLETE", Tags=tags)
    with pytest.raises(DeployError, match="its creation failed; delete it and deploy again"):
        run(target, only_plan=only_plan)
    assert target.cloudformation.called("delete_stack") == []


def test_a_failed_creation_that_cannot_be_deleted_says_so(target: FakeTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    target.cloudformation.stacks[NAME] = stack(NAME, "ROLLBACK_COMPLETE", Tags=OURS)

    def fails(StackName: str) -> None:
        target.cloudformation.stacks[NAME]["StackStatus"] = "DELETE_FAILED"

    monkeypatch.setattr(target.cloudformation, "delete_stack", fails)
    with pytest.raises(DeployError, match=f"cannot be deleted, it is DELETE_FAILED; see .* arn:{NAME}"):
        run(target)


def test_a_change_of_the_buckets_template_is_deployed_too(target: FakeTarget) -> None:
    target.cloudformation.templates["payment-artifacts"] = "of an earlier release"
    with pytest.raises(Aborted, match="payment-artifacts"):
        run(target, answer=False)
    (asked,) = target.cloudformation.called("create_change_set")
    assert (asked["StackName"], asked["ChangeSetType"]) == ("payment-artifacts", "UPDATE")


def test_templates_that_nobody_reviewed_are_not_deployed(target: FakeTarget, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    (tmp_path / "templates" / "data.yaml").write_text("# edited\n")
    with pytest.raises(DeployError, match=r"data\.yaml is not what stacks/ generates"):
        run(target, templates=tmp_path / "templates")
    assert target.cloudformation.calls == []


def test_what_cfn_lint_refuses_is_not_deployed(target: FakeTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.deployer.validate.lint", lambda _: ["data.yaml:1: E3002 wrong"])
    with pytest.raises(DeployError, match=r"cfn-lint refuses the templates:\ndata\.yaml:1: E3002 wrong"):
        run(target)
    assert target.cloudformation.calls == []


def test_a_plan_changes_nothing_and_leaves_nothing(target: FakeTarget) -> None:
    deployed, said = run(target, only_plan=True)
    assert deployed.changed
    assert "Plan: 0 to add" in said
    assert target.asked == []
    assert target.cloudformation.called("execute_change_set") == []
    assert target.cloudformation.left == []
    assert NAME not in target.cloudformation.stacks


def test_a_plan_without_a_bucket_says_what_to_do(target: FakeTarget) -> None:
    del target.cloudformation.stacks["payment-artifacts"]
    with pytest.raises(DeployError, match="deploy once without --plan"):
        run(target, only_plan=True)
    assert target.cloudformation.called("create_change_set") == []


def test_what_is_lost_is_asked_for_by_name(target: FakeTarget) -> None:
    gone = change("Remove", "Transactions", "AWS::DynamoDB::Table", PolicyAction="Delete")
    target.cloudformation.pages = {"root": [[gone]]}
    _, said = run(target)
    assert target.asked == [["Transactions"]]
    assert said.index("Transactions (AWS::DynamoDB::Table) is deleted: its items are lost") < said.index("Plan:")


def test_the_name_of_the_stack() -> None:
    assert steps.stack_name("dev") == NAME

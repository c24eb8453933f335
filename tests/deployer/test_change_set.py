"""Planning: pages, nested sets, no changes, refusals, and nothing left behind however it ends."""

import io

import pytest
from rich.console import Console

from scripts.common import waiting
from scripts.common.errors import UserError
from scripts.deployer.change_set import create_change_set
from scripts.deployer.plan.model import KNOWN_AFTER_APPLY, Plan, StackChanges
from scripts.deployer.report import plan_text
from scripts.deployer.stack import Stack, check_ready, describe_stack, is_deployed
from tests.deployer.fake_cloudformation import NAME, NO_CHANGES, STACK, FakeCloudFormation, change, error, stack

NEW = Stack(NAME)
OLD = Stack(NAME, status="UPDATE_COMPLETE", id=f"arn:{NAME}", parameters={"A": "1"})


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0)


def make_service(**fields: object) -> FakeCloudFormation:
    return FakeCloudFormation(stacks={NAME: stack(NAME, "UPDATE_COMPLETE")}, **fields)  # type: ignore[arg-type]


def propose(cloudformation: FakeCloudFormation, before: Stack = OLD) -> StackChanges | None:
    """What is proposed; it is not executed."""
    with create_change_set(cloudformation, before, {"A": "2"}, TemplateURL="https://x") as proposal:
        return proposal.changes if proposal else None


def render_plan(changes: StackChanges) -> str:
    console = Console(file=io.StringIO(), width=100)
    plan_text.print_plan(console, Plan(changes))
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]


def test_all_pages_of_all_nested_sets() -> None:
    cloudformation = make_service(
        pages={
            "root": [[change("Modify", "Data", STACK, ChangeSetId="data")],
                     [change("Add", "Queue"), change("Remove", "Old", STACK, ChangeSetId="old")]],
            "data": [[change("Modify", "Table", "AWS::DynamoDB::Table", Replacement="True",
                             Details=[{"Target": {"Attribute": "Properties", "Name": "KeySchema"}}])],
                     [change("Modify", "Topic", "AWS::SNS::Topic", Replacement="Conditional",
                             Details=[{"Target": {"Attribute": "Tags"}}, {"Target": {"Attribute": "Tags"}}])]],
            "old": [[change("Remove", "Gone")]],
        },
        slow={"root": 2, "data": 1},
    )  # fmt: skip
    changes = propose(cloudformation)
    assert changes is not None
    assert render_plan(changes) == (
        "! Data/Table (AWS::DynamoDB::Table) is replaced by an empty one: its items will be lost\n"
        "! Old/Gone (AWS::SQS::Queue) is deleted: its messages will be lost\n"
        "payment-platform-dev\n"
        "├── ~ Data AWS::CloudFormation::Stack\n"
        "│   ├── -/+ Table AWS::DynamoDB::Table KeySchema (replaced)\n"
        "│   └── ~ Topic AWS::SNS::Topic Tags (may be replaced)\n"
        "├── + Queue AWS::SQS::Queue\n"
        "└── - Old AWS::CloudFormation::Stack (and everything in it)\n"
        "    └── - Gone AWS::SQS::Queue\n"
        "Plan: 2 to add, 1 to change, 2 to destroy."
    )


def test_every_property_before_and_after() -> None:
    def make_detail(name: str, **target: str) -> dict[str, object]:
        return {"Target": {"Attribute": "Properties", "Name": name, **target}}

    details = [
        make_detail(
            "Threshold", BeforeValue="5", AfterValue="10", Path="/Properties/Threshold", RequiresRecreation="Never"
        ),
        # A second cause of the same change carries no values.
        make_detail("Threshold"),
        make_detail("AlarmName", BeforeValue="a", AfterValue="b", RequiresRecreation="Always"),
        make_detail("TopicArn", BeforeValue="arn:1", AfterValue=KNOWN_AFTER_APPLY, RequiresRecreation="Conditionally"),
        make_detail("Body", AfterValue="x" * 500),
    ]
    alarm = change("Modify", "Alarm", "AWS::CloudWatch::Alarm", Replacement="Conditional", Details=details)
    changes = propose(make_service(pages={"root": [[alarm]]}))
    assert changes is not None
    assert render_plan(changes) == (
        "payment-platform-dev\n"
        "└── ~ Alarm AWS::CloudWatch::Alarm (may be replaced)\n"
        "    ├── Threshold: 5 → 10\n"
        "    ├── AlarmName: a → b (forces replacement)\n"
        "    ├── TopicArn: arn:1 → (known after apply) (may force replacement)\n"
        f"    └── Body: (none) →\n        {'x' * 92}\n        {'x' * 28}…\n"
        "Plan: 0 to add, 1 to change, 0 to destroy."
    )


def test_what_the_service_leaves_out_with_values_is_asked_for_without() -> None:
    pages = {"root": [[change("Add", "Queue")], [change("Add", "Topic")]]}
    changes = propose(make_service(pages=pages, without_values={"Topic"}))
    assert changes is not None
    assert [item.logical_id for item in changes.changes] == ["Queue", "Topic"]


@pytest.mark.parametrize(
    ("listed_change", "message"),
    [
        (change("Remove", "T", "AWS::DynamoDB::Table"), "T (AWS::DynamoDB::Table) is deleted: its items will be lost"),
        (
            change("Remove", "T", "AWS::DynamoDB::Table", PolicyAction="Retain"),
            "T (AWS::DynamoDB::Table) is removed from the stack: it is retained with its data, outside the stack",
        ),
        (
            change("Modify", "K", "AWS::KMS::Key", Replacement="True"),
            "K (AWS::KMS::Key) is replaced by an empty one: whatever",
        ),
        (
            change("Modify", "Q", Replacement="Conditional"),
            "Q (AWS::SQS::Queue) may be replaced by an empty one: its messages",
        ),
        (
            change("Remove", "Data", STACK),
            "Data (AWS::CloudFormation::Stack) is deleted: all that it holds will be lost",
        ),
        (change("Dynamic", "Q"), "Q (AWS::SQS::Queue) may be replaced by an empty one: its messages"),
        (
            change("Remove", "S", "AWS::StepFunctions::StateMachine"),
            "S (AWS::StepFunctions::StateMachine) is deleted: its executions, including running ones, will be lost",
        ),
        (change("Modify", "Data", STACK, Replacement="Conditional"), ""),
        (change("Modify", "Q", Replacement="False"), ""),
        (change("Add", "Q"), ""),
        (change("Remove", "A", "AWS::CloudWatch::Alarm"), ""),
    ],
)
def test_what_is_dangerous_comes_first(listed_change: dict[str, object], message: str) -> None:
    changes = propose(make_service(pages={"root": [[listed_change]]}))
    assert changes is not None
    first = " ".join(render_plan(changes).split(NAME + "\n")[0].split())
    assert (message in first) if message else first == ""


def test_what_is_asked_for() -> None:
    cloudformation = make_service()
    propose(cloudformation)
    (request,) = cloudformation.called("create_change_set")
    assert request["ChangeSetType"] == "UPDATE"
    assert request["IncludeNestedStacks"] is True
    assert request["Capabilities"] == ["CAPABILITY_NAMED_IAM"]
    assert request["ClientToken"] == request["ChangeSetName"]
    assert request["Parameters"] == [{"ParameterKey": "A", "ParameterValue": "2"}]
    assert request["Tags"] == [{"Key": "ManagedBy", "Value": "payment-platform"}]


@pytest.mark.parametrize("before", [OLD, NEW])
def test_what_is_not_executed_is_not_left_behind(before: Stack) -> None:
    cloudformation = make_service() if before is OLD else FakeCloudFormation()
    assert propose(cloudformation, before) == StackChanges(NAME, ())
    assert cloudformation.left == []
    assert (NAME in cloudformation.stacks) is (before is OLD)


def test_what_is_executed_is_not_deleted() -> None:
    cloudformation = make_service()
    with create_change_set(cloudformation, OLD, {}, TemplateURL="https://x") as proposal:
        assert proposal is not None
        proposal.execute()
    assert cloudformation.called("delete_change_set") == []


@pytest.mark.parametrize("reason", [NO_CHANGES, "No updates are to be performed."])
def test_no_changes_end_well_and_leave_nothing(reason: str) -> None:
    cloudformation = make_service(failed={"root": reason})
    assert propose(cloudformation) is None
    assert cloudformation.left == []


def test_an_empty_list_of_changes_is_not_taken_for_none() -> None:
    """A change of outputs only has no resource changes."""
    assert propose(make_service()) == StackChanges(NAME, ())


@pytest.mark.parametrize("listed", [True, False])
def test_a_refusal_names_the_nested_reason_and_leaves_nothing(listed: bool) -> None:
    """A failed root lists its changes or not; its reason names the nested set that failed."""
    flow = "arn:aws:cloudformation:r:a:changeSet/flow/1"
    changes = [change("Add", "Data", STACK, ChangeSetId="data"), change("Add", "Workflow", STACK, ChangeSetId=flow)]
    cloudformation = FakeCloudFormation(
        pages={"root": [changes if listed else []]},
        failed={"root": f"Nested change set {flow} was not created", "data": NO_CHANGES, flow: "[X] must exist"},
        slow={flow: 2},
    )
    with pytest.raises(UserError, match=r"refuses the change set: .*: \[X\] must exist"):
        propose(cloudformation, NEW)
    assert cloudformation.left == []


@pytest.mark.parametrize("before", [OLD, NEW])
def test_ctrl_c_while_it_is_being_created_leaves_nothing(before: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudFormation deletes no change set that is being created."""
    cloudformation = make_service(slow={"root": 5}) if before is OLD else FakeCloudFormation(slow={"root": 5})
    pressed: list[float] = []

    def interrupted(seconds: float) -> None:
        pressed.append(seconds)
        if len(pressed) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        propose(cloudformation, before)
    assert cloudformation.left == []


def test_an_answer_that_got_lost_leaves_nothing() -> None:
    cloudformation = FakeCloudFormation(errors={"create_change_set": [error("RequestTimeout")]})
    with pytest.raises(Exception, match="RequestTimeout"):
        propose(cloudformation, NEW)
    assert cloudformation.left == []


def test_a_change_set_that_never_gets_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.deployer.change_set_reader.LONGEST_SECONDS", 0)
    cloudformation = make_service(slow={"root": 10})
    with pytest.raises(UserError, match="not ready"):
        propose(cloudformation)
    assert cloudformation.left == []


def test_a_stack_that_somebody_has_created_meanwhile_is_not_deleted() -> None:
    cloudformation = FakeCloudFormation()
    with create_change_set(cloudformation, NEW, {}, TemplateURL="https://x"):
        cloudformation.stacks[NAME]["StackStatus"] = "CREATE_COMPLETE"
    assert cloudformation.called("delete_stack") == []


@pytest.mark.parametrize("before", [NEW, Stack(NAME, status="REVIEW_IN_PROGRESS")])
def test_a_stack_in_review_with_somebody_elses_plan_is_not_deleted(before: Stack) -> None:
    cloudformation = FakeCloudFormation(others=["theirs"])
    if before.status:
        cloudformation.stacks[NAME] = stack(NAME, "REVIEW_IN_PROGRESS")
    propose(cloudformation, before)
    assert cloudformation.called("delete_stack") == []


def test_what_cannot_be_cleaned_up_is_said() -> None:
    cloudformation = make_service(errors={"delete_change_set": [error("AccessDenied", "no")]})
    with pytest.raises(UserError, match=r"change set deploy-\w+ of payment-platform-dev could not be deleted"):
        propose(cloudformation)


def test_an_execution_whose_answer_got_lost_is_followed_all_the_same() -> None:
    cloudformation = make_service()
    with create_change_set(cloudformation, OLD, {}, TemplateURL="https://x") as proposal:
        assert proposal is not None
        cloudformation._execution = "EXECUTE_IN_PROGRESS"
        cloudformation.errors = {"execute_change_set": [error("RequestTimeout")]}
        proposal.execute()
        assert proposal.is_executed


def test_an_execution_that_was_refused_leaves_nothing() -> None:
    cloudformation = make_service(errors={"execute_change_set": [error("Throttling")]})

    def execute_proposal() -> None:
        with create_change_set(cloudformation, OLD, {}, TemplateURL="https://x") as proposal:
            assert proposal is not None
            proposal.execute()

    with pytest.raises(Exception, match="Throttling"):
        execute_proposal()
    assert cloudformation.left == []


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("ROLLBACK_COMPLETE", "aws cloudformation delete-stack"),
        ("UPDATE_IN_PROGRESS", "another deployment is running"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "another deployment is running"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "another deployment is running"),
        ("UPDATE_ROLLBACK_FAILED", "--continue-rollback"),
        ("DELETE_FAILED", "scripts/destroy.sh dev"),
    ],
)
def test_a_stack_that_cannot_be_changed_says_what_to_do(status: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_ready(Stack(NAME, status=status), "dev")


@pytest.mark.parametrize("status", ["", "REVIEW_IN_PROGRESS", "CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_stack_that_can_be_changed(status: str) -> None:
    check_ready(Stack(NAME, status=status), "dev")


def test_a_stack_that_is_not_there_and_one_that_may_not_be_seen() -> None:
    assert describe_stack(FakeCloudFormation(), NAME) == Stack(NAME)
    hidden = FakeCloudFormation(errors={"describe_stacks": [error("AccessDenied", "no such stack does not exist")]})
    with pytest.raises(Exception, match="AccessDenied"):
        describe_stack(hidden, NAME)


@pytest.mark.parametrize(
    ("before", "template", "parameters", "expected"),
    [
        (OLD, "text", {"A": "1"}, True),
        (OLD, "other", {"A": "1"}, False),
        (OLD, "text", {"A": "2"}, False),
        (NEW, "text", {"A": "1"}, False),
    ],
)
def test_what_is_deployed_already(before: Stack, template: str, parameters: dict[str, str], expected: bool) -> None:
    assert is_deployed(make_service(templates={NAME: "text"}), before, template, parameters) is expected


REASON = "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]."


@pytest.mark.parametrize("denied", [True, False])
def test_cloudformations_own_reason_comes_first(denied: bool) -> None:
    """That the validations could not be read is an addition, and so are they."""
    errors = {"describe_events": [error("AccessDenied", "not you")]} if denied else {}
    cloudformation = make_service(failed={"root": REASON}, errors=errors)
    cloudformation.validations = [
        {"EventType": "VALIDATION_ERROR", "ValidationFailureMode": mode, "ValidationStatusReason": reason}
        for mode, reason in (("WARN", "2,490 of 2,500 tables"), ("FAIL", "payment-dlq-dev exists"))
    ]
    with pytest.raises(UserError) as refused:
        propose(cloudformation)
    first, *additions = str(refused.value).removeprefix("CloudFormation refuses the change set: ").split("; ")
    assert first == f"{NAME}: {REASON.rstrip('.')}"
    if denied:
        assert additions[0].startswith("the early validations could not be read: AWS: An error occurred (AccessDenied)")
    else:
        assert additions == [
            "early validation error: payment-dlq-dev exists",
            "early validation warning: 2,490 of 2,500 tables",
        ]


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (UserError("no change set for you"), "no change set for you; change set deploy-"),
        (error("ExpiredToken", "signed out"), "AWS: An error occurred (ExpiredToken)"),
        (KeyboardInterrupt(), "interrupted; change set deploy-"),
    ],
)
def test_the_first_cause_comes_before_what_could_not_be_cleaned_up(first: BaseException, words: str) -> None:
    cloudformation = make_service(errors={"delete_change_set": [error("AccessDenied", "no")]})

    def raise_first() -> None:
        with create_change_set(cloudformation, OLD, {}, TemplateURL="https://x"):
            raise first

    with pytest.raises(UserError, match=r"could not be deleted: AWS: .*AccessDenied") as stopped:
        raise_first()
    assert str(stopped.value).startswith(words)


def test_a_defect_stays_what_it_is_whatever_could_not_be_cleaned_up() -> None:
    cloudformation = make_service(errors={"delete_change_set": [error("AccessDenied", "no")]})

    def divide_by_zero() -> None:
        with create_change_set(cloudformation, OLD, {}, TemplateURL="https://x"):
            raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours") as raised:
        divide_by_zero()
    assert "could not be deleted" in raised.value.__notes__[0]


def test_an_execution_whose_beginning_cannot_be_read_says_why_first() -> None:
    """The execution's own error comes before that of the question whether it began."""
    cloudformation = make_service()

    def execute_proposal() -> None:
        with create_change_set(cloudformation, OLD, {}, TemplateURL="https://x") as proposal:
            assert proposal is not None
            cloudformation.errors = {
                "execute_change_set": [error("RequestTimeout", "first")],
                "describe_change_set": [error("ExpiredToken", "second")],
            }
            proposal.execute()

    with pytest.raises(UserError) as stopped:
        execute_proposal()
    words = str(stopped.value)
    assert words.index("first") < words.index("whether the deployment began could not be read") < words.index("second")

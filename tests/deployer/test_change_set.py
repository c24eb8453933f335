"""Change sets: their pages, nested sets and refusals, and that none is left behind."""

import io
from contextlib import AbstractContextManager
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from scripts.common import waiting
from scripts.common.errors import StillRunning, UserError
from scripts.deployer.change_set import Proposal, create_change_set
from scripts.deployer.plan.danger import find_dangers
from scripts.deployer.plan.model import KNOWN_AFTER_APPLY, Plan, StackChanges
from scripts.deployer.report import plan_text
from scripts.deployer.stack import Stack, check_ready, describe_stack, is_deployed
from tests.deployer.aws.changes import describe_property, describe_resource, leave_out_values
from tests.deployer.aws.client import make_client
from tests.deployer.aws.cloudformation import NO_CHANGES, CloudFormation
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import STACK, Changes, ChangeSet
from tests.deployer.aws.stacks import Stack as SimulatedStack

NAME, TABLE = "payment-platform-dev", "AWS::DynamoDB::Table"
TEMPLATE_URL = "https://bucket/template"
NEW = Stack(NAME)
OLD = Stack(NAME, status="UPDATE_COMPLETE", id=f"arn:{NAME}", parameters={"A": "1"})


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0)


def make_change(action: str, logical_id: str, kind: str = "AWS::SQS::Queue", *details: Any, **attributes: str) -> Any:
    return describe_resource(action, logical_id, kind, list(details), **attributes)


def make_service(
    changes: Changes | None = None, nested: dict[str, Changes] | None = None, *, before: Stack = OLD, **fields: Any
) -> CloudFormation:
    """Return a service with these changes of the root stack, and these nested change sets by id."""
    aws = CloudFormation(objects={"template": "Resources: {}"}, **fields)
    aws.scripted_answers[""] = lambda _: changes or []
    root = SimulatedStack(NAME, f"arn:{NAME}", before.status)
    if before.status:
        aws.stacks[root.id] = root
    for name, listed in (nested or {}).items():
        stack = SimulatedStack(f"nested-{name}", f"arn:{name}", before.status, name, root=root)
        aws.change_sets[name] = ChangeSet(name, "deploy-1", stack, listed)
    return aws


def propose(aws: CloudFormation, before: Stack = OLD) -> StackChanges | None:
    """Return the changes of a change set that is not executed."""
    with open_change_set(aws, before) as proposal:
        return proposal.changes if proposal else None


def open_change_set(aws: CloudFormation, before: Stack = OLD) -> AbstractContextManager[Proposal | None]:
    return create_change_set(make_client(aws), before, {"A": "2"}, TemplateURL=TEMPLATE_URL)


def execute_change_set(aws: CloudFormation) -> Proposal:
    with open_change_set(aws) as proposal:
        assert proposal is not None
        proposal.execute()
    return proposal


def render_plan(changes: StackChanges | None) -> str:
    assert changes is not None
    console = Console(file=io.StringIO(), width=100)
    plan_text.print_plan(console, Plan(changes))
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]


def test_the_changes_of_all_pages_of_all_nested_change_sets_are_read() -> None:
    aws = make_service(
        [
            make_change("Modify", "Data", STACK, ChangeSetId="data"),
            make_change("Add", "Queue"),
            make_change("Remove", "Old", STACK, ChangeSetId="old"),
        ],
        {
            "data": [
                make_change("Modify", "Table", "AWS::DynamoDB::Table",
                            {"Target": {"Attribute": "Properties", "Name": "KeySchema"}}, Replacement="True"),
                make_change("Modify", "Topic", "AWS::SNS::Topic", *[{"Target": {"Attribute": "Tags"}}] * 2,
                            Replacement="Conditional"),
            ],
            "old": [make_change("Remove", "Gone")],
        },
        slow={"": 2},
        changes_per_page=1,
    )  # fmt: skip
    aws.change_sets["data"].looks = 1
    assert render_plan(propose(aws)) == (
        "! Data/Table (AWS::DynamoDB::Table) is replaced by an empty one: its items will be lost\n"
        "! Old/Gone (AWS::SQS::Queue) is deleted: its messages will be lost\n"
        "Plan: 2 to add, 1 to change, 2 to destroy.\n"
        "payment-platform-dev\n"
        "├── ~ Data AWS::CloudFormation::Stack\n"
        "│   ├── -/+ Table AWS::DynamoDB::Table KeySchema (replaced)\n"
        "│   └── ~ Topic AWS::SNS::Topic Tags (may be replaced)\n"
        "├── + Queue AWS::SQS::Queue\n"
        "└── - Old AWS::CloudFormation::Stack (and everything in it)\n"
        "    └── - Gone AWS::SQS::Queue"
    )


def test_every_changed_property_is_shown_before_and_after() -> None:
    def make_detail(name: str, **target: str) -> dict[str, Any]:
        return {"Target": {"Attribute": "Properties", "Name": name, **target}}

    details = [
        make_detail(
            "Threshold", BeforeValue="5", AfterValue="10", Path="/Properties/Threshold", RequiresRecreation="Never"
        ),
        # CloudFormation lists a second cause of the same change without values.
        make_detail("Threshold"),
        make_detail("AlarmName", BeforeValue="a", AfterValue="b", RequiresRecreation="Always"),
        make_detail("TopicArn", BeforeValue="arn:1", AfterValue=KNOWN_AFTER_APPLY, RequiresRecreation="Conditionally"),
        make_detail("Body", AfterValue="x" * 500),
    ]
    alarm = make_change("Modify", "Alarm", "AWS::CloudWatch::Alarm", *details, Replacement="Conditional")
    assert render_plan(propose(make_service([alarm]))) == (
        "Plan: 0 to add, 1 to change, 0 to destroy.\n"
        "payment-platform-dev\n"
        "└── ~ Alarm AWS::CloudWatch::Alarm (may be replaced)\n"
        "    ├── Threshold: 5 → 10\n"
        "    ├── AlarmName: a → b (forces replacement)\n"
        "    ├── TopicArn: arn:1 → (known after apply) (may force replacement)\n"
        f"    └── Body: (none) →\n          {'x' * 90}\n          {'x' * 30}…\n"
        "--full shows the values that end in … as a whole."
    )


@pytest.mark.parametrize("replacement", ["Conditional", "True"])
def test_a_replacement_in_either_answer_counts(replacement: str) -> None:
    listed = [make_change("Modify", "Ledger", TABLE, describe_property("TableName", "a", "b", "Never", "Static"))]
    stronger = describe_property("TableName", "a", "b", "Always", "Static")
    attributes = {"Replacement": replacement, "PolicyAction": "ReplaceAndDelete"}
    complete = [leave_out_values(make_change("Modify", "Ledger", TABLE, stronger, **attributes))]
    changes = propose(make_service(listed, answers_without_values={"": complete}))
    assert changes is not None
    (change,) = changes.changes
    assert (change.replacement, change.policy_action) == (replacement, "ReplaceAndDelete")
    assert "Always" in {prop.recreation for prop in change.properties}
    assert [danger.loss for danger in find_dangers(changes)] == ["its items"]


@pytest.mark.parametrize("says_what_it_omits", [True, False])
def test_changes_missing_from_the_answer_with_values_are_read_without_values(says_what_it_omits: bool) -> None:
    listed = [make_change("Add", "Queue"), make_change("Add", "Topic")]
    service = make_service(listed, without_values={"Topic"}, changes_per_page=1, says_what_it_omits=says_what_it_omits)
    changes = propose(service)
    assert changes is not None
    assert [item.logical_id for item in changes.changes] == ["Queue", "Topic"]


@pytest.mark.parametrize(
    ("listed_change", "message"),
    [
        (make_change("Remove", "R", TABLE), "is deleted: its items will be lost"),
        (
            make_change("Remove", "R", TABLE, PolicyAction="Retain"),
            "is removed from the stack: it is retained with its data, outside the stack",
        ),
        (make_change("Modify", "R", "AWS::KMS::Key", Replacement="True"), "is replaced by an empty one: whatever"),
        (make_change("Modify", "R", Replacement="Conditional"), "may be replaced by an empty one: its messages"),
        (make_change("Remove", "R", STACK), "is deleted: all that it holds will be lost"),
        (make_change("Dynamic", "R"), "may be replaced by an empty one: its messages"),
        (
            make_change("Remove", "R", "AWS::StepFunctions::StateMachine"),
            "is deleted: its executions, including running ones, will be lost",
        ),
        (make_change("Modify", "R", STACK, Replacement="Conditional"), ""),
        (make_change("Modify", "R", Replacement="False"), ""),
        (make_change("Add", "R"), ""),
        (make_change("Remove", "R", "AWS::CloudWatch::Alarm"), ""),
    ],
)
def test_changes_that_lose_data_are_shown_first(listed_change: dict[str, Any], message: str) -> None:
    first = " ".join(render_plan(propose(make_service([listed_change]))).split("Plan:")[0].split())
    kind = listed_change["ResourceChange"]["ResourceType"]
    assert (f"R ({kind}) {message}" in first) if message else first == ""


def test_a_change_set_is_requested_for_all_nested_stacks_with_the_owner_tag() -> None:
    aws = make_service()
    propose(aws)
    (request,) = aws.find_requests("CreateChangeSet")
    assert request["ChangeSetType"] == "UPDATE"
    assert request["IncludeNestedStacks"] is True
    assert request["Capabilities"] == ["CAPABILITY_NAMED_IAM"]
    assert request["ClientToken"] == request["ChangeSetName"]
    assert request["Parameters"] == [{"ParameterKey": "A", "ParameterValue": "2"}]
    assert request["Tags"] == [{"Key": "ManagedBy", "Value": "payment-platform"}]


@pytest.mark.parametrize("before", [OLD, NEW])
def test_a_change_set_that_is_not_executed_is_deleted(before: Stack) -> None:
    aws = make_service(before=before)
    assert propose(aws, before) == StackChanges(NAME, ())
    assert aws.remaining_names == []
    assert [stack.name for stack in aws.stacks.values()] == [NAME] * (before is OLD)


def test_an_executed_change_set_is_not_deleted() -> None:
    aws = make_service()
    execute_change_set(aws)
    assert aws.find_requests("DeleteChangeSet") == []


@pytest.mark.parametrize("reason", [NO_CHANGES, "No updates are to be performed."])
def test_a_change_set_without_changes_is_no_error_and_is_deleted(reason: str) -> None:
    aws = make_service(refuses={"": reason})
    assert propose(aws) is None
    assert aws.remaining_names == []


def test_an_empty_list_of_changes_is_still_a_change() -> None:
    """A change set that changes only outputs contains no resource changes."""
    assert propose(make_service()) == StackChanges(NAME, ())


@pytest.mark.parametrize("listed", [True, False])
def test_a_refused_change_set_gives_the_nested_reason_and_is_deleted(listed: bool) -> None:
    """The reason names the failed nested set, whether the failed root lists its changes or not."""
    flow = "arn:aws:aws:r:a:changeSet/flow/1"
    changes = [
        make_change("Add", "Data", STACK, ChangeSetId="data"),
        make_change("Add", "Workflow", STACK, ChangeSetId=flow),
    ]
    refusal = {"": f"Nested change set {flow} was not created"}
    aws = make_service(changes, {"data": [], flow: []}, before=NEW, refuses=refusal, lists_refused=listed)
    aws.change_sets["data"].reason = NO_CHANGES
    aws.change_sets[flow].reason = "[X] must exist"
    aws.change_sets[flow].looks = 2
    with pytest.raises(UserError, match=r"refuses the change set: .*: \[X\] must exist"):
        propose(aws, NEW)
    assert aws.remaining_names == []


@pytest.mark.parametrize("before", [OLD, NEW])
def test_ctrl_c_during_the_creation_of_a_change_set_leaves_nothing_behind(
    before: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CloudFormation does not delete a change set during its creation."""
    aws = make_service(before=before, slow={"": 5})
    pressed: list[float] = []

    def interrupted(seconds: float) -> None:
        pressed.append(seconds)
        if len(pressed) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        propose(aws, before)
    assert aws.remaining_names == []


def test_a_change_set_whose_creation_was_not_confirmed_is_deleted() -> None:
    aws = make_service(before=NEW, errors={"CreateChangeSet": [Refused("RequestTimeout", "")]})
    aws.before["CreateChangeSet"] = lambda: aws.create_change_set(**aws.calls[-1][1])
    with pytest.raises(Exception, match="RequestTimeout"):
        propose(aws, NEW)
    assert aws.remaining_names == []


def test_a_change_set_that_is_never_ready_is_given_up_and_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.deployer.change_set_reader.LONGEST_SECONDS", 0)
    aws = make_service(slow={"": 10})
    with pytest.raises(UserError, match="not ready"):
        propose(aws)
    assert aws.remaining_names == []


def test_a_stack_that_somebody_has_created_meanwhile_is_not_deleted() -> None:
    aws = make_service(before=NEW)
    with open_change_set(aws, NEW):
        next(iter(aws.stacks.values())).status = "CREATE_COMPLETE"
    assert aws.find_requests("DeleteStack") == []


@pytest.mark.parametrize("before", [NEW, Stack(NAME, status="REVIEW_IN_PROGRESS")])
def test_a_stack_in_review_with_somebody_elses_plan_is_not_deleted(before: Stack) -> None:
    aws = make_service(before=before)
    with open_change_set(aws, before):
        stack = next(iter(aws.stacks.values()))
        aws.change_sets["theirs"] = ChangeSet("theirs", "theirs", stack, [])
    assert aws.find_requests("DeleteStack") == []


def test_a_change_set_that_cannot_be_deleted_is_named() -> None:
    aws = make_service(errors={"DeleteChangeSet": [Refused("AccessDenied", "no")]})
    with pytest.raises(UserError, match=r"change set deploy-\w+ of payment-platform-dev could not be deleted"):
        propose(aws)


def test_an_execution_that_was_not_confirmed_is_followed_if_it_began() -> None:
    aws = make_service(errors={"ExecuteChangeSet": [Refused("RequestTimeout", "")]})

    def start_execution() -> None:
        (change_set,) = aws.change_sets.values()
        change_set.execution = "EXECUTE_IN_PROGRESS"

    aws.before["ExecuteChangeSet"] = start_execution
    assert execute_change_set(aws).is_executed


def test_a_change_set_whose_execution_was_refused_is_deleted() -> None:
    aws = make_service(errors={"ExecuteChangeSet": [Refused("Throttling", "")]})
    with pytest.raises(Exception, match="Throttling"):
        execute_change_set(aws)
    assert aws.remaining_names == []


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("ROLLBACK_COMPLETE", "delete the stack: aws cloudformation delete-stack"),
        ("UPDATE_IN_PROGRESS", "another deployment is running"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "another deployment has updated it"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "a deployment is being rolled back"),
        ("UPDATE_ROLLBACK_FAILED", "scripts/deploy.sh continue-rollback dev"),
        ("DELETE_FAILED", "scripts/destroy.sh dev"),
    ],
)
def test_a_stack_that_cannot_be_changed_says_what_to_do(status: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_ready(Stack(NAME, status=status), "dev")


@pytest.mark.parametrize("status", ["", "REVIEW_IN_PROGRESS", "CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_stack_in_a_stable_status_is_ready(status: str) -> None:
    check_ready(Stack(NAME, status=status), "dev")


def test_a_missing_stack_is_described_and_a_denied_request_raises() -> None:
    assert describe_stack(make_client(CloudFormation()), NAME) == Stack(NAME)
    hidden = CloudFormation(errors={"DescribeStacks": [Refused("AccessDenied", "no such stack does not exist")]})
    with pytest.raises(Exception, match="AccessDenied"):
        describe_stack(make_client(hidden), NAME)


@pytest.mark.parametrize(
    ("before", "template", "parameters", "expected"),
    [
        (OLD, "text", {"A": "1"}, True),
        (OLD, "other", {"A": "1"}, False),
        (OLD, "text", {"A": "2"}, False),
        (NEW, "text", {"A": "1"}, False),
    ],
)
def test_the_same_template_and_parameters_are_deployed_already(
    before: Stack, template: str, parameters: dict[str, str], expected: bool
) -> None:
    aws = CloudFormation(stacks={OLD.id: SimulatedStack(NAME, OLD.id, OLD.status, text="text")})
    assert is_deployed(make_client(aws), before, template, parameters) is expected


REASON = "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]."


def test_a_service_without_validations_and_hooks_has_no_notices() -> None:
    unknown = Refused("InvalidAction", "an older service")
    aws = make_service(errors={"DescribeEvents": [unknown], "DescribeChangeSetHooks": [unknown]})
    with open_change_set(aws) as proposal:
        assert proposal is not None
        assert proposal.notices == ()


@pytest.mark.parametrize("denied", [True, False])
def test_cloudformations_own_reason_comes_first(denied: bool) -> None:
    """The validations, or the error of reading them, follow the reason."""
    errors = {"DescribeEvents": [Refused("AccessDenied", "not you")]} if denied else {}
    aws = make_service(refuses={"": REASON}, errors=errors)
    aws.validations = [
        {"EventType": "VALIDATION_ERROR", "ValidationFailureMode": mode, "ValidationStatusReason": reason}
        for mode, reason in (("WARN", "2,490 of 2,500 tables"), ("FAIL", "payment-dlq-dev exists"))
    ]
    with pytest.raises(UserError) as refused:
        propose(aws)
    first, *additions = str(refused.value).removeprefix("CloudFormation refuses the change set: ").split("; ")
    assert first == f"{NAME}: {REASON.rstrip('.')}"
    if denied:
        assert additions[0].startswith("the early validations could not be read: not authorized: DescribeEvents")
    else:
        assert additions == [
            "early validation error: payment-dlq-dev exists",
            "early validation warning: 2,490 of 2,500 tables",
        ]


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (UserError("no change set for you"), "no change set for you; change set deploy-"),
        (
            ClientError({"Error": {"Code": "ExpiredToken", "Message": "signed out"}}, "CreateChangeSet"),
            "AWS: An error occurred (ExpiredToken)",
        ),
        (KeyboardInterrupt(), "interrupted; change set deploy-"),
    ],
)
def test_the_original_error_comes_before_the_failed_cleanup(first: BaseException, words: str) -> None:
    aws = make_service(errors={"DeleteChangeSet": [Refused("AccessDenied", "no")]})

    def raise_first() -> None:
        with open_change_set(aws):
            raise first

    with pytest.raises(UserError, match="could not be deleted: not authorized: DeleteChangeSet") as stopped:
        raise_first()
    assert str(stopped.value).startswith(words)


def test_an_unexpected_exception_keeps_its_type_if_the_cleanup_fails() -> None:
    aws = make_service(errors={"DeleteChangeSet": [Refused("AccessDenied", "no")]})

    def divide_by_zero() -> None:
        with open_change_set(aws):
            raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours") as raised:
        divide_by_zero()
    assert "could not be deleted" in raised.value.__notes__[0]


def test_the_error_of_an_execution_comes_before_that_of_reading_its_status() -> None:
    """The error of the execution comes before the error of reading whether it began."""
    errors = {"ExecuteChangeSet": [Refused("RequestTimeout", "first")]}
    aws = make_service(errors=errors)
    expire = lambda: aws.errors.update(DescribeChangeSet=[Refused("ExpiredToken", "second")])  # noqa: E731
    aws.before["ExecuteChangeSet"] = expire
    with pytest.raises(UserError) as stopped:
        execute_change_set(aws)
    words = str(stopped.value)
    assert words.index("first") < words.index("whether the deployment began could not be read") < words.index("second")


class Interrupted:
    """A client whose request is interrupted, and so is the question whether it has arrived."""

    def execute_change_set(self, **_: object) -> None:
        raise KeyboardInterrupt

    def describe_change_set(self, **_: object) -> None:
        raise KeyboardInterrupt


def test_a_second_interrupt_leaves_open_whether_the_deployment_began() -> None:
    proposal = Proposal(cast("Any", Interrupted()), "stack", "change-set", StackChanges(NAME))
    with pytest.raises(StillRunning, match="interrupted; whether the deployment began could not be read: interrupted"):
        proposal.execute()
    # Nobody may delete it.
    assert proposal.is_executed

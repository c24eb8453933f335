"""--revert-drift: what was changed or deleted outside CloudFormation is shown three-way, confirmed and reverted."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scripts.deployer.drift import describe_drift
from scripts.deployer.plan.danger import find_dangers
from scripts.deployer.plan.model import (
    KNOWN_AFTER_APPLY,
    Change,
    Plan,
    PropertyChange,
    StackChanges,
    StatementChange,
    count_changes,
)
from scripts.deployer.plan.serialization import plan_from_json, to_json
from scripts.deployer.plan.spurious import fill_nested_stacks, mark_spurious
from scripts.deployer.report.plan_text import print_plan
from scripts.deployer.stack import Stack, StackTree
from tests.deployer.aws.changes import describe_property, describe_resource, show_value
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import Stack as SimulatedStack
from tests.deployer.conftest import Command, add_bootstrap_stack, add_platform, assert_golden
from tests.deployer.releases import edit_harmlessly
from tests.deployer.test_change_set import make_service, propose, render_plan

# Each takes several deployments.
pytestmark = pytest.mark.nightly

STACK, QUEUE, TABLE = "AWS::CloudFormation::Stack", "AWS::SQS::Queue", "AWS::DynamoDB::Table"
LOGS = "Compute/ProcessingLogs"
RULES = "/Properties/LifecycleConfiguration/Rules"


def change_by_hand(aws: Service, stack: SimulatedStack) -> None:
    """Raise a retention period, widen a policy, and delete a queue of the platform."""
    security = stack.nested["Security"]
    policy = show_value(security.resources["ValidationPolicy"]["Properties"]["PolicyDocument"], security)
    aws.actual.properties |= {
        LOGS: {"RetentionInDays": "3653"},
        "Security/ValidationPolicy": {"PolicyDocument": policy.replace("dynamodb:PutItem", "dynamodb:*", 1)},
    }
    aws.delete_by_hand(stack, "Data/UndeliveredNotices")


def test_the_plan_shows_what_was_changed_by_hand_three_way(command: Command, aws: Service) -> None:
    """One alarm already has the value of the new template."""
    stack = add_platform(aws, edit_harmlessly)
    change_by_hand(aws, stack)
    aws.actual.properties["Monitoring/WorkflowFailuresAlarm"] = {"EvaluationPeriods": "1"}
    aws.actual.ignored = {LOGS: {"KmsKeyId": "MANAGED_BY_AWS"}}
    assert_golden("plan_revert_drift.txt", command("plan", "dev", "--revert-drift", code=2).stdout)
    assert_golden("plan_revert_drift_80.txt", command.run_on_terminal("plan", "dev", "--revert-drift", columns=80).text)
    assert_golden("plan_revert_drift.md", command("dev", "--plan", "--revert-drift", "--markdown", code=2).stdout)
    assert {request["DeploymentMode"] for request in aws.find_requests("CreateChangeSet")} == {"REVERT_DRIFT"}
    assert aws.find_requests("ExecuteChangeSet") == []


def test_drift_is_reverted_without_a_change_of_the_templates(command: Command, aws: Service) -> None:
    stack = add_platform(aws)
    change_by_hand(aws, stack)
    assert command("plan", "dev", code=0).stdout == "payment-platform-dev: no changes\n"
    refused = command("deploy", "dev", "--revert-drift", "--yes", code=1)
    assert "add --destroys UndeliveredNotices --destroys ProcessingLogs" in refused.stderr
    confirmed = ("--destroys", "UndeliveredNotices", "--destroys", "ProcessingLogs")
    result = command("dev", "--revert-drift", "--yes", *confirmed, code=0)
    assert "! Data/UndeliveredNotices (AWS::SQS::Queue) was deleted outside CloudFormation and is created again, " in (
        result.stdout
    )
    assert (aws.actual.properties, aws.actual.deleted) == ({}, set())
    assert aws.holdings.holds(QUEUE, "sqs-notification-dlq-dev")
    unchanged = command("plan", "dev", "--revert-drift", code=0)
    assert unchanged.stdout.splitlines()[-1] == "payment-platform-dev: no changes"
    assert aws.remaining_names == []


def test_a_deployment_that_fails_restores_the_drift(command: Command, aws: Service) -> None:
    stack = add_platform(aws)
    change_by_hand(aws, stack)
    aws.fails = {LOGS: "Resource handler returned message: no"}
    confirmed = ("--destroys", "UndeliveredNotices", "--destroys", "ProcessingLogs")
    assert command("dev", "--revert-drift", "--yes", *confirmed).code == 1
    assert aws.actual.properties[LOGS] == {"RetentionInDays": "3653"}


def test_without_drift_nothing_is_deployed_but_what_is_missing_is_completed(command: Command, aws: Service) -> None:
    stack = add_platform(aws)
    stack.nested["Data"].drift = "DRIFTED"
    result = command("dev", "--revert-drift", "--yes", code=0)
    assert (
        "Warning Data had drifted when drift was last detected, but CloudFormation lists nothing to revert there; "
        "detect it again: scripts/status.sh dev --drift\n"
    ) in result.stdout
    assert result.stdout.endswith("payment-platform-dev: no changes; nothing was done\n")
    assert aws.find_requests("ExecuteChangeSet") == []
    assert (command.folder / "deployed" / "dev.json").exists()


def test_a_saved_plan_reverts_exactly_what_it_shows(command: Command, aws: Service, tmp_path: Path) -> None:
    stack = add_platform(aws)
    change_by_hand(aws, stack)
    planned = command("plan", "dev", "--revert-drift", "--out", "plan.json", "--json", code=2)
    (record,) = [record for record in planned.read_records() if record["type"] == "plan"]
    saved = json.loads((tmp_path / "plan.json").read_text())
    planned_notices = [*saved["platform"]["remarks"], *saved["platform"]["plan"]["notices"]]
    assert saved["platform"]["plan"] | {"notices": planned_notices} == record["plan"]
    assert record["plan"]["stack"]["drift"] == "IN_SYNC"
    (compute,) = [item for item in record["plan"]["stack"]["changes"] if item["logical_id"] == "Compute"]
    (logs,) = [item for item in compute["nested"]["changes"] if item["logical_id"] == "ProcessingLogs"]
    assert (compute["nested"]["drift"], logs["drift"]) == ("DRIFTED", "MODIFIED")
    assert [item for item in logs["properties"] if item["drifted"]] == [
        {
            "name": "RetentionInDays",
            "before": "3653",
            "after": "1",
            "recreation": "Never",
            "drifted": True,
            "deployed": "1",
            "condition": "",
        }
    ]
    assert [danger["path"] for danger in record["dangers"]] == ["Data/UndeliveredNotices", LOGS]
    confirmed = ("--destroys", "UndeliveredNotices", "--destroys", "ProcessingLogs")
    applied = command("apply", "dev", "plan.json", "--yes", *confirmed, code=0)
    assert "RetentionInDays: deployed 1 → real 3653 → template 1" in applied.stdout
    assert len(aws.find_requests("CreateChangeSet")) == 1
    assert (aws.actual.properties, aws.actual.deleted) == ({}, set())


@pytest.mark.parametrize("edit", [None, edit_harmlessly])
def test_a_service_that_does_not_know_the_mode_is_refused(command: Command, aws: Service, edit: Any) -> None:
    """An ordinary change set would deploy, or report no changes, and leave the drift as it is."""
    add_platform(aws, edit)
    aws.actual.knows_deployment_mode = False
    refused = command("dev", "--revert-drift", "--yes", code=1)
    assert refused.stderr == (
        "deploy: --revert-drift: this CloudFormation does not compare with actual resources (its change set has no "
        "DeploymentMode REVERT_DRIFT); nothing was changed; deploy without --revert-drift\n"
    )
    assert (aws.find_requests("ExecuteChangeSet"), aws.remaining_names) == ([], [])


def test_a_refusal_of_nested_stacks_names_the_option(command: Command, aws: Service) -> None:
    """AWS does not document whether a change set of nested stacks may be drift-aware."""
    add_platform(aws)
    aws.errors["CreateChangeSet"] = [Refused("ValidationError", "DeploymentMode cannot be used with nested stacks")]
    refused = command("dev", "--revert-drift", "--yes", code=1)
    assert refused.stderr.startswith(
        "deploy: --revert-drift: CloudFormation refuses a drift-aware change set of payment-platform-dev and its "
        "nested stacks: "
    )
    assert "DeploymentMode cannot be used with nested stacks; deploy without it, and revert by hand" in refused.stderr
    (request,) = aws.find_requests("CreateChangeSet")
    assert (request["DeploymentMode"], request["IncludeNestedStacks"]) == ("REVERT_DRIFT", True)
    assert aws.remaining_names == []


def test_a_nested_stack_that_is_not_compared_is_named(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.actual.compares_nested = False
    output = command("plan", "dev", "--revert-drift", code=2).stdout
    assert "! Data was not compared with its actual resources: its drift is neither shown nor reverted\n" in output


def test_a_new_environment_has_nothing_to_revert(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    assert command("dev", "--revert-drift", "--yes", code=1).stderr == (
        "deploy: --revert-drift: payment-platform-dev does not exist yet, so nothing can have drifted; deploy without "
        "it: scripts/deploy.sh dev\n"
    )
    assert aws.find_requests("CreateChangeSet") == []


def drift(before: str | None, actual: str | None, after: str | None, **target: Any) -> dict[str, Any]:
    """Return a detail in which the service calls the value of the last deployment the one before."""
    detail = describe_property("Value", "", "", "Never", "Static")
    values = {"BeforeValue": before, "AfterValue": after}
    drifted = {key: text for key, text in {"PreviousValue": before, "ActualValue": actual}.items() if text is not None}
    kept = {key: value for key, value in detail["Target"].items() if key not in values}
    detail["Target"] = {
        **kept,
        **{key: text for key, text in values.items() if text is not None},
        "BeforeValueFrom": "PREVIOUS_DEPLOYMENT_STATE",
        "Drift": drifted,
        **target,
    }
    return detail


def read_properties(detail: dict[str, Any]) -> tuple[PropertyChange, ...]:
    changes = propose(make_service([describe_resource("Modify", "R", QUEUE, [detail], ResourceDriftStatus="MODIFIED")]))
    assert changes is not None
    return changes.changes[0].properties


def test_the_value_before_is_the_actual_one() -> None:
    assert read_properties(drift("1", "2", "3")) == (PropertyChange("Value", "2", "3", is_drifted=True, deployed="1"),)
    assert read_properties(drift("1", None, "1")) == (
        PropertyChange("Value", None, "1", is_drifted=True, deployed="1"),
    )
    assert read_properties(drift(None, "2", None)) == (PropertyChange("Value", "2", None, is_drifted=True),)
    assert read_properties(drift("1", "1", "2")) == (PropertyChange("Value", "1", "2", deployed="1"),)


def test_only_the_parts_of_a_document_that_drifted_are_three_way() -> None:
    deployed, actual, template = '{"A": 1, "B": {"C": [1]}}', '{"A": 1, "B": {"C": [9]}}', '{"A": 2, "B": {"C": [1]}}'
    assert read_properties(drift(deployed, actual, template)) == (
        PropertyChange("Value/A", "1", "2"),
        PropertyChange("Value/B/C/0", "9", "1", is_drifted=True, deployed="1"),
    )
    # A part that somebody added, and a document that was cut by the service.
    assert read_properties(drift("{}", '{"A": 1}', "{}")) == (
        PropertyChange("Value/A", "1", None, is_drifted=True, deployed=None),
    )
    (whole,) = read_properties(drift('{"A": 1', '{"A": 2}', '{"A": 1}'))
    assert (whole.name, whole.is_drifted) == ("Value", True)


def test_each_drift_status_is_shown_with_its_change() -> None:
    statuses = {"Modified": "MODIFIED", "Unknown": "UNKNOWN", "Unsupported": "UNSUPPORTED", "Same": "IN_SYNC"}
    changes: list[Any] = [
        describe_resource("Modify", name, QUEUE, [], ResourceDriftStatus=status) for name, status in statuses.items()
    ]
    ignored = [{"Path": "/Properties/Password", "Reason": "WRITE_ONLY_PROPERTY"}]
    changes[0]["ResourceChange"]["ResourceDriftIgnoredAttributes"] = ignored
    detail = drift("1", "2", "2", AttributeChangeType="SyncWithActual")
    changes.append(describe_resource("SyncWithActual", "Synced", QUEUE, [detail], ResourceDriftStatus="MODIFIED"))
    assert render_plan(propose(make_service(changes))) == (
        "Plan: 0 to add, 4 to change, 0 to destroy, 1 to record as they are. 1 change reverts what was done "
        "outside CloudFormation.\n"
        "payment-platform-dev\n"
        "├── ~ Modified AWS::SQS::Queue (changed outside CloudFormation)\n"
        "│   └── drift is left as it is: Password (WRITE_ONLY_PROPERTY)\n"
        "├── ~ Unknown AWS::SQS::Queue (its actual state is not known)\n"
        "├── ~ Unsupported AWS::SQS::Queue (its actual state cannot be compared)\n"
        "├── ~ Same AWS::SQS::Queue\n"
        "└── = Synced AWS::SQS::Queue (already so: CloudFormation only records it)\n"
        "    └── Value: deployed 1 → real 2 = template 2"
    )


UNKNOWN = PropertyChange("QueueName", "a", KNOWN_AFTER_APPLY)


@pytest.mark.parametrize(
    ("change", "is_spurious"),
    [
        (Change("Modify", "R", QUEUE, properties=(UNKNOWN,)), True),
        (Change("Modify", "R", QUEUE, properties=(UNKNOWN,), drift="IN_SYNC"), True),
        (Change("Modify", "R", QUEUE, properties=(UNKNOWN,), drift="MODIFIED"), False),
        (Change("Modify", "R", QUEUE, properties=(UNKNOWN,), drift="UNKNOWN"), False),
        (
            Change("Modify", "R", QUEUE, properties=(PropertyChange("A", "1", KNOWN_AFTER_APPLY, is_drifted=True),)),
            False,
        ),
        (Change("SyncWithActual", "R", QUEUE, properties=(UNKNOWN,), drift="MODIFIED"), False),
    ],
)
def test_a_drifted_resource_is_not_spurious_because_templates_are_equal(change: Change, is_spurious: bool) -> None:
    nested = StackChanges("Data", (change,))
    service = StackChanges("root", (change, Change("Modify", "Data", STACK, nested=nested)))
    same = StackChanges("root", unchanged=("Data",))
    marked = mark_spurious(service, same)
    assert [item.is_spurious for _, item in marked.walk()] == [is_spurious] * 3
    # The nested stack itself may have drifted, such as its tags.
    drifted = Change("Modify", "Data", STACK, drift="MODIFIED")
    (filled,) = fill_nested_stacks(StackChanges("root", (drifted,)), same)[0].changes
    assert not filled.is_spurious


def test_of_a_drifted_resource_the_unknown_properties_that_do_not_change_are_left_out() -> None:
    by_hand = PropertyChange("Delay", "9", "1", is_drifted=True, deployed="1")
    change = Change("Modify", "R", QUEUE, properties=(UNKNOWN, by_hand), drift="MODIFIED")
    (marked,) = mark_spurious(StackChanges("root", (change,)), StackChanges("root")).changes
    assert marked.properties == (by_hand,)


def test_a_resource_that_comes_back_empty_is_a_danger() -> None:
    deleted = (
        Change("Add", "Table", TABLE, drift="DELETED"),
        Change("Add", "Alarm", "AWS::CloudWatch::Alarm", drift="DELETED"),
        # The template removes what is gone already.
        Change("Remove", "Queue", QUEUE, drift="DELETED"),
        Change("Add", "Data", STACK, drift="DELETED", nested=StackChanges("Data", (Change("Add", "T", TABLE),))),
    )
    again = "was deleted outside CloudFormation and is created again, empty"
    assert [str(danger) for danger in find_dangers(StackChanges("root", deleted))] == [
        f"Table (AWS::DynamoDB::Table) {again}: its items will not come back",
        f"Data (AWS::CloudFormation::Stack) {again}: all that it holds will not come back",
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_drift_in_one_of_two_details_of_a_property_is_read(order: int) -> None:
    """One detail is of the parameter that changes, without a value or with one, and the other of the drift."""
    for values in ({}, {"BeforeValue": "30", "AfterValue": "30"}):
        target = {"Attribute": "Properties", "Name": "RetentionInDays", "Path": "/Properties/RetentionInDays"}
        by_parameter = {"Target": {**target, **values}, "ChangeSource": "ParameterReference"}
        by_hand = drift("30", "3653", "30", Name="RetentionInDays", Path="/Properties/RetentionInDays")
        details = [by_parameter, by_hand][::order]
        log = describe_resource("Modify", "Log", "AWS::Logs::LogGroup", details, ResourceDriftStatus="MODIFIED")
        changes = propose(make_service([log]))
        assert changes is not None
        (prop,) = changes.changes[0].properties
        assert (prop.before, prop.after, prop.deployed, prop.is_drifted) == ("3653", "30", "30", True)
        assert [danger.effect for danger in find_dangers(changes)] == ["has a shorter retention period"]


@pytest.mark.parametrize(
    ("actual", "is_lost"), [("Disabled", True), ("Enabled", False)], ids=["switched off by hand", "as it is"]
)
def test_an_expiry_that_was_switched_off_by_hand_deletes_when_it_is_reverted(actual: str, is_lost: bool) -> None:
    def write_rules(status: str) -> str:
        return json.dumps({"Rules": [{"Id": "a", "Status": status, "ExpirationInDays": 1}]})

    whole = drift(
        write_rules("Enabled"),
        write_rules(actual),
        write_rules("Enabled"),
        Name="LifecycleConfiguration",
        Path="/Properties/LifecycleConfiguration",
    )
    part = drift("Enabled", actual, "Enabled", Name="LifecycleConfiguration", Path=f"{RULES}/0/Status")
    for detail in (whole, part):
        bucket = describe_resource("Modify", "B", "AWS::S3::Bucket", [detail], ResourceDriftStatus="MODIFIED")
        changes = propose(make_service([bucket]))
        assert changes is not None
        assert [danger.effect for danger in find_dangers(changes)] == ["deletes what expires"] * is_lost


def test_a_raised_retention_that_is_reverted_is_a_loss() -> None:
    prop = PropertyChange("MessageRetentionPeriod", "1209600", "86400", is_drifted=True, deployed="86400")
    changed = Change("Modify", "Queue", QUEUE, properties=(prop,), drift="MODIFIED")
    (danger,) = find_dangers(StackChanges("root", (changed,)))
    assert str(danger) == "Queue (AWS::SQS::Queue) has a shorter retention period: older data will be lost"
    recorded = Change("SyncWithActual", "Queue", QUEUE, properties=(prop,), drift="MODIFIED")
    assert find_dangers(StackChanges("root", (recorded,))) == []
    assert str(count_changes(StackChanges("root", (recorded,)))) == (
        "Plan: 0 to add, 0 to change, 0 to destroy, 1 to record as they are."
    )


def test_the_notices_name_unknown_stacks_and_reverted_rights() -> None:
    policy = PropertyChange("PolicyDocument/Statement/0/Action", "*", "s3:Get*", is_drifted=True, deployed="s3:Get*")
    attached = PropertyChange("ManagedPolicyArns", '["a"]', "[]", is_drifted=True, deployed="[]")
    caller = PropertyChange("Principal", "evil", "good", is_drifted=True, deployed="good")
    tag = PropertyChange("Tags", "a", "b", is_drifted=True, deployed="b")
    changes = StackChanges(
        "root",
        (
            Change("Modify", "Role", "AWS::IAM::Role", properties=(policy, attached, tag), drift="MODIFIED"),
            Change("Modify", "May", "AWS::Lambda::Permission", properties=(caller,), drift="MODIFIED"),
            Change("Modify", "Data", STACK, nested=StackChanges("Data", drift="UNKNOWN")),
            Change("Modify", "Compute", STACK, nested=StackChanges("Compute")),
            Change("Add", "New", STACK, nested=StackChanges("New")),
        ),
        drift="DRIFTED",
    )
    tree = StackTree(Stack("root", drift="DRIFTED"))
    shown = "its changes show that, and the table of policy changes compares templates only"
    assert describe_drift(changes, tree, "dev") == (
        "CloudFormation could not determine whether Data has drifted",
        "Compute was not compared with its actual resources: its drift is neither shown nor reverted",
        f"Role: what it grants was changed outside CloudFormation (PolicyDocument, ManagedPolicyArns); {shown}",
        f"May: what it grants was changed outside CloudFormation (Principal); {shown}",
    )
    assert describe_drift(StackChanges("root"), tree, "dev") == ()


def test_a_drifted_policy_is_shown_even_where_statements_are() -> None:
    """The rows compare templates, and the actual policy may grant something else."""
    prop = PropertyChange("PolicyDocument/Statement/0/Action", "*", "s3:Get*", is_drifted=True, deployed="s3:Put*")
    stack = StackChanges("root", (Change("Modify", "P", "AWS::IAM::Policy", properties=(prop,), drift="MODIFIED"),))
    statement = StatementChange(True, "P", "policy", "Allow", ("s3:Get*",), "*")
    plan = plan_from_json(to_json(Plan(stack, (statement,))))
    stream = io.StringIO()
    print_plan(Console(file=stream, width=200), plan)
    assert "PolicyDocument/Statement/0/Action: deployed s3:Put* → real * → template s3:Get*" in stream.getvalue()

"""Deployments, from the plan to the end, and out of whatever may go wrong on the way."""

import json
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.cloudformation import Refused
from tests.deployer.conftest import (
    BUCKET,
    OWNER_TAGS,
    Command,
    add_bootstrap_stack,
    add_platform,
    assert_golden,
    interrupt_when,
)
from tests.deployer.test_plan import SCHEMA, with_loss
from tests.stacks.test_deployers import EVERYTHING, statements

LOST = ("--destroys", "PaymentLedger", "--destroys", "AuditTrail")


def earlier(name: str, text: str) -> str:
    """An earlier release, of which nothing is lost: six alarms waited longer, the queue kept messages for less."""
    text = text.replace("MessageRetentionPeriod: 1209600", "MessageRetentionPeriod: 86400")
    return text.replace("EvaluationPeriods: 1", "EvaluationPeriods: 2", 6) if name == "monitoring.yaml" else text


def test_a_first_deployment(command: Command, aws: Service) -> None:
    result = command("dev", "--yes")
    assert result.code == 0, result
    assert_golden("first_deployment.txt", result.stdout)
    assert aws.left == []
    (platform,) = [stack for stack in aws.stacks.values() if stack.name == "payment-platform-dev"]
    assert platform.tags == OWNER_TAGS
    # The files are the environment's own, beside the bootstrap's template, and none of them is about to expire.
    (bootstrap,) = [key for key in aws.objects if not key.startswith(f"{BUCKET}/payment-platform/dev/")]
    assert bootstrap.startswith(f"{BUCKET}/payment-platform/bootstrap/")
    assert aws.retired == set()


def test_nothing_to_do_writes_nothing(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path)
    result = command("dev", "--yes")
    assert (result.code, result.stdout.splitlines()[-1]) == (0, "payment-platform-dev: no changes; nothing was done")
    assert aws.writes() == []
    # Another machine has deployed it: from now on this one can compare with it offline.
    assert command("dev", "--plan", "--offline").code == 0


def test_an_update_watches_our_alarms(command: Command, aws: Service, tmp_path: Path, settings_file: Any) -> None:
    add_platform(aws, tmp_path, earlier)
    aws.alarms["alarm-payment-duration-dev"] = "ALARM"
    del aws.alarms["alarm-lambda-validation-errors-dev"]
    settings_file("dev")
    result = command("dev", "--yes")
    assert result.code == 0, result
    (asked,) = aws.asked("CreateChangeSet")
    watched = [one["Arn"].rsplit(":", 1)[-1] for one in asked["RollbackConfiguration"]["RollbackTriggers"]]
    assert watched == [
        "alarm-sfn-failures-dev",
        "alarm-lambda-processing-errors-dev",
        "alarm-lambda-processing-throttles-dev",
    ]
    assert (
        "! alarm-payment-duration-dev is not a rollback trigger for this deployment: it is already in ALARM\n"
        in result.stdout
    )
    assert (
        "! alarm-lambda-validation-errors-dev is not a rollback trigger for this deployment: the alarm does not exist"
        in result.stdout
    )
    assert result.stdout.endswith("payment-platform-dev: deployed\n")


def test_an_alarm_that_rings_is_the_cause(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, earlier)
    aws.rings = "alarm-sfn-failures-dev"
    result = command("dev", "--yes")
    assert result.code == 1
    assert "Rollback triggered by alarm: alarm-sfn-failures-dev" in result.stderr
    assert aws.left == []


def test_a_failure_names_the_first_cause_and_its_line(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, earlier)
    aws.fails = {"Data/DeadLetters": "Resource handler returned message: MessageRetentionPeriod is not yours to set"}
    result = command("dev", "--yes")
    assert result.code == 1
    assert_golden("failed_update.txt", result.stdout)
    assert result.stderr == (
        "deploy: payment-platform-dev ended UPDATE_ROLLBACK_COMPLETE: Data/DeadLetters (AWS::SQS::Queue): "
        "Resource handler returned message: MessageRetentionPeriod is not yours to set\n"
    )
    assert aws.left == []


def test_a_failure_for_programs(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, earlier)
    aws.fails = {"Data/DeadLetters": "no"}
    result = command("dev", "--yes", "--json")
    assert result.code == 1
    records = [json.loads(line) for line in result.stdout.splitlines()]
    for record in records:
        jsonschema.validate(record, SCHEMA)
    assert {record["type"] for record in records} == {"step", "preflight", "plan", "event", "failure"}
    assert records[-1]["cause"]["path"] == "Data/DeadLetters"
    assert records[-1]["declared"]["source"].startswith("stacks/data/stack.py:")


def test_a_failed_creation_of_ours_is_cleared_away_by_the_next(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    aws.fails = {"Security/SnsKey": "Policy contains a statement with one or more invalid principals"}
    result = command("dev", "--yes")
    assert (result.code, "ROLLBACK_COMPLETE" in result.stderr) == (1, True)
    assert "next: fix the cause, then run scripts/deploy.sh dev, which first deletes the remains\n" in result.stdout
    aws.fails = {}
    result = command("dev", "--yes")
    assert result.code == 0, result
    assert "Deleting payment-platform-dev, left over from a failed creation\n" in result.stdout


def test_a_failed_creation_of_somebody_else_is_left_alone(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, status="ROLLBACK_COMPLETE", tags=[])
    result = command("dev", "--yes")
    assert (result.code, aws.writes()) == (1, [])
    assert "exists but does not have the tag ManagedBy=payment-platform, so it is not touched" in result.stderr


def test_a_stack_that_is_not_ours_is_left_alone_until_it_is_adopted(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    stack = add_platform(aws, tmp_path, earlier, tags=[])
    result = command("dev", "--yes")
    assert (result.code, aws.writes()) == (1, [])
    assert result.stderr.endswith("if it is this platform, deployed by another tool, add --adopt\n")
    assert command("dev", "--yes", "--adopt").code == 0
    assert stack.tags == OWNER_TAGS


def test_a_busy_stack_is_refused_or_waited_for(command: Command, aws: Service, tmp_path: Path) -> None:
    stack = add_platform(aws, tmp_path, earlier, status="UPDATE_IN_PROGRESS")
    result = command("dev", "--yes")
    assert (result.code, aws.writes()) == (1, [])
    assert result.stderr == (
        "deploy: payment-platform-dev is UPDATE_IN_PROGRESS: another deployment is running; wait for it with --wait, "
        "or watch it: scripts/deploy.sh dev --follow\n"
    )

    def ends_some_time() -> None:
        if len(aws.asked("DescribeStacks")) > 8:
            stack.status = "UPDATE_COMPLETE"
            del aws.before["DescribeStacks"]

    aws.before = {"DescribeStacks": ends_some_time}
    result = command("dev", "--yes", "--wait")
    assert result.code == 0, result
    assert "Waiting until payment-platform-dev is no longer UPDATE_IN_PROGRESS\n" in result.stdout


def test_a_rollback_that_got_stuck_is_continued(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, earlier)
    aws.fails = {"Monitoring/ProcessingErrorsAlarm": "no such metric"}
    aws.stuck = {"Data/DeadLetters": "The specified queue does not exist"}
    result = command("dev", "--yes")
    assert (result.code, "ended UPDATE_ROLLBACK_FAILED" in result.stderr) == (1, True)
    assert "--continue-rollback --skip Data/DeadLetters\n" in result.stdout
    aws.fails = {}
    refused = command("dev", "--yes")
    assert refused.stderr.endswith("fix what its events report, then: scripts/deploy.sh dev --continue-rollback\n")
    again = command("dev", "--continue-rollback")
    assert (again.code, "ended UPDATE_ROLLBACK_FAILED" in again.stderr) == (1, True)
    wrong = command("dev", "--continue-rollback", "--skip", "Nowhere/Table")
    assert "--skip Nowhere/Table: no such nested stack; the nested stacks are Security, Data, Compute" in wrong.stderr
    skipped = command("dev", "--continue-rollback", "--skip", "Data/DeadLetters")
    assert skipped.code == 0, skipped
    assert aws.asked("ContinueUpdateRollback")[-1]["ResourcesToSkip"] == ["payment-platform-dev-Data-1A2B.DeadLetters"]
    assert skipped.stdout.endswith("payment-platform-dev: ended UPDATE_ROLLBACK_COMPLETE\n")


def test_ctrl_c_leaves_the_deployment_alone_and_it_can_be_followed_and_cancelled(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    add_platform(aws, tmp_path, earlier)
    aws.silent = 1000
    process = command.start("dev", "--yes")
    result = interrupt_when(process, lambda: len(aws.asked("DescribeStackEvents")) > 20)
    assert result.code == 1
    assert result.stderr == (
        "deploy: interrupted; the deployment goes on; watch it: scripts/deploy.sh dev --follow, "
        "or cancel it: scripts/deploy.sh dev --cancel\n"
    )
    assert aws.asked("CancelUpdateStack") == []
    aws.silent = 0
    followed = command("dev", "--follow")
    assert followed.code == 0, followed
    # From the beginning, not from when it was joined.
    assert "UPDATE_IN_PROGRESS           payment-platform-dev" in followed.stdout
    assert followed.stdout.endswith("payment-platform-dev: ended UPDATE_COMPLETE\n")
    nothing = command("dev", "--follow")
    assert nothing.stderr.startswith("deploy: payment-platform-dev is UPDATE_COMPLETE: no operation is in progress")


def test_an_update_is_cancelled(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, status="UPDATE_IN_PROGRESS")
    result = command("dev", "--cancel")
    assert result.code == 0, result
    assert result.stdout.endswith("payment-platform-dev: ended UPDATE_ROLLBACK_COMPLETE\n")


def test_a_creation_has_nothing_to_go_back_to(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, status="CREATE_IN_PROGRESS")
    result = command("dev", "--cancel")
    assert result.stderr.endswith(
        "so there is no previous state to roll back to; delete it with scripts/destroy.sh dev\n"
    )


def test_credentials_that_expire_while_it_runs(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, earlier)
    aws.silent = 1000

    def expired() -> None:
        if len(aws.asked("DescribeStackEvents")) > 20:
            aws.errors["DescribeStackEvents"] = [Refused("ExpiredToken", "The security token is expired", 403)]

    aws.before = {"DescribeStackEvents": expired}
    result = command("dev", "--yes")
    assert result.code == 1
    assert "The security token is expired; sign in again; the deployment goes on; watch it" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("operation", ["ExecuteChangeSet", "DescribeStackEvents", "SetStackPolicy"])
def test_a_connection_that_breaks_is_taken_up_again(
    command: Command, aws: Service, tmp_path: Path, operation: str
) -> None:
    add_platform(aws, tmp_path, earlier, environment="prod")
    aws.errors = {operation: [None, Refused("Throttling", "Rate exceeded")]}
    result = command("prod", "--yes")
    assert result.code == 0, result


def test_yes_does_not_cover_what_is_lost(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, with_loss)
    result = command("dev", "--yes")
    assert result.code == 1
    assert result.stderr == (
        "deploy: --yes does not cover data loss; to confirm it, add --destroys PaymentLedger --destroys AuditTrail\n"
    )
    misspelt = command("dev", "--yes", *LOST, "--destroys", "Ledger")
    assert (
        misspelt.stderr
        == "deploy: --destroys Ledger: no such resource among those affected: AuditTrail, PaymentLedger\n"
    )
    assert aws.asked("ExecuteChangeSet") == []
    assert aws.left == []
    assert command("dev", "--yes", *LOST).code == 0


@pytest.mark.parametrize(
    ("types", "code"), [("PaymentLedger\nAuditTrail\ny\n", 0), ("PaymentLedger\ny\n", 1), ("y\n", 1), ("\x04", 1)]
)
def test_what_is_lost_is_typed_by_its_name(
    command: Command, aws: Service, tmp_path: Path, types: str, code: int
) -> None:
    add_platform(aws, tmp_path, with_loss)
    terminal = command.run_on_terminal("dev", types=types)
    assert terminal.code == code, terminal.text
    assert len(aws.asked("ExecuteChangeSet")) == (code == 0)
    assert aws.left == []


def test_on_a_terminal_the_tree_is_live(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, earlier)
    terminal = command.run_on_terminal("dev", "--yes")
    assert terminal.code == 0, terminal.text
    assert_golden("terminal.txt", terminal.text.partition("AccountId")[0])
    going = [frame for frame in terminal.frames if "UPDATE_IN_PROGRESS" in frame and "waiting" in frame]
    assert going, "no frame shows a stack at work while another waits"


def test_prod_is_protected(command: Command, aws: Service, tmp_path: Path) -> None:
    stack = add_platform(aws, tmp_path, with_loss, environment="prod")
    assert command("prod", "--yes", *LOST).code == 0
    assert stack.protected
    policies = {path: json.loads(one.policy) for path, one in stack.walk()}
    assert set(policies) == {"", "Security", "Data", "Compute", "Workflow", "Monitoring"}
    (_, deny) = policies["Data"]["Statement"]
    assert (deny["Action"], deny["Resource"]) == (["Update:Replace", "Update:Delete"], "*")
    assert "AWS::DynamoDB::Table" in deny["Condition"]["StringEquals"]["ResourceType"]
    (asked,) = aws.asked("CreateChangeSet")
    assert asked["RollbackConfiguration"]["MonitoringTimeInMinutes"] == 5


def test_protection_that_is_asked_for_later_is_set_though_nothing_changes(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    stack = add_platform(aws, tmp_path, environment="prod")
    assert command("prod", "--plan").code == 0
    assert not stack.protected
    result = command("prod", "--yes")
    assert (result.code, stack.protected) == (0, True)
    assert "Protected payment-platform-prod from deletion (termination protection)\n" in result.stdout
    assert all(one.policy for _, one in stack.walk())
    aws.calls.clear()
    assert command("prod", "--yes").code == 0
    assert aws.writes() == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_policy_lets_go_what_was_asked_for_by_name_and_only_then(
    command: Command, aws: Service, tmp_path: Path, fails: bool
) -> None:
    stack = add_platform(aws, tmp_path, with_loss, environment="prod")
    for _, one in stack.walk():
        one.policy = "protected"
    aws.fails = {"Data/PaymentLedger": "no"} if fails else {}
    assert command("prod", "--yes", *LOST).code == fails
    data = [given for given in aws.asked("SetStackPolicy") if "-Data-" in given["StackName"]]
    first = json.loads(data[0]["StackPolicyBody"])["Statement"][1]
    assert first["NotResource"] == ["LogicalResourceId/PaymentLedger", "LogicalResourceId/AuditTrail"]
    # Back to what it was; where the deployment went well, then to ours.
    assert data[1]["StackPolicyBody"] == "protected"
    assert ("NotResource" in stack.nested["Data"].policy, "Deny" in stack.nested["Data"].policy) == (False, not fails)
    # Set before the execution, and restored after it.
    names = [name for name, _ in aws.calls]
    assert names.index("SetStackPolicy") < names.index("ExecuteChangeSet")


def test_the_service_role_acts(command: Command, aws: Service, tmp_path: Path, settings_file: Any) -> None:
    add_platform(aws, tmp_path, earlier)
    path = settings_file("bootstrap", service_role=True, permissions_boundary="platform")
    result = command("dev", "--yes", "--settings", path)
    assert result.code == 0, result
    bootstrap, platform = aws.asked("CreateChangeSet")
    assert "RoleARN" not in bootstrap
    assert platform["RoleARN"] == "role-payment-cloudformation"


def test_a_role_that_was_created_a_moment_ago_is_waited_for(
    command: Command, aws: Service, tmp_path: Path, settings_file: Any
) -> None:
    """IAM tells CloudFormation of it some seconds later."""
    add_platform(aws, tmp_path, earlier)
    path = settings_file("bootstrap", service_role=True, permissions_boundary="platform")
    role = "Role arn:aws:iam::123456789012:role/role-payment-cloudformation is invalid or cannot be assumed"
    aws.errors = {"CreateChangeSet": [Refused("ValidationError", role)] * 2}
    result = command("dev", "--yes", "--settings", path)
    assert result.code == 0, result
    assert len(aws.asked("CreateChangeSet")) == 4


def test_a_plan_with_a_role_that_is_not_there_yet_says_so(
    command: Command, aws: Service, tmp_path: Path, settings_file: Any
) -> None:
    add_platform(aws, tmp_path, earlier)
    path = settings_file("bootstrap", service_role=True, permissions_boundary="platform")
    result = command("dev", "--plan", "--settings", path)
    assert (result.code, "does not have CloudFormation's role yet" in result.stderr) == (1, True)
    assert aws.writes() == []


def test_a_saved_plan_is_applied_exactly(command: Command, aws: Service, tmp_path: Path) -> None:
    stack = add_platform(aws, tmp_path, earlier)
    planned = command("dev", "--plan", "--out", "plan.json")
    assert planned.code == 2, planned
    assert planned.stdout.endswith(
        "payment-platform-dev: the plan is saved; run scripts/deploy.sh dev --apply plan.json, or --discard plan.json\n"
    )
    (waiting,) = [one for one in aws.change_sets.values() if one.stack is stack]
    result = command("dev", "--apply", "plan.json", "--yes")
    assert result.code == 0, result
    assert aws.asked("ExecuteChangeSet") == [{"ChangeSetName": waiting.id, "RetainExceptOnCreate": True}]
    assert len(aws.asked("CreateChangeSet")) == 1
    assert not (tmp_path / "plan.json").exists()
    shown = planned.stdout[planned.stdout.index("payment-platform-dev\n├") : planned.stdout.index("Plan: ")]
    assert shown in result.stdout


def test_a_saved_plan_is_refused_when_anything_has_moved(command: Command, aws: Service, tmp_path: Path) -> None:
    stack = add_platform(aws, tmp_path, earlier)
    assert command("dev", "--plan", "--out", "plan.json").code == 2
    assert "this plan is for environment dev, not staging" in command("staging", "--apply", "plan.json", "--yes").stderr
    elsewhere = command("dev", "--apply", "plan.json", "--yes", AWS_DEFAULT_REGION="us-east-1")
    assert "this plan is for region eu-west-1, not us-east-1" in elsewhere.stderr

    nested = stack.nested["Data"]
    was, nested.updated = nested.updated, nested.updated.replace(year=2027)
    moved = command("dev", "--apply", "plan.json", "--yes")
    assert (
        moved.stderr
        == "deploy: plan.json: the stack or a nested stack has changed since the plan was made; create a new plan\n"
    )
    nested.updated = was

    (waiting,) = [one for one in aws.change_sets.values() if one.stack is stack]
    kept, waiting.changes = waiting.changes, waiting.changes[:1]
    assert "the change set no longer matches the plan" in command("dev", "--apply", "plan.json", "--yes").stderr
    waiting.changes = kept
    waiting.execution = "OBSOLETE"
    assert "its change set is CREATE_COMPLETE and OBSOLETE" in command("dev", "--apply", "plan.json", "--yes").stderr
    aws.change_sets.clear()
    assert (
        "its change set no longer exists; create a new plan" in command("dev", "--apply", "plan.json", "--yes").stderr
    )
    assert aws.asked("ExecuteChangeSet") == []


def test_a_saved_plan_is_discarded(command: Command, aws: Service, tmp_path: Path) -> None:
    add_bootstrap_stack(aws)
    assert command("dev", "--plan", "--out", "plan.json").code == 2
    assert len(aws.left) == 2  # the change set, and the stack in review that it made
    result = command("dev", "--discard", "plan.json")
    assert result.code == 0, result
    assert aws.left == []
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "plan.json: cannot be read: No such file or directory"),
        ("nonsense", "plan.json: not JSON, so not a plan"),
        ("[]", "plan.json: not a plan"),
        ('{"version": 1}', "plan.json: not a plan that --out has saved"),
        ('{"version": 0}', "plan.json: saved by another version of this tool; create a new plan"),
    ],
)
def test_a_file_that_is_no_plan(command: Command, aws: Service, tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "plan.json").write_text(content)
    result = command("dev", "--apply", "plan.json", "--yes")
    assert (result.code, result.stderr) == (1, f"deploy: {says}\n")
    assert aws.calls == []


def test_what_is_needed_no_more_expires(command: Command, aws: Service, tmp_path: Path) -> None:
    """What the release before needs is kept for going back to it; the one before that is not needed."""
    add_platform(aws, tmp_path, earlier)
    before = dict(aws.objects)
    aws.objects[f"{BUCKET}/payment-platform/dev/{'0' * 64}.zip"] = "of long ago"
    aws.objects[f"{BUCKET}/payment-platform/prod/{'0' * 64}.zip"] = "somebody else's"
    assert command("dev", "--yes").code == 0
    assert f"{BUCKET}/payment-platform/dev/{'0' * 64}.zip" in aws.retired
    assert f"{BUCKET}/payment-platform/prod/{'0' * 64}.zip" not in aws.retired
    # Of the earlier release only the root template is not needed: CloudFormation keeps it itself.
    (root,) = before.keys() & aws.retired
    assert "AWS::CloudFormation::Stack" in before[root]


def test_a_saved_plan_is_recorded_as_it_was_deployed(
    command: Command, aws: Service, tmp_path: Path, settings_file: Any
) -> None:
    """With the settings of the plan, whatever those of today are."""
    add_platform(aws, tmp_path)
    path = settings_file("dev", log_retention_days=7)
    assert command("dev", "--plan", "--out", "plan.json", "--settings", path).code == 2
    assert command("dev", "--apply", "plan.json", "--yes").code == 0
    recorded = json.loads((tmp_path / "deployed" / "dev.json").read_text())
    assert recorded["parameters"]["LogRetentionDays"] == "7"


def test_what_a_role_may_not_ask_after_a_deployment_is_said(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, earlier)
    assert command("dev", "--plan", "--out", "plan.json").code == 2
    refused = [Refused("AccessDenied", "not you", 403)] * 12

    def after_the_execution() -> None:
        aws.errors["GetTemplate"] = list(refused)

    aws.before = {"ExecuteChangeSet": after_the_execution}
    result = command("dev", "--apply", "plan.json", "--yes")
    assert result.code == 0, result
    assert "Deployed, but a follow-up step failed: AWS: An error occurred (AccessDenied)" in result.stdout


def test_ctrl_c_after_the_deployment_does_not_say_that_nothing_was_changed(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    add_platform(aws, tmp_path, earlier)
    process = command.start("dev", "--yes")

    def slow() -> None:
        time.sleep(0.5)

    def ended() -> bool:
        if aws.asked("ExecuteChangeSet") and not aws._waiting:
            aws.before = {"GetTemplate": slow}
            return len(aws.asked("GetTemplate")) > 8
        return False

    result = interrupt_when(process, ended)
    assert (result.code, result.stderr) == (
        1,
        "deploy: interrupted; payment-platform-dev is deployed, but the follow-up steps (protection, cleanup, record) "
        "are incomplete; deploy again\n",
    )


@pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"])
def test_trouble_of_the_buckets_stack_is_not_the_platforms(
    command: Command, aws: Service, tmp_path: Path, status: str
) -> None:
    add_platform(aws, tmp_path, earlier)
    (bucket,) = [one for one in aws.stacks.values() if one.name == "payment-artifacts"]
    bucket.status, bucket.text = status, bucket.text + "\n# of an earlier release\n"
    result = command("dev", "--yes")
    assert (result.code, aws.writes()) == (1, [])
    assert result.stderr == (
        f"deploy: payment-artifacts is {status} and cannot be updated; "
        "see aws cloudformation describe-stack-events --stack-name payment-artifacts\n"
    )


def test_who_may_not_change_the_bucket_is_told_who_has_to(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, earlier)
    (bucket,) = [one for one in aws.stacks.values() if one.name == "payment-artifacts"]
    bucket.text += "\n# of an earlier release\n"
    aws.errors = {"ListStackResources": [Refused("AccessDenied", "not you", 403)] * 20}
    result = command("dev", "--yes")
    assert "is not allowed to update it; deploy once with credentials that have the permissions: AWS: " in result.stderr


def test_a_policy_that_cannot_be_set_back_is_named_and_the_next_deployment_sets_it(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    stack = add_platform(aws, tmp_path, with_loss, environment="prod")
    assert command("prod", "--yes", *LOST).code == 0
    good = stack.nested["Data"].policy
    stack.text += "\n# of an earlier release\n"
    stack.nested["Data"].policy = "lifted"
    result = command("prod", "--yes")
    assert (result.code, stack.nested["Data"].policy) == (0, good)
    assert "with stack policies on 1 stacks" in result.stdout


def test_a_policy_that_stays_lifted_is_named(command: Command, aws: Service, tmp_path: Path) -> None:
    stack = add_platform(aws, tmp_path, with_loss, environment="prod")
    for _, one in stack.walk():
        one.policy = "protected"

    def refuse_from_now_on() -> None:
        aws.errors["SetStackPolicy"] = [Refused("AccessDenied", "not you", 403)] * 20

    aws.before = {"ExecuteChangeSet": refuse_from_now_on}
    result = command("prod", "--yes", *LOST)
    assert result.code == 0, result
    still = "payment-platform-prod-Data-1A2B still allows deleting or replacing PaymentLedger, AuditTrail"
    assert f"Not protected: the stack policy of {still}: AWS: " in result.stdout
    assert "the next deployment sets it back" in result.stdout


def test_alarms_of_the_last_deployment_are_not_watched_again(command: Command, aws: Service, tmp_path: Path) -> None:
    """Left out, CloudFormation would take those that it saved."""
    add_platform(aws, tmp_path, earlier)
    aws.alarms = dict.fromkeys(aws.alarms, "ALARM")
    assert command("dev", "--yes").code == 0
    (asked,) = aws.asked("CreateChangeSet")
    assert asked["RollbackConfiguration"] == {"RollbackTriggers": [], "MonitoringTimeInMinutes": 0}


def test_an_adopted_stack_keeps_its_own_tags_and_gets_ours_though_nothing_changes(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    own = {"Key": "CostCenter", "Value": "42"}
    stack = add_platform(aws, tmp_path, tags=[own])
    assert command("dev", "--yes", "--adopt").code == 0
    assert stack.tags == [own, *OWNER_TAGS]


def test_a_file_that_is_not_what_its_name_says_is_not_deployed(command: Command, aws: Service, tmp_path: Path) -> None:
    """Somebody who may plan, and so may write, was there first."""
    add_platform(aws, tmp_path, earlier)
    (code,) = [key for key in aws.objects if key.endswith(".zip")]
    aws.checksums[code] = "somethingElse"
    result = command("dev", "--yes")
    assert result.code == 1
    assert (
        f"s3://{code} does not match the checksum in its name; find out who uploaded it, and delete it: aws s3api"
        in result.stderr
    )
    assert aws.asked("CreateChangeSet") == []


def test_tidying_up_that_fails_does_not_fail_the_deployment(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, earlier)
    aws.objects[f"{BUCKET}/payment-platform/dev/{'0' * 64}.zip"] = "of long ago"
    aws.errors = {"DeleteObject": [Refused("AccessDenied", "not you", 403)] * 20}
    result = command("dev", "--yes")
    assert result.code == 0
    assert "Deployed, but a follow-up step failed: AWS: An error occurred (AccessDenied)" in result.stdout


_AS_ACTIONS = {
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
    "DescribeAlarms": "cloudwatch:DescribeAlarms",
}
# S3 says only to who may list that an object is missing; CloudFormation is handed its role; change sets are listed
# where a stack is in review.
_BESIDE = {"s3:ListBucket", "iam:PassRole", "cloudformation:ListChangeSets"}


def test_the_roles_of_github_may_do_what_their_commands_ask_and_no_more(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    """Seen to fail with an operation more in the deployer, and with an action more in the role."""

    def asked() -> set[str]:
        # What the checks before it ask is compared in preflight/test_rights.py.
        operations = {name for name, _ in aws.calls if ":" not in name} - {"GetCallerIdentity"}
        return {_AS_ACTIONS.get(name, f"cloudformation:{name}") for name in operations}

    def granted(*policies: str) -> set[str]:
        return {action for statement in statements(EVERYTHING, *policies) for action in statement["Action"]}

    add_platform(aws, tmp_path, with_loss, environment="prod")
    assert command("prod", "--plan").code == 2
    plan = asked()
    assert plan | _BESIDE == granted("GitHubPlanPolicy")
    aws.fails, aws.stuck = {"Data/PaymentLedger": "no"}, {"Data/PaymentLedger": "no"}
    assert command("prod", "--yes", *LOST).code == 1
    aws.fails = {}
    command("prod", "--continue-rollback", "--skip", "Data/PaymentLedger")
    aws.stuck = {}
    assert command("prod", "--yes", *LOST).code == 0
    (stack,) = [one for one in aws.stacks.values() if one.name == "payment-platform-prod"]
    stack.status = "UPDATE_IN_PROGRESS"
    command("prod", "--cancel")
    # What is left of a creation that failed is deleted, and a stack in review.
    stack.status, stack.protected, aws.alarms = "ROLLBACK_COMPLETE", False, {}
    aws.holdings.resources.clear()
    assert command("prod", "--yes").code == 0
    assert asked() | _BESIDE == granted("GitHubPlanPolicy", "GitHubDeployPolicy")

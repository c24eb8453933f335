"""The artifacts stack with its permissions boundaries is planned, confirmed and deployed together with the platform.

In an earlier release the ledger had another name, so that the boundary both gains and loses a right.
"""

from pathlib import Path
from typing import Any

import pytest

from scripts.deployer import rights, transition
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.both_stacks import (
    ARTIFACTS,
    BODY,
    EARLIER,
    NOTICE,
    PLATFORM,
    add_earlier_release,
    add_earlier_release_of_two_environments,
    find_artifacts,
    list_ledgers,
)
from tests.deployer.conftest import Command
from tests.deployer.releases import CONFIRMED_LOSSES, edit_with_loss
from tests.emitted import load_template, resources

# Each takes several deployments.
pytestmark = pytest.mark.nightly

QUESTION = f"Deploy {ARTIFACTS} and {PLATFORM}? [y/N]"


def remove_right(text: str) -> str:
    """Return the template without the statement of each boundary that allows to publish."""
    start, end = "        - Sid: Notices\n", "        - Sid: Functions\n"
    parts = text.split(start)
    assert len(parts) > 1
    return parts[0] + "".join(end + part.split(end, 1)[1] for part in parts[1:])


def add_denial(text: str) -> str:
    """Return the template with another statement in each boundary."""
    start = "        - Sid: Notices\n"
    denial = (
        "        - Sid: NoUsers\n          Effect: Deny\n          Action: iam:CreateUser\n          Resource: '*'\n"
    )
    assert start in text
    return text.replace(start, denial + start)


def remove_denial(text: str) -> str:
    """Return the template of a release whose files in the bucket could be overwritten."""
    start, end = text.split("        - Sid: NobodyOverwrites\n")
    return start + end[end.index("  BoundaryDev:\n") :]


@pytest.fixture
def executed(aws: Service) -> list[tuple[str, list[str]]]:
    """The stack of each executed change set, with the ledgers that the boundary of dev allowed at that time."""
    executions: list[tuple[str, list[str]]] = []

    def record_execution() -> None:
        change_set_id = aws.find_requests("ExecuteChangeSet")[-1]["ChangeSetName"]
        executions.append((aws.change_sets[change_set_id].stack.name, list_ledgers(find_artifacts(aws))))

    aws.before["ExecuteChangeSet"] = record_execution
    return executions


def test_a_plan_shows_both_stacks_and_changes_neither(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release(aws)
    result = command("plan", "dev", code=2)
    first, second, total = (
        result.stdout.index(text)
        for text in (f"Plan 1 of 2: {ARTIFACTS}\n", f"Plan 2 of 2: {PLATFORM}\n", "Both stack")
    )
    assert first < result.stdout.index("+ BoundaryDev") < second < result.stdout.index("DeadLetters") < total
    assert f"! {ARTIFACTS} is updated twice: what it adds is added before {PLATFORM} is deployed, and " in result.stdout
    assert (artifacts.text, aws.remaining_names, aws.find_requests("ExecuteChangeSet")) == (EARLIER, [], [])


def test_what_the_plan_of_the_second_stack_loses_is_named_below_both(command: Command, aws: Service) -> None:
    add_earlier_release(aws, edit=edit_with_loss)
    shown = command("plan", "dev", code=2).stdout
    first, end = shown[: shown.index("Plan 2 of 2:")], shown[shown.index("Both stacks:") :]
    assert "will be lost" not in first
    assert "\n! Data/AuditTrail (AWS::SQS::Queue) is deleted: its messages will be lost\n" in end


def test_a_plan_in_json_has_both_stacks_and_their_sum(command: Command, aws: Service) -> None:
    add_earlier_release(aws)
    records = command("plan", "dev", "--json", code=2).read_records()
    plans = [record for record in records if record["type"] == "plan"]
    assert [(record["number"], record["of"]) for record in plans] == [(1, 2), (2, 2)]
    assert [record["plan"]["stack"]["name"] for record in plans] == [ARTIFACTS, PLATFORM]
    (sum_record,) = (record for record in records if record["type"] == "total")
    assert sum_record["stacks"] == [ARTIFACTS, PLATFORM]
    assert sum_record["count"]["add"] == sum(record["count"]["add"] for record in plans)
    assert not [record["what"] for record in records if ":" in record.get("what", "")]


def test_a_plan_in_markdown_has_both_stacks_and_their_sum(command: Command, aws: Service) -> None:
    add_earlier_release(aws)
    text, markdown = (command("plan", "dev", *form, code=2).stdout for form in ((), ("--markdown",)))
    sum_line = text[text.index("Both stacks: ") :].splitlines()[0].removeprefix("Both stacks: ")
    assert f"\n**Both stacks** (`{ARTIFACTS}` and `{PLATFORM}`): {sum_line}\n" in markdown
    assert [f"### Deployment of `{name}`" in markdown for name in (ARTIFACTS, PLATFORM)] == [True, True]
    # The workflow looks for its comment by the marker.
    assert markdown.count("<!-- payment-platform plan -->") == 1


def test_rights_are_added_before_the_platform_and_taken_away_after_it(
    command: Command, aws: Service, executed: list[tuple[str, list[str]]]
) -> None:
    artifacts = add_earlier_release(aws)
    command("dev", "--yes", code=0)
    both_ledgers = ["dynamodb-ledger", "dynamodb-payment-ledger"]
    assert executed == [(ARTIFACTS, ["dynamodb-ledger"]), (PLATFORM, both_ledgers), (ARTIFACTS, both_ledgers)]
    assert (artifacts.text, aws.remaining_names) == (BODY, [])
    # Of the uploaded templates, the one in force is kept.
    assert [aws.objects[key] for key in aws.objects if "/bootstrap/" in key] == [BODY.encode().decode("latin-1")]
    aws.calls.clear()
    assert "no changes; nothing was done" in command("dev", "--yes", code=0).stdout
    assert aws.find_writes() == []


@pytest.mark.parametrize(
    ("earlier", "order"),
    [
        (remove_right(BODY), [ARTIFACTS, PLATFORM]),
        (BODY.replace("sns:Publish\n", "sns:Publish\n          - sns:PublishBatch\n"), [PLATFORM, ARTIFACTS]),
        (BODY.replace("NoncurrentDays: 30", "NoncurrentDays: 3"), [ARTIFACTS, PLATFORM]),
        (add_denial(BODY), [ARTIFACTS, PLATFORM]),
        (remove_denial(BODY), [PLATFORM, ARTIFACTS]),
    ],
    ids=["adds", "takes away", "the bucket", "no longer denies", "denies"],
)
def test_a_change_in_one_direction_is_executed_once(
    command: Command, aws: Service, executed: list[tuple[str, list[str]]], earlier: str, order: list[str]
) -> None:
    artifacts = add_earlier_release(aws, earlier)
    command("dev", "--yes", code=0)
    assert ([name for name, _ in executed], artifacts.text, aws.remaining_names) == (order, BODY, [])
    assert len(aws.find_requests("CreateChangeSet")) == 2


def test_what_a_failed_creation_has_left_may_be_deleted_before_both_stacks_are_deployed(
    command: Command, aws: Service
) -> None:
    """Fails if the command takes that for the deletion by somebody else."""
    add_earlier_release(aws)
    (stack,) = [stack for stack in aws.stacks.values() if stack.name == PLATFORM]
    stack.status, aws.alarms = "ROLLBACK_COMPLETE", {}
    aws.holdings.resources.clear()
    command("dev", "--yes", code=0)
    assert stack.status == "DELETE_COMPLETE"


def test_one_question_covers_both_stacks_and_no_means_neither(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release(aws)
    terminal = command.run_on_terminal("dev", types="n\n", columns=180)
    assert (terminal.code, QUESTION in terminal.text) == (1, True)
    assert f"{ARTIFACTS} and {PLATFORM}: not deployed; the change sets were deleted" in terminal.text
    assert (artifacts.text, aws.remaining_names, aws.find_requests("ExecuteChangeSet")) == (EARLIER, [], [])


def test_a_refused_deployment_takes_no_rights_away(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release(aws, edit=edit_with_loss)
    result = command("dev", "--yes", code=1)
    assert "--yes does not cover data loss" in result.stderr
    assert (artifacts.text, aws.remaining_names, aws.find_requests("ExecuteChangeSet")) == (EARLIER, [], [])
    aws.refuses = {"Data": "no such thing"}
    assert "CloudFormation refuses the change set" in command("dev", "--yes", *CONFIRMED_LOSSES, code=1).stderr
    assert (artifacts.text, aws.remaining_names, aws.find_requests("ExecuteChangeSet")) == (EARLIER, [], [])
    aws.refuses = {}
    command("dev", "--yes", *CONFIRMED_LOSSES, code=0)


def test_a_deployment_that_fails_leaves_the_rights_of_both_releases_and_the_next_one_takes_them_away(
    command: Command, aws: Service, executed: list[tuple[str, list[str]]]
) -> None:
    artifacts = add_earlier_release(aws)
    aws.fails = {"Data/DeadLetters": "no"}
    result = command("dev", "--yes", code=1)
    assert f"; {NOTICE}; the next scripts/deploy.sh dev that succeeds removes those no longer needed\n" in result.stderr
    assert list_ledgers(artifacts) == ["dynamodb-ledger", "dynamodb-payment-ledger"]
    aws.fails = {}
    executed.clear()
    command("dev", "--yes", code=0)
    assert ([name for name, _ in executed], artifacts.text) == ([PLATFORM, ARTIFACTS], BODY)


def test_a_platform_that_may_not_be_executed_leaves_the_rights_of_both_releases_and_says_so(
    command: Command, aws: Service
) -> None:
    artifacts = add_earlier_release(aws)
    denied = Refused("AccessDenied", "User: x is not authorized to perform: cloudformation:ExecuteChangeSet", 403)

    def deny_the_second() -> None:
        aws.errors["ExecuteChangeSet"] = [denied] if len(aws.find_requests("ExecuteChangeSet")) == 2 else []

    aws.before = {"ExecuteChangeSet": deny_the_second}
    result = command("dev", "--yes", code=1)
    not_deployed = f"; {PLATFORM} was not deployed; continue with scripts/deploy.sh dev; {NOTICE}; the next "
    assert not_deployed in result.stderr
    assert (list_ledgers(artifacts), aws.remaining_names) == (["dynamodb-ledger", "dynamodb-payment-ledger"], [])


def test_rights_of_policies_and_roles_that_leave_the_template_are_retained() -> None:
    """A removed boundary is in force until the roles of its environment have gone."""
    holders = [
        resource
        for resource in resources(load_template("artifacts")).values()
        if resource["Type"] in ("AWS::IAM::ManagedPolicy", "AWS::IAM::Role")
    ]
    assert len(holders) > 10
    assert all(resource["DeletionPolicy"].startswith("Retain") for resource in holders)


def test_a_change_of_the_artifacts_stack_that_fails_leaves_the_platform_alone(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release(aws)
    aws.fails = {"BoundaryDev": "The policy is not valid"}
    result = command("dev", "--yes", code=1)
    assert result.stderr.startswith(f"deploy: {ARTIFACTS} ended UPDATE_ROLLBACK_COMPLETE")
    assert (artifacts.text, aws.remaining_names) == (EARLIER, [])
    assert len(aws.find_requests("ExecuteChangeSet")) == 1


def test_another_environment_keeps_its_rights_until_it_is_deployed(
    command: Command, aws: Service, executed: list[tuple[str, list[str]]]
) -> None:
    """It still runs the earlier release. An environment without a stack runs nothing."""
    artifacts = add_earlier_release_of_two_environments(aws)
    planned = command("plan", "dev", code=2).stdout
    assert "are taken from dev, and stay for payment-platform-prod until that is deployed as well\n" in planned
    command("dev", "--yes", code=0)
    new, both_ledgers = ["dynamodb-payment-ledger"], ["dynamodb-ledger", "dynamodb-payment-ledger"]
    assert [list_ledgers(artifacts, name) for name in ("dev", "prod", "staging")] == [new, both_ledgers, new]
    aws.calls.clear()
    assert "no changes; nothing was done" in command("dev", "--yes", code=0).stdout
    assert aws.find_writes() == []
    executed.clear()
    command("prod", "--yes", code=0)
    assert [name for name, _ in executed] == ["payment-platform-prod", ARTIFACTS]
    assert artifacts.text == BODY


def test_a_caller_who_may_not_update_the_artifacts_stack_still_plans_but_deploys_nothing(
    command: Command, aws: Service
) -> None:
    artifacts = add_earlier_release(aws)
    denied = Refused("AccessDenied", "User: x is not authorized to perform: cloudformation:CreateChangeSet", 403)
    aws.errors = {"CreateChangeSet": [denied]}
    planned = command("plan", "dev", code=2).stdout
    assert "+ BoundaryDev" in planned
    assert f"This caller may not create a change set of {ARTIFACTS}: its plan comes from comparing the" in planned
    for arguments in (["dev", "--yes"], ["plan", "dev", "--out", "plan.json"]):
        # Whoever may not create it may not look for it either.
        aws.errors = {"CreateChangeSet": [denied], "DescribeChangeSet": [denied] * 3}
        result = command(*arguments, code=1)
        assert "is not allowed to update it; deploy once with credentials that have the permissions: " in result.stderr
    assert (artifacts.text, aws.remaining_names, aws.find_requests("ExecuteChangeSet")) == (EARLIER, [], [])


def test_rights_of_both_releases_that_do_not_fit_stop_the_deployment_before_anything_happens(
    command: Command, aws: Service
) -> None:
    queues = "".join(f"          - !Sub arn:aws:sqs:${{AWS::Region}}:1234:a-queue-{n}-dev\n" for n in range(60))
    start = "          - sqs:SendMessage\n          Resource:\n"
    assert EARLIER.count(start) == 4
    artifacts = add_earlier_release(aws, EARLIER.replace(start, start + queues, 1))
    result = command("dev", "--yes", code=1)
    assert "policy-payment-boundary-dev cannot hold the rights of both releases: it would have " in result.stderr
    assert "of at most 6,144 characters; deploy in two steps: first a release that takes no rights" in result.stderr
    assert (aws.remaining_names, aws.find_requests("ExecuteChangeSet")) == ([], [])
    assert "a-queue-59-dev" in artifacts.text


def test_the_artifacts_stack_is_deployed_alone_if_the_platform_does_not_change(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release(aws, edit=lambda _, text: text)
    result = command("dev", "--yes", code=0)
    assert result.stdout.endswith(f"{PLATFORM}: no changes; {ARTIFACTS} was deployed\n")
    # Nothing is deployed in between, so that one update does all.
    assert (artifacts.text, len(aws.find_requests("ExecuteChangeSet"))) == (BODY, 1)
    artifacts.text = f"# In other words.\n{BODY}"
    aws.calls.clear()
    command("plan", "dev", code=0)
    command("dev", "--yes", code=0)
    assert aws.find_writes() == []


@pytest.mark.parametrize("changes_platform", [True, False])
def test_a_saved_plan_has_both_stacks(
    command: Command, aws: Service, executed: list[tuple[str, list[str]]], tmp_path: Path, changes_platform: bool
) -> None:
    artifacts = add_earlier_release(aws, edit=None if changes_platform else lambda _, text: text)
    planned = command("plan", "dev", "--out", "plan.json", code=2)
    assert len(aws.remaining_names) == (3 if changes_platform else 1)
    command("discard", "dev", "plan.json", code=0)
    assert (aws.remaining_names, (tmp_path / "plan.json").exists()) == ([], False)
    command("plan", "dev", "--out", "plan.json", code=2)
    result = command("apply", "dev", "plan.json", "--yes", code=0)
    start = "Plan 1 of 2" if changes_platform else f"{ARTIFACTS}\n├"
    shown = planned.stdout[planned.stdout.index(start) : planned.stdout.index(f"{PLATFORM}: the plan is saved")]
    assert shown in result.stdout
    assert [name for name, _ in executed] == ([ARTIFACTS, PLATFORM, ARTIFACTS] if changes_platform else [ARTIFACTS])
    assert (artifacts.text, aws.remaining_names, (tmp_path / "plan.json").exists()) == (BODY, [], False)


def test_a_saved_plan_is_refused_after_a_change_of_the_artifacts_stack(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    artifacts.updated = artifacts.updated.replace(year=2027)
    refused = command("apply", "dev", "plan.json", "--yes", code=1)
    reason = f"{ARTIFACTS} has changed since the plan was made; create a new plan"
    assert refused.stderr.startswith(f"deploy: plan.json: {reason}; the plan is still saved; delete it with scripts/")
    assert aws.find_requests("ExecuteChangeSet") == []


RIGHTS = [("Allow", '"a"', '"r-dev"'), ("Allow", '"b"', '"r-dev"'), ("Allow", '"a"', '"r-prod"')]


@pytest.mark.parametrize(
    ("environments", "kept_resources"),
    [((), []), (("prod",), ['"r-prod"']), (("dev", "prod"), ['"r-dev"', '"r-dev"', '"r-prod"']), (("pro",), [])],
)
def test_rights_are_kept_by_the_environment_that_they_name(
    environments: tuple[str, ...], kept_resources: list[str]
) -> None:
    keep = transition.keep_of(environments)
    listed_rights = [
        rights.Right(effect, "{}", "Resource", resource, "Action", action) for effect, action, resource in RIGHTS
    ]
    assert [right.resource for right in listed_rights if keep("role-of-all", right)] == kept_resources
    assert keep("policy-payment-boundary-prod", listed_rights[0]) is ("prod" in environments or "dev" in environments)


def test_roles_hold_the_rights_of_both_releases_too() -> None:
    """Their managed policies are nearly full, so that an inline policy holds the earlier ones."""
    pseudo: dict[str, str] = {"AWS::AccountId": "1" * 12, "AWS::Region": "r", "AWS::Partition": "aws"}

    def make_release(action: str) -> transition.Release:
        statement = {"Effect": "Allow", "Action": [action, "s:Both"], "Resource": {"Fn::GetAtt": ["Bucket", "Arn"]}}
        condition = {"StringEquals": {"a": "${aws:PrincipalTag/a}"}}
        policy: dict[str, Any] = {"Statement": [statement, {**statement, "Condition": condition}]}
        template = {
            "Resources": {
                "Bucket": {"Type": "AWS::S3::Bucket"},
                "Rights": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}},
                "Role": {"Type": "AWS::IAM::Role", "Properties": {"ManagedPolicyArns": [{"Ref": "Rights"}]}},
            }
        }
        return transition.Release.from_template(template, {}, pseudo)

    during = transition.add_kept_rights(make_release("s:Old"), make_release("s:New"), transition.keep_all)
    assert during["Resources"]["Rights"] == make_release("s:New").template["Resources"]["Rights"]
    (inline,) = during["Resources"]["Role"]["Properties"]["Policies"]
    assert inline["PolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Action": ["s:Old"], "Resource": [{"Fn::Sub": "${Bucket.Arn}"}], **limits}
        for limits in ({"Condition": {"StringEquals": {"a": "${aws:PrincipalTag/a}"}}}, {})
    ]
    # What the earlier release had in between is taken away, and nothing else changes.
    after = transition.Release.from_template(during, {}, pseudo)
    assert transition.add_kept_rights(after, make_release("s:New"), transition.keep_of(())) == (
        make_release("s:New").template
    )

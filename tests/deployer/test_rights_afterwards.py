"""What a deployment says and does if the artifacts stack cannot be updated as planned, before or after the platform."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from scripts.common.requests import RequestLog
from scripts.deployer import saved_plan
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.endpoint import serve_account
from tests.deployer.aws.faults import DENIED, RESET_BEFORE, Fault
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import ChangeSet, Stack
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
from tests.deployer.conftest import BUCKET, LONGEST_SECONDS, Command, CommandResult, add_bootstrap_stack, add_platform
from tests.deployer.disturbed_runs import lose_execution
from tests.deployer.releases import edit_harmlessly

BOTH_LEDGERS = ["dynamodb-ledger", "dynamodb-payment-ledger"]
TAKES_AWAY = BODY.replace("sns:Publish\n", "sns:Publish\n          - sns:PublishBatch\n")
NEXT_RUN = "; the next scripts/deploy.sh dev removes those no longer needed\n"
UNTIL_SUCCESS = "; the next scripts/deploy.sh dev that succeeds removes those no longer needed\n"
CONTINUES = (
    f"the deployment of {ARTIFACTS} continues; watch it: aws cloudformation describe-stack-events --stack-name "
    f"{ARTIFACTS}"
)
NOT_DEPLOYED = f"; {PLATFORM} will not be deployed; when {ARTIFACTS} is complete, continue with scripts/deploy.sh dev\n"

# Each takes several deployments.
pytestmark = pytest.mark.nightly


def count_executions(aws: Service) -> int:
    return len(aws.find_requests("ExecuteChangeSet"))


def change_artifacts_afterwards(aws: Service, change: Callable[[Stack], None]) -> None:
    """Change the artifacts stack after the platform, before its last change set is created."""

    def change_once() -> None:
        if count_executions(aws) == 2:
            change(find_artifacts(aws))

    aws.before["CreateChangeSet"] = change_once


def assert_kept(result: CommandResult, reason: str) -> None:
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.endswith(f"\n{PLATFORM}: deployed\n{NOTICE}, because {reason}{NEXT_RUN}")


@pytest.mark.parametrize("options", [(), ("--wait",)])
def test_another_operation_of_the_artifacts_stack_leaves_the_platform_deployed(
    command: Command, aws: Service, options: tuple[str, ...]
) -> None:
    artifacts = add_earlier_release(aws)
    change_artifacts_afterwards(aws, lambda stack: setattr(stack, "status", "UPDATE_IN_PROGRESS"))
    result = command("dev", "--yes", *options)
    assert_kept(result, f"{ARTIFACTS} is UPDATE_IN_PROGRESS: another deployment is running")
    assert (list_ledgers(artifacts), aws.remaining_names, count_executions(aws)) == (BOTH_LEDGERS, [], 2)
    artifacts.status, aws.before = "UPDATE_COMPLETE", {}
    assert command("dev", "--yes", code=0).stdout.endswith(f"{PLATFORM}: no changes; {ARTIFACTS} was deployed\n")
    assert artifacts.text == BODY


@pytest.mark.parametrize("options", [(), ("--wait",)])
def test_an_obsolete_change_set_of_the_artifacts_stack_leaves_the_platform_deployed(
    command: Command, aws: Service, options: tuple[str, ...]
) -> None:
    add_earlier_release(aws, TAKES_AWAY)

    def make_obsolete() -> None:
        for change_set in aws.change_sets.values():
            if change_set.stack.name == ARTIFACTS and count_executions(aws) == 2:
                change_set.execution = "OBSOLETE"

    aws.before["ExecuteChangeSet"] = make_obsolete
    result = command("dev", "--yes", *options)
    state = "its change set is OBSOLETE, and the stack CREATE_COMPLETE"
    assert_kept(result, f"{ARTIFACTS}: another deployment was faster: {state}")


@pytest.mark.parametrize("text", [EARLIER, TAKES_AWAY], ids=["twice", "once"])
@pytest.mark.parametrize("is_saved", [False, True])
def test_an_express_deployment_takes_nothing_away_before_the_platform_is_ready(
    command: Command, aws: Service, text: str, is_saved: bool
) -> None:
    """CloudFormation calls the platform complete while the earlier code may still run."""
    artifacts = add_earlier_release(aws, text)
    if is_saved:
        planned = command("plan", "dev", "--express", "--out", "plan.json", code=2)
        assert f"{ARTIFACTS} takes nothing away: that waits for a deployment without --express" in planned.stdout
    result = command("apply", "dev", "plan.json", "--yes") if is_saved else command("dev", "--yes", "--express")
    # Of a saved plan, its own options count.
    assert f"{ARTIFACTS} takes nothing away: that waits for a deployment without --express" in result.stdout
    assert "stays until that has succeeded" not in result.stdout
    assert_kept(result, "an express deployment does not wait until the platform is ready")
    assert "dynamodb-ledger" in list_ledgers(artifacts) if text == EARLIER else artifacts.text == text
    assert aws.remaining_names == []
    assert command("dev", "--yes", code=0).stdout.endswith(f"{PLATFORM}: no changes; {ARTIFACTS} was deployed\n")
    assert artifacts.text == BODY


def replace_in_boundary(text: str, boundary: str, old: str, new: str) -> str:
    before, name, rest = text.partition(f"  {boundary}:\n")
    assert name
    assert old in rest
    return before + name + rest.replace(old, new, 1)


def test_a_right_that_somebody_adds_meanwhile_is_not_taken_away(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release_of_two_environments(aws)

    def add_right(stack: Stack) -> None:
        stack.text = replace_in_boundary(stack.text, "BoundaryProd", "sns:Publish\n", "sns:PublishBatch\n")

    change_artifacts_afterwards(aws, add_right)
    result = command("dev", "--yes")
    assert_kept(result, f"{ARTIFACTS} was changed while {PLATFORM} was deployed")
    assert "sns:PublishBatch" in artifacts.text
    assert aws.remaining_names == []


def test_a_right_that_somebody_takes_away_meanwhile_is_not_given_back(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release_of_two_environments(aws)

    def finish_prod(stack: Stack) -> None:
        stack.text = stack.text.replace("table/dynamodb-ledger-prod", "table/none-prod")

    change_artifacts_afterwards(aws, finish_prod)
    assert_kept(command("dev", "--yes"), f"{ARTIFACTS} was changed while {PLATFORM} was deployed")
    assert list_ledgers(artifacts, "prod") == ["dynamodb-payment-ledger"]


def test_a_template_of_the_artifacts_stack_that_came_back_is_a_change_as_well(command: Command, aws: Service) -> None:
    """Nobody knows what was decided by the template in between."""
    artifacts = add_earlier_release(aws)
    change_artifacts_afterwards(aws, lambda stack: setattr(stack, "updated", stack.updated.replace(year=2027)))
    assert_kept(command("dev", "--yes"), f"{ARTIFACTS} was changed while {PLATFORM} was deployed")
    assert list_ledgers(artifacts) == BOTH_LEDGERS


@pytest.mark.parametrize("text", ["", TAKES_AWAY], ids=["twice", "once"])
def test_an_environment_that_is_deployed_meanwhile_keeps_its_rights(command: Command, aws: Service, text: str) -> None:
    artifacts = add_earlier_release(aws, text) if text else add_earlier_release(aws)
    deployed_text = artifacts.text
    last = 2

    def deploy_prod() -> None:
        if count_executions(aws) == last - bool(text):
            aws.before = {}
            del aws.stacks[artifacts.id]
            add_platform(aws, edit_harmlessly, environment="prod")
            del aws.stacks[find_artifacts(aws).id]
            aws.stacks[artifacts.id] = artifacts

    aws.before["ExecuteChangeSet"] = deploy_prod
    assert_kept(command("dev", "--yes"), "payment-platform-prod was deployed since the plan was made")
    if text:
        assert artifacts.text == deployed_text
    else:
        assert list_ledgers(artifacts, "prod") == BOTH_LEDGERS


@pytest.mark.parametrize("execution", [1, 2, 3])
def test_an_environment_that_is_deleted_meanwhile_is_no_obstacle(
    command: Command, aws: Service, execution: int
) -> None:
    """It has no right to lose: before the first update of the artifacts stack, and before the second one."""
    artifacts = add_earlier_release_of_two_environments(aws)

    def delete_prod() -> None:
        if len(aws.find_requests("CreateChangeSet")) == execution:
            aws.before = {}
            (prod,) = [stack for stack in aws.stacks.values() if stack.name == "payment-platform-prod"]
            prod.status = "DELETE_COMPLETE"

    aws.before["CreateChangeSet"] = delete_prod
    result = command("dev", "--yes", code=0)
    assert (aws.before, NOTICE in result.stdout, list_ledgers(artifacts)) == ({}, False, ["dynamodb-payment-ledger"])


def test_the_environment_itself_is_called_deleted_if_it_was(command: Command, aws: Service) -> None:
    """Before the first update of the artifacts stack: there is nothing to update any more."""
    artifacts = add_earlier_release(aws)

    def delete_platform() -> None:
        if len(aws.find_requests("CreateChangeSet")) == 3:
            aws.before = {}
            (platform,) = [stack for stack in aws.stacks.values() if stack.name == PLATFORM]
            platform.status = "DELETE_COMPLETE"

    aws.before["CreateChangeSet"] = delete_platform
    refused = command("dev", "--yes", code=1).stderr
    assert refused.startswith(f"deploy: {PLATFORM} was deleted since the plan was made; nothing of this deployment was")
    assert list_ledgers(artifacts) == ["dynamodb-ledger"]


def test_a_platform_that_is_deleted_after_its_deployment_is_called_so(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release(aws)

    def delete_platform() -> None:
        if count_executions(aws) == 2 and aws.find_requests("DeleteObject"):
            aws.before = {}
            (platform,) = [stack for stack in aws.stacks.values() if stack.name == PLATFORM]
            platform.status = "DELETE_COMPLETE"

    aws.before["DescribeStacks"] = delete_platform
    aws.objects[f"{BUCKET}/payment-platform/dev/{'0' * 64}.yaml"] = "long ago"
    assert_kept(command("dev", "--yes"), f"{PLATFORM} was deleted before {ARTIFACTS} was updated")
    assert list_ledgers(artifacts) == BOTH_LEDGERS


@pytest.mark.parametrize("changes_platform", [True, False])
def test_a_saved_plan_is_refused_after_the_deployment_of_another_environment(
    command: Command, aws: Service, changes_platform: bool
) -> None:
    artifacts = add_earlier_release(aws, edit=None if changes_platform else lambda _, text: text)
    command("plan", "dev", "--out", "plan.json", code=2)
    del aws.stacks[artifacts.id]
    add_platform(aws, edit_harmlessly, environment="prod")
    del aws.stacks[find_artifacts(aws).id]
    aws.stacks[artifacts.id] = artifacts
    refused = command("apply", "dev", "plan.json", "--yes", code=1)
    reason = "payment-platform-prod was deployed since the plan was made; create a new plan"
    assert refused.stderr.startswith(f"deploy: plan.json: {reason}; the plan is still saved; delete it with scripts/")
    assert (count_executions(aws), list_ledgers(artifacts, "prod")) == (0, ["dynamodb-ledger"])


def test_a_denied_narrowing_leaves_the_platform_deployed_in_text_and_in_json(command: Command, aws: Service) -> None:
    denied = Refused("AccessDenied", "User: x is not authorized to perform: cloudformation:ExecuteChangeSet", 403)
    add_earlier_release(aws)

    def deny_the_third() -> None:
        aws.errors["ExecuteChangeSet"] = [denied] if count_executions(aws) == 3 else []

    aws.before = {"ExecuteChangeSet": deny_the_third}
    result = command("dev", "--yes", "--json", code=0).read_records()[-1]
    assert (result["result"], result["artifacts"]["result"]) == ("deployed", "kept")
    assert result["artifacts"]["message"].startswith(
        f"{NOTICE}, because not authorized: cloudformation:ExecuteChangeSet"
    )
    assert aws.remaining_names == []
    aws.before = {}
    result = command("dev", "--yes", "--json", code=0).read_records()[-1]
    assert (result["result"], result["artifacts"]["result"]) == ("deployed", "updated")


def test_a_narrowing_that_is_rolled_back_leaves_the_platform_deployed(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release(aws)

    def fail_the_third() -> None:
        aws.fails = {"BoundaryDev": "The policy is not valid"} if count_executions(aws) == 3 else {}

    aws.before = {"ExecuteChangeSet": fail_the_third}
    result = command("dev", "--yes", code=0)
    assert f"\n{PLATFORM}: deployed\n{NOTICE}, because {ARTIFACTS} ended UPDATE_ROLLBACK_COMPLETE: " in result.stdout
    assert list_ledgers(artifacts) == BOTH_LEDGERS


def interrupt_at(aws: Service, execution: int, operation: str, call: int = 1) -> None:
    """Interrupt the command at a call of the operation after an execution of a change set; both count from one."""
    calls = 0

    def interrupt(called: str) -> None:
        nonlocal calls
        if count_executions(aws) == execution and called == operation:
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.05)

    aws.before_call = interrupt


def test_whoever_interrupts_the_first_update_hears_which_stack_continues(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release(aws)
    interrupt_at(aws, 1, "DescribeStackEvents", call=2)
    result = command("dev", "--yes", code=3)
    assert result.stderr == f"deploy: interrupted; {CONTINUES}{NOT_DEPLOYED}"
    assert (artifacts.status, aws.remaining_names, count_executions(aws)) == ("UPDATE_IN_PROGRESS", [], 1)


def test_whoever_interrupts_the_bootstrap_hears_that_the_platform_is_not_deployed(
    command: Command, aws: Service
) -> None:
    interrupt_at(aws, 1, "DescribeStackEvents", call=2)
    assert command("dev", "--yes", code=3).stderr == f"deploy: interrupted; {CONTINUES}{NOT_DEPLOYED}"


def test_lost_credentials_during_the_first_update_are_explained_as_an_interrupt_is(
    command: Command, aws: Service
) -> None:
    add_earlier_release(aws)

    def expire() -> None:
        if count_executions(aws) == 1:
            aws.faults = {"DescribeStackEvents": Fault("expired")}

    aws.before["DescribeStackEvents"] = expire
    result = command("dev", "--yes", "--json", code=3)
    assert result.stderr.endswith(f"; sign in again; {CONTINUES}{NOT_DEPLOYED}")
    assert f"deploy: {result.read_records()[-1]['message']}\n" == result.stderr


def test_a_narrowing_that_may_not_have_begun_is_not_said_to_continue(command: Command, aws: Service) -> None:
    add_earlier_release(aws)
    lose_execution(aws, 3, RESET_BEFORE)
    unknown = command("dev", "--yes", code=3).stderr
    assert "whether the deployment began could not be read: " in unknown
    assert unknown.endswith("; if it has not, the next scripts/deploy.sh dev removes permissions no longer needed\n")


def test_whoever_interrupts_the_narrowing_hears_that_it_continues(command: Command, aws: Service) -> None:
    add_earlier_release(aws)
    interrupt_at(aws, 3, "DescribeStackEvents", call=2)
    result = command("dev", "--yes", "--json", code=3)
    state = f"{CONTINUES}; it removes permissions no longer needed"
    assert result.stderr == f"deploy: {PLATFORM} is deployed; interrupted; {state}\n"
    (record,) = [record for record in result.read_records() if record["type"] == "result"]
    assert (record["result"], record["artifacts"]["result"]) == ("deployed", "continues")


def test_an_interrupt_between_the_stacks_names_what_was_deployed_and_what_was_not(
    command: Command, aws: Service
) -> None:
    """Nothing runs any more, so that the exit code is not 3."""
    add_earlier_release(aws)
    interrupt_at(aws, 2, "ExecuteChangeSet")
    aws.errors["ExecuteChangeSet"] = []
    denied = Refused("AccessDenied", "User: x is not authorized to perform: cloudformation:ExecuteChangeSet", 403)

    def deny_the_second() -> None:
        aws.errors["ExecuteChangeSet"] = [denied] if count_executions(aws) == 2 else []

    aws.before = {"ExecuteChangeSet": deny_the_second}
    result = command("dev", "--yes", code=1)
    state = f"{PLATFORM} was not deployed; continue with scripts/deploy.sh dev; {NOTICE}{UNTIL_SUCCESS}"
    assert result.stderr == f"deploy: interrupted; {state}"
    assert aws.remaining_names == []


def test_an_interrupt_of_the_follow_up_steps_says_that_the_rights_of_both_releases_stay(
    command: Command, aws: Service
) -> None:
    artifacts = add_earlier_release(aws)
    interrupt_at(aws, 2, "GetTemplate")
    result = command("dev", "--yes", code=1)
    assert result.stderr.endswith(f"are incomplete; deploy again; {NOTICE} until then\n")
    aws.before_call = None
    command("dev", "--yes", code=0)
    assert artifacts.text == BODY


def test_a_missing_protection_says_that_the_rights_of_both_releases_stay(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    for name in ("dev", "prod"):
        find_artifacts(aws).text = find_artifacts(aws).text.replace(
            f"dynamodb-payment-ledger-{name}", f"dynamodb-ledger-{name}"
        )
    denied = Refused("AccessDenied", "User: x is not authorized to perform: cloudformation:CreateChangeSet", 403)

    def deny_the_second() -> None:
        aws.errors["CreateChangeSet"] = [denied] if count_executions(aws) == 2 else []

    aws.before["CreateChangeSet"] = deny_the_second
    result = command("prod", "--yes", code=1)
    assert "payment-platform-prod is deployed, but the deletion protection of " in result.stderr
    assert result.stderr.endswith(f"deploy again: scripts/deploy.sh prod; {NOTICE} until then\n")


def test_an_overtaken_platform_says_that_the_artifacts_stack_was_updated(command: Command, aws: Service) -> None:
    add_earlier_release(aws)

    def let_another_deployment_begin() -> None:
        if count_executions(aws) == 2:
            (platform,) = [stack for stack in aws.stacks.values() if stack.name == PLATFORM]
            platform.status = "UPDATE_IN_PROGRESS"
            for change_set in aws.change_sets.values():
                change_set.execution = "OBSOLETE"

    aws.before["ExecuteChangeSet"] = let_another_deployment_begin
    error_text = command("dev", "--yes", code=1).stderr
    assert "nothing of this deployment was executed" not in error_text
    assert f"; {PLATFORM} was not deployed; continue with scripts/deploy.sh dev; {NOTICE}; the next " in error_text


def test_an_interrupt_after_a_deployment_has_ended_does_not_say_that_it_continues(
    command: Command, aws: Service
) -> None:
    """Of the platform alone: the request to protect it is interrupted."""
    stack = add_platform(aws, edit_harmlessly, environment="prod")
    assert not stack.protected
    interrupt_at(aws, 1, "UpdateTerminationProtection")
    assert command("prod", "--yes", code=1).stderr.startswith(
        "deploy: interrupted; payment-platform-prod is deployed, "
    )


def test_an_abandoned_change_set_is_removed_even_if_the_artifacts_stack_no_longer_changes(
    command: Command, aws: Service
) -> None:
    """A plan was killed; meanwhile the template is the deployed one again."""
    artifacts = add_earlier_release(aws)
    process = command.start("plan", "dev")

    def kill(called: str) -> None:
        if called == "ListChangeSets":
            process.kill()

    aws.before_call = kill
    process.communicate(timeout=LONGEST_SECONDS)
    aws.before_call = None
    assert len(aws.remaining_names) == 2
    artifacts.text = BODY
    result = command("dev", "--yes", code=0)
    assert f"of {ARTIFACTS}, which an interrupted deployment has left behind" in result.stdout
    assert aws.remaining_names == []


def test_a_first_change_set_that_grants_more_than_the_plan_is_refused(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    """Not even an edited digest helps: its rights are compared with those of both releases."""
    artifacts = add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    saved = saved_plan.load_plan(tmp_path / "plan.json")
    statement = "        - Sid: Everything\n          Effect: Allow\n          Action: '*'\n          Resource: '*'\n"
    start = "        - Sid: Functions\n"
    aws.objects["bucket/wider.yaml"] = EARLIER.replace(start, statement + start)
    wider = aws.create_change_set(
        StackName=ARTIFACTS,
        ChangeSetName="wider",
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in artifacts.parameters.items()],
        Tags=artifacts.tags,
        TemplateURL="https://s3.eu-west-1.amazonaws.com/bucket/wider.yaml",
    )
    (tmp_path / "plan.json").unlink()
    saved_plan.save_plan(tmp_path / "plan.json", replace(saved, first_change_set_id=wider["Id"]))
    error_text = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert "the first change set grants more than the plan, and nothing was changed; create a new plan" in error_text
    assert count_executions(aws) == 0
    (tmp_path / "plan.json").unlink()
    saved_plan.save_plan(tmp_path / "plan.json", saved)
    result = command("apply", "dev", "plan.json", "--yes", code=0)
    assert f"First update: {ARTIFACTS}, before {PLATFORM}\n" in result.stdout


def add_change(change_set: ChangeSet) -> None:
    """Let the service list one more changed resource than the templates tell."""
    (change, *_) = change_set.changes
    details = {**change["ResourceChange"], "LogicalResourceId": "AccessLogs", "ResourceType": "AWS::S3::Bucket"}
    change_set.changes.append({**change, "ResourceChange": details})


def test_a_narrowing_that_changes_more_than_the_plan_has_shown_is_not_executed(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release(aws)

    def add_change_of_the_last() -> None:
        for change_set in aws.change_sets.values():
            is_last = change_set.stack is artifacts and count_executions(aws) == 2
            if is_last and change_set.execution == "AVAILABLE" and len(change_set.changes) < 5:
                add_change(change_set)

    aws.before["DescribeChangeSet"] = add_change_of_the_last
    reason = f"{ARTIFACTS}: AccessLogs would change, which is not in the plan; deploy again"
    assert_kept(command("dev", "--yes"), reason)
    assert (list_ledgers(artifacts), aws.remaining_names, count_executions(aws)) == (BOTH_LEDGERS, [], 2)


def test_a_saved_first_change_set_that_changes_more_than_the_plan_is_refused(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    add_change(aws.change_sets[saved_plan.load_plan(tmp_path / "plan.json").first_change_set_id])
    error_text = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert f"{ARTIFACTS}: AccessLogs would change, which is not in the plan; deploy again" in error_text
    assert count_executions(aws) == 0


def test_a_saved_plan_whose_change_set_of_the_artifacts_stack_has_changed_is_refused(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    """The file says what was shown; its digest is right, and the stack is as it was."""
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    planned = saved_plan.load_plan(tmp_path / "plan.json").artifacts
    assert planned is not None
    add_change(aws.change_sets[planned.change_set_id])
    error_text = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert "the change set no longer matches the plan, and nothing was changed; create a new plan" in error_text
    assert count_executions(aws) == 0


def test_a_platform_that_fails_after_rights_were_only_added_says_that_they_stay(command: Command, aws: Service) -> None:
    """They are those of the new release alone, so that the next deployment has nothing to take away."""
    artifacts = add_earlier_release(aws, BODY.replace("NoncurrentDays: 30", "NoncurrentDays: 3"))
    aws.fails = {"Data/DeadLetters": "no"}
    error_text = command("dev", "--yes", code=1).stderr
    assert f"; {ARTIFACTS} is updated already, and stays as it is\n" in error_text
    assert NOTICE not in error_text
    assert artifacts.text == BODY


def make_client(url: str) -> Any:
    return boto3.client(
        "cloudformation",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )


@pytest.mark.parametrize("refused_count", [0, 1, 2, 3])
def test_the_log_of_requests_counts_equal_ones(aws: Service, refused_count: int) -> None:
    """It keeps no more of them, and a refusal is one of them."""
    artifacts, log = add_earlier_release(aws), RequestLog()
    with serve_account(aws) as url:
        client = make_client(url)
        log.watch(client)
        for number in range(3):
            aws.faults = {"SetStackPolicy": Fault(DENIED)} if number < refused_count else {}
            with suppress(ClientError):
                client.set_stack_policy(StackName=artifacts.id, StackPolicyBody="{}")
    request = f"already requested: cloudformation:SetStackPolicy on {artifacts.id}"
    assert log.describe_changes() == (request if refused_count < 3 else "nothing was changed")


@pytest.mark.parametrize("is_saved", [False, True], ids=["creates it", "reads it"])
def test_the_log_of_requests_names_the_stack_of_a_change_set(aws: Service, is_saved: bool) -> None:
    """The id of a change set names no stack, and whoever reads it needs one."""
    artifacts = add_earlier_release(aws)
    log = RequestLog()
    aws.objects["bucket/other.yaml"] = TAKES_AWAY
    with serve_account(aws) as url:
        client = make_client(url)
        if not is_saved:
            log.watch(client)
        change_set_id = client.create_change_set(
            StackName=ARTIFACTS,
            ChangeSetName="change",
            ChangeSetType="UPDATE",
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in artifacts.parameters.items()],
            Tags=artifacts.tags,
            TemplateURL="https://s3.eu-west-1.amazonaws.com/bucket/other.yaml",
        )["Id"]
        if is_saved:
            log.watch(client)
        while client.describe_change_set(ChangeSetName=change_set_id)["Status"] != "CREATE_COMPLETE":
            pass
        client.execute_change_set(ChangeSetName=change_set_id)
    assert log.describe_changes() == f"already requested: cloudformation:ExecuteChangeSet on {ARTIFACTS}"

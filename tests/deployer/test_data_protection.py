"""Confirmation by name, termination protection and stack policies protect data from a deployment."""

import json
import re
import signal
from typing import Any

import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import RESET_AFTER, RESET_BEFORE, Fault
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import Stack
from tests.deployer.conftest import Command, add_bootstrap_stack, add_platform
from tests.deployer.disturbed_runs import lose_execution, send_signal
from tests.deployer.releases import CONFIRMED_LOSSES, edit_with_loss


def test_yes_does_not_confirm_data_loss(command: Command, aws: Service) -> None:
    add_platform(aws, edit_with_loss)
    assert command("dev", "--yes", code=1).stderr == (
        "deploy: --yes does not cover data loss; to confirm it, add --destroys PaymentLedger --destroys AuditTrail\n"
    )
    misspelt = command("dev", "--yes", *CONFIRMED_LOSSES, "--destroys", "Ledger")
    assert (
        misspelt.stderr
        == "deploy: --destroys Ledger: no such resource among those affected: AuditTrail, PaymentLedger\n"
    )
    assert aws.find_requests("ExecuteChangeSet") == []
    assert aws.remaining_names == []
    command("dev", "--yes", *CONFIRMED_LOSSES, code=0)


@pytest.mark.parametrize("is_saved", [False, True])
def test_without_a_terminal_the_refusal_names_every_option_that_answers(
    command: Command, aws: Service, is_saved: bool
) -> None:
    add_platform(aws, edit_with_loss)
    if is_saved:
        command("plan", "dev", "--out", "plan.json", code=2)
    arguments = ["apply", "dev", "plan.json"] if is_saved else ["dev"]
    words = "deploy: cannot ask for confirmation without a terminal; run it in a terminal or add "
    refused = command(*arguments, code=1).stderr
    assert refused.startswith(words)
    # The rest says that the plan is still saved.
    answers = refused.removeprefix(words).partition(";")[0].split()
    assert answers == ["--yes", *CONFIRMED_LOSSES]
    assert aws.find_requests("ExecuteChangeSet") == []
    # Where some names are given, the others are missing.
    others = command(*arguments, *CONFIRMED_LOSSES[:2], code=1).stderr.removeprefix(words).partition(";")[0].split()
    assert others == ["--yes", *CONFIRMED_LOSSES[2:]]
    command(*arguments, *answers, code=0)


def test_a_name_that_is_confirmed_where_nothing_changes_is_reported(command: Command, aws: Service) -> None:
    """No error, because a deployment that has succeeded may be repeated."""
    stack = add_platform(aws)
    warning = "Warning --destroys PaymentLedger: nothing changes, so nothing is destroyed\n"
    assert warning in command("dev", "--yes", "--destroys", "PaymentLedger", code=0).stdout
    # CloudFormation compares, and finds nothing.
    for nested in stack.nested.values():
        nested.drift = "IN_SYNC"
    assert warning in command("dev", "--yes", "--revert-drift", "--destroys", "PaymentLedger", code=0).stdout
    steps = command("dev", "--yes", "--json", "--destroys", "PaymentLedger", code=0).read_records()
    assert warning.removeprefix("Warning ").rstrip() in [step.get("detail") for step in steps]
    assert aws.find_requests("ExecuteChangeSet") == []


def test_a_misspelt_name_is_refused_before_the_first_step_of_a_first_deployment(command: Command, aws: Service) -> None:
    refused = command("dev", "--yes", "--destroys", "PaymentLedger", code=1)
    assert refused.stderr == "deploy: --destroys PaymentLedger: no such resource among those affected: none\n"
    assert aws.find_writes() == []


@pytest.mark.parametrize(
    ("types", "code"), [("PaymentLedger\nAuditTrail\ny\n", 0), ("PaymentLedger\ny\n", 1), ("y\n", 1), ("\x04", 1)]
)
def test_data_loss_is_confirmed_by_typing_the_name_of_the_resource(
    command: Command, aws: Service, types: str, code: int
) -> None:
    add_platform(aws, edit_with_loss)
    terminal = command.run_on_terminal("dev", types=types)
    assert terminal.code == code, terminal.text
    assert len(aws.find_requests("ExecuteChangeSet")) == (code == 0)
    assert aws.remaining_names == []


def test_a_deployment_of_prod_sets_termination_protection_and_stack_policies(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_with_loss, environment="prod")
    command("prod", "--yes", *CONFIRMED_LOSSES, code=0)
    assert stack.protected
    policies = {path: json.loads(stack_or_nested.policy) for path, stack_or_nested in stack.walk()}
    assert set(policies) == {"", "Security", "Data", "Compute", "Workflow", "Monitoring"}
    (_, deny) = policies["Data"]["Statement"]
    assert (deny["Action"], deny["Resource"]) == (["Update:Replace", "Update:Delete"], "*")
    assert "AWS::DynamoDB::Table" in deny["Condition"]["StringEquals"]["ResourceType"]
    (request,) = aws.find_requests("CreateChangeSet")
    assert request["RollbackConfiguration"]["MonitoringTimeInMinutes"] == 5


@pytest.mark.parametrize("kind", ["expired", "throttled"])
def test_a_second_change_set_that_is_no_longer_watched_continues(command: Command, aws: Service, kind: str) -> None:
    command.haste = 5000
    add_bootstrap_stack(aws)
    aws.before["ExecuteChangeSet"] = lambda: fail_to_watch_second(aws, kind)
    unwatched = command("prod", "--yes", code=3)
    assert unwatched.stderr.startswith(
        "deploy: payment-platform-prod is deployed, and its second change set, which protects Data/PaymentLedger, "
        "Data/Transactions from deletion, is being executed: "
    )
    assert "the deployment continues; watch it: scripts/deploy.sh follow prod" in unwatched.stderr


@pytest.mark.parametrize("kind", [RESET_BEFORE, RESET_AFTER])
def test_a_second_change_set_that_may_not_have_begun_is_not_said_to_be_executed(
    command: Command, aws: Service, kind: str
) -> None:
    add_bootstrap_stack(aws)
    lose_execution(aws, 2, kind)
    unknown = command("prod", "--yes", code=3).stderr
    assert "is deployed; of its second change set, which protects Data/PaymentLedger, Data/Transactions" in unknown
    assert "whether the deployment began could not be read: " in unknown
    assert unknown.endswith("; if it is not executed, deploy again: scripts/deploy.sh prod\n")


def test_an_overtaken_creation_promises_no_second_change_set(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    aws.before["ExecuteChangeSet"] = aws.change_sets.clear
    overtaken = command("prod", "--yes", code=1).stderr
    assert "another deployment was faster" in overtaken
    assert "second change set" not in overtaken


def fail_to_watch_second(aws: Service, kind: str) -> None:
    if len(aws.find_requests("ExecuteChangeSet")) == 2:
        aws.faults["DescribeStackEvents"] = Fault(kind)


def test_missing_protection_is_added_even_if_nothing_else_changes(command: Command, aws: Service) -> None:
    stack = add_platform(aws, environment="prod")
    command("prod", "--plan", code=0)
    assert not stack.protected
    result = command("prod", "--yes", code=0)
    assert stack.protected
    assert "Protected payment-platform-prod from deletion (termination protection)\n" in result.stdout
    assert all(stack_or_nested.policy for _, stack_or_nested in stack.walk())
    aws.calls.clear()
    command("prod", "--yes", code=0)
    assert aws.find_writes() == []


def add_protected_platform(aws: Service) -> Stack:
    """Deploy an earlier release, whose data this one loses, to prod, with a stack policy on each stack."""
    stack = add_platform(aws, edit_with_loss, environment="prod")
    for _, stack_or_nested in stack.walk():
        stack_or_nested.policy = "protected"
    return stack


@pytest.mark.parametrize("fails", [False, True])
def test_a_stack_policy_is_lifted_during_the_deployment_for_confirmed_resources_only(
    command: Command, aws: Service, fails: bool
) -> None:
    stack = add_protected_platform(aws)
    aws.fails = {"Data/PaymentLedger": "no"} if fails else {}
    assert command("prod", "--yes", *CONFIRMED_LOSSES).code == fails
    data = [request for request in aws.find_requests("SetStackPolicy") if "-Data-" in request["StackName"]]
    first = json.loads(data[0]["StackPolicyBody"])["Statement"][1]
    assert first["NotResource"] == ["LogicalResourceId/PaymentLedger", "LogicalResourceId/AuditTrail"]
    # The previous policy is restored; after a successful deployment, the platform's policy replaces it.
    assert data[1]["StackPolicyBody"] == "protected"
    assert ("NotResource" in stack.nested["Data"].policy, "Deny" in stack.nested["Data"].policy) == (False, not fails)
    # The policy is lifted before the execution.
    names = [name for name, _ in aws.calls]
    assert names.index("SetStackPolicy") < names.index("ExecuteChangeSet")


def test_the_next_deployment_restores_a_lifted_stack_policy(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_with_loss, environment="prod")
    command("prod", "--yes", *CONFIRMED_LOSSES, code=0)
    good = stack.nested["Data"].policy
    stack.text += "\n# of an earlier release\n"
    stack.nested["Data"].policy = "lifted"
    result = command("prod", "--yes", code=0)
    assert stack.nested["Data"].policy == good
    assert "with stack policies on 1 stacks" in result.stdout


def test_a_failed_deployment_closes_the_stack_policies_that_an_earlier_one_has_left_lifted(
    command: Command, aws: Service
) -> None:
    """It was killed, or another deployment is lifting them: to take that for what was before would leave them open."""
    stack = add_platform(aws, edit_with_loss, environment="prod")
    stack.nested["Data"].policy = render_policy({"NotResource": ["LogicalResourceId/PaymentLedger"]})
    aws.fails = {"Data/PaymentLedger": "no"}
    command("prod", "--yes", *CONFIRMED_LOSSES, code=1)
    assert json.loads(stack.nested["Data"].policy) == json.loads(render_policy({"Resource": "*"}))


def render_policy(resources: dict[str, Any]) -> str:
    """Return a policy as a release sets it that protects tables only; a deployment lifts it for some resources."""
    allow = {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
    condition = {"StringEquals": {"ResourceType": ["AWS::DynamoDB::Table"]}}
    deny = {"Effect": "Deny", "Action": ["Update:Replace", "Update:Delete"], "Principal": "*", "Condition": condition}
    return json.dumps({"Statement": [allow, deny | resources]})


def test_no_stack_policy_is_lifted_for_a_change_set_that_another_deployment_has_overtaken(
    command: Command, aws: Service
) -> None:
    stack = add_protected_platform(aws)

    def begin() -> None:
        if aws.change_sets:
            aws.before = {}
            aws.add_event(stack, "", "AWS::CloudFormation::Stack", "UPDATE_IN_PROGRESS")

    aws.before["GetStackPolicy"] = begin
    refused = command("prod", "--yes", *CONFIRMED_LOSSES, code=1)
    assert "another deployment of payment-platform-prod has begun since the plan was made; nothing of" in refused.stderr
    assert aws.find_requests("SetStackPolicy") == []


def test_a_stack_policy_that_cannot_be_restored_is_named(command: Command, aws: Service) -> None:
    add_protected_platform(aws)

    def refuse_from_now_on() -> None:
        aws.errors["SetStackPolicy"] = [Refused("AccessDenied", "not you", 403)] * 20

    aws.before = {"ExecuteChangeSet": refuse_from_now_on}
    result = command("prod", "--yes", *CONFIRMED_LOSSES, code=0)
    still = "payment-platform-prod-Data-1A2B still allows deleting or replacing PaymentLedger, AuditTrail"
    assert f"Not protected: the stack policy of {still}: not authorized: cloudformation:SetStackPolicy" in result.stdout
    assert "the next deployment sets it back" in result.stdout


def test_a_policy_that_is_not_ours_is_not_lifted(command: Command, aws: Service) -> None:
    """Nothing would restore it if the deployment were killed, because the settings of dev ask for no policy."""
    stack = add_platform(aws, edit_with_loss)
    custom = json.dumps({"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}]})
    stack.nested["Data"].policy = custom
    command("dev", "--yes", *CONFIRMED_LOSSES, code=0)
    assert aws.find_requests("SetStackPolicy") == []
    assert stack.nested["Data"].policy == custom


@pytest.mark.parametrize("release", ["this", "another"])
def test_our_own_policy_is_lifted_although_the_settings_no_longer_ask_for_it(
    release: str, command: Command, aws: Service
) -> None:
    stack = add_platform(aws, edit_with_loss, environment="prod")
    command("prod", "--yes", *CONFIRMED_LOSSES, code=0)
    policy = json.loads(stack.nested["Data"].policy)
    if release == "another":
        policy["Statement"][1]["Condition"]["StringEquals"]["ResourceType"] = ["AWS::DynamoDB::Table"]
    dev = add_platform(aws, edit_with_loss)
    dev.nested["Data"].policy = json.dumps(policy)
    aws.calls.clear()
    aws.before = {"ExecuteChangeSet": lambda: aws.errors.update(SetStackPolicy=[Refused("AccessDenied", "no", 403)])}
    result = command("dev", "--yes", *CONFIRMED_LOSSES, code=0)
    assert len(aws.find_requests("SetStackPolicy")) == 2
    assert "a deployment with stack_policy = true sets it back" in result.stdout


def test_every_policy_is_restored_or_named_however_often_the_restoring_is_interrupted(
    command: Command, aws: Service
) -> None:
    """Ctrl-C ends the watching, and then each of the requests that restore the policies."""
    stack = add_protected_platform(aws)
    interrupts = {"DescribeStackEvents": 1, "SetStackPolicy": 3}

    def interrupt(operation: str) -> None:
        if aws.find_requests("ExecuteChangeSet") and interrupts.get(operation):
            interrupts[operation] -= 1
            send_signal(signal.SIGINT)

    aws.before_call = interrupt
    result = command("prod", "--yes", *CONFIRMED_LOSSES, code=3)
    aws.before_call = None
    lifted = {stack_or_nested.name for _, stack_or_nested in stack.walk() if "NotResource" in stack_or_nested.policy}
    named = re.findall(r"the stack policy of (\S+) still allows", result.stderr)
    assert result.stderr.count("\n") == 1
    assert "the deployment continues" in result.stderr
    assert named
    assert lifted <= set(named)


@pytest.mark.parametrize("hidden", [(), ("ProcessingLogs", "ValidationLogs")])
def test_a_shorter_retention_is_asked_for_even_if_the_answer_with_values_omits_the_log(
    command: Command, aws: Service, hidden: tuple[str, ...]
) -> None:
    add_platform(aws, keep_logs_for_years)
    aws.without_values = set(hidden)
    refused = command("dev", "--yes", code=1)
    logs = ["ProcessingLogs", "ReconciliationLogs", "ValidationLogs"]
    assert sorted(re.findall("--destroys (.*?Logs)", refused.stderr)) == logs
    assert "── RetentionInDays: 3653 → 1\n" in refused.stdout
    assert aws.find_requests("ExecuteChangeSet") == []


def keep_logs_for_years(name: str, text: str) -> str:
    return re.sub("RetentionInDays: .*", "RetentionInDays: 3653", text) if name == "compute.yaml" else text

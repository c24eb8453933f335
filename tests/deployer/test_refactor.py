"""``deploy.sh refactor ENV``: resources get other logical ids or stacks, and keep their data."""

import re
import signal
from typing import Any

import pytest

from scripts.deployer import refactor
from tests.deployer import conftest
from tests.deployer.aws import cloudformation
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import DENIED, EXPIRED, RESET_AFTER, Fault
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import Stack
from tests.deployer.conftest import Command, Edit, add_platform, assert_golden, interrupt_when, package_release
from tests.deployer.disturbed_runs import send_signal, strike_from
from tests.emitted import ROOT

# Each takes several deployments.
pytestmark = pytest.mark.nightly

NAME = "payment-platform-dev"
TABLE = ("AWS::DynamoDB::Table", "dynamodb-transactions-dev")
LOGS = ("AWS::Logs::LogGroup", "/aws/vendedlogs/states/sfn-payment-workflow-dev")
UNEXECUTED = "nothing was moved; the stack refactor refactor-1 stays unexecuted, which changes nothing"


def edit_with_old_id(name: str, text: str) -> str:
    """Return a template of a release in which the table of transactions had another logical id."""
    text = re.sub(r"\bTransactions\b", "Payments", text) if name == "data.yaml" else text
    # A template by hand, whose version YAML reads as a date.
    return text.replace("AWSTemplateFormatVersion: '2010-09-09'", "AWSTemplateFormatVersion: 2010-09-09")


def edit_with_old_ids(name: str, text: str) -> str:
    """Return a template of a release in which both tables had other logical ids."""
    text = re.sub(r"\bPaymentLedger\b", "OldLedger", text) if name == "data.yaml" else text
    return edit_with_old_id(name, text)


def edit_with_logs_elsewhere(name: str, text: str) -> str:
    """Return a template of a release in which the functions' stack had the log group of the state machine."""
    workflow = (ROOT / "templates" / "workflow.yaml").read_text(encoding="utf-8")
    (group,) = re.findall(r"^  WorkflowLogs:\n(?:    .*\n)+", workflow, re.MULTILINE)
    if name == "compute.yaml":
        text = text.replace("\nResources:\n", f"\nResources:\n{group}", 1)
        return text.replace("\nOutputs:\n", "\nOutputs:\n  WorkflowLogGroupName:\n    Value: !Ref WorkflowLogs\n", 1)
    if name == "workflow.yaml":
        text = text.replace(group, "")
        text = text.replace("!Ref WorkflowLogs", "!Sub /aws/vendedlogs/states/sfn-payment-workflow-${Environment}")
        return text.replace(
            "!GetAtt WorkflowLogs.Arn", "!Sub /aws/vendedlogs/states/sfn-payment-workflow-${Environment}"
        )
    return text


def add_old_release(aws: Service, edit: Edit = edit_with_old_id) -> Stack:
    stack = add_platform(aws, edit)
    for key in (TABLE, LOGS):
        aws.holdings.resources[key].contents = ["a payment"]
    return stack


def find_replaced(output: str) -> list[str]:
    """Return the lines of a plan about resources that are created, deleted or replaced."""
    return re.findall(r"^.*(?:── (?:\+|-|-/\+) |could be moved|may be replaced).*$", output, re.MULTILINE)


def test_a_renamed_resource_is_moved_and_the_next_deployment_replaces_nothing(command: Command, aws: Service) -> None:
    stack = add_old_release(aws)
    planned = command("dev", "--plan", code=2).stdout
    notice = "! Data/Payments could be moved to Data/Transactions instead, without being replaced: "
    assert f"{notice}scripts/deploy.sh refactor dev\n" in planned
    # The danger stays first: an ordinary deployment would still take the table out of the stack.
    assert "\n! Data/Payments (AWS::DynamoDB::Table) is removed from the stack" in planned
    assert_golden("refactor.txt", command("dev", "--refactor", "--yes", code=0).stdout)
    assert "Transactions" in stack.nested["Data"].resources
    after = command("dev", "--plan", code=2).stdout
    assert find_replaced(after) == []
    assert "Plan: 0 to add, 0 to change, 0 to destroy." in after
    command("dev", "--yes", code=0)
    assert aws.holdings.resources[TABLE].contents == ["a payment"]
    assert command("dev", "--plan", code=0).stdout == f"{NAME}: no changes\n"


def test_a_resource_is_moved_to_another_stack_and_the_next_deployment_replaces_nothing(
    command: Command, aws: Service
) -> None:
    stack = add_old_release(aws, edit_with_logs_elsewhere)
    planned = command("dev", "--plan", code=2).stdout
    assert "Compute/WorkflowLogs could be moved to Workflow/WorkflowLogs instead" in planned
    outputs = stack.nested["Compute"].outputs
    command("dev", "--refactor", "--yes", code=0)
    assert "WorkflowLogs" in stack.nested["Workflow"].resources
    # The parent's template and the outputs that it may read are as they were.
    assert stack.nested["Compute"].outputs == outputs
    assert [request["StackName"] for request in aws.find_requests("CreateStackRefactor")[0]["StackDefinitions"]] == [
        stack.nested["Compute"].name,
        stack.nested["Workflow"].name,
    ]
    tags = aws.holdings.resources[LOGS].tags
    assert tags.get("aws:cloudformation:stack-name", stack.nested["Workflow"].name) == stack.nested["Workflow"].name
    assert find_replaced(command("dev", "--plan", code=2).stdout) == []
    command("dev", "--yes", code=0)
    assert aws.holdings.resources[LOGS].contents == ["a payment"]


def test_the_offline_plan_and_programs_are_told_of_a_possible_move(command: Command, aws: Service) -> None:
    add_old_release(aws)
    notice = "Data/Payments could be moved to Data/Transactions instead, without being replaced: "
    records = command("dev", "--plan", "--json", code=2).read_records()
    (plan,) = [record["plan"] for record in records if record["type"] == "plan"]
    assert f"{notice}scripts/deploy.sh refactor dev" in plan["notices"]
    assert f"> - {notice}" in command("dev", "--plan", "--markdown", code=2).stdout
    moved = command("dev", "--refactor", "--yes", "--json", code=0).read_records()
    assert [record["result"] for record in moved if record["type"] == "result"] == ["refactored"]
    # The record of this deployment has the moved resource, so that offline plans know of it.
    assert "could be moved" not in command("dev", "--plan", "--offline").stdout


def test_moves_by_name_do_the_same(command: Command, aws: Service) -> None:
    stack = add_old_release(aws)
    command("dev", "--refactor", "--move", "Data/Payments=Data/Transactions", "--yes", code=0)
    assert "Transactions" in stack.nested["Data"].resources
    again = command("dev", "--refactor", "--yes", code=0)
    assert again.stdout == f"{NAME}: no resource can be moved; nothing was done\n"
    assert len(aws.refactors) == 1


@pytest.mark.parametrize(
    ("move", "reason"),
    [
        ("Data/Missing=Data/Transactions", "Data/Missing is not deployed; see scripts/status.sh dev"),
        ("Data/Payments", "give FROM=TO, such as Data/Old=Data/New"),
        (
            "Data/Payments=Data/Paymets",
            "the templates have no Data/Paymets of the type AWS::DynamoDB::Table, so the next deployment would delete "
            "it; write it into the templates first",
        ),
        (
            "Data/PaymentLedger=Data/Transactions",
            "the templates still have Data/PaymentLedger, so the next deployment would create a second one; take it "
            "out of the templates first",
        ),
    ],
)
def test_a_move_that_the_next_deployment_would_undo_is_refused(
    command: Command, aws: Service, move: str, reason: str
) -> None:
    add_old_release(aws)
    refused = command("dev", "--refactor", "--move", move, "--yes", code=1)
    assert refused.stderr.startswith(f"deploy: --move {move}: {reason}")
    assert aws.refactors == {}


@pytest.mark.parametrize(
    ("edit", "moves"),
    [
        # The templates name the tables as before, under new logical ids; the moves confuse them.
        (edit_with_old_ids, ("Data/Payments=Data/PaymentLedger", "Data/OldLedger=Data/Transactions")),
        (None, ("Data/Transactions=Data/PaymentLedger", "Data/PaymentLedger=Data/Transactions")),
    ],
)
def test_a_move_after_which_the_next_deployment_would_replace_a_table_is_refused(
    command: Command, aws: Service, edit: Edit | None, moves: tuple[str, str]
) -> None:
    add_platform(aws, edit)
    arguments = [argument for move in moves for argument in ("--move", move)]
    refused = command("dev", "--refactor", *arguments, "--yes", code=1)
    source, destination = moves[0].split("=")
    assert refused.stderr == (
        f"deploy: --move {moves[0]}: the templates declare another resource as {destination}, so the next deployment "
        f"would replace {source} because of TableName, KeySchema; name the destination that "
        "declares it\n"
    )
    assert aws.find_writes() == []


def test_a_deployment_of_the_templates_of_before_is_planned_as_a_replacement(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root stack still has its template of before; only the nested one differs."""
    add_old_release(aws)
    command("dev", "--refactor", "--yes", code=0)
    monkeypatch.setattr(conftest, "_package", lambda *_: package_release(edit_with_old_id, "dev"))
    planned = command("dev", "--plan", code=2).stdout
    assert "\n! Data/Transactions (AWS::DynamoDB::Table) is removed from the stack" in planned
    assert "--destroys Transactions" in command("dev", "--yes", code=1).stderr


def test_both_tables_are_moved_to_the_logical_ids_that_declare_them(command: Command, aws: Service) -> None:
    add_platform(aws, edit_with_old_ids)
    moves = ("--move", "Data/Payments=Data/Transactions", "--move", "Data/OldLedger=Data/PaymentLedger")
    command("dev", "--refactor", *moves, "--yes", code=0)
    assert find_replaced(command("dev", "--plan").stdout) == []


def test_a_move_to_the_same_place_is_refused(command: Command, aws: Service) -> None:
    add_platform(aws)
    refused = command("dev", "--refactor", "--move", "Data/Transactions=Data/Transactions", "--yes", code=1)
    assert refused.stderr == (
        "deploy: --move Data/Transactions=Data/Transactions: Data/Transactions is there already; name another "
        "destination\n"
    )
    assert aws.find_writes() == []


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_move_is_offered_by_the_policies_that_the_stacks_have(
    command: Command, aws: Service, is_readable: bool
) -> None:
    """Not by the settings: those of dev ask for no stack policies. Only where policies cannot be read, these count."""
    stack = add_old_release(aws)
    stack.nested["Data"].policy = "{}"
    if not is_readable:
        aws.errors["GetStackPolicy"] = [Refused("AccessDenied", "no")] * 30
    planned = command("dev", "--plan", code=2).stdout
    assert ("being replaced: Data has a stack policy\n" in planned) is is_readable
    assert ("Data/Payments could be moved" in planned) is not is_readable


def test_a_stack_with_a_stack_policy_is_not_refactored(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_with_old_id, "prod")
    data = stack.nested["Data"]
    data.policy = "{}"
    planned = command("prod", "--plan", code=2).stdout
    notice = (
        "! Data/Payments → Data/Transactions (AWS::DynamoDB::Table) is one resource, but it cannot be moved without "
    )
    assert f"{notice}being replaced: Data has a stack policy\n" in planned
    refused = command("prod", "--refactor", "--yes", code=1)
    assert refused.stderr == (
        f"deploy: {data.name}: "
        "CloudFormation moves no resource of a stack that has a stack policy, and a policy cannot "
        "be taken away; leave the resources at their logical ids and stacks\n"
    )
    assert aws.find_requests("CreateStackRefactor") == []


def test_a_refusal_of_the_service_moves_nothing(command: Command, aws: Service) -> None:
    stack = add_old_release(aws)

    def begin_update() -> None:
        stack.nested["Data"].status = "UPDATE_IN_PROGRESS"

    aws.before["CreateStackRefactor"] = begin_update
    refused = command("dev", "--refactor", "--yes", code=1)
    reason = f"{stack.nested['Data'].id}: Stack is in UPDATE_IN_PROGRESS."
    assert refused.stderr == f"deploy: CloudFormation refuses to move: {reason}; nothing was moved\n"
    assert aws.find_requests("ExecuteStackRefactor") == []


def test_a_refactor_with_another_action_is_not_executed(command: Command, aws: Service) -> None:
    add_old_release(aws)
    aws.additional_actions = [{"Action": "CREATE", "Entity": "STACK", "Description": "Stack another will be created."}]
    refused = command("dev", "--refactor", "--yes", code=1)
    assert refused.stderr == (
        "deploy: CloudFormation would do something else than these moves; see aws cloudformation "
        f"list-stack-refactor-actions --stack-refactor-id refactor-1; {UNEXECUTED}\n"
    )
    assert aws.find_requests("ExecuteStackRefactor") == []


def test_an_execution_that_is_rolled_back_says_why(command: Command, aws: Service) -> None:
    stack = add_old_release(aws)
    aws.immovable[TABLE[0]] = "Stack Refactor does not support it."
    failed = command("dev", "--refactor", "--yes", code=1)
    assert failed.stderr == (
        "deploy: the moves ended ROLLBACK_COMPLETE: Stack Refactor does not support it.; nothing was moved\n"
    )
    assert "Payments" in stack.nested["Data"].resources


def test_a_refactor_that_another_deployment_has_overtaken_is_not_executed(command: Command, aws: Service) -> None:
    stack = add_old_release(aws)

    def change_stack() -> None:
        stack.nested["Data"].text += "\n# changed"

    aws.before["ExecuteStackRefactor"] = change_stack
    refused = command("dev", "--refactor", "--yes", code=1)
    assert "nothing was moved; the stack refactor is OBSOLETE; try again\n" in refused.stderr


def test_a_request_whose_answer_was_lost_is_followed(command: Command, aws: Service) -> None:
    stack = add_old_release(aws)
    aws.errors["ExecuteStackRefactor"] = [Refused("RequestTimeout", "")]
    aws.before["ExecuteStackRefactor"] = lambda: aws.execute_stack_refactor("refactor-1")
    command("dev", "--refactor", "--yes", code=0)
    assert "Transactions" in stack.nested["Data"].resources


def test_a_refusal_at_the_prompt_says_what_remains(command: Command, aws: Service) -> None:
    add_old_release(aws)
    terminal = command.run_on_terminal("dev", "--refactor", types="n\n", columns=80)
    printed = terminal.text.replace("\n", "")
    assert f"Move 1 resource of {NAME}? [y/N]: deploy: {NAME}: declined; {UNEXECUTED}" in printed
    assert (terminal.code, aws.find_requests("ExecuteStackRefactor")) == (1, [])


@pytest.mark.parametrize(
    ("operation", "message", "code"),
    [
        ("DescribeStackRefactor", f"interrupted; {UNEXECUTED}", 1),
        (
            "ExecuteStackRefactor",
            "interrupted; the moves continue; see aws cloudformation describe-stack-refactor --stack-refactor-id "
            "refactor-1",
            3,
        ),
    ],
)
def test_an_interrupt_says_what_continues_and_what_remains(
    command: Command, aws: Service, operation: str, message: str, code: int
) -> None:
    add_old_release(aws)
    # Forever, as seen from here, once the operation has been requested.
    aws.before[operation] = lambda: aws.slow.__setitem__("refactor", 1000)
    if operation == "DescribeStackRefactor":
        aws.slow["refactor"] = 1000
    process = command.start("dev", "--refactor", "--yes")
    interrupted = interrupt_when(process, lambda: bool(aws.find_requests(operation)))
    assert (interrupted.stderr, interrupted.code) == (f"deploy: {message}\n", code)


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_a_refactor_that_may_have_been_created_is_named(
    command: Command, aws: Service, *, is_interrupted: bool
) -> None:
    add_old_release(aws)
    if is_interrupted:
        aws.before["CreateStackRefactor"] = lambda: send_signal(signal.SIGINT)
    else:
        aws.faults["CreateStackRefactor"] = Fault(RESET_AFTER)
    ended = command("dev", "--refactor", "--yes", code=1).stderr
    assert ended.endswith("; nothing was moved; a stack refactor may stay unexecuted, which changes nothing\n")


def test_a_refactor_that_is_refused_leaves_nothing(command: Command, aws: Service) -> None:
    add_old_release(aws)
    aws.faults["CreateStackRefactor"] = Fault(DENIED)
    assert "unexecuted" not in command("dev", "--refactor", "--yes", code=1).stderr


def test_the_command_waits_until_the_stacks_can_be_changed_again(command: Command, aws: Service) -> None:
    stack = add_old_release(aws)
    aws.slow["settling"] = 4
    command("dev", "--refactor", "--yes", code=0)
    assert (stack.nested["Data"].status, aws.settling) == ("UPDATE_COMPLETE", [])


def test_a_resource_that_is_another_one_after_the_move_is_reported(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_old_release(aws)
    identify = cloudformation.identify_resource

    def identify_another(logical_id: str, resource: dict[str, Any], stack: Stack) -> str:
        return "another-table" if logical_id == "Transactions" else identify(logical_id, resource, stack)

    monkeypatch.setattr(cloudformation, "identify_resource", identify_another)
    failed = command("dev", "--refactor", "--yes", code=1)
    assert failed.stderr == (
        "deploy: Data/Transactions is not dynamodb-transactions-dev after the move; the resources have moved; see "
        "scripts/status.sh dev\n"
    )


def test_moves_that_have_not_ended_at_the_limit_continue(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_old_release(aws)
    monkeypatch.setattr(refactor, "_LONGEST_SECONDS", 1)
    aws.before["ExecuteStackRefactor"] = lambda: aws.slow.__setitem__("refactor", 1000)
    failed = command("dev", "--refactor", "--yes", code=3)
    assert failed.stderr == (
        "deploy: the moves have not ended after 0 minutes and continue; see aws cloudformation "
        "describe-stack-refactor --stack-refactor-id refactor-1\n"
    )


def deny_from_now_on(aws: Service, stack: Stack, operation: str) -> None:
    """Deny the operation as soon as the table has moved."""

    def deny() -> None:
        if "Transactions" in stack.nested["Data"].resources:
            aws.errors[operation] = [Refused("AccessDenied", "not you", 403)] * 20

    aws.before["DescribeStackRefactor"] = deny


@pytest.mark.parametrize("operation", ["DescribeStacks", "ListStackResources"])
def test_an_error_after_the_moves_says_that_they_are_made(command: Command, aws: Service, operation: str) -> None:
    deny_from_now_on(aws, add_old_release(aws), operation)
    failed = command("dev", "--refactor", "--yes", code=1)
    assert failed.stderr.startswith(f"deploy: not authorized: cloudformation:{operation}")
    assert failed.stderr.endswith("; the resources have moved; see scripts/status.sh dev\n")


def test_an_interrupt_after_the_moves_says_that_they_are_made(command: Command, aws: Service) -> None:
    add_old_release(aws)
    aws.slow["settling"] = 1000
    process = command.start("dev", "--refactor", "--yes")
    interrupted = interrupt_when(process, lambda: bool(aws.settling) and aws.calls[-1][0] == "DescribeStacks")
    message = "deploy: interrupted; the resources have moved; see scripts/status.sh dev\n"
    assert (interrupted.stderr, interrupted.code) == (message, 3)


def test_moves_that_are_refused_have_not_begun_even_if_nothing_can_be_read_afterwards(
    command: Command, aws: Service
) -> None:
    add_old_release(aws)
    strike_from(aws, "ExecuteStackRefactor", EXPIRED)
    failed = command("dev", "--refactor", "--yes", code=1)
    assert "; sign in again; nothing was moved; try again" in failed.stderr


def test_moves_that_may_have_begun_are_not_called_unmoved(command: Command, aws: Service) -> None:
    add_old_release(aws)

    def lose_connection() -> None:
        aws.errors["ExecuteStackRefactor"] = [Refused("RequestTimeout", "")]
        aws.errors["DescribeStackRefactor"] = [Refused("AccessDenied", "not you", 403)]

    aws.before["ExecuteStackRefactor"] = lose_connection
    failed = command("dev", "--refactor", "--yes", code=3)
    assert "; the moves may have begun, which could not be read: not authorized: " in failed.stderr


def test_nothing_is_moved_while_a_failed_update_is_unfinished(command: Command, aws: Service) -> None:
    stack = add_old_release(aws)
    stack.status = "UPDATE_FAILED"
    refused = command("dev", "--refactor", "--yes", code=1)
    assert refused.stderr.startswith(f"deploy: {NAME} is UPDATE_FAILED: updated in part; fix the cause")
    assert aws.find_writes() == []


@pytest.mark.parametrize("arguments", [("refactor", "dev"), ("rollback", "dev"), ("cancel", "dev")])
def test_a_stack_of_another_tool_has_to_be_taken_over_first(
    command: Command, aws: Service, arguments: tuple[str, str]
) -> None:
    add_platform(aws).tags = []
    refused = command(*arguments, code=1)
    assert refused.stderr.endswith("deployed by another tool, take it over first: scripts/deploy.sh dev --adopt\n")


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (("--refactor", "--adopt"), "--adopt"),
        (("--refactor", "--destroys", "X"), "--destroys"),
        (("--rollback", "--wait"), "--wait"),
        (("--cancel", "--full"), "--full"),
    ],
)
def test_an_option_that_a_command_lacks_is_refused(
    command: Command, aws: Service, arguments: tuple[str, ...], flag: str
) -> None:
    refused = command("dev", *arguments, "--yes", code=1)
    assert f"{flag} cannot be combined with {arguments[0]}" in refused.stderr
    assert aws.calls == []

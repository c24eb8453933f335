"""A failed first deployment does not block the next, however AWS rolls it back, and its leftovers are purged."""

import json
import re
from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from scripts.common import templates
from scripts.common.errors import UserError
from scripts.common.paths import TEMPLATES
from scripts.common.target import Target
from scripts.deployer import stack as stack_module
from scripts.deployer.deletion_protection import find_late_protection
from scripts.deployer.destroy import DeletionOptions, destroy
from scripts.deployer.failure import Event, describe_failure
from scripts.deployer.planning import compare_trees
from scripts.deployer.purge.search import Purge
from scripts.deployer.report.console_reporter import ConsoleReporter
from stacks import settings
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import DENIED, EXPIRED, RESET_AFTER, RESET_BEFORE, Fault
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.settings import ACCOUNT, REGION, START
from tests.deployer.aws.stacks import Stack
from tests.deployer.conftest import Command, add_bootstrap_stack, add_platform
from tests.deployer.disturbed_runs import strike_from
from tests.emitted import NESTED, load_template, resources

NAME = "payment-platform-prod"
TABLES = ("dynamodb-transactions-prod", "dynamodb-payment-ledger-prod")
BROKEN = {"Monitoring/Dashboard": "The dashboard is not valid"}
PSEUDO = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com"}
VAULT = ("AWS::Backup::BackupVault", "backup-vault-payments-prod")
TABLE_ARN = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{TABLES[0]}"
TYPES = {"AWS::Backup::BackupVault", "AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::Logs::LogGroup", "AWS::SQS::Queue"}


def are_protected(aws: Service) -> list[bool]:
    return [aws.holdings.resources["AWS::DynamoDB::Table", name].protected for name in TABLES]


def purge(
    command: Command, confirm: Callable[[Mapping[str, str]], bool], environment: str = "prod", **values: Any
) -> tuple[bool, str]:
    """Run ``destroy.sh ENVIRONMENT --purge`` in this process. Returns whether anything was deleted, and the report."""
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name=REGION)
    report = StringIO()
    purged = Purge(environment, settings.load(environment), TEMPLATES)
    options = DeletionOptions(environment, f"payment-platform-{environment}", purge=purged, **values)
    target = Target(session, endpoint_url=command.url, poll_seconds=0.01)
    deletion = destroy(options, target, ConsoleReporter(Console(file=report, width=200)), confirm)
    return deletion.had_stack or bool(deletion.purged), report.getvalue()


def delete_stack(aws: Service, stack: Stack) -> None:
    """Delete a stack as in the console, without the resources that it retains."""
    aws.delete_stack(StackName=stack.id)
    aws.waiting.pop()()
    assert stack.status == "DELETE_COMPLETE"


def confirm_all(_: Mapping[str, str]) -> bool:
    return True


def test_a_failed_creation_counts_as_never_created_and_the_next_deployment_succeeds(
    command: Command, aws: Service
) -> None:
    """Fails with ROLLBACK_FAILED if the first change set switches on deletion protection."""
    add_bootstrap_stack(aws)
    aws.fails = BROKEN
    assert "ended ROLLBACK_COMPLETE" in command("prod", "--yes", code=1).stderr
    assert aws.holdings.find_names("prod") == set()
    assert all(request["RetainExceptOnCreate"] for request in aws.find_requests("ExecuteChangeSet"))
    aws.fails = {}
    aws.calls.clear()
    result = command("prod", "--yes", code=0)
    assert (
        "! Data/PaymentLedger, Data/Transactions: a second change set switches on deletion protection after the "
        "creation, because a failed creation of a protected table cannot be rolled back\n"
    ) in result.stdout
    assert are_protected(aws) == [True, True]
    first, second = aws.find_requests("CreateChangeSet")
    for request, value in ((first, "false"), (second, "true")):
        assert {"ParameterKey": "DeletionProtection", "ParameterValue": value} in request["Parameters"]
    # Only the first change set monitors alarms.
    assert second["RollbackConfiguration"] == {"RollbackTriggers": [], "MonitoringTimeInMinutes": 0}
    assert second["UsePreviousTemplate"]
    # The record of the last deployment contains the protection.
    recorded = json.loads((command.folder / "deployed" / "prod.json").read_text())
    assert recorded["parameters"]["DeletionProtection"] == "true"
    aws.calls.clear()
    assert command("prod", "--yes").stdout.splitlines()[-1] == f"{NAME}: no changes; nothing was done"
    assert aws.find_writes() == []


def test_a_failed_creation_counts_as_deleted_and_is_purged_before_the_next_deployment(
    command: Command, aws: Service
) -> None:
    add_platform(aws, environment="dev")
    other_names = aws.holdings.find_names("dev")
    aws.fails, aws.complete_counts_as_deleted = BROKEN, True
    failed = command("prod", "--yes", "--json")
    left_names = aws.holdings.find_names("prod")
    assert (failed.code, len(left_names)) == (1, 16)
    record = failed.read_records()[-2]
    assert {event["physical_id"] for event in record["left_behind"]} == left_names
    commands = {event["delete_command"] for event in record["left_behind"]}
    assert "aws dynamodb delete-table --table-name dynamodb-transactions-prod" in commands
    assert record["next"] == "fix the cause, delete what was left behind, then run scripts/deploy.sh prod"
    aws.fails = {}
    questions: dict[str, str] = {}
    assert purge(command, lambda requested: questions.update(requested) or True)[0]
    # The names of keys are their aliases.
    assert set(questions) >= {NAME, *TABLES, "alias/dynamodb-transactions-prod"}
    assert len(questions) == len(left_names) + 1
    assert aws.holdings.find_names("prod") == set()
    command("prod", "--yes", code=0)
    assert are_protected(aws) == [True, True]
    assert aws.holdings.find_names("dev") == other_names


def test_a_name_that_is_taken_fails_the_creation(command: Command, aws: Service) -> None:
    """The table is created after the checks, and the rollback does not delete it."""
    add_bootstrap_stack(aws)
    table = ("AWS::DynamoDB::Table", TABLES[0], {})
    aws.before = {"ExecuteChangeSet": lambda: aws.holdings.create_resource(*table, protected=True)}
    assert f"with identifier '{TABLES[0]}' already exists." in command("prod", "--yes", code=1).stderr
    assert aws.holdings.find_names() == {TABLES[0]}


@pytest.mark.parametrize("operation", ["GetStackPolicy", "SetStackPolicy", "UpdateTerminationProtection"])
def test_a_failed_follow_up_step_does_not_leave_the_tables_unprotected(
    operation: str, command: Command, aws: Service
) -> None:
    add_bootstrap_stack(aws)
    aws.errors = {operation: [Refused("AccessDenied", "not you", 403)] * 20}
    command("prod", "--yes")
    assert are_protected(aws) == [True, True]


def test_a_failed_second_change_set_is_reported_and_the_next_deployment_protects_the_tables(
    command: Command, aws: Service
) -> None:
    add_bootstrap_stack(aws)

    def fail_the_second() -> None:
        aws.fails = {"Data/Transactions": "Rate exceeded"} if len(aws.find_requests("ExecuteChangeSet")) == 2 else {}

    aws.before = {"ExecuteChangeSet": fail_the_second}
    command("prod", "--plan", "--out", "plan.json", code=2)
    result = command("prod", "--yes", "--apply", "plan.json", code=1)
    assert result.stderr.startswith(
        f"deploy: {NAME} is deployed, but the deletion protection of Data/PaymentLedger, Data/Transactions is not "
        "switched on: "
    )
    assert result.stderr.endswith("to switch it on, deploy again: scripts/deploy.sh prod\n")
    assert "Data/Transactions (AWS::DynamoDB::Table) UPDATE_FAILED" in result.stdout
    assert are_protected(aws) == [False, False]
    aws.fails, aws.before = {}, {}
    assert "DeletionProtectionEnabled: false → true" in command("prod", "--yes", code=0).stdout
    assert are_protected(aws) == [True, True]


def test_protected_tables_stay_protected_when_another_table_is_added() -> None:
    def read_template(name: str) -> str:
        return (TEMPLATES / name).read_text(encoding="utf-8")

    after = templates.read_tree(read_template("parent.yaml"), read_template)
    before = templates.read_tree(read_template("parent.yaml"), read_template)
    del before.nested["Data"].template["Resources"]["PaymentLedger"]
    protected = settings.load("prod")
    compared = compare_trees(NAME, (before, protected), (after, protected), PSEUDO)
    late = find_late_protection(compared, after, protected, PSEUDO)
    assert (late.parameters, late.undeletable) == ({}, ("Data/PaymentLedger",))
    # If no table is protected yet, the first change set leaves the protection off.
    off = protected | {"DeletionProtection": "false"}
    late = find_late_protection(
        compare_trees(NAME, (before, off), (after, protected), PSEUDO), after, protected, PSEUDO
    )
    assert (late.parameters, late.undeletable) == ({"DeletionProtection": "true"}, ())


def test_a_purge_deletes_the_leftovers_of_its_environment_only(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    # The leftovers of staging belong to staging.
    for environment in ("prod", "staging"):
        delete_stack(aws, add_platform(aws, environment=environment))
    account = aws.holdings
    account.resources[VAULT].contents = [f"arn:aws:a:{item} COMPLETED {TABLE_ARN}" for item in (1, 2)]
    account.resources["AWS::SQS::Queue", "payment-dlq-prod"].contents = ["letter"]
    # A log group with our name but without our tags, a foreign key, and a key whose tags cannot be read.
    account.resources["AWS::Logs::LogGroup", "/aws/vendedlogs/states/sfn-payment-workflow-prod"].tags = {}
    account.create_resource("AWS::KMS::Key", "of-the-bank", {"Environment": "prod"}, protected=False)
    account.create_resource("AWS::KMS::Key", "of-aws", {"aws:managed": ""}, protected=False)
    other_names = account.find_names("staging")
    assert are_protected(aws) == [True, True]

    aws.calls.clear()
    with pytest.raises(UserError, match="nothing was deleted"):
        purge(command, lambda _: False)
    with pytest.raises(UserError, match="--destroys payment-dlq-dev: not among what is deleted"):
        purge(command, confirm_all, destroys=("payment-dlq-dev",))
    assert aws.find_writes() == []
    existed, report = purge(command, confirm_all)
    assert existed
    assert "To purge: backup-vault-payments-prod (AWS::Backup::BackupVault), 2 recovery points: its" in report
    assert "To purge: payment-dlq-prod (AWS::SQS::Queue), about 1 message: its messages will be lost\n" in report
    assert "Not deleted: /aws/vendedlogs/states/sfn-payment-workflow-prod (AWS::Logs::LogGroup) does not have" in report
    assert account.find_names() == other_names | {
        "/aws/vendedlogs/states/sfn-payment-workflow-prod",
        "of-the-bank",
        "of-aws",
    }
    # The waiting period of the settings.
    pending = [resource.pending_days for resource in account.resources.values() if resource.pending_days is not None]
    assert pending == [30] * 6
    assert not purge(command, confirm_all)[0]


def test_a_purge_does_not_delete_resources_of_an_existing_stack(command: Command, aws: Service) -> None:
    """Somebody deployed the templates under another name, with the tags of this environment.

    CloudFormation does not put its tags on every one of these types.
    """
    stack = add_platform(aws, environment="prod", name="a-stack-of-another-name")
    names_before = aws.holdings.find_names()
    existed, report = purge(command, confirm_all)
    assert (existed, aws.holdings.find_names()) == (False, names_before)
    assert f"belongs to the stack {stack.nested['Data'].name}, which exists\n" in report
    # A line for each resource.
    assert report.count("which exists\n") == len(names_before)
    assert all(f"({item}) belongs to the stack" in report for item in TYPES)
    # A resource whose stack cannot be read counts as held.
    aws.errors = {"DescribeStackResources": [Refused("AccessDenied", "not authorized to perform that")]}
    existed, report = purge(command, confirm_all)
    assert (existed, aws.holdings.find_names()) == (False, names_before)
    assert report.count("may belong to a stack: not authorized: ") == 1
    # Credentials that have ended are the cause, and not what the resource may belong to.
    aws.errors = {"DescribeStackResources": [Refused("ExpiredToken", "The security token has expired", 403)]}
    with pytest.raises(ClientError, match="ExpiredToken"):
        purge(command, confirm_all)
    # The stack has retained one resource outside of it.
    aws.skipped = {"Transactions"}
    assert purge(command, confirm_all)[0]
    assert aws.holdings.find_names() == names_before - {TABLES[0]}


def take_into_its_stack(_: Service, stack: Stack) -> None:
    for _, member in stack.walk():
        member.status = "UPDATE_COMPLETE"


def take_into_another_stack(aws: Service, stack: Stack) -> None:
    take_into_its_stack(aws, stack)
    stack.name = "a-stack-of-another-name"


def give_to_another_environment(aws: Service, _: Stack) -> None:
    for resource in aws.holdings.resources.values():
        resource.tags = dict(resource.tags, Environment="staging")


@pytest.mark.parametrize("kind", ["AWS::DynamoDB::Table", "AWS::KMS::Key"])
@pytest.mark.parametrize(
    ("take", "reason"),
    [
        (take_into_its_stack, f"{NAME} is UPDATE_COMPLETE, and was not deployed when it was shown"),
        (take_into_another_stack, "is not deleted: it belongs to the stack"),
        (give_to_another_environment, "is not deleted: it does not have the tags"),
    ],
)
def test_what_is_taken_while_a_purge_asks_is_kept(
    command: Command, aws: Service, kind: str, take: Callable[[Service, Stack], None], reason: str
) -> None:
    """A colleague imports the resources, for example, or deploys the stack again."""
    stack = add_platform(aws, environment="prod")
    delete_stack(aws, stack)
    for key in [key for key in aws.holdings.resources if key[0] != kind]:
        del aws.holdings.resources[key]
    names = aws.holdings.find_names()

    def confirm(_: Mapping[str, str]) -> bool:
        take(aws, stack)
        return True

    with pytest.raises(UserError, match=reason):
        purge(command, confirm)
    assert aws.holdings.find_names() == names


def test_a_key_is_named_by_its_alias_before_and_after_the_deletion_of_its_stack(command: Command, aws: Service) -> None:
    alias = "alias/dynamodb-transactions-prod"
    # Keys of an earlier stack have no alias.
    delete_stack(aws, add_platform(aws, environment="prod"))
    data = {name for name in aws.holdings.find_names() if "DynamodbKey" not in name}
    for kind, name in [pair for pair in aws.holdings.resources if pair[1] in data]:
        del aws.holdings.resources[kind, name]
    stack = add_platform(aws, environment="prod", name="payment-platform-prod")
    # The key of the existing stack has another description than in the templates, but the alias of the templates.
    live = aws.holdings.aliases[alias]
    aws.holdings.resources["AWS::KMS::Key", live].description = "Encrypts the tables, as an earlier release had it"
    names: set[str] = set()
    with pytest.raises(UserError, match="nothing was deleted"):
        purge(command, lambda questions: names.update(questions) or False, destroys=(alias,))
    assert {name for name in names if name.startswith("alias/")} == set(aws.holdings.aliases)
    assert not names & {name for kind, name in aws.holdings.resources if kind == "AWS::KMS::Key"}
    # After the deletion of the stack, the description identifies the key.
    aws.holdings.resources["AWS::KMS::Key", live].description = "Encrypts the tables of payments"
    delete_stack(aws, stack)
    assert aws.holdings.aliases == {}
    existed, report = purge(command, confirm_all, destroys=(alias,))
    assert (existed, report.count(f"Scheduled the deletion of {alias} (AWS::KMS::Key) in 30 days\n")) == (True, 2)


def test_recovery_points_of_other_resources_keep_their_vault(command: Command, aws: Service) -> None:
    delete_stack(aws, add_platform(aws, environment="prod"))
    foreign_table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/of-the-bank"
    aws.holdings.resources[VAULT].contents = [
        f"arn:aws:a:1 COMPLETED {TABLE_ARN}",
        f"arn:aws:a:2 COMPLETED {foreign_table}",
    ]
    _, report = purge(command, confirm_all)
    assert f"has recovery points of other resources than this environment's tables: {foreign_table}\n" in report
    assert (aws.holdings.find_names(), len(aws.holdings.resources[VAULT].contents)) == ({VAULT[1]}, 2)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("AWS::DynamoDB::Table", TABLES[0]),
        ("AWS::SQS::Queue", "payment-dlq-prod"),
        ("AWS::Logs::LogGroup", "/aws/vendedlogs/states/sfn-payment-workflow-prod"),
        VAULT,
    ],
)
def test_a_key_of_what_is_kept_is_kept_as_well(command: Command, aws: Service, kind: str, name: str) -> None:
    """Its deletion would make the rest unreadable. It is named as each service names it: by ARN, or by id."""
    delete_stack(aws, add_platform(aws, environment="prod"))
    key = next(key for kind, key in aws.holdings.resources if kind == "AWS::KMS::Key")
    resource = aws.holdings.resources[kind, name]
    resource.tags = {}
    resource.key_arn = key if kind == "AWS::SQS::Queue" else f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}"
    _, report = purge(command, confirm_all)
    assert aws.holdings.find_names() == {name, key}
    assert f"(AWS::KMS::Key) still encrypts what is kept: {name}\n" in report


@pytest.mark.parametrize(
    ("kind", "name", "content", "reason"),
    [
        ("AWS::SQS::Queue", "payment-dlq-prod", "letter", "it was shown as empty, and now has about 1 message"),
        (
            *VAULT,
            f"arn:aws:a:2 COMPLETED {TABLE_ARN}",
            "it has a recovery point that was not there before: arn:aws:a:2",
        ),
    ],
)
def test_what_arrives_while_a_purge_asks_is_kept(
    command: Command, aws: Service, kind: str, name: str, content: str, reason: str
) -> None:
    """Somebody makes a last backup, for example."""
    delete_stack(aws, add_platform(aws, environment="prod"))
    contents = aws.holdings.resources[kind, name].contents
    if kind == VAULT[0]:
        contents.append(f"arn:aws:a:1 COMPLETED {TABLE_ARN}")

    def confirm(_: Mapping[str, str]) -> bool:
        contents.append(content)
        return True

    with pytest.raises(UserError, match=f"is not deleted: {re.escape(reason)}"):
        purge(command, confirm)
    assert content in aws.holdings.resources[kind, name].contents


@pytest.mark.parametrize("fault", [RESET_AFTER, RESET_BEFORE, DENIED])
@pytest.mark.parametrize(
    "operation",
    [
        "sqs:DeleteQueue",
        "logs:DeleteLogGroup",
        "backup:DeleteBackupVault",
        "dynamodb:DeleteTable",
        "kms:ScheduleKeyDeletion",
    ],
)
def test_a_deletion_whose_answer_is_lost_is_not_denied(
    command: Command, aws: Service, operation: str, fault: str
) -> None:
    delete_stack(aws, add_platform(aws, environment="prod"))
    aws.faults[operation] = Fault(fault)
    if fault == RESET_AFTER:
        assert purge(command, confirm_all)[0]
        assert aws.holdings.find_names() == set()
    else:
        state = "is not deleted: not authorized" if fault == DENIED else "may not be deleted: "
        with pytest.raises(UserError, match=state):
            purge(command, confirm_all)
        assert operation.startswith("kms:") or all(are_protected(aws))


def test_a_repeated_purge_waits_for_the_recovery_points_that_are_being_deleted(command: Command, aws: Service) -> None:
    delete_stack(aws, add_platform(aws, environment="prod"))
    vault = aws.holdings.resources[VAULT]
    vault.contents = [f"arn:aws:a:1 DELETING {TABLE_ARN}"]

    def list_points() -> None:
        # The first three calls list the points for the questions and the deletion.
        if len(aws.find_requests("backup:ListRecoveryPointsByBackupVault")) == 4:
            vault.contents = []

    aws.before = {"backup:ListRecoveryPointsByBackupVault": list_points}
    assert purge(command, confirm_all)[0]
    assert aws.holdings.find_names() == set()
    assert aws.find_requests("backup:DeleteRecoveryPoint") == []


def test_a_table_that_is_not_deleted_is_protected_again(command: Command, aws: Service) -> None:
    delete_stack(aws, add_platform(aws, environment="prod"))
    aws.errors = {"dynamodb:DeleteTable": [Refused("ResourceInUseException", "a backup is being made")]}
    with pytest.raises(UserError, match=r"a backup is being made; .* --purge deletes the rest"):
        purge(command, confirm_all)
    assert are_protected(aws) == [True, True]


def test_the_refusal_of_a_purge_comes_before_the_failure_to_protect_the_table_again(
    command: Command, aws: Service
) -> None:
    delete_stack(aws, add_platform(aws, environment="prod"))
    aws.errors = {"dynamodb:DeleteTable": [Refused("ResourceInUseException", "a backup is being made")]}
    expire = lambda: aws.errors.update({"dynamodb:UpdateTable": [Refused("ExpiredToken", "signed out")]})  # noqa: E731
    aws.before["dynamodb:DeleteTable"] = expire
    with pytest.raises(UserError) as stopped:
        purge(command, confirm_all)
    words = str(stopped.value)
    assert words.index("a backup is being made") < words.index("deletion protection may still be off: ")
    assert "aws dynamodb update-table --table-name dynamodb-transactions-prod --deletion-protection-enabled" in words


def test_a_purge_without_a_terminal_needs_every_name(command: Command, aws: Service) -> None:
    stack = add_platform(aws, environment="prod")
    result = command("prod", "--purge", "--yes", "--destroys", NAME, "--destroys", TABLES[0], script="destroy", code=1)
    assert stack.status == "UPDATE_COMPLETE"
    assert result.stderr.startswith(
        "destroy: --yes does not cover data loss; to confirm it, add --destroys payment-dlq-prod --destroys "
    )
    # One for each retained name that the command did not give.
    assert result.stderr.count("--destroys") == len(aws.holdings.find_names("prod")) - 1


def test_every_retained_resource_of_the_templates_can_be_purged() -> None:
    """Each is found by a fixed name, or a key by its description, which no other key has."""
    retained = [
        resource
        for name in NESTED
        for resource in resources(load_template(name)).values()
        if str(resource.get("DeletionPolicy")).startswith("Retain")
    ]
    # test_bucket_purge.py purges buckets, which the simulated account does not have.
    assert TYPES <= {resource["Type"] for resource in retained} <= TYPES | {"AWS::S3::Bucket"}
    descriptions = [
        resource["Properties"]["Description"] for resource in retained if resource["Type"] == "AWS::KMS::Key"
    ]
    assert all(isinstance(description, str) for description in descriptions)
    assert len(set(descriptions)) == len(descriptions)


DELETION = "scripts/destroy.sh dev, which retains what has the deletion policy Retain"
TABLE, TOPIC, STACK = "AWS::DynamoDB::Table", "AWS::SNS::Topic", "AWS::CloudFormation::Stack"


def make_event(path: str, status: str, kind: str = TABLE, reason: str = "", name: str = "") -> Event:
    physical_id = "arn:root" if kind == STACK else name or f"name-{path}"
    return Event(path + status + physical_id, START, "arn:root", path, kind, status, reason, physical_id)


def test_a_rollback_that_fails_names_what_blocks_it_and_a_command_that_is_safe() -> None:
    happened = [
        make_event("Data/Table", "CREATE_COMPLETE"),
        make_event("Data/Queue", "CREATE_FAILED", "AWS::SQS::Queue", "no"),
        make_event("payment-platform-dev", "ROLLBACK_IN_PROGRESS", STACK),
        make_event("Data/Other", "DELETE_COMPLETE"),
        make_event("Data/Table", "DELETE_FAILED", reason="it is protected"),
        make_event("payment-platform-dev", "ROLLBACK_FAILED", STACK),
    ]
    failed = describe_failure("payment-platform-dev", "dev", "ROLLBACK_FAILED", happened)
    assert [event.path for event in failed.left_behind] == ["Data/Table"]
    assert f"; delete the stack: {DELETION}; then run" in failed.next_step


@pytest.mark.parametrize(
    ("kind", "beginning", "is_left_behind"),
    [
        (TOPIC, [make_event("Data/New", "CREATE_COMPLETE", TOPIC)], True),
        # It replaces another one, as the events of an update say.
        (TOPIC, [make_event("Data/New", "UPDATE_IN_PROGRESS", TOPIC, name="old")], True),
        # Until the rollback, the running functions may have written to it.
        (TABLE, [make_event("Data/New", "CREATE_COMPLETE")], False),
        (TABLE, [make_event("Data/New", "UPDATE_IN_PROGRESS", name="old")], False),
        # What the operation was not seen to create may hold the data of years.
        (TOPIC, [], False),
        (TABLE, [], False),
    ],
)
def test_no_advice_deletes_what_may_hold_data_after_an_update(
    kind: str, beginning: list[Event], *, is_left_behind: bool
) -> None:
    happened = [
        make_event("payment-platform-dev", "UPDATE_IN_PROGRESS", STACK),
        *beginning,
        make_event("payment-platform-dev", "UPDATE_ROLLBACK_IN_PROGRESS", STACK),
        make_event("Data/New", "DELETE_FAILED", kind, "it is protected"),
        make_event("payment-platform-dev", "UPDATE_ROLLBACK_COMPLETE", STACK),
    ]
    failed = describe_failure("payment-platform-dev", "dev", "UPDATE_ROLLBACK_COMPLETE", happened)
    assert (len(failed.left_behind), len(failed.retained)) == (int(is_left_behind), int(not is_left_behind))
    assert ("delete what was left behind" in failed.next_step) == is_left_behind
    assert "--purge" not in failed.next_step


def test_an_upload_that_fails_after_the_first_steps_names_what_they_have_executed(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.deployer.upload.LONGEST_CONFLICT_SECONDS", 0)

    def conflict_after_steps() -> None:
        if any(
            stack.name == "payment-artifacts" and stack.status == "UPDATE_COMPLETE" for stack in aws.stacks.values()
        ):
            raise Refused("ConditionalRequestConflict", "conflict", 409)

    aws.before["PutObject"] = conflict_after_steps
    refused = command("dev", "--yes", code=1)
    assert "could not be uploaded" in refused.stderr
    assert "; already requested: cloudformation:ExecuteChangeSet on payment-artifacts; " in refused.stderr
    assert "no stack was changed" not in refused.stderr


def test_an_upload_that_fails_after_remains_were_deleted_names_the_deletion(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.deployer.upload.LONGEST_CONFLICT_SECONDS", 0)
    stack = add_platform(aws)
    stack.status, stack.protected, aws.alarms, aws.objects = "ROLLBACK_COMPLETE", False, {}, {}

    def conflict() -> None:
        raise Refused("ConditionalRequestConflict", "conflict", 409)

    aws.before["PutObject"] = conflict
    aws.holdings.resources.clear()
    refused = command("dev", "--yes", code=1)
    assert "could not be uploaded" in refused.stderr
    assert "; already requested: cloudformation:DeleteStack on arn:aws:cloudformation:" in refused.stderr


@pytest.mark.parametrize("operation", ["CreateChangeSet", "ExecuteChangeSet"])
@pytest.mark.parametrize("step", [2, 3])
def test_credentials_that_end_in_a_later_step_do_not_hide_what_the_earlier_ones_have_deployed(
    command: Command, aws: Service, operation: str, step: int
) -> None:
    def strike(name: str) -> None:
        if len(aws.find_requests(operation)) >= step:
            Fault(EXPIRED).strike(name)

    aws.before_call = strike
    failed = command("dev", "--yes", code=1).stderr
    assert failed.endswith("; already requested: cloudformation:ExecuteChangeSet on payment-artifacts\n")


def test_a_change_set_that_is_refused_in_the_last_step_does_not_hide_the_earlier_ones(
    command: Command, aws: Service
) -> None:
    def refuse_third() -> None:
        if len(aws.find_requests("CreateChangeSet")) == 3:
            aws.refuses[""] = "Template error: a limit is reached"

    aws.before["CreateChangeSet"] = refuse_third
    failed = command("dev", "--yes", code=1).stderr
    assert failed.startswith("deploy: CloudFormation refuses the change set: ")
    assert failed.endswith("; already requested: cloudformation:ExecuteChangeSet on payment-artifacts\n")


@pytest.mark.parametrize("kind", [RESET_AFTER, RESET_BEFORE])
def test_remains_whose_deletion_may_have_begun_are_not_said_to_stay(command: Command, aws: Service, kind: str) -> None:
    add_remains(aws)
    strike_from(aws, "DeleteStack", kind, EXPIRED)
    unwatched = command("dev", "--yes", code=3).stderr
    assert unwatched.endswith(", left over from a failed creation, may have begun; deploy again afterwards\n")


def test_the_deletion_of_remains_continues_unwatched(command: Command, aws: Service) -> None:
    add_remains(aws)
    aws.before["DeleteStack"] = lambda: aws.faults.update(DescribeStacks=Fault(EXPIRED))
    unwatched = command("dev", "--yes", code=3).stderr
    assert unwatched.endswith(", left over from a failed creation, continues; deploy again afterwards\n")


def test_a_refused_deletion_of_remains_changes_nothing(command: Command, aws: Service) -> None:
    add_remains(aws)
    strike_from(aws, "DeleteStack", EXPIRED)
    assert command("dev", "--yes", code=1).stderr.endswith("; sign in again; nothing was changed\n")


def add_remains(aws: Service) -> None:
    stack = add_platform(aws)
    stack.status, stack.protected, aws.alarms = "ROLLBACK_COMPLETE", False, {}
    aws.holdings.resources.clear()


def test_remains_whose_deletion_takes_long_are_still_being_deleted(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remains(aws)
    monkeypatch.setattr(stack_module, "LONGEST_DELETION_SECONDS", 0)

    def begin_deletion(StackName: str, ClientRequestToken: str = "") -> None:
        aws.find_stack(StackName).status = "DELETE_IN_PROGRESS"

    monkeypatch.setattr(aws, "delete_stack", begin_deletion)
    continues = command("dev", "--yes", code=3).stderr
    assert "the remains of its failed creation are DELETE_IN_PROGRESS" in continues
    assert continues.endswith("; deploy again afterwards\n")

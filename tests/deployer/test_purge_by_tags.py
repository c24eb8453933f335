"""A purge finds what belongs to the environment by its tags, although no template names it any more."""

import re
from typing import Any

import pytest

from scripts.deployer.purge.tagged import find_tagged
from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import Fault
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.settings import ACCOUNT, REGION
from tests.deployer.conftest import Command, CommandResult, add_platform
from tests.deployer.releases import CONFIRMED_LOSSES, edit_with_loss

NAME = "payment-platform-dev"
# The ledger of the earlier release, which the committed templates do not name.
OLD = "dynamodb-ledger-dev"
TABLE, KEY = "AWS::DynamoDB::Table", "AWS::KMS::Key"
TAGS = {"ManagedBy": "payment-platform", "Environment": "dev"}
PLACE = f"{REGION}:{ACCOUNT}"
CLUSTER = f"arn:aws:rds:{PLACE}:cluster:payments"


def replace_ledger(command: Command, aws: Service) -> str:
    """Deploy a release whose ledger has another name, so that the old one is retained; return the key of the tables."""
    add_platform(aws, edit_with_loss)
    command("dev", "--yes", *CONFIRMED_LOSSES, code=0)
    key = next(name for kind, name in aws.holdings.resources if kind == KEY and "Dynamo" in name)
    old = aws.holdings.resources[TABLE, OLD]
    old.key_arn, old.contents = f"arn:aws:kms:{PLACE}:key/{key}", ["a payment"]
    return key


def list_names(shown: CommandResult) -> list[str]:
    return re.findall(r"--destroys (\S+)", shown.stderr)


def purge(command: Command, code: int = 0) -> CommandResult:
    """Confirm each name that a purge asks for."""
    names = list_names(command("dev", "--purge", "--yes", script="destroy"))
    confirmed = [word for name in names for word in ("--destroys", name)]
    return command("dev", "--purge", "--yes", *confirmed, script="destroy", code=code)


def test_a_table_that_an_earlier_release_has_retained_is_purged_with_its_key(command: Command, aws: Service) -> None:
    replace_ledger(command, aws)
    shown = command("dev", "--purge", script="destroy", code=1).stdout
    assert f"To purge: {OLD} ({TABLE}), about 1 item, 9 bytes: its items and their point-in-time" in shown
    purge(command)
    assert aws.holdings.find_names("dev") == set()


def test_the_name_of_a_table_that_no_template_names_is_asked_for(command: Command, aws: Service) -> None:
    key = replace_ledger(command, aws)
    names = list_names(command("dev", "--purge", "--yes", script="destroy", code=1))
    confirmed = [word for name in names if name != OLD for word in ("--destroys", name)]
    refused = command("dev", "--purge", "--yes", *confirmed, script="destroy", code=1).stderr
    assert refused == f"destroy: --yes does not cover data loss; to confirm it, add --destroys {OLD}\n"
    assert aws.holdings.holds(TABLE, OLD)
    assert aws.holdings.resources[KEY, key].pending_days is None


@pytest.mark.parametrize("operation", ["sqs:DeleteQueue", "dynamodb:DeleteTable", "kms:ScheduleKeyDeletion"])
def test_a_repeated_purge_finds_without_a_stack_what_the_first_has_shown(
    command: Command, aws: Service, operation: str
) -> None:
    """The names of an earlier release are in the templates of its stack only, which the first purge has deleted."""
    add_platform(aws, edit_with_loss)
    aws.faults[operation] = Fault("denied")
    failed = purge(command, code=1)
    assert failed.stderr.endswith("scripts/destroy.sh dev --purge deletes the rest\n")
    aws.faults.clear()
    remaining_names = aws.holdings.find_names("dev")
    assert (OLD in remaining_names) == (operation != "kms:ScheduleKeyDeletion")
    again = purge(command)
    assert f"{NAME}: there was no stack; " in again.stdout
    assert len(re.findall("Purged|Scheduled", again.stdout)) == len(remaining_names)
    assert aws.holdings.find_names() == set()


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("AWS::SQS::Queue", "old-letters"),
        ("AWS::Logs::LogGroup", "/aws/lambda/old-function"),
        ("AWS::Backup::BackupVault", "old-backups"),
        (TABLE, "old-payments"),
    ],
)
def test_whatever_has_both_tags_is_purged_and_nothing_else(
    command: Command, aws: Service, kind: str, name: str
) -> None:
    add_platform(aws)
    for suffix, tags in (
        ("", TAGS),
        ("-staging", TAGS | {"Environment": "staging"}),
        ("-theirs", {"Environment": "dev"}),
    ):
        aws.holdings.create_resource(kind, f"{name}{suffix}", tags, protected=False)
    shown = purge(command).stdout
    assert f"To purge: {name} ({kind}), " in shown
    assert aws.holdings.find_names() == {f"{name}-staging", f"{name}-theirs"}
    assert f"{name}-" not in shown


def add_temporary_resources(name: str, text: str) -> str:
    """Return a template of a release with a log group and a broker that have the tags, and go with their stack."""
    tags = "".join(f"        - Key: {key}\n          Value: {value}\n" for key, value in TAGS.items())
    group = f"    Type: AWS::Logs::LogGroup\n    Properties:\n      LogGroupName: temporary\n      Tags:\n{tags}"
    resources = f"  Temporary:\n{group}  Broker:\n    Type: AWS::AmazonMQ::Broker\n  DeadLettersPolicy:\n"
    return text.replace("  DeadLettersPolicy:\n", resources, 1) if name == "data.yaml" else text


def test_what_the_stack_deletes_itself_is_not_asked_for(command: Command, aws: Service, account: Account) -> None:
    """Not even if its ARN is all that is known of it."""
    stack = add_platform(aws, add_temporary_resources)
    account.existing[f"arn:aws:amazonmq:{PLACE}:broker:{stack.nested['Data'].name}-Broker"] = TAGS
    assert aws.holdings.resources["AWS::Logs::LogGroup", "temporary"].tags.items() >= TAGS.items()
    shown = command("dev", "--purge", "--yes", script="destroy", code=1)
    assert "To purge: temporary" not in shown.stdout
    assert "Not deleted:" not in shown.stdout
    assert "temporary" not in list_names(shown)
    purge(command)
    assert aws.holdings.find_names() == set()


def test_what_only_shares_its_name_with_something_of_the_stack_is_named(
    command: Command, aws: Service, account: Account
) -> None:
    add_platform(aws, add_temporary_resources)
    database = f"arn:aws:rds:{PLACE}:cluster:temporary"
    account.existing[database] = TAGS
    aws.holdings.create_resource(TABLE, "temporary", TAGS, protected=False)
    shown = command("dev", "--purge", "--yes", script="destroy", code=1)
    assert f"Not deleted: {database} " in shown.stdout
    assert "temporary" in list_names(shown)
    assert "(AWS::KMS::Key) may encrypt what is kept: " in " ".join(shown.stdout.split())


@pytest.mark.nightly
def test_a_table_that_another_stack_holds_is_kept_with_its_key(command: Command, aws: Service) -> None:
    key = replace_ledger(command, aws)
    other = add_platform(aws, environment="staging")
    aws.holdings.resources[TABLE, OLD].stack_id = other.nested["Data"].id
    result = purge(command)
    assert f"Not deleted: {OLD} ({TABLE}) belongs to the stack payment-platform-staging-Data" in result.stdout
    assert f"(AWS::KMS::Key) still encrypts what is kept: {OLD}\n" in result.stdout
    assert aws.holdings.find_names("dev") == {OLD, key}


@pytest.mark.nightly
def test_a_vault_with_backups_of_an_old_table_is_purged(command: Command, aws: Service, account: Account) -> None:
    """Its recovery points may have the tags of the table, and are not listed besides."""
    add_platform(aws)
    aws.holdings.create_resource(TABLE, OLD, TAGS, protected=True)
    vault = aws.holdings.create_resource("AWS::Backup::BackupVault", "old-backups", TAGS, protected=False)
    point = f"arn:aws:backup:{PLACE}:recovery-point:1"
    vault.contents = [f"{point} COMPLETED arn:aws:dynamodb:{PLACE}:table/{OLD}"]
    account.existing[point] = TAGS
    assert "Not deleted:" not in purge(command).stdout
    assert aws.holdings.find_names() == set()


def test_what_a_purge_cannot_delete_is_named_and_every_key_kept(
    command: Command, aws: Service, account: Account
) -> None:
    add_platform(aws)
    account.existing[CLUSTER] = TAGS
    account.existing[f"arn:aws:rds:{PLACE}:cluster:theirs"] = {"Environment": "dev"}
    result = purge(command)
    assert (
        f"Not deleted: {CLUSTER} has the tags of this environment, but --purge cannot delete its type; delete it "
        "where it is, if it exists\n"
    ) in result.stdout
    assert result.stdout.count(f"(AWS::KMS::Key) may encrypt what is kept: {CLUSTER}\n") == 5
    assert "theirs" not in result.stdout
    assert {kind for kind, _ in aws.holdings.resources} == {KEY}
    assert result.stdout.splitlines()[-1].endswith("; 6 resources not deleted, as listed above")


def test_the_status_does_not_take_an_old_table_for_an_obstacle(command: Command, aws: Service) -> None:
    aws.holdings.create_resource(TABLE, OLD, TAGS, protected=True)
    assert command("dev", script="status", code=1).stderr == (
        f"status: {NAME} is not deployed; earlier stacks have retained 1 table, which scripts/destroy.sh dev --purge "
        "deletes for good; deploy it with scripts/deploy.sh dev\n"
    )


def test_nothing_is_deleted_by_whoever_may_not_list_what_has_the_tags(command: Command, aws: Service) -> None:
    stack = add_platform(aws)
    denial = f"User: arn:aws:iam::{ACCOUNT}:user/somebody is not authorized to perform: tag:GetResources"
    aws.errors["tagging:GetResources"] = [Refused("AccessDeniedException", denial)]
    refused = command("dev", "--purge", "--yes", script="destroy", code=1).stderr
    assert "not authorized: tag:GetResources" in refused
    assert stack.status == "UPDATE_COMPLETE"


def test_a_foreign_table_of_an_expected_name_is_named_with_its_command(command: Command, aws: Service) -> None:
    aws.holdings.create_resource(TABLE, "dynamodb-transactions-dev", {}, protected=False)
    shown = command("dev", "--purge", script="destroy", code=0).stdout
    assert (
        f"Not deleted: dynamodb-transactions-dev ({TABLE}) does not have the tags ManagedBy=payment-platform and "
        "Environment=dev; if nobody needs it: aws dynamodb delete-table --table-name dynamodb-transactions-dev"
    ) in shown


class Pages:
    """A client whose paginator returns these ARNs, each on a page of its own."""

    def __init__(self, *arns: str) -> None:
        self._arns = arns

    def get_paginator(self, operation: str) -> "Pages":
        assert operation == "get_resources"
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": []}]} for arn in self._arns]


@pytest.mark.parametrize(
    ("arn", "pair"),
    [
        (f"arn:aws:backup:{PLACE}:backup-vault:v", ("AWS::Backup::BackupVault", "v")),
        (f"arn:aws-cn:dynamodb:{PLACE}:table/t", (TABLE, "t")),
        (f"arn:aws:logs:{PLACE}:log-group:/aws/lambda/f", ("AWS::Logs::LogGroup", "/aws/lambda/f")),
        (f"arn:aws:logs:{PLACE}:log-group:g:*", ("AWS::Logs::LogGroup", "g")),
        ("arn:aws:s3:::b", ("AWS::S3::Bucket", "b")),
        (f"arn:aws:sqs:{PLACE}:q.fifo", ("AWS::SQS::Queue", "q.fifo")),
    ],
)
def test_the_name_of_what_a_purge_deletes_is_read_from_its_arn(arn: str, pair: tuple[str, str]) -> None:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/: the resource types of each service."""
    assert find_tagged(Pages(arn), "dev") == ([pair], [])


@pytest.mark.parametrize(
    ("resource", "is_listed"),
    [
        ("rds:{}:cluster:c", True),
        ("dynamodb:{}:table/t/backup/1", True),
        ("backup:{}:recovery-point:1", True),
        ("lambda-like:{}:x", True),
        ("backup:{}:backup-plan:1", False),
        ("lambda:{}:function:f", False),
        ("states:{}:stateMachine:s", False),
        ("kms:{}:key/1", False),
        ("iam::1:role/r", False),
    ],
)
def test_what_may_hold_data_is_listed_by_its_arn(resource: str, is_listed: bool) -> None:
    arn = f"arn:aws:{resource.format(PLACE)}"
    assert find_tagged(Pages(arn), "dev") == ([], [arn] if is_listed else [])

"""An import takes the resources that a deletion has retained, or another tool has created, into the stacks."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.common.templates import parse_template
from tests.deployer.aws.client import make_client
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import Fault
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import Changes, Stack
from tests.deployer.conftest import Command, add_bootstrap_stack, add_platform, assert_golden
from tests.emitted import ROOT

# Each takes several deployments.
pytestmark = pytest.mark.nightly

NAME = "payment-platform-dev"
TRANSACTIONS, LEDGER = "dynamodb-transactions-dev", "dynamodb-payment-ledger-dev"
TABLE, QUEUE, GROUP, KEY = "AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Logs::LogGroup", "AWS::KMS::Key"
EARLIER_KEY = "arn:aws:kms:eu-west-1:123456789012:key/earlier"
# The template of another stack, which has a table of ours.
ORDERS = f"Resources: {{Ledger: {{Type: {TABLE}, Properties: {{TableName: {LEDGER}}}}}}}"
# Of the tables, by their attributes' names and types.
PAYMENT_KEY = {
    "KeySchema": [{"AttributeName": "transaction_id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "transaction_id", "AttributeType": "S"}],
}


@pytest.fixture
def deleted_platform(command: Command, aws: Service) -> Service:
    """A deleted environment, of which its tables, with data, its queues, log groups and keys remain."""
    add_platform(aws)
    for name in (TRANSACTIONS, LEDGER):
        aws.holdings.resources[TABLE, name].key_arn = EARLIER_KEY
    aws.holdings.resources[TABLE, TRANSACTIONS].contents = ["pay-1", "pay-2"]
    command("dev", "--yes", "--destroys", NAME, script="destroy", code=0)
    aws.alarms.clear()
    aws.calls.clear()
    return aws


@pytest.fixture
def remains(deleted_platform: Service) -> Service:
    """The same without the queues, which cannot be imported."""
    for kind, name in [key for key in deleted_platform.holdings.resources if key[0] == QUEUE]:
        deleted_platform.holdings.delete_resource(kind, name)
    return deleted_platform


def read_platform(aws: Service) -> Stack:
    return next(stack for stack in aws.stacks.values() if stack.name == NAME and stack.is_there)


def read_transactions(stack: Stack) -> dict[str, Any]:
    template = parse_template(stack.nested["Data"].text)
    return dict(template["Resources"]["Transactions"])


def test_a_deployment_is_refused_and_names_the_import(command: Command, deleted_platform: Service) -> None:
    refused = command("dev", "--yes", code=1)
    assert "→ take it in (scripts/deploy.sh import dev), or delete it with its data" in refused.stdout
    assert deleted_platform.find_writes() == []


def test_the_import_lists_what_it_cannot_take_in(command: Command, deleted_platform: Service) -> None:
    records = command("dev", "--import", "--yes", "--json", code=1).read_records()
    (preflight,) = [record for record in records if record["type"] == "preflight"]
    failures = [finding for finding in preflight["findings"] if finding["verdict"] == "failure"]
    assert [finding["text"] for finding in failures] == [
        f"{name} ({QUEUE}) exists outside {NAME}: CloudFormation cannot import it by its name"
        for name in ("payment-dlq-dev", "sqs-notification-dlq-dev")
    ]
    assert failures[0]["next_step"] == (
        "save its messages, then delete it if nothing uses it, and this creates it again (docs/importing.md): aws sqs "
        "delete-queue --queue-url $(aws sqs get-queue-url --queue-name payment-dlq-dev --query QueueUrl --output text)"
    )
    assert deleted_platform.find_writes() == []


def test_the_plan_of_an_import_names_each_existing_resource(command: Command, remains: Service) -> None:
    assert_golden("plan_import.txt", command("dev", "plan", "--import", code=2).stdout)
    assert_golden("plan_import_80.txt", command.run_on_terminal("dev", "--plan", "--import", columns=80).text)
    markdown = command("dev", "--plan", "--import", "--markdown", "--full", code=2).stdout
    assert "\n+   < Transactions AWS::DynamoDB::Table (imports dynamodb-transactions-dev)\n" in markdown
    assert read_platforms(remains) == []


def read_platforms(aws: Service) -> list[Stack]:
    return [stack for stack in aws.stacks.values() if stack.name == NAME and stack.is_there]


def test_the_plan_as_json_counts_the_imports(command: Command, remains: Service) -> None:
    assert remains
    records = command("dev", "--plan", "--import", "--json", code=2).read_records()
    (plan,) = [record for record in records if record["type"] == "plan"]
    assert plan["count"]["import"] == 7
    (data,) = [change for change in plan["plan"]["stack"]["changes"] if change["logical_id"] == "Data"]
    identified = {change["logical_id"]: change["physical_id"] for change in data["nested"]["changes"]}
    assert (identified["Transactions"], identified["DeadLetters"]) == (TRANSACTIONS, "")


def test_an_import_keeps_the_data_and_ends_as_an_ordinary_deployment(command: Command, remains: Service) -> None:
    output = command("dev", "--import", "--yes", code=0).stdout
    assert "Completing with a second change set, which replaces the import's copies of the templates\n" in output
    table = remains.holdings.resources[TABLE, TRANSACTIONS]
    stack = read_platform(remains)
    assert (table.contents, table.stack_id) == (["pay-1", "pay-2"], stack.nested["Data"].id)
    first, second = remains.find_requests("CreateChangeSet")
    assert (first["ImportExistingResources"], second.get("ImportExistingResources")) == (True, None)
    # The first template was a copy with a literal name; the second is as it is committed.
    assert first["TemplateURL"] != second["TemplateURL"]
    declared = read_transactions(stack)
    assert declared["Properties"]["TableName"] == {"Fn::Sub": "dynamodb-transactions-${Environment}"}
    assert declared["DeletionPolicy"] == "RetainExceptOnCreate"
    remains.calls.clear()
    for arguments in (("dev", "--yes"), ("dev", "--import", "--yes")):
        assert "no changes; nothing was done" in command(*arguments, code=0).stdout
    assert remains.find_writes() == []


def test_a_saved_plan_imports_exactly_what_was_planned(command: Command, remains: Service, tmp_path: Path) -> None:
    path = str(tmp_path / "plan.json")
    command("dev", "--plan", "--import", "--out", path, code=2)
    assert json.loads(Path(path).read_text(encoding="utf-8"))["late_template_url"].startswith("http")
    command("dev", "apply", path, "--yes", code=0)
    assert remains.holdings.resources[TABLE, TRANSACTIONS].contents == ["pay-1", "pay-2"]
    assert "no changes" in command("dev", "--plan", code=0).stdout


@pytest.mark.parametrize("failing", ["Data/Notifications", "Monitoring/Dashboard"])
@pytest.mark.parametrize("complete_counts_as_deleted", [False, True])
def test_the_rollback_of_an_import_deletes_no_imported_resource(
    command: Command, remains: Service, failing: str, complete_counts_as_deleted: bool
) -> None:
    """Even if the service treats as created what an operation has imported."""
    remains.fails, remains.complete_counts_as_deleted = {failing: "no"}, complete_counts_as_deleted
    before = {key for key in remains.holdings.resources if key[0] in (TABLE, GROUP)}
    command("dev", "--import", "--yes", code=1)
    assert before <= set(remains.holdings.resources)
    assert remains.holdings.resources[TABLE, TRANSACTIONS].contents == ["pay-1", "pay-2"]
    remains.fails = {}
    for kind, name in [key for key in remains.holdings.resources if key[0] == QUEUE]:
        remains.holdings.delete_resource(kind, name)
    command("dev", "--import", "--yes", code=0)
    assert remains.holdings.resources[TABLE, TRANSACTIONS].contents == ["pay-1", "pay-2"]


def test_a_table_of_another_stack_is_refused(command: Command, remains: Service) -> None:
    orders = Stack("orders", remains.make_arn("stack", "orders"), "CREATE_COMPLETE", text=ORDERS)
    remains.stacks[orders.id] = orders
    remains.holdings.resources[TABLE, LEDGER].stack_id = orders.id
    refused = " ".join(command("dev", "--import", "--yes", code=1).stdout.split())
    assert (
        f"✗ names {LEDGER} ({TABLE}) belongs to the stack orders, which exists → let that stack retain and release it, "
        "or choose another environment name"
    ) in refused
    assert remains.find_writes() == []
    # Where the caller may not ask, CloudFormation refuses.
    denied = [Refused("AccessDenied", "not you", 403)] * 20
    remains.errors = {"DescribeStackResources": list(denied)}
    refused = command("dev", "--import", "--yes", code=1)
    assert "? names" in refused.stdout
    assert "Resources [PaymentLedger] passed in ResourceToImport are already in a stack" in refused.stderr
    assert read_platforms(remains) == []


def test_a_table_with_another_key_is_refused(command: Command, remains: Service) -> None:
    remains.holdings.resources[TABLE, LEDGER].key = PAYMENT_KEY
    refused = " ".join(command("dev", "--import", "--yes", code=1).stdout.split())
    assert (
        f"{LEDGER} ({TABLE}) has the key transaction_id (HASH, S), but the template transaction_id (HASH, S), sequence "
        "(RANGE, N) → copy its items into a table with this key, or choose another environment name"
    ) in refused
    assert remains.find_writes() == []


def test_an_import_has_no_options_of_the_execution(command: Command, remains: Service) -> None:
    """Where a failure rolls nothing back, the later rollback would delete as created what was imported."""
    for flag in ("--keep-failed", "--express"):
        for arguments in (("--import", "--yes"), ("--plan", "--import")):
            assert f"cannot be combined with {flag}" in command("dev", *arguments, flag, code=1).stderr.replace(
                f"{flag} cannot be combined with --import", f"--import cannot be combined with {flag}"
            )
    assert remains.find_writes() == []


def test_an_import_into_what_a_failure_has_kept_is_refused(command: Command, aws: Service) -> None:
    add_platform(aws, status="UPDATE_FAILED")
    refused = command("dev", "--import", "--yes", code=1).stderr
    assert "a rollback of what was kept might delete what is imported; deploy without importing" in refused


def test_an_import_of_nothing_is_refused(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    assert (
        f"nothing to import: no resource that {NAME} would create exists; deploy it with scripts/deploy.sh dev\n"
        in command("dev", "--import", "--yes", code=1).stderr
    )


@pytest.mark.parametrize("kind", ["denied", "expired", "throttled"])
@pytest.mark.parametrize("operation", ["dynamodb:DescribeTable", "logs:DescribeLogGroups"])
def test_an_import_that_cannot_look_for_what_exists_is_refused(
    command: Command, remains: Service, operation: str, kind: str
) -> None:
    """Without that answer, it would leave a table out, which the deployment after it would try to create."""
    command.haste = 5000
    remains.faults[operation] = Fault(kind)
    refused = command("import", "dev", "--yes", code=1)
    kinds = {"dynamodb:DescribeTable": TABLE, "logs:DescribeLogGroups": GROUP}
    assert f"deploy: whether names of {kinds[operation]} exist could not be checked: " in refused.stderr
    assert re.search(r"; nothing was changed; .*import again$", refused.stderr.strip()), refused.stderr
    assert read_platforms(remains) == []
    del remains.faults[operation]
    command("import", "dev", "--yes", code=0)
    assert read_platform(remains).nested["Data"].resources["Transactions"]


def test_an_import_that_cannot_look_for_what_it_does_not_take_in_goes_on(command: Command, remains: Service) -> None:
    remains.faults["iam:GetRole"] = Fault("denied")
    output = command("import", "dev", "--yes", code=0).stdout
    assert "whether names of AWS::IAM::Role exist could not be checked" in output


def test_an_import_that_the_service_does_not_list_is_refused(command: Command, remains: Service) -> None:
    def create_tables(changes: Changes) -> Changes:
        for change in changes:
            change["ResourceChange"]["Action"] = "Add"
        return changes

    remains.scripted_answers = {"Data": create_tables}
    refused = command("dev", "--import", "--yes", code=1).stderr
    assert (
        "CloudFormation does not import Data/PaymentLedger (dynamodb-payment-ledger-dev), though it exists" in refused
    )
    assert not remains.find_requests("ExecuteChangeSet")


PITR = "PointInTimeRecoverySpecification"


def describe_second_change(action: str, replacement: str = "", **detail: str) -> dict[str, Any]:
    """Return the change of the table of transactions that the second change set lists, by the property's target."""
    target = {"Attribute": "Properties", **detail}
    change: dict[str, Any] = {
        "Action": action,
        "LogicalResourceId": "Transactions",
        "ResourceType": TABLE,
        "Details": [{"Target": target, "Evaluation": "Static"}] if detail else [],
    }
    return {"Type": "Resource", "ResourceChange": change | ({"Replacement": replacement} if replacement else {})}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        # Of a service that takes a name's new expression for a new name.
        (describe_second_change("Modify", "True"), "replace, create or remove Data/Transactions"),
        (describe_second_change("Add"), "replace, create or remove Data/Transactions"),
        (describe_second_change("Remove"), "replace, create or remove Data/Transactions"),
        (
            describe_second_change(
                "Modify",
                "Conditional",
                Name="KeySchema",
                Path="/Properties/KeySchema",
                BeforeValue="a",
                AfterValue="b",
                RequiresRecreation="Conditionally",
            ),
            "replace, create or remove Data/Transactions",
        ),
        (
            describe_second_change(
                "Modify",
                "False",
                Name=PITR,
                Path=f"/Properties/{PITR}/PointInTimeRecoveryEnabled",
                BeforeValue="true",
                AfterValue="false",
                RequiresRecreation="Never",
            ),
            f"change {PITR}/PointInTimeRecoveryEnabled of Data/Transactions",
        ),
    ],
)
def test_a_second_change_set_that_changes_more_than_texts_is_not_executed(
    command: Command, remains: Service, change: dict[str, Any], reason: str
) -> None:
    def answer_second(changes: Changes) -> Changes:
        return [change] if remains.find_requests("ExecuteChangeSet") else changes

    remains.scripted_answers = {"Data": answer_second}
    failed = command("dev", "--import", "--yes", code=1).stderr
    assert failed == (
        f"deploy: {NAME} is deployed, but its second change set was not executed: CloudFormation would {reason}; "
        "to complete it, deploy again: scripts/deploy.sh dev\n"
    )
    assert len(remains.find_requests("ExecuteChangeSet")) == 1


def test_an_import_whose_second_change_set_failed_is_completed_by_the_next_deployment(
    command: Command, remains: Service
) -> None:
    """Until then the stacks have the literal names of the import's copies."""

    def deny_second() -> None:
        if remains.find_requests("ExecuteChangeSet"):
            remains.errors["CreateChangeSet"] = [Refused("AccessDenied", "not you", 403)]

    remains.before["CreateChangeSet"] = deny_second
    command("dev", "--import", "--yes", code=1)
    stack = read_platform(remains)
    assert read_transactions(stack)["Properties"]["TableName"] == TRANSACTIONS
    del remains.before["CreateChangeSet"]
    completed = command("dev", "--yes", code=0)
    assert "delete-table" not in completed.output
    assert read_transactions(stack)["Properties"]["TableName"] == {"Fn::Sub": "dynamodb-transactions-${Environment}"}
    assert remains.holdings.resources[TABLE, TRANSACTIONS].contents == ["pay-1", "pay-2"]


def test_the_resources_of_the_reference_are_imported(command: Command, aws: Service) -> None:
    """Terraform has created them: without our tags, and without the sort key's table, which is then created."""
    add_bootstrap_stack(aws)
    create = aws.holdings.create_resource
    table = create(TABLE, TRANSACTIONS, {}, protected=False)
    table.key, table.key_arn, table.contents = PAYMENT_KEY, EARLIER_KEY, ["pay-1"]
    for name in ("/aws/lambda/lambda-payment-validation-dev", "/aws/vendedlogs/states/sfn-payment-workflow-dev"):
        create(GROUP, name, {}, protected=False)
    output = command("dev", "--import", "--yes", code=0).stdout
    assert "Plan: 3 to import, " in output
    assert f"! names {TRANSACTIONS} ({TABLE}) does not have this platform's tags" in output
    assert f"Data/Transactions is encrypted with {EARLIER_KEY}, which the functions may not use" in output
    assert table.contents == ["pay-1"]
    assert aws.holdings.holds(TABLE, LEDGER)
    assert "no changes" in command("dev", "--yes", code=0).stdout


def test_a_protected_environment_is_imported_and_protected(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    table = aws.holdings.create_resource(TABLE, "dynamodb-transactions-prod", {}, protected=True)
    table.key = PAYMENT_KEY
    output = command("prod", "--import", "--yes", code=0).stdout
    assert (
        "Completing with a second change set, which protects Data/PaymentLedger, Data/Transactions from deletion and "
        "replaces the import's copies of the templates\n"
    ) in output
    assert {name for (_, name), item in aws.holdings.resources.items() if item.protected} == {
        "dynamodb-transactions-prod",
        "dynamodb-payment-ledger-prod",
    }
    assert "no changes" in command("prod", "--yes", code=0).stdout


def test_the_steps_of_the_guide_lead_to_an_environment_with_its_data(command: Command, aws: Service) -> None:
    add_platform(aws)
    aws.holdings.resources[TABLE, TRANSACTIONS].contents = ["pay-1"]
    guide = (ROOT / "docs" / "importing.md").read_text(encoding="utf-8")
    steps = guide.partition("## After a deletion")[2].partition("```sh\n")[2].partition("```")[0].splitlines()
    codes = []
    for step in steps:
        if deletion := re.match(r"aws sqs delete-queue .* --queue-name (\S+)", step):
            aws.holdings.delete_resource(QUEUE, deletion[1])
        elif call := re.match(r"scripts/(deploy|destroy)\.sh((?: \S+)+)", step):
            confirmed = {"deploy": ["--yes"], "destroy": ["--yes", "--destroys", NAME]}[call[1]]
            arguments = call[2].split() + (confirmed if "plan" not in call[2] else [])
            if "--revert-drift" in arguments:
                # As CloudFormation sees the imported table, which has the key of the deleted environment.
                encryption = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": EARLIER_KEY}
                aws.actual.properties = {"Data/Transactions": {"SSESpecification": json.dumps(encryption)}}
            codes.append(command(*arguments, script=call[1]).code)
            if call[1] == "destroy":
                # The simulated alarms belong to no stack.
                aws.alarms.clear()
        else:
            assert re.match(r"sleep 60|scripts/verify\.sh dev$", step), step
    # The plan finds the queues in the way.
    assert (codes, aws.actual.properties) == ([0, 1, 0, 0], {})
    assert aws.holdings.resources[TABLE, TRANSACTIONS].contents == ["pay-1"]
    assert "no changes" in command("dev", "--yes", code=0).stdout


def test_a_deployed_environment_takes_in_a_vault_when_backups_are_switched_on_again(
    command: Command, aws: Service
) -> None:
    stack = add_platform(aws, environment="prod")
    aws.holdings.resources.clear()
    aws.provision_resources(stack)
    without = {**stack.parameters, "BackupRetentionDays": "0"}
    earlier = aws.propose_stack(stack, stack.name, stack.text, without)
    stack.parameters, stack.nested = earlier.parameters, earlier.nested
    for _, nested in stack.walk()[1:]:
        nested.status, nested.root = "UPDATE_COMPLETE", stack
    for (kind, name), item in aws.holdings.resources.items():
        if name == "backup-vault-payments-prod":
            # The stack has retained it outside, with its recovery points.
            item.stack_id, item.contents = "", ["arn:aws:backup:1 COMPLETED arn:aws:dynamodb:1"]
            vault = kind, name
    aws.alarms = {name: state for name, state in aws.alarms.items() if "backup" not in name}
    assert "take it in (scripts/deploy.sh import prod)" in command("prod", "--yes", code=1).stdout
    output = command("prod", "--import", "--yes", code=0).stdout
    assert "< BackupVault AWS::Backup::BackupVault (imports backup-vault-payments-prod)" in output
    assert aws.holdings.resources[vault].stack_id == stack.nested["Data"].id
    assert "no changes" in command("prod", "--yes", code=0).stdout


@pytest.mark.parametrize("counts_as_deleted", [False, True])
def test_a_failed_import_advises_to_delete_nothing_that_it_was_to_take_in(
    command: Command, remains: Service, *, counts_as_deleted: bool
) -> None:
    remains.fails, remains.complete_counts_as_deleted = {"Monitoring/Dashboard": "no"}, counts_as_deleted
    failed = command("import", "dev", "--yes", "--json", code=1)
    record = failed.read_records()[-2]
    retained = {event["path"] for event in record["retained"]}
    assert {"Data/Transactions", "Data/PaymentLedger"} <= retained
    assert retained.isdisjoint(event["path"] for event in record["left_behind"])
    assert "dynamodb" not in str([event["delete_command"] for event in record["left_behind"]])
    assert re.search(r"then run scripts/deploy\.sh import dev\b", record["next"])
    assert "destroy" not in record["next"]
    remains.fails = {}
    for event in record["left_behind"]:
        # As with the command that is named beside it.
        remains.holdings.resources.pop((event["resource_type"], event["physical_id"]), None)
    command("import", "dev", "--yes", code=0)
    assert remains.holdings.resources[TABLE, TRANSACTIONS].contents == ["pay-1", "pay-2"]


def test_a_failed_import_says_what_is_retained_with_its_data(command: Command, remains: Service) -> None:
    remains.fails, remains.stuck = {"Monitoring/Dashboard": "no"}, {"Data/Notifications": "stuck"}
    failed = command("import", "dev", "--yes", code=1)
    assert f"retained, with what it holds: Data/Transactions ({TABLE}) {TRANSACTIONS}\n" in failed.stdout
    assert "delete-table" not in failed.stdout
    # Whoever asks later gets the same advice.
    for arguments, script in (
        (("dev", "--yes"), "deploy"),
        (("import", "dev", "--yes"), "deploy"),
        (("dev",), "status"),
    ):
        output = command(*arguments, script=script).output
        deletion = "scripts/destroy.sh dev, which retains what has the deletion policy Retain"
        assert deletion in " ".join(output.split())
        assert "--purge" not in output
    # No template of what has failed tells what that retains.
    deleted = command("dev", "--yes", "--destroys", NAME, script="destroy", code=0).stdout
    assert deleted.endswith(
        f"{NAME}: deleted; scripts/status.sh dev says whether anything was retained outside the stack\n"
    )
    status = command("dev", script="status").output
    assert "earlier stacks have retained" in status
    assert "2 tables" in status


def test_the_simulated_service_refuses_to_import_what_is_not_retained(aws: Service) -> None:
    aws.holdings.create_resource(GROUP, "orders", {}, protected=False)
    template = f"Resources: {{Log: {{Type: {GROUP}, Properties: {{LogGroupName: orders}}}}}}"
    client = make_client(aws)
    request = {"StackName": "orders", "ChangeSetName": "first", "ChangeSetType": "CREATE", "Tags": []}
    client.create_change_set(**request, TemplateBody=template, ImportExistingResources=True)
    answer = client.describe_change_set(ChangeSetName="first", StackName="orders")
    assert answer["Status"] == "FAILED"
    assert answer["StatusReason"].endswith("The affected resources are Log ({LogGroupName=orders})")

"""What prod gets: settings filled in, every value followed through the parent to the resource that it names.

A scanner reads one template and sees that there is a key; here it is the right one, and the setting reaches it.
"""

import json
import re
from typing import Any

import pytest

from tests.emitted import load_template
from tests.stacks.access import ACCOUNT, PLACE, REGION, World, key_arn

TABLES = ("Data/Transactions", "Data/PaymentLedger")
FUNCTIONS = ("Validation", "Processing", "Reconciliation")
QUEUE = f"arn:aws:sqs:{PLACE}:payment-dlq-prod"
NOTIFICATION_QUEUE = f"arn:aws:sqs:{PLACE}:sqs-notification-dlq-prod"
QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/payment-dlq-prod"
TOPIC = f"arn:aws:sns:{PLACE}:sns-payment-notifications-prod"
# What is lost with it: data, or what data is read with.
KEPT = {
    "AWS::DynamoDB::Table",
    "AWS::SQS::Queue",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::Backup::BackupVault",
    "AWS::S3::Bucket",
}


def test_every_reference_leads_somewhere(world: World) -> None:
    """Also an output that the parent reads and the child does not have."""
    for path, resource in world.resources.items():
        properties = {name: one for name, one in resource.properties.items() if name != "Definition"}
        for name, attribute in re.findall(r"\$\{([A-Za-z0-9/]+)((?:\.[A-Za-z0-9.]+)?)\}", str(properties)):
            assert name in world.resources, f"{path} refers to {name}{attribute}"
    for output, value in world.platform.outputs.items():
        for name, _ in re.findall(r"\$\{([A-Za-z0-9/]+)((?:\.[A-Za-z0-9.]+)?)\}", str(value)):
            assert name in world.resources, f"output {output} refers to {name}"


# Data


def test_the_tables_refuse_to_be_deleted_where_the_setting_says_so(worlds: list[World]) -> None:
    prod, dev = worlds
    for table in TABLES:
        assert prod.properties(table).get("DeletionProtectionEnabled") == "true"
        assert dev.properties(table).get("DeletionProtectionEnabled") == "false", "it does not come from the setting"


def test_the_tables_can_be_restored_to_any_second(worlds: list[World]) -> None:
    for world in worlds:
        for table in TABLES:
            assert world.properties(table).get("PointInTimeRecoverySpecification") == {
                "PointInTimeRecoveryEnabled": True
            }


STORES = {
    **dict.fromkeys((f"{table}-table" for table in TABLES), (("SSESpecification", "KMSMasterKeyId"), "DynamodbKey")),
    "Data/BackupVault-vault": (("EncryptionKeyArn",), "DynamodbKey"),
    "Data/DeadLetters-queue": (("KmsMasterKeyId",), "QueueKey"),
    "Data/UndeliveredNotices-queue": (("KmsMasterKeyId",), "QueueKey"),
    "Data/Notifications-topic": (("KmsMasterKeyId",), "SnsKey"),
    **dict.fromkeys((f"Compute/{title}Function-functions" for title in FUNCTIONS), (("KmsKeyArn",), "FunctionsKey")),
    **dict.fromkeys((f"Compute/{title}Logs-logs" for title in FUNCTIONS), (("KmsKeyId",), "LogsKey")),
    "Workflow/WorkflowLogs-logs": (("KmsKeyId",), "LogsKey"),
    "Workflow/PaymentWorkflow-executions": (("EncryptionConfiguration", "KmsKeyId"), "WorkflowKey"),
}


@pytest.mark.parametrize("store", STORES)
def test_each_store_is_encrypted_with_its_key(store: str, world: World) -> None:
    way, key = STORES[store]
    value: Any = world.properties(store.rsplit("-", 1)[0])
    for name in way:
        value = value.get(name, {})
    # SNS takes a key by its id.
    assert value == (key_arn(key).split("/")[1] if store.endswith("topic") else key_arn(key))


def test_an_encryption_is_of_a_customers_key(world: World) -> None:
    for table in TABLES:
        sse = world.properties(table)["SSESpecification"]
        assert (sse["SSEEnabled"], sse["SSEType"]) == (True, "KMS")
    assert world.properties("Workflow/PaymentWorkflow")["EncryptionConfiguration"]["Type"] == "CUSTOMER_MANAGED_KMS_KEY"


def test_the_keys_are_rotated_and_regretted_for_a_month(world: World) -> None:
    keys = world.of_type("AWS::KMS::Key")
    assert len(keys) == 6
    for title, key in keys.items():
        assert key.get("EnableKeyRotation") is True, title
        assert key.get("PendingWindowInDays") == "30", title


def test_what_would_be_lost_outlives_its_stack(worlds: list[World]) -> None:
    for world in worlds:
        for path, resource in world.resources.items():
            if resource.type in KEPT:
                assert resource.deletion_policy == "RetainExceptOnCreate", path
                assert resource.update_replace_policy == "Retain", path
    assert {resource.type for resource in worlds[0].resources.values()} >= KEPT


def test_the_boundary_and_the_role_above_outlive_their_stack(world: World) -> None:
    """CloudFormation goes on using its role for a stack that it has used it for."""
    service_role = world.resources["CloudFormationRole"].properties["ManagedPolicyArns"]
    titles = [title for title in world.policies if title.startswith("Service")]
    assert len(titles) == len(service_role)
    for title in ("BoundaryDev", "BoundaryProd", "BoundaryStaging", "CloudFormationRole", *titles):
        # A first deployment that fails leaves nothing behind that takes the name.
        assert world.resources[title].deletion_policy == "RetainExceptOnCreate", title
        assert world.resources[title].update_replace_policy == "Retain", title


def test_the_tables_are_backed_up_daily_for_35_days(world: World) -> None:
    selection = world.properties("Data/BackupSelection")["BackupSelection"]
    assert selection["Resources"] == [
        f"arn:aws:dynamodb:{PLACE}:table/dynamodb-{name}-prod" for name in ("transactions", "payment-ledger")
    ]
    assert selection["IamRoleArn"] == world.roles["BackupRole"].arn
    (rule,) = world.properties("Data/BackupPlan")["BackupPlan"]["BackupPlanRule"]
    assert rule["TargetBackupVault"] == "backup-vault-payments-prod"
    assert rule["Lifecycle"] == {"DeleteAfterDays": "35"}
    assert re.fullmatch(r"cron\(\d+ \d+ \* \* \? \*\)", rule["ScheduleExpression"])


def test_dead_letters_are_kept_as_long_as_sqs_can(world: World) -> None:
    for queue in ("Data/DeadLetters", "Data/UndeliveredNotices"):
        assert world.properties(queue).get("MessageRetentionPeriod") == 14 * 24 * 60 * 60


def test_notices_that_no_subscriber_takes_are_kept(world: World) -> None:
    subscriptions = world.of_type("AWS::SNS::Subscription")
    assert len(subscriptions) == 1
    for subscription in subscriptions.values():
        assert subscription.get("RedrivePolicy") == {"deadLetterTargetArn": NOTIFICATION_QUEUE}


def test_the_buckets_are_closed_versioned_and_encrypted(world: World) -> None:
    buckets = {path: p for path, p in world.of_type("AWS::S3::Bucket").items()}
    assert set(buckets) == {"Artifacts", "AccessLogs"}
    algorithms = {"Artifacts": "aws:kms", "AccessLogs": "AES256"}
    for title, bucket in buckets.items():
        block = bucket.get("PublicAccessBlockConfiguration", {})
        assert len(block) == 4
        assert set(block.values()) == {True}
        assert bucket.get("VersioningConfiguration") == {"Status": "Enabled"}
        assert bucket.get("OwnershipControls") == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": algorithms[title]}
    logged = buckets["Artifacts"].get("LoggingConfiguration", {})
    assert logged.get("DestinationBucketName") == buckets["AccessLogs"]["BucketName"]


# Logs


def test_logs_are_kept_for_more_than_a_year_and_masked(world: World) -> None:
    groups = world.of_type("AWS::Logs::LogGroup")
    assert len(groups) == 4
    for path, group in groups.items():
        assert group.get("RetentionInDays") == "400", path
        statements = group.get("DataProtectionPolicy", {}).get("Statement", [])
        # Either is refused without the other.
        assert [list(one["Operation"]) for one in statements] == [["Audit"], ["Deidentify"]], path
        audit, hide = statements
        assert audit["DataIdentifier"] == hide["DataIdentifier"]
        told = {identifier.rsplit("/", 1)[1] for identifier in hide["DataIdentifier"]}
        assert {"CreditCardNumber", "CreditCardSecurityCode", "EmailAddress", "BankAccountNumber-US"} <= told


def test_the_workflow_logs_everything_but_payment_data(world: World) -> None:
    logging = world.properties("Workflow/PaymentWorkflow")["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ALL", "false")
    (destination,) = logging["Destinations"]
    arn = destination["CloudWatchLogsLogGroup"]["LogGroupArn"]
    assert arn == f"arn:aws:logs:{PLACE}:log-group:/aws/vendedlogs/states/sfn-payment-workflow-prod:*"


def test_everything_is_traced(world: World) -> None:
    assert world.properties("Workflow/PaymentWorkflow").get("TracingConfiguration") == {"Enabled": True}
    for title in FUNCTIONS:
        assert world.properties(f"Compute/{title}Function").get("TracingConfig") == {"Mode": "Active"}


# Who runs as whom, and what reaches whom

EVERY_VARIABLE = {"ENVIRONMENT", "DYNAMODB_TABLE_NAME", "LEDGER_TABLE_NAME", "NOTIFY_BUSINESS_OUTCOMES"}
GATEWAY = {"GATEWAY", "GATEWAY_SECRET_ARN"}
VARIABLES = {
    "Validation": EVERY_VARIABLE | {"MAXIMUM_AMOUNTS", "HIGH_VALUE_AMOUNTS", "FRAUD_SCORE_LIMIT"},
    "Processing": EVERY_VARIABLE | GATEWAY,
    "Reconciliation": EVERY_VARIABLE | GATEWAY | {"SNS_TOPIC_ARN", "DLQ_URL"},
}


def test_what_validation_answers_is_understood_when_it_goes_live(world: World) -> None:
    """The workflow takes it to processing, whose version goes live first."""
    resource = load_template("compute")["Resources"]["ValidationLive"]
    assert resource["DependsOn"] == "ProcessingLive"


@pytest.mark.parametrize("title", FUNCTIONS)
def test_a_function_is_wired(title: str, world: World) -> None:
    function, name = world.properties(f"Compute/{title}Function"), f"lambda-payment-{title.lower()}-prod"
    assert function["FunctionName"] == name
    assert function["Handler"] == f"handlers.{title.lower()}.handler"
    assert function.get("Role") == world.roles[f"{title}Role"].arn
    assert function.get("DeadLetterConfig") == {"TargetArn": QUEUE}
    assert function["LoggingConfig"]["LogGroup"] == f"/aws/lambda/{name}"
    assert function.get("ReservedConcurrentExecutions") == "50"
    variables = function["Environment"]["Variables"]
    assert set(variables) == VARIABLES[title]
    assert variables["DYNAMODB_TABLE_NAME"] == "dynamodb-transactions-prod"
    assert variables["LEDGER_TABLE_NAME"] == "dynamodb-payment-ledger-prod"
    assert variables.get("SNS_TOPIC_ARN", TOPIC) == TOPIC
    assert variables.get("DLQ_URL", QUEUE_URL) == QUEUE_URL
    assert "AKIA" not in str(variables)
    live = world.properties(f"Compute/{title}Live")
    assert (live["FunctionName"], live["Name"]) == (name, "live")
    assert live["FunctionVersion"] == f"${{Compute/{title}Version.Version}}"


def test_the_workflow_is_wired(world: World) -> None:
    workflow = world.properties("Workflow/PaymentWorkflow")
    given = workflow["DefinitionSubstitutions"]
    assert workflow["RoleArn"] == world.roles["WorkflowRole"].arn
    for title in ("Validation", "Processing"):
        live = f"arn:aws:lambda:{PLACE}:function:lambda-payment-{title.lower()}-prod:live"
        assert given[f"{title}FunctionArn"] == live
    assert (given["QueueUrl"], given["TopicArn"]) == (QUEUE_URL, TOPIC)
    integrations = [given[name] for name in ("InvokeFunction", "SendMessage", "Publish")]
    assert integrations == [f"arn:aws:states:::{name}" for name in ("lambda:invoke", "sqs:sendMessage", "sns:publish")]


def test_reconciliation_runs_every_five_minutes_and_nothing_of_it_is_lost(world: World) -> None:
    rule = world.properties("Compute/ReconciliationSchedule")
    assert rule["ScheduleExpression"] == "rate(5 minutes)"
    assert rule.get("State", "ENABLED") == "ENABLED"
    (target,) = rule["Targets"]
    assert target["Arn"] == f"arn:aws:lambda:{PLACE}:function:lambda-payment-reconciliation-prod:live"
    assert target.get("DeadLetterConfig") == {"Arn": QUEUE}
    assert target.get("RetryPolicy") == {"MaximumEventAgeInSeconds": 300, "MaximumRetryAttempts": 2}


def test_the_policies_stand_on_the_queue_the_topic_and_the_buckets(world: World) -> None:
    on = {arn for arn in world.resource_policies if ":key/" not in arn and ":lambda:" not in arn}
    buckets = {f"arn:aws:s3:::{p['BucketName']}" for p in world.of_type("AWS::S3::Bucket").values()}
    assert on == {QUEUE, NOTIFICATION_QUEUE, TOPIC} | buckets


def test_no_stack_waits_for_itself() -> None:
    """A nested stack takes what it needs from those before it, in the order of the parent."""
    before: set[str] = set()
    for title, stack in load_template("parent")["Resources"].items():
        read = set(re.findall(r'"Fn::GetAtt": \["([A-Za-z]+)", "Outputs\.', json.dumps(stack)))
        assert read or title == "Security"
        depends = stack.get("DependsOn", [])
        assert read | set([depends] if isinstance(depends, str) else depends) <= before, title
        before.add(title)

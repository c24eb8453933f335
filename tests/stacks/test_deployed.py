"""The deployed resources of prod, with each setting followed through the parent to its resource.

A scanner of one template sees that a resource has a key; these tests see that it has the right one.
"""

import re
from typing import Any

import pytest

from tests.emitted import ROOT, find_arguments, load_template
from tests.stacks.access import ACCOUNT, EVERY_VARIABLE, FUNCTIONS, PLACE, REGION, World, key_arn

STATE_MACHINE_TYPE = "AWS::StepFunctions::StateMachine"
TABLES = ("Data/Transactions", "Data/PaymentLedger")
QUEUE = f"arn:aws:sqs:{PLACE}:payment-dlq-prod"
NOTIFICATION_QUEUE = f"arn:aws:sqs:{PLACE}:sqs-notification-dlq-prod"
QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/payment-dlq-prod"
TOPIC = f"arn:aws:sns:{PLACE}:sns-payment-notifications-prod"
# Resources that hold data, or the keys that decrypt it.
RETAINED = {
    "AWS::DynamoDB::Table",
    "AWS::SQS::Queue",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::Backup::BackupVault",
    "AWS::S3::Bucket",
}


def test_every_reference_is_to_a_resource(world: World) -> None:
    """This includes outputs that the parent reads from a child."""
    values: dict[str, Any] = dict(world.platform.outputs)
    for path, resource in world.resources.items():
        values[path] = {name: value for name, value in resource.properties.items() if name != "Definition"}
    for path, value in values.items():
        for name in re.findall(r"\$\{([A-Za-z0-9/]+)(?:\.[A-Za-z0-9.]+)?\}", str(value)):
            assert name in world.resources, f"{path} refers to {name}, which no template declares: see stacks/"


# Data


def test_the_setting_protects_the_tables_from_deletion(worlds: list[World]) -> None:
    prod, dev = worlds
    for table in TABLES:
        assert prod.properties(table).get("DeletionProtectionEnabled") == "true"
        assert dev.properties(table).get("DeletionProtectionEnabled") == "false", "the setting has no effect"


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
    "Workflow/ReconciliationWorkflowLogs-logs": (("KmsKeyId",), "LogsKey"),
    "Workflow/PaymentWorkflow-executions": (("EncryptionConfiguration", "KmsKeyId"), "WorkflowKey"),
    "Workflow/ExpressWorkflow-executions": (("EncryptionConfiguration", "KmsKeyId"), "WorkflowKey"),
}

# The algorithm that encrypts each bucket.
BUCKETS = {
    "Artifacts": "aws:kms",
    "AccessLogs": "AES256",
}


@pytest.mark.parametrize("store", STORES)
def test_each_store_is_encrypted_with_its_key(store: str, world: World) -> None:
    property_path, key = STORES[store]
    value: Any = world.properties(store.rsplit("-", 1)[0])
    for name in property_path:
        value = value.get(name, {})
    # SNS takes the id of a key.
    assert value == (key_arn(key).split("/")[1] if store.endswith("topic") else key_arn(key))


def test_every_store_is_encrypted(world: World) -> None:
    """Every resource of these types is in the table above."""
    types = (*RETAINED - {"AWS::KMS::Key", "AWS::S3::Bucket"}, "AWS::SNS::Topic", "AWS::Lambda::Function")
    # Its executions hold counts, and are encrypted with a key of AWS.
    without_data = {"Workflow/ReconciliationWorkflow"}
    assert {store.rsplit("-", 1)[0] for store in STORES} | without_data == {
        path for path, resource in world.resources.items() if resource.type in (*types, STATE_MACHINE_TYPE)
    }, (
        "list what holds data in STORES of tests/stacks/test_deployed.py, with the property that names its key; "
        "a function in FUNCTIONS of tests/stacks/access.py"
    )


def test_tables_and_executions_are_encrypted_with_a_customer_managed_key(worlds: list[World]) -> None:
    for table in TABLES:
        encryption = worlds[0].properties(table)["SSESpecification"]
        assert (encryption["SSEEnabled"], encryption["SSEType"]) == (True, "KMS")
    types = [world.properties("Workflow/PaymentWorkflow")["EncryptionConfiguration"]["Type"] for world in worlds]
    assert types == ["CUSTOMER_MANAGED_KMS_KEY", "AWS_OWNED_KEY"], "the setting has no effect"


def test_the_keys_are_rotated_and_can_be_recovered_for_a_month(world: World) -> None:
    keys = world.of_type("AWS::KMS::Key")
    assert len(keys) == 6
    for title, key in keys.items():
        assert (key.get("EnableKeyRotation"), key.get("PendingWindowInDays")) == (True, "30"), title


def test_resources_with_data_outlive_their_stack(worlds: list[World]) -> None:
    for world in worlds:
        for path, resource in world.resources.items():
            if resource.type in RETAINED:
                advice = f"{path} holds data: pass **RETAINED (stacks/wiring.py) where stacks/ declares it"
                assert resource.deletion_policy == "RetainExceptOnCreate", advice
                assert resource.update_replace_policy == "Retain", advice
    assert {resource.type for resource in worlds[0].resources.values()} >= RETAINED


def test_the_boundaries_and_the_service_role_outlive_their_stack(world: World) -> None:
    """CloudFormation keeps using the role with which a stack was last deployed."""
    service_role = world.resources["CloudFormationRole"].properties["ManagedPolicyArns"]
    titles = [title for title in world.policies if title.startswith("Service")]
    assert len(titles) == len(service_role)
    for title in ("BoundaryDev", "BoundaryProd", "BoundaryStaging", "CloudFormationRole", *titles):
        # A failed first deployment leaves no resource with the name.
        assert world.resources[title].deletion_policy == "RetainExceptOnCreate", title
        assert world.resources[title].update_replace_policy == "Retain", title


def test_the_tables_are_backed_up_daily_for_35_days(worlds: list[World]) -> None:
    world, dev = worlds
    assert not [path for path in dev.resources if path.startswith("Data/Backup")], "the setting has no effect"
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
        properties = world.properties(queue)
        assert (properties.get("MessageRetentionPeriod"), properties["VisibilityTimeout"]) == (14 * 24 * 60 * 60, 60)


def test_undelivered_notices_are_kept(world: World) -> None:
    subscriptions = world.of_type("AWS::SNS::Subscription")
    assert len(subscriptions) == 1
    for subscription in subscriptions.values():
        assert subscription.get("RedrivePolicy") == {"deadLetterTargetArn": NOTIFICATION_QUEUE}


def test_the_buckets_are_closed_versioned_and_encrypted(world: World) -> None:
    buckets = world.of_type("AWS::S3::Bucket")
    assert set(buckets) == set(BUCKETS), "list the bucket in BUCKETS of tests/stacks/test_deployed.py"
    for title, bucket in buckets.items():
        block = bucket.get("PublicAccessBlockConfiguration", {})
        assert len(block) == 4
        assert set(block.values()) == {True}
        assert bucket.get("VersioningConfiguration") == {"Status": "Enabled"}
        assert bucket.get("OwnershipControls") == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": BUCKETS[title]}
    logged = buckets["Artifacts"].get("LoggingConfiguration", {})
    assert logged.get("DestinationBucketName") == buckets["AccessLogs"]["BucketName"]


# Logs


def test_logs_are_kept_for_more_than_a_year_and_masked(world: World) -> None:
    groups = world.of_type("AWS::Logs::LogGroup")
    assert len(groups) == len(FUNCTIONS) + 2, "of each function, and of both state machines"
    for path, group in groups.items():
        assert group.get("RetentionInDays") == "400", path
        statements = group.get("DataProtectionPolicy", {}).get("Statement", [])
        # CloudWatch Logs requires both statements.
        assert [list(statement["Operation"]) for statement in statements] == [["Audit"], ["Deidentify"]], path
        audit, mask = statements
        assert audit["DataIdentifier"] == mask["DataIdentifier"]
        identifiers = {identifier.rsplit("/", 1)[1] for identifier in mask["DataIdentifier"]}
        assert {"CreditCardNumber", "CreditCardExpiration", "CreditCardSecurityCode", "EmailAddress"} <= identifiers
        assert len([name for name in identifiers if name.startswith("BankAccountNumber-")]) == 6, path
    for name in ("compute", "workflow"):
        assert load_template(name)["Conditions"]["MasksLogs"] == {"Fn::Equals": [{"Ref": "LogDataProtection"}, "true"]}


@pytest.mark.parametrize("title", ["PaymentWorkflow", "ExpressWorkflow"])
def test_the_workflow_logs_everything_but_payment_data(title: str, world: World) -> None:
    """Both write to one log group."""
    logging = world.properties(f"Workflow/{title}")["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ALL", "false")
    (destination,) = logging["Destinations"]
    arn = destination["CloudWatchLogsLogGroup"]["LogGroupArn"]
    assert arn == f"arn:aws:logs:{PLACE}:log-group:/aws/vendedlogs/states/sfn-payment-workflow-prod:*"


def test_everything_is_traced(world: World) -> None:
    for title in ("PaymentWorkflow", "ExpressWorkflow", "ReconciliationWorkflow"):
        assert world.properties(f"Workflow/{title}").get("TracingConfiguration") == {"Enabled": True}
    for title in FUNCTIONS:
        assert world.properties(f"Compute/{title}Function").get("TracingConfig") == {"Mode": "Active"}


# Functions, workflow and schedule


def test_processing_goes_live_before_validation() -> None:
    """The workflow passes validation's answer to processing, which must already understand it."""
    assert load_template("compute")["Resources"]["ValidationLive"]["DependsOn"] == "ProcessingLive"


@pytest.mark.parametrize("title", FUNCTIONS)
def test_a_function_has_its_name_role_variables_and_alias(title: str, worlds: list[World]) -> None:
    world, dev = worlds
    function, name = world.properties(f"Compute/{title}Function"), f"lambda-payment-{title.lower()}-prod"
    wiring = {
        "FunctionName": name,
        "Handler": f"handlers.{title.lower()}.handler",
        "Role": world.roles[f"{title}Role"].arn,
        "DeadLetterConfig": {"TargetArn": QUEUE},
        "ReservedConcurrentExecutions": "50",
    }
    assert {key: function.get(key) for key in wiring} == wiring
    assert (ROOT / "lambda" / "handlers" / f"{title.lower()}.py").exists()
    timeout = 400 if title == "Reconciliation" else 300
    assert (function["MemorySize"], function["Timeout"], function["Runtime"][:8]) == (256, timeout, "python3.")
    assert function["LoggingConfig"].items() >= {"LogGroup": f"/aws/lambda/{name}", "LogFormat": "JSON"}.items()
    assert "ReservedConcurrentExecutions" not in dev.properties(f"Compute/{title}Function")
    variables = function["Environment"]["Variables"]
    assert set(variables) == EVERY_VARIABLE | FUNCTIONS[title]
    targets = {
        "DYNAMODB_TABLE_NAME": "dynamodb-transactions-prod",
        "LEDGER_TABLE_NAME": "dynamodb-payment-ledger-prod",
        "OPEN_SHARDS": "8",
        "CUSTOMER_DATA_DAYS": "0",
        "SNS_TOPIC_ARN": TOPIC,
        "DLQ_URL": QUEUE_URL,
        "GATEWAY_REQUESTS_PER_SECOND": "25",
    }
    assert {key: variables.get(key, target) for key, target in targets.items()} == targets
    assert "AKIA" not in str(variables)
    live, version = world.properties(f"Compute/{title}Live"), world.properties(f"Compute/{title}Version")
    assert (live["FunctionName"], live["Name"], version["FunctionName"]) == (name, "live", name)
    assert live["FunctionVersion"] == f"${{Compute/{title}Version.Version}}"


@pytest.mark.parametrize("title", ["PaymentWorkflow", "ExpressWorkflow"])
def test_the_workflow_calls_the_live_functions_the_queue_and_the_topic(title: str, world: World) -> None:
    workflow = world.properties(f"Workflow/{title}")
    substitutions = workflow["DefinitionSubstitutions"]
    assert workflow["RoleArn"] == world.roles["WorkflowRole"].arn
    for title in ("Validation", "Processing"):
        live = f"arn:aws:lambda:{PLACE}:function:lambda-payment-{title.lower()}-prod:live"
        assert substitutions[f"{title}FunctionArn"] == live
    assert (substitutions["QueueUrl"], substitutions["TopicArn"]) == (QUEUE_URL, TOPIC)
    integrations = [substitutions[name] for name in ("InvokeFunction", "SendMessage", "Publish")]
    assert integrations == [f"arn:aws:states:::{name}" for name in ("lambda:invoke", "sqs:sendMessage", "sns:publish")]


def test_the_machine_of_reconciliation_calls_the_live_function_with_the_workers_of_the_setting(world: World) -> None:
    machine = world.properties("Workflow/ReconciliationWorkflow")
    assert machine["RoleArn"] == world.roles["ReconciliationWorkflowRole"].arn
    assert machine["DefinitionSubstitutions"] == {
        "InvokeFunction": "arn:aws:states:::lambda:invoke",
        "ReconciliationFunctionArn": f"arn:aws:lambda:{PLACE}:function:lambda-payment-reconciliation-prod:live",
        "Workers": "8",
    }


def test_reconciliation_runs_every_five_minutes_and_failed_runs_are_kept(world: World) -> None:
    rule = world.properties("Workflow/ReconciliationSchedule")
    assert rule["ScheduleExpression"] == "rate(5 minutes)"
    assert rule.get("State", "ENABLED") == "ENABLED"
    (target,) = rule["Targets"]
    assert target["Arn"] == f"arn:aws:states:{PLACE}:stateMachine:sfn-payment-reconciliation-prod"
    assert target.get("RoleArn") == world.roles["ScheduleRole"].arn
    assert target.get("DeadLetterConfig") == {"Arn": QUEUE}
    assert target.get("RetryPolicy") == {"MaximumEventAgeInSeconds": 300, "MaximumRetryAttempts": 2}


def test_the_queues_the_topic_and_the_buckets_have_policies(world: World) -> None:
    arns = {arn for arn in world.resource_policies if ":key/" not in arn and ":lambda:" not in arn}
    buckets = {f"arn:aws:s3:::{p['BucketName']}" for p in world.of_type("AWS::S3::Bucket").values()}
    assert arns == {QUEUE, NOTIFICATION_QUEUE, TOPIC} | buckets


def test_no_stack_depends_on_a_later_one() -> None:
    """In the parent, each nested stack takes its inputs from stacks before it."""
    before: set[str] = set()
    for title, stack in load_template("parent")["Resources"].items():
        sources = {source for source, _ in find_arguments("Fn::GetAtt", stack)}
        assert sources or title == "Security"
        depends = stack.get("DependsOn", [])
        assert sources | set([depends] if isinstance(depends, str) else depends) <= before, title
        before.add(title)

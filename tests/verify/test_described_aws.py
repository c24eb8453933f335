"""Compares prod's templates with answers of AWS that the emulator does not support.

botocore's stubber refuses an answer that does not fit the service's model.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from scripts.common.evaluate import evaluate
from scripts.common.paths import TEMPLATES
from scripts.common.templates import read_tree_from_folder
from scripts.deployer.stack import StackResource
from scripts.verify import described
from scripts.verify.expected import Expected, resolve_attribute, resolve_references
from scripts.verify.results import Failed
from stacks import settings

ACCOUNT, REGION = "123456789012", "eu-west-1"
PSEUDO = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com"}
KEYS = {
    name: f"{number}b1d5a34-8f8e-4ad7-9a1c-8a0a4d0c1f11" for number, name in enumerate(("dynamodb", "sns", "lambda"))
}
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:sns-payment-notifications-prod"
LOGS = "/aws/vendedlogs/states/sfn-payment-workflow-prod"


def make_resource(resource_type: str, physical_id: str) -> StackResource:
    return StackResource("", resource_type, physical_id, "CREATE_COMPLETE")


DEPLOYED = {
    "Security/DynamodbKey": make_resource("AWS::KMS::Key", KEYS["dynamodb"]),
    "Security/SnsKey": make_resource("AWS::KMS::Key", KEYS["sns"]),
    "Security/FunctionsKey": make_resource("AWS::KMS::Key", KEYS["lambda"]),
    "Security/BackupRole": make_resource("AWS::IAM::Role", "role-backup-payments-prod"),
    "Data/Transactions": make_resource("AWS::DynamoDB::Table", "dynamodb-transactions-prod"),
    "Data/PaymentLedger": make_resource("AWS::DynamoDB::Table", "dynamodb-payment-ledger-prod"),
    "Data/Notifications": make_resource("AWS::SNS::Topic", TOPIC),
    "Data/UndeliveredNotices": make_resource("AWS::SQS::Queue", f"https://sqs/{ACCOUNT}/sqs-notification-dlq-prod"),
    "Data/Subscription": make_resource("AWS::SNS::Subscription", f"{TOPIC}:1"),
    "Data/BackupVault": make_resource("AWS::Backup::BackupVault", "backup-vault-payments-prod"),
    "Data/BackupPlan": make_resource("AWS::Backup::BackupPlan", "plan-1"),
    "Data/BackupSelection": make_resource("AWS::Backup::BackupSelection", "selection-1_plan-1"),
    "Compute/ProcessingFunction": make_resource("AWS::Lambda::Function", "lambda-payment-processing-prod"),
    "Security/TrafficShiftRole": make_resource("AWS::IAM::Role", "role-codedeploy-payments-prod"),
    "Compute/ShiftingApplication": make_resource("AWS::CodeDeploy::Application", "codedeploy-payments-prod"),
    "Compute/ProcessingShift": make_resource("AWS::CodeDeploy::DeploymentGroup", "processing"),
    "Workflow/WorkflowLogs": make_resource("AWS::Logs::LogGroup", LOGS),
    "Workflow/PaymentWorkflow": make_resource("AWS::StepFunctions::StateMachine", "arn:machine"),
    "Artifacts": make_resource("AWS::S3::Bucket", f"payment-artifacts-{ACCOUNT}-{REGION}"),
}
Answers = list[tuple[str, str, dict[str, Any]]]
SUBSCRIBER = "on-call@example.com"
CREATED_AT = datetime(2026, 11, 1, tzinfo=UTC)


def key_arn(name: str) -> str:
    return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEYS[name]}"


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{'' if service == 'iam' else REGION}:{ACCOUNT}:{resource}"


def answer_table(status: str = "ENABLED", recovery: str = "ENABLED") -> Answers:
    encryption = {"Status": status, "SSEType": "KMS", "KMSMasterKeyArn": key_arn("dynamodb")}
    described_table = {
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        "TableArn": arn("dynamodb", "table/t"),
        "SSEDescription": encryption,
    }
    backups = {
        "ContinuousBackupsStatus": "ENABLED",
        "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": recovery},
    }
    return [
        ("dynamodb", "describe_table", {"Table": described_table}),
        ("dynamodb", "describe_continuous_backups", {"ContinuousBackupsDescription": backups}),
        ("dynamodb", "list_tags_of_resource", {"Tags": []}),
    ]


def answer_topic(key: str = "sns") -> Answers:
    return [
        ("sns", "get_topic_attributes", {"Attributes": {"KmsMasterKeyId": KEYS[key]}}),
        ("sns", "list_tags_for_resource", {"Tags": []}),
    ]


def answer_subscription(queue: str = "sqs-notification-dlq-prod", **attributes: str) -> Answers:
    subscriber = {
        "SubscriptionArn": f"{TOPIC}:1",
        "Owner": ACCOUNT,
        "Protocol": "email",
        "Endpoint": SUBSCRIBER,
        "TopicArn": TOPIC,
    }
    redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn("sqs", queue)})} if queue else {}
    return [
        ("sns", "list_subscriptions_by_topic", {"Subscriptions": [subscriber]}),
        ("sns", "get_subscription_attributes", {"Attributes": {"TopicArn": TOPIC} | redrive | attributes}),
    ]


def answer_function(key: str = "lambda", concurrency: int = 50) -> Answers:
    configuration = {"KMSKeyArn": key_arn(key)}
    reserved = {"ReservedConcurrentExecutions": concurrency}
    return [("lambda", "get_function", {"Configuration": configuration, "Concurrency": reserved})]


def answer_state_machine(level: str = "ALL", execution_data: bool = False, traced: bool = True) -> Answers:
    group = {"cloudWatchLogsLogGroup": {"logGroupArn": arn("logs", f"log-group:{LOGS}:*")}}
    answer = {
        "stateMachineArn": "arn:machine",
        "name": "n",
        "definition": "{}",
        "roleArn": "r",
        "type": "STANDARD",
        "creationDate": CREATED_AT,
        "loggingConfiguration": {"level": level, "includeExecutionData": execution_data, "destinations": [group]},
        "tracingConfiguration": {"enabled": traced},
    }
    return [
        ("stepfunctions", "describe_state_machine", answer),
        ("stepfunctions", "list_tags_for_resource", {"tags": []}),
    ]


def answer_log_group(*, is_masked: bool = True) -> Answers:
    """Return the data protection policy with the fields that AWS adds."""
    identifiers = ("CreditCardNumber", "CreditCardExpiration", "CreditCardSecurityCode", "EmailAddress")
    accounts = (f"BankAccountNumber-{country}" for country in ("DE", "ES", "FR", "GB", "IT", "US"))
    arns = [f"arn:aws:dataprotection::aws:data-identifier/{name}" for name in (*identifiers, *accounts)]
    operations = {"Count": {"Audit": {"FindingsDestination": {}}}, "Hide": {"Deidentify": {"MaskConfig": {}}}}
    policy = {
        "Name": "payment-data",
        "Description": "",
        "Version": "2021-06-01",
        "Statement": [
            {"Sid": sid, "DataIdentifier": arns, "Operation": operation} for sid, operation in operations.items()
        ],
    }
    group = {"logGroupName": LOGS, "arn": arn("logs", f"log-group:{LOGS}:*")}
    return [
        ("logs", "describe_log_groups", {"logGroups": [group]}),
        ("logs", "list_tags_for_resource", {"tags": {}}),
        ("logs", "get_data_protection_policy", {"policyDocument": json.dumps(policy)} if is_masked else {}),
    ]


def answer_vault(key: str = "dynamodb") -> Answers:
    answer = {"BackupVaultArn": arn("backup", "backup-vault:v"), "EncryptionKeyArn": key_arn(key)}
    return [("backup", "describe_backup_vault", answer), ("backup", "list_tags", {"Tags": {}})]


def answer_plan(days: int = 35) -> Answers:
    rule = {
        "RuleName": "daily",
        "RuleId": "rule-1",
        "TargetBackupVaultName": "backup-vault-payments-prod",
        "ScheduleExpression": "cron(0 3 * * ? *)",
        "ScheduleExpressionTimezone": "Etc/UTC",
        "StartWindowMinutes": 60,
        "CompletionWindowMinutes": 180,
        "Lifecycle": {"DeleteAfterDays": days},
        "EnableContinuousBackup": False,
    }
    return [
        ("backup", "get_backup_plan", {"BackupPlan": {"BackupPlanName": "backup-plan-payments-prod", "Rules": [rule]}})
    ]


def answer_selection(*tables: str) -> Answers:
    names = tables or ("dynamodb-transactions-prod", "dynamodb-payment-ledger-prod")
    answer = {
        "SelectionName": "tables",
        "IamRoleArn": arn("iam", "role/role-backup-payments-prod"),
        "Resources": [arn("dynamodb", f"table/{name}") for name in names],
        "ListOfTags": [],
    }
    return [
        ("backup", "list_backup_selections", {"BackupSelectionsList": [{"SelectionId": "selection-1"}]}),
        ("backup", "get_backup_selection", {"BackupSelection": answer}),
    ]


def answer_bucket(
    algorithm: str = "aws:kms", versioning: str = "Enabled", is_blocked: bool = True, owner: str = "PaymentTeam"
) -> Answers:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}, "BucketKeyEnabled": True}
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    blocked = {name: is_blocked or name != "BlockPublicPolicy" for name in names}
    tags = {"Owner": owner, "CostCenter": "Engineering"}
    return [
        ("s3", "get_bucket_encryption", {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}),
        ("s3", "get_public_access_block", {"PublicAccessBlockConfiguration": blocked}),
        ("s3", "get_bucket_versioning", {"Status": versioning}),
        ("s3", "get_bucket_tagging", {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}),
    ]


def answer_application(platform: str = "Lambda") -> Answers:
    return [("codedeploy", "get_application", {"application": {"computePlatform": platform}})]


def answer_group(
    configuration: str = "Canary10Percent10Minutes",
    is_watched: bool = True,
    events: tuple[str, ...] = ("DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"),
    option: str = "WITH_TRAFFIC_CONTROL",
    role: str = "role-codedeploy-payments-prod",
) -> Answers:
    sections = ("sfn-failures", "sfn-timeouts", "sfn-throttles", "unknown-outcomes")
    functions = (f"lambda-{name}-{fault}" for name in ("validation", "processing") for fault in ("errors", "throttles"))
    alarms = [{"name": f"alarm-{section}-prod"} for section in (*sections, *functions)]
    group = {
        "serviceRoleArn": arn("iam", f"role/{role}"),
        "deploymentConfigName": f"CodeDeployDefault.Lambda{configuration}",
        "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": option},
        "autoRollbackConfiguration": {"enabled": True, "events": list(events)},
        "alarmConfiguration": {"enabled": is_watched, "ignorePollAlarmFailure": False, "alarms": alarms},
    }
    return [("codedeploy", "get_deployment_group", {"deploymentGroupInfo": group})]


# The resource, the compared property, answers that match, and answers that differ.
CASES: list[tuple[str, str, Callable[[], Answers], Answers]] = [
    ("Data/Transactions", "SSESpecification", answer_table, answer_table(status="DISABLED")),
    ("Data/PaymentLedger", "PointInTimeRecoverySpecification", answer_table, answer_table(recovery="DISABLED")),
    ("Data/Notifications", "KmsMasterKeyId", answer_topic, answer_topic("lambda")),
    ("Data/Subscription", "RedrivePolicy", answer_subscription, answer_subscription(queue="")),
    ("Data/Subscription", "RedrivePolicy", answer_subscription, answer_subscription(queue="sqs-another")),
    (
        "Data/Subscription",
        "FilterPolicy",
        answer_subscription,
        answer_subscription(FilterPolicy='{"outcome": ["COMPLETED"]}'),
    ),
    ("Compute/ProcessingFunction", "KmsKeyArn", answer_function, answer_function("sns")),
    ("Compute/ProcessingFunction", "ReservedConcurrentExecutions", answer_function, answer_function(concurrency=5)),
    ("Compute/ShiftingApplication", "ComputePlatform", answer_application, answer_application("Server")),
    ("Compute/ProcessingShift", "DeploymentConfigName", answer_group, answer_group("AllAtOnce")),
    ("Compute/ProcessingShift", "AlarmConfiguration", answer_group, answer_group(is_watched=False)),
    ("Compute/ProcessingShift", "AutoRollbackConfiguration", answer_group, answer_group(events=())),
    ("Compute/ProcessingShift", "DeploymentStyle", answer_group, answer_group(option="WITHOUT_TRAFFIC_CONTROL")),
    ("Compute/ProcessingShift", "ServiceRoleArn", answer_group, answer_group(role="somebody")),
    ("Workflow/PaymentWorkflow", "LoggingConfiguration", answer_state_machine, answer_state_machine("OFF")),
    (
        "Workflow/PaymentWorkflow",
        "LoggingConfiguration",
        answer_state_machine,
        answer_state_machine(execution_data=True),
    ),
    ("Workflow/PaymentWorkflow", "TracingConfiguration", answer_state_machine, answer_state_machine(traced=False)),
    ("Workflow/WorkflowLogs", "DataProtectionPolicy", answer_log_group, answer_log_group(is_masked=False)),
    ("Data/BackupVault", "EncryptionKeyArn", answer_vault, answer_vault("sns")),
    ("Data/BackupPlan", "BackupPlan", answer_plan, answer_plan(days=1)),
    ("Data/BackupSelection", "BackupSelection", answer_selection, answer_selection("dynamodb-transactions-prod")),
    ("Artifacts", "BucketEncryption", answer_bucket, answer_bucket("AES256")),
    ("Artifacts", "VersioningConfiguration", answer_bucket, answer_bucket(versioning="Suspended")),
    ("Artifacts", "PublicAccessBlockConfiguration", answer_bucket, answer_bucket(is_blocked=False)),
    ("Artifacts", "Tags", answer_bucket, answer_bucket(owner="Somebody")),
]


@pytest.fixture(scope="module")
def prod() -> dict[str, Expected]:
    """Return prod's resources in an account that can reserve concurrency."""
    changes = {"ReservedConcurrency": "50", "NotificationProtocol": "email", "NotificationEndpoint": SUBSCRIBER}
    changes["TrafficShift"] = "Canary10Percent10Minutes"
    evaluated = evaluate(read_tree_from_folder(TEMPLATES, "parent.yaml"), settings.load("prod") | changes, PSEUDO)
    account = evaluate(
        read_tree_from_folder(TEMPLATES, "artifacts.yaml"),
        {"Owner": "PaymentTeam", **settings.load_bootstrap()},
        PSEUDO,
    )
    declared = dict(evaluated.walk()) | dict(account.walk())
    resources = {}
    for path, actual in DEPLOYED.items():
        properties = declared[path].properties
        resources[path] = Expected(
            path, actual.type, actual.physical_id, resolve_references(properties, DEPLOYED, PSEUDO)
        )
    return resources


def describe_resource(resource: Expected, answers: Answers) -> dict[str, Any]:
    session = boto3.Session("none", "none", region_name=REGION)
    clients: dict[str, Any] = {}
    for service, method, answer in answers:
        _, stubber = clients.setdefault(service, stub_client(session.client(service)))
        stubber.add_response(method, answer)
    return described.describe(lambda service: clients[service][0], resource, {})


def stub_client(client: Any) -> tuple[Any, Stubber]:
    stubber = Stubber(client)
    stubber.activate()
    return client, stubber


@pytest.mark.parametrize(("path", "name", "right", "wrong"), CASES, ids=[f"{path}-{name}" for path, name, *_ in CASES])
def test_a_difference_between_aws_and_the_template_is_found(
    path: str, name: str, right: Callable[[], Answers], wrong: Answers, prod: dict[str, Expected]
) -> None:
    resource = prod[path]
    for answers, differs in ((right(), False), (wrong, True)):
        actual = {name: describe_resource(resource, answers)[name]}
        lines = described.compare_resource(resource, actual)
        assert bool(lines) is differs, lines
    assert name in lines[0] or lines[0].startswith("statement Count is missing")


@pytest.mark.parametrize(
    ("resource", "attribute", "value"),
    [
        (DEPLOYED["Security/DynamodbKey"], "Arn", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEYS['dynamodb']}"),
        (DEPLOYED["Security/BackupRole"], "Arn", f"arn:aws:iam::{ACCOUNT}:role/role-backup-payments-prod"),
        (DEPLOYED["Workflow/WorkflowLogs"], "Arn", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{LOGS}:*"),
        (DEPLOYED["Data/Notifications"], "TopicName", "sns-payment-notifications-prod"),
        (DEPLOYED["Data/Notifications"], "", TOPIC),
        (make_resource("AWS::SQS::Queue", f"https://sqs/{ACCOUNT}/q"), "Arn", f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"),
        (make_resource("AWS::SQS::Queue", f"https://sqs/{ACCOUNT}/q"), "QueueName", "q"),
        (make_resource("AWS::Lambda::Version", "arn:aws:lambda:r:a:function:f:7"), "Version", "7"),
        (make_resource("AWS::Events::Rule", "rule"), "Arn", f"arn:aws:events:{REGION}:{ACCOUNT}:rule/rule"),
    ],
)
def test_a_reference_is_resolved_as_by_cloudformation(resource: StackResource, attribute: str, value: str) -> None:
    assert resolve_attribute(resource, attribute, PSEUDO) == value


@pytest.mark.parametrize(
    ("subscription_arn", "problem"),
    [("PendingConfirmation", "has not confirmed the subscription"), ("", "is not subscribed to the topic")],
)
def test_a_subscription_without_an_arn_is_named(subscription_arn: str, problem: str, prod: dict[str, Expected]) -> None:
    (list_method, attributes_method) = answer_subscription()
    listed = list_method[2]["Subscriptions"] if subscription_arn else []
    answers = [
        (*list_method[:2], {"Subscriptions": [entry | {"SubscriptionArn": subscription_arn} for entry in listed]})
    ]
    with pytest.raises(Failed, match=problem):
        describe_resource(prod["Data/Subscription"], [*answers, attributes_method])


def test_a_bucket_whose_protections_were_deleted_differs(prod: dict[str, Expected]) -> None:
    """S3 answers with an error for what a bucket does not have.

    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    """
    client, stubber = stub_client(boto3.Session("none", "none", region_name=REGION).client("s3"))
    stubber.add_response(*answer_bucket()[0][1:])
    stubber.add_client_error("get_public_access_block", "NoSuchPublicAccessBlockConfiguration")
    stubber.add_response("get_bucket_versioning", {})
    stubber.add_client_error("get_bucket_tagging", "NoSuchTagSet")
    lines = described.compare_resource(prod["Artifacts"], described.describe(lambda _: client, prod["Artifacts"], {}))
    assert [line.split(" ")[0] for line in lines] == [
        "VersioningConfiguration.Status",
        *(
            f"PublicAccessBlockConfiguration.{name}"
            for name in ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        ),
        "Tags",
    ]


@pytest.mark.parametrize("has_policy", [True, False])
def test_a_bucket_policy_that_lacks_a_statement_differs(has_policy: bool) -> None:
    bucket = f"payment-artifacts-{ACCOUNT}-{REGION}"
    tls = {
        "Sid": "OnlyOverTLS",
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:*"],
        "Resource": [f"arn:aws:s3:::{bucket}"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    declared = {"Bucket": bucket, "PolicyDocument": {"Version": "2012-10-17", "Statement": [tls]}}
    resource = Expected("ArtifactsPolicy", "AWS::S3::BucketPolicy", bucket, declared)
    client, stubber = stub_client(boto3.Session("none", "none", region_name=REGION).client("s3"))
    if has_policy:
        stubber.add_response("get_bucket_policy", {"Policy": json.dumps(declared["PolicyDocument"])})
    else:
        stubber.add_client_error("get_bucket_policy", "NoSuchBucketPolicy")
    lines = described.compare_resource(resource, described.describe(lambda _: client, resource, {}))
    assert lines == ([] if has_policy else ["statement OnlyOverTLS is missing"])


def test_a_subscription_that_was_confirmed_later_is_found_by_its_endpoint(prod: dict[str, Expected]) -> None:
    resource = replace(prod["Data/Subscription"], physical_id="pending confirmation")
    assert described.compare_resource(resource, describe_resource(resource, answer_subscription())) == []

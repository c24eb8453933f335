"""For each resource type with exclusive names: how to look up a name, and the command that deletes the resource."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from scripts.common.clients import S3Client

from .situation import Situation

# Returns those of the names that exist.
Find = Callable[[Situation, Sequence[str]], set[str]]
# Returns the tags of the resource with the name.
ReadTags = Callable[[Situation, str], Mapping[str, str]]

# The error codes of a missing resource: ResourceNotFoundException, NoSuchEntity, StateMachineDoesNotExist,
# AWS.SimpleQueueService.NonExistentQueue, and S3's 404.
_NOT_FOUND = re.compile(r"NotFound|NoSuch|DoesNotExist|NonExistent|^404$")


@dataclass(frozen=True)
class Lookup:
    """How to look up the names of one resource type."""

    # The property that gives the resource its name.
    property: str
    # The permission that the question needs.
    action: str
    find: Find
    # The AWS CLI's command, with placeholders for `{name}` and the parts of an ARN.
    delete: str
    read_tags: ReadTags | None = None
    # Whether one call looks up all names.
    is_batch: bool = False
    # Whether a name is unique in the account, across Regions.
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
    is_account_wide: bool = False
    # The ARN on which permissions are simulated; empty where no permission takes one.
    arn: str = ""


def _find_one_by_one(service: Any, operation: str, **arguments: str) -> Find:
    """Look up each name by a call that fails if the name does not exist."""

    def find_names(situation: Situation, names: Sequence[str]) -> set[str]:
        call = getattr(situation.client(service), operation)
        return {name for name in names if _call_succeeds(call, _format_arguments(arguments, situation, name))}

    return find_names


def _call_succeeds(call: Callable[..., Any], arguments: dict[str, str]) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        if _NOT_FOUND.search(error.response["Error"]["Code"]):
            return False
        raise
    return True


def _format_arguments(arguments: Mapping[str, str], situation: Situation, name: str) -> dict[str, str]:
    return {key: value.format(name=name, **situation.place) for key, value in arguments.items()}


def _tag_reader(service: Any, operation: str, *path: str, **arguments: str) -> ReadTags:
    """Return a reader of the tags at ``path`` in the answer, which are a map or a list."""

    def read_tags(situation: Situation, name: str) -> Mapping[str, str]:
        answer: Any = getattr(situation.client(service), operation)(**_format_arguments(arguments, situation, name))
        for key in path:
            answer = answer.get(key, {})
        return answer if isinstance(answer, dict) else {tag["Key"]: tag["Value"] for tag in answer}

    return read_tags


def _find_log_groups(situation: Situation, names: Sequence[str]) -> set[str]:
    """Search for each name as a prefix, because no call reads a single log group; the name itself sorts first."""
    logs = situation.client("logs")
    prefixed = {
        group["logGroupName"]
        for name in names
        for group in logs.describe_log_groups(logGroupNamePrefix=name, limit=1)["logGroups"]
    }
    return prefixed & set(names)


def _find_alarms(situation: Situation, names: Sequence[str]) -> set[str]:
    paginator = situation.client("cloudwatch").get_paginator("describe_alarms")
    pages = paginator.paginate(AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    return {
        alarm["AlarmName"]
        for page in pages
        for alarm in (*page.get("MetricAlarms", []), *page.get("CompositeAlarms", []))
    }


def _find_key_aliases(situation: Situation, names: Sequence[str]) -> set[str]:
    pages = situation.client("kms").get_paginator("list_aliases").paginate()
    return {alias["AliasName"] for page in pages for alias in page["Aliases"]} & set(names)


def _find_vaults(situation: Situation, names: Sequence[str]) -> set[str]:
    """List all vaults, because DescribeBackupVault answers AccessDeniedException for a vault that does not exist.

    https://github.com/aws/aws-sdk-js/issues/2625
    """
    pages = situation.client("backup").get_paginator("list_backup_vaults").paginate()
    return {vault["BackupVaultName"] for page in pages for vault in page["BackupVaultList"]} & set(names)


def _find_buckets(situation: Situation, names: Sequence[str]) -> set[str]:
    return {name for name in names if _has_bucket(situation.client("s3"), name)}


def _has_bucket(s3: S3Client, name: str) -> bool:
    """Return whether the bucket exists, whoever owns it: no two accounts can have buckets of the same name.

    S3 answers 403 for a bucket of another account, and 301 for one in another Region, in both cases with the Region
    of the bucket. Without that Region, 403 says only that the caller may not ask; then the error is raised.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
    """
    try:
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        if _NOT_FOUND.search(error.response["Error"]["Code"]):
            return False
        if not error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region"):
            raise
    return True


def _read_bucket_tags(situation: Situation, name: str) -> Mapping[str, str]:
    return read_bucket_tags(situation.client("s3"), name)


def read_bucket_tags(s3: S3Client, name: str, **condition: str) -> dict[str, str]:
    """Return the tags of a bucket. A ``condition`` is one of the request, such as the account that owns the bucket.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketTagging.html
    """
    try:
        tags = s3.get_bucket_tagging(Bucket=name, **condition)["TagSet"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchTagSet":
            raise
        return {}
    return {tag["Key"]: tag["Value"] for tag in tags}


def _read_queue_tags(situation: Situation, name: str) -> Mapping[str, str]:
    sqs = situation.client("sqs")
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    return sqs.list_queue_tags(QueueUrl=url).get("Tags", {})


_REGIONAL = "arn:{{partition}}:{}:{{region}}:{{account}}:{}{{name}}".format
_GLOBAL = "arn:{{partition}}:{}::{{account}}:{}{{name}}".format
_TABLE, _TOPIC, _VAULT = _REGIONAL("dynamodb", "table/"), _REGIONAL("sns", ""), _REGIONAL("backup", "backup-vault:")
_FUNCTION, _LOG_GROUP = _REGIONAL("lambda", "function:"), _REGIONAL("logs", "log-group:")
_STATE_MACHINE, _POLICY = _REGIONAL("states", "stateMachine:"), _GLOBAL("iam", "policy/")
_PROVIDER = _GLOBAL("iam", "oidc-provider/")
_ALARM = Lookup(
    "AlarmName",
    "cloudwatch:DescribeAlarms",
    _find_alarms,
    "aws cloudwatch delete-alarms --alarm-names {name}",
    is_batch=True,
    arn=_REGIONAL("cloudwatch", "alarm:"),
)

_PLACE = {"partition": "Partition", "region": "Region", "account": "AccountId"}

LOOKUPS = {
    "AWS::Backup::BackupVault": Lookup(
        "BackupVaultName",
        "backup:ListBackupVaults",
        _find_vaults,
        "aws backup delete-backup-vault --backup-vault-name {name}",
        _tag_reader("backup", "list_tags", "Tags", ResourceArn=_VAULT),
        is_batch=True,
        arn=_VAULT,
    ),
    "AWS::CloudWatch::Alarm": _ALARM,
    "AWS::CloudWatch::CompositeAlarm": _ALARM,
    "AWS::CloudWatch::Dashboard": Lookup(
        "DashboardName",
        "cloudwatch:GetDashboard",
        _find_one_by_one("cloudwatch", "get_dashboard", DashboardName="{name}"),
        "aws cloudwatch delete-dashboards --dashboard-names {name}",
        is_account_wide=True,
        arn=_GLOBAL("cloudwatch", "dashboard/"),
    ),
    "AWS::CodeDeploy::Application": Lookup(
        "ApplicationName",
        "codedeploy:GetApplication",
        _find_one_by_one("codedeploy", "get_application", applicationName="{name}"),
        "aws deploy delete-application --application-name {name}",
        arn=_REGIONAL("codedeploy", "application:"),
    ),
    "AWS::DynamoDB::Table": Lookup(
        "TableName",
        "dynamodb:DescribeTable",
        _find_one_by_one("dynamodb", "describe_table", TableName="{name}"),
        "aws dynamodb delete-table --table-name {name}",
        _tag_reader("dynamodb", "list_tags_of_resource", "Tags", ResourceArn=_TABLE),
        arn=_TABLE,
    ),
    "AWS::Events::Rule": Lookup(
        "Name",
        "events:DescribeRule",
        _find_one_by_one("events", "describe_rule", Name="{name}"),
        "aws events delete-rule --name {name}",
        arn=_REGIONAL("events", "rule/"),
    ),
    # CloudFormation puts no tags on a managed policy: its resource type has no property for them.
    "AWS::IAM::ManagedPolicy": Lookup(
        "ManagedPolicyName",
        "iam:GetPolicy",
        _find_one_by_one("iam", "get_policy", PolicyArn=_POLICY),
        f"aws iam delete-policy --policy-arn {_POLICY}",
        is_account_wide=True,
        arn=_POLICY,
    ),
    "AWS::IAM::OIDCProvider": Lookup(
        "Url",
        "iam:GetOpenIDConnectProvider",
        _find_one_by_one("iam", "get_open_id_connect_provider", OpenIDConnectProviderArn=_PROVIDER),
        f"aws iam delete-open-id-connect-provider --open-id-connect-provider-arn {_PROVIDER}",
        is_account_wide=True,
        arn=_PROVIDER,
    ),
    "AWS::IAM::Role": Lookup(
        "RoleName",
        "iam:GetRole",
        _find_one_by_one("iam", "get_role", RoleName="{name}"),
        "aws iam delete-role --role-name {name}",
        _tag_reader("iam", "get_role", "Role", "Tags", RoleName="{name}"),
        is_account_wide=True,
        arn=_GLOBAL("iam", "role/"),
    ),
    "AWS::KMS::Alias": Lookup(
        "AliasName",
        "kms:ListAliases",
        _find_key_aliases,
        "aws kms delete-alias --alias-name {name}",
        is_batch=True,
        arn=_REGIONAL("kms", ""),
    ),
    # Answers with a number, where GetFunction answers with the code and every environment variable.
    "AWS::Lambda::Function": Lookup(
        "FunctionName",
        "lambda:GetFunctionConcurrency",
        _find_one_by_one("lambda", "get_function_concurrency", FunctionName="{name}"),
        "aws lambda delete-function --function-name {name}",
        _tag_reader("lambda", "list_tags", "Tags", Resource=_FUNCTION),
        arn=_FUNCTION,
    ),
    "AWS::Logs::LogGroup": Lookup(
        "LogGroupName",
        "logs:DescribeLogGroups",
        _find_log_groups,
        "aws logs delete-log-group --log-group-name {name}",
        _tag_reader("logs", "list_tags_for_resource", "tags", resourceArn=_LOG_GROUP),
        arn=_LOG_GROUP,
    ),
    "AWS::S3::Bucket": Lookup(
        "BucketName",
        "s3:ListBucket",
        _find_buckets,
        "aws s3api delete-bucket --bucket {name}",
        _read_bucket_tags,
        arn="arn:{partition}:s3:::{name}",
    ),
    "AWS::SNS::Topic": Lookup(
        "TopicName",
        "sns:GetTopicAttributes",
        _find_one_by_one("sns", "get_topic_attributes", TopicArn=_TOPIC),
        f"aws sns delete-topic --topic-arn {_TOPIC}",
        arn=_TOPIC,
    ),
    "AWS::SQS::Queue": Lookup(
        "QueueName",
        "sqs:GetQueueUrl",
        _find_one_by_one("sqs", "get_queue_url", QueueName="{name}"),
        "aws sqs delete-queue --queue-url $(aws sqs get-queue-url --queue-name {name} --query QueueUrl --output text)",
        _read_queue_tags,
        arn=_REGIONAL("sqs", ""),
    ),
    # Without the definition, which may be encrypted with a key that the caller may not use.
    "AWS::StepFunctions::StateMachine": Lookup(
        "StateMachineName",
        "states:DescribeStateMachine",
        _find_one_by_one(
            "stepfunctions", "describe_state_machine", stateMachineArn=_STATE_MACHINE, includedData="METADATA_ONLY"
        ),
        f"aws stepfunctions delete-state-machine --state-machine-arn {_STATE_MACHINE}",
        arn=_STATE_MACHINE,
    ),
}


def make_arn(resource_type: str, name: str, pseudo_parameters: Mapping[str, str]) -> str:
    """Return the ARN of a resource; empty for a type that has none in ``LOOKUPS``."""
    lookup = LOOKUPS.get(resource_type)
    return lookup.arn.format(name=name, **locate(pseudo_parameters)) if lookup else ""


def locate(pseudo_parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the parts of an ARN that depend on the place: ``partition``, ``region`` and ``account``."""
    return {part: pseudo_parameters[f"AWS::{name}"] for part, name in _PLACE.items()}


def exclusive_name(resource_type: str, properties: Mapping[str, Any]) -> str:
    """Return the fixed name that no second resource can have; empty without one."""
    lookup = LOOKUPS.get(resource_type)
    name = properties.get(lookup.property, "") if lookup else ""
    # A provider's name is its URL's host and path.
    return name.removeprefix("https://") if isinstance(name, str) else ""

"""The requests that CloudFormation makes when it creates, reads, updates, deletes or lists a resource.

The actions come from the schemas of the resource types. The resource of each action follows the Service Authorization
Reference, and not the policies of the platform.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.stacks.access import ACCOUNT, PLACE, World, directly, key_arn, kms_via

OPERATIONS = ("create", "read", "update", "delete", "list")
SERVICE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/role-payment-cloudformation"
ARTIFACT = "arn:aws:s3:::payment-artifacts-123456789012-eu-central-1/payment-platform/prod/0123abcd.zip"
PLAN_ID = "0b1d5a34-8f8e-4ad7-9a1c-8a0a4d0c1f11"

Properties = dict[str, Any]


@dataclass(frozen=True)
class Call:
    action: str
    resource: str
    context: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unused:
    """Actions that the handlers of these types need only for properties that no resource of the platform has."""

    types: tuple[str, ...]
    properties: tuple[str, ...]
    actions: str


FUNCTION_TYPES = ("AWS::Lambda::Function", "AWS::Lambda::Version", "AWS::Lambda::Alias")
UNUSED = (
    Unused(
        ("AWS::DynamoDB::Table",),
        ("ImportSourceSpecification", "Replicas", "GlobalTableWitnesses", "GlobalTableSourceArn"),
        "dynamodb:AssociateTableReplica dynamodb:BatchWriteItem dynamodb:CreateTableReplica dynamodb:DeleteItem "
        "dynamodb:DescribeImport dynamodb:GetItem dynamodb:ImportTable dynamodb:PutItem dynamodb:Query dynamodb:Scan "
        "dynamodb:UpdateItem iam:CreateServiceLinkedRole logs:CreateLogGroup logs:CreateLogStream "
        "logs:DescribeLogGroups logs:DescribeLogStreams logs:PutLogEvents logs:PutRetentionPolicy s3:GetObject "
        "s3:GetObjectMetadata s3:ListBucket",
    ),
    Unused(
        ("AWS::DynamoDB::Table",),
        ("ContributorInsightsSpecification", "KinesisStreamSpecification", "ResourcePolicy"),
        "dynamodb:DeleteResourcePolicy dynamodb:DisableKinesisStreamingDestination "
        "dynamodb:EnableKinesisStreamingDestination dynamodb:PutResourcePolicy dynamodb:UpdateContributorInsights "
        "dynamodb:UpdateKinesisStreamingDestination kinesis:DescribeStream kinesis:PutRecords",
    ),
    Unused(("AWS::IAM::Role",), ("Policies",), "iam:DeleteRolePolicy iam:PutRolePolicy"),
    Unused(
        ("AWS::IAM::ManagedPolicy",),
        ("Groups", "Roles", "Users"),
        "iam:AttachGroupPolicy iam:AttachRolePolicy iam:AttachUserPolicy iam:DetachGroupPolicy iam:DetachRolePolicy "
        "iam:DetachUserPolicy",
    ),
    Unused(
        FUNCTION_TYPES,
        ("VpcConfig", "FileSystemConfigs"),
        "ec2:DescribeNetworkInterfaces ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeVpcs "
        "elasticfilesystem:DescribeMountTargets s3files:ListMountTargets",
    ),
    Unused(
        FUNCTION_TYPES,
        ("CodeSigningConfigArn", "FunctionScalingConfig", "CapacityProviderConfig", "RecursiveLoop",
         "RuntimeManagementConfig", "ProvisionedConcurrencyConfig", "RuntimePolicy"),
        "lambda:AssociateRuntimeAlias lambda:DeleteFunctionCodeSigningConfig lambda:DeleteProvisionedConcurrencyConfig "
        "lambda:GetCodeSigningConfig lambda:PassCapacityProvider lambda:PutFunctionCodeSigningConfig "
        "lambda:PutFunctionRecursionConfig lambda:PutFunctionScalingConfig lambda:PutProvisionedConcurrencyConfig "
        "lambda:PutRuntimeManagementConfig",
    ),
    Unused(
        ("AWS::CodeDeploy::DeploymentGroup",),
        ("Deployment", "OnPremisesInstanceTagFilters", "OnPremisesTagSet"),
        "codedeploy:RegisterOnPremisesInstance",
    ),
    Unused(
        ("AWS::Logs::LogGroup",),
        ("BearerTokenAuthenticationEnabled", "DeletionProtectionEnabled", "FieldIndexPolicies",
         "ResourcePolicyDocument"),
        "firehose:TagDeliveryStream logs:DeleteIndexPolicy logs:DeleteResourcePolicy logs:PutBearerTokenAuthentication "
        "logs:PutIndexPolicy logs:PutLogGroupDeletionProtection s3:REST.PUT.OBJECT",
    ),
    Unused(("AWS::SNS::Topic",), ("DataProtectionPolicy",), "sns:PutDataProtectionPolicy"),
    Unused(
        ("AWS::Backup::BackupVault",),
        ("AccessPolicy", "LockConfiguration", "Notifications"),
        "backup:DeleteBackupVaultAccessPolicy backup:DeleteBackupVaultLockConfiguration "
        "backup:DeleteBackupVaultNotifications backup:PutBackupVaultAccessPolicy "
        "backup:PutBackupVaultLockConfiguration backup:PutBackupVaultNotifications",
    ),
    # The platform's own stacks have no bucket yet: this is what a first one would ask for.
    Unused(
        ("AWS::S3::Bucket",),
        ("AbacStatus", "AccelerateConfiguration", "AccessControl", "AnalyticsConfigurations", "CorsConfiguration",
         "IntelligentTieringConfigurations", "InventoryConfigurations", "LifecycleConfiguration",
         "LoggingConfiguration", "MetadataConfiguration", "MetadataTableConfiguration", "MetricsConfigurations",
         "NotificationConfiguration", "ObjectLockConfiguration", "ReplicationConfiguration", "WebsiteConfiguration"),
        "iam:PassRole s3:CreateBucketMetadataTableConfiguration s3:DeleteBucketAnalyticsConfiguration "
        "s3:DeleteBucketCors s3:DeleteBucketEncryption s3:DeleteBucketLifecycle "
        "s3:DeleteBucketMetadataTableConfiguration s3:DeleteBucketMetricsConfiguration s3:DeleteBucketReplication "
        "s3:DeleteBucketWebsite s3:DeleteObject s3:PutAccelerateConfiguration s3:PutAnalyticsConfiguration "
        "s3:PutBucketAbac s3:PutBucketAcl s3:PutBucketCORS s3:PutBucketLogging s3:PutBucketNotification "
        "s3:PutBucketObjectLockConfiguration s3:PutBucketReplication s3:PutBucketWebsite "
        "s3:PutIntelligentTieringConfiguration s3:PutInventoryConfiguration s3:PutLifecycleConfiguration "
        "s3:PutMetricsConfiguration s3:PutObjectAcl s3:PutObjectLockConfiguration s3:PutReplicationConfiguration "
        "s3:UpdateBucketMetadataAnnotationTableConfiguration s3:UpdateBucketMetadataInventoryTableConfiguration "
        "s3:UpdateBucketMetadataJournalTableConfiguration s3tables:CreateNamespace s3tables:CreateTable "
        "s3tables:CreateTableBucket s3tables:GetTable s3tables:GetTableMetadataLocation "
        "s3tables:PutTableBucketPolicy s3tables:PutTableEncryption s3tables:PutTablePolicy "
        "s3tables:UpdateTableMetadataLocation",
    ),
    Unused(("AWS::StepFunctions::StateMachine",), ("DefinitionS3Location",), "s3:GetObject s3:GetObjectVersion"),
)  # fmt: skip
# Actions that are refused even if a handler asks for them.
REFUSED = {
    "iam:DeleteRolePermissionsBoundary": "no role may come out from under the boundary",
    "s3:DeleteBucketTagging": "no such action is in the reference; PutBucketTagging removes tags",
    "backup-storage:Mount": "no such action is in the reference; MountCapsule is",
}
# Actions that the reference lists without a resource type, and CloudWatch's two by their own pages.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
_WITHOUT_RESOURCE = (
    "backup-storage:MountCapsule backup:ListBackupPlans backup:ListBackupVaults cloudformation:ListStacks "
    "cloudwatch:DescribeAlarms cloudwatch:ListDashboards cloudwatch:PutCompositeAlarm codedeploy:ListApplications "
    "dynamodb:ListTables "
    "events:ListRules iam:ListPolicies iam:ListRoles kms:CreateKey kms:ListAliases kms:ListKeys lambda:ListFunctions "
    "lambda:ListLayerVersions logs:CreateLogDelivery logs:DescribeIndexPolicies logs:DescribeLogGroups "
    "logs:DescribeResourcePolicies logs:PutResourcePolicy sns:GetSubscriptionAttributes sns:ListSubscriptions "
    "sns:ListTopics sns:SetSubscriptionAttributes sns:Unsubscribe sqs:ListQueues states:ListStateMachines "
    "s3:ListAllMyBuckets"
)
WITHOUT_RESOURCE = frozenset(_WITHOUT_RESOURCE.split())
# The services to which resources of these types pass a role. No other type of the platform passes one.
PASSED_TO = {
    "AWS::Backup::BackupSelection": "backup.amazonaws.com",
    "AWS::CodeDeploy::DeploymentGroup": "codedeploy.amazonaws.com",
    "AWS::CloudFormation::Stack": "cloudformation.amazonaws.com",
    "AWS::Events::Rule": "events.amazonaws.com",
    "AWS::Lambda::Function": "lambda.amazonaws.com",
    "AWS::StepFunctions::StateMachine": "states.amazonaws.com",
}
# The tags of the stack, which CloudFormation propagates to the resources that it creates.
REQUESTED_TAGS = {"aws:RequestTag/ManagedBy": "payment-platform"}
HELD_TAGS = {"aws:ResourceTag/ManagedBy": "payment-platform"}


def calls(world: World, path: str, operation: str, permission: str) -> Iterator[Call]:
    """Yield the requests of one permission in one operation on the resource at ``path``; none if it is unused."""
    kind, properties = world.resources[path].type, world.properties(path)
    if permission in REFUSED or _is_unused(kind, permission):
        return
    # Tags take effect some time after the creation, so a creation and its reads must not depend on them.
    context = HELD_TAGS if operation in ("update", "delete") else {}
    if permission in WITHOUT_RESOURCE:
        yield Call(permission, "*", REQUESTED_TAGS if permission == "kms:CreateKey" else {})
    elif permission.startswith("iam:"):
        yield from _iam_calls(kind, properties, permission, context)
    elif permission == "lambda:GetLayerVersion" and kind == "AWS::Lambda::Function":
        # AWS numbers the versions of a layer; the platform names the layer.
        for layer in (world.properties("Compute/StripeLayer") for _ in properties.get("Layers", ())):
            yield Call(permission, f"arn:aws:lambda:{PLACE}:layer:{layer['LayerName']}:1")
    elif permission.startswith("codedeploy:"):
        yield from _shift_calls(world, kind, properties, permission, context)
    elif permission.startswith("s3:") and not kind.startswith("AWS::S3::"):
        yield Call(permission, ARTIFACT)
    elif permission.startswith("kms:"):
        yield from _key_calls(kind, properties, path, operation, permission)
    else:
        yield from _plain_calls(kind, properties, permission, context)


def _is_unused(kind: str, permission: str) -> bool:
    return any(kind in unused.types and permission in unused.actions.split() for unused in UNUSED)


def _plain_calls(kind: str, properties: Properties, permission: str, context: dict[str, Any]) -> Iterator[Call]:
    """Yield requests on the resource itself, with the tags of the request."""
    if permission in ("cloudformation:CreateStack", "cloudformation:UpdateStack"):
        # The role also reads the nested template of a deployment or a plan.
        yield Call("s3:GetObject", ARTIFACT)
        yield Call("s3:GetObject", ARTIFACT.replace("payment-platform/", "payment-plans/"))
    if permission == "events:PutTargets":
        context = {"events:TargetArn": [target["Arn"] for target in properties["Targets"]]}
    tags = REQUESTED_TAGS if permission.endswith((":TagResource", ":CreateBackupPlan")) else {}
    for arn in _arns(kind, properties):
        yield Call(permission, arn, {**context, **tags})


# What CodeDeploy authorizes on an application, and what on a group, as do the requests about its deployments.
# https://docs.aws.amazon.com/codedeploy/latest/userguide/auth-and-access-control-permissions-reference.html
_ON_APPLICATION = (
    *("CreateApplication", "DeleteApplication", "GetApplication"),
    *("GetApplicationRevision", "RegisterApplicationRevision"),
)


def _shift_calls(
    world: World, kind: str, properties: Properties, permission: str, context: dict[str, Any]
) -> Iterator[Call]:
    """Yield requests to CodeDeploy: of an alias, if its update policy names a group, with the group's."""
    action, shift = permission.split(":")[1], f"codedeploy:{PLACE}"
    if kind == "AWS::Lambda::Alias":
        function = properties["FunctionName"].split(":function:")[-1].split(":")[0]
        groups = [
            group for group in world.of_type("AWS::CodeDeploy::DeploymentGroup").values()
            if function == f"lambda-payment-{group['DeploymentGroupName']}-{world.environment}"
        ]  # fmt: skip
    else:
        groups = [properties] if kind == "AWS::CodeDeploy::DeploymentGroup" else []
    application = properties.get("ApplicationName") or next((group["ApplicationName"] for group in groups), "")
    if not application:
        return
    if action == "GetDeploymentConfig":
        arns = [f"deploymentconfig:{group['DeploymentConfigName']}" for group in groups]
    elif not groups or action in _ON_APPLICATION:
        arns = [f"application:{application}"]
    else:
        arns = [f"deploymentgroup:{application}/{group['DeploymentGroupName']}" for group in groups]
    tags = REQUESTED_TAGS if action == "TagResource" else {}
    for arn in arns:
        yield Call(permission, f"arn:aws:{shift}:{arn}", {**context, **tags})


def _iam_calls(kind: str, properties: Properties, permission: str, context: dict[str, Any]) -> Iterator[Call]:
    """Yield requests on the roles that a resource passes or reads, or on a role, policy or provider itself."""
    if permission == "iam:PassRole":
        for role in _roles(kind, properties):
            yield Call(permission, role, {"iam:PassedToService": PASSED_TO[kind]})
    elif permission == "iam:CreateServiceLinkedRole":
        role = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/backup.amazonaws.com/AWSServiceRoleForBackup"
        yield Call(permission, role, {"iam:AWSServiceName": "backup.amazonaws.com"})
    elif kind == "AWS::IAM::Role":
        yield from _role_calls(properties, permission)
    elif permission == "iam:GetRole":
        for role in _roles(kind, properties):
            yield Call(permission, role)
    else:
        for arn in _arns(kind, properties):
            yield Call(permission, arn, context)


def _role_calls(properties: Properties, permission: str) -> Iterator[Call]:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{properties['RoleName']}"
    under = {"iam:PermissionsBoundary": properties["PermissionsBoundary"]}
    if permission in ("iam:AttachRolePolicy", "iam:DetachRolePolicy"):
        for policy in properties["ManagedPolicyArns"]:
            yield Call(permission, arn, {**under, "iam:PolicyARN": policy})
    else:
        yield Call(permission, arn, under)


def _key_calls(kind: str, properties: Properties, path: str, operation: str, permission: str) -> Iterator[Call]:
    """Yield requests on a key, on an alias and its key, or on the key of a resource through that resource's service."""
    if kind == "AWS::KMS::Key":
        tags = REQUESTED_TAGS if permission == "kms:TagResource" else {}
        yield Call(permission, key_arn(path.split("/")[1]), directly() | tags)
    elif kind == "AWS::KMS::Alias":
        yield Call(permission, f"arn:aws:kms:{PLACE}:{properties['AliasName']}", directly())
        yield Call(permission, key_arn(path.split("/")[1].removesuffix("Alias")), directly())
    else:
        context, key = _encryption(kind, properties)
        if key:
            yield Call(permission, key, context | {"kms:GrantIsForAWSResource": "true"})


def _encryption(kind: str, properties: Properties) -> tuple[dict[str, Any], str]:
    """Return the context of a request to the key that encrypts a resource, and the key, or "" if it has none.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.howitworks.html
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html
    https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
    """
    if kind == "AWS::DynamoDB::Table":
        context = {"aws:dynamodb:tableName": properties["TableName"], "aws:dynamodb:subscriberId": ACCOUNT}
        return kms_via("dynamodb", context), properties["SSESpecification"]["KMSMasterKeyId"]
    if kind == "AWS::Backup::BackupVault":
        return kms_via("backup"), properties["EncryptionKeyArn"]
    if kind == "AWS::Lambda::Function":
        function = f"arn:aws:lambda:{PLACE}:function:{properties['FunctionName']}"
        return kms_via("lambda", {"aws:lambda:FunctionArn": function}), properties["KmsKeyArn"]
    if kind == "AWS::StepFunctions::StateMachine":
        workflow = f"arn:aws:states:{PLACE}:stateMachine:{properties['StateMachineName']}"
        key = properties["EncryptionConfiguration"].get("KmsKeyId", "")
        return directly({"aws:states:stateMachineArn": workflow}), key
    raise AssertionError(f"{kind} asks for a key: say here in which context")


def _roles(kind: str, properties: Properties) -> list[str]:
    """Return the roles that a resource passes to a service; a nested stack passes CloudFormation's."""
    if kind == "AWS::CloudFormation::Stack":
        return [SERVICE_ROLE]
    if kind == "AWS::Backup::BackupSelection":
        return [properties["BackupSelection"]["IamRoleArn"]]
    if kind == "AWS::Events::Rule":
        return [target["RoleArn"] for target in properties["Targets"]]
    return [properties[name] for name in ("Role", "RoleArn", "ServiceRoleArn") if name in properties]


def _arns(kind: str, properties: Properties) -> list[str]:
    """Return each ARN of the resource itself that AWS may ask for."""
    assert kind in _SHAPES, f"say in _SHAPES of tests/stacks/handler_calls.py which ARNs {kind} has"
    return [arn if arn.startswith("arn:") else f"arn:aws:{arn}" for arn in _SHAPES[kind](properties)]


def _function_arns(properties: Properties, *qualifiers: str) -> list[str]:
    name = properties["FunctionName"].split(":function:")[-1].split(":")[0]
    return [f"lambda:{PLACE}:function:{name}{qualifier}" for qualifier in qualifiers]


def _log_group_arns(properties: Properties) -> list[str]:
    return [f"logs:{PLACE}:log-group:{properties['LogGroupName']}{streams}" for streams in ("", ":*")]


_SHAPES: dict[str, Any] = {
    "AWS::Backup::BackupPlan": lambda _: [f"backup:{PLACE}:backup-plan:{PLAN_ID}"],
    "AWS::Backup::BackupSelection": lambda _: [f"backup:{PLACE}:backup-plan:{PLAN_ID}"],
    "AWS::Backup::BackupVault": lambda p: [f"backup:{PLACE}:backup-vault:{p['BackupVaultName']}"],
    "AWS::CloudFormation::Stack": lambda p: [
        f"cloudformation:{PLACE}:stack/payment-platform-{p['Parameters']['Environment']}-Security-1ABCDEFGHIJKL/{PLAN_ID}"
    ],
    "AWS::CloudWatch::Alarm": lambda p: [f"cloudwatch:{PLACE}:alarm:{p['AlarmName']}"],
    "AWS::CloudWatch::CompositeAlarm": lambda p: [f"cloudwatch:{PLACE}:alarm:{p['AlarmName']}"],
    "AWS::CloudWatch::Dashboard": lambda p: [f"cloudwatch::{ACCOUNT}:dashboard/{p['DashboardName']}"],
    "AWS::DynamoDB::Table": lambda p: [f"dynamodb:{PLACE}:table/{p['TableName']}"],
    "AWS::Events::Rule": lambda p: [f"events:{PLACE}:rule/{p['Name']}"],
    "AWS::IAM::ManagedPolicy": lambda p: [f"iam::{ACCOUNT}:policy/{p['ManagedPolicyName']}"],
    "AWS::Lambda::Alias": lambda p: _function_arns(p, "", f":{p['Name']}"),
    "AWS::Lambda::Function": lambda p: _function_arns(p, ""),
    "AWS::Lambda::LayerVersion": lambda p: [f"lambda:{PLACE}:layer:{p['LayerName']}{v}" for v in ("", ":1")],
    "AWS::Lambda::Permission": lambda p: _function_arns(p, "", ":live"),
    "AWS::Lambda::Version": lambda p: _function_arns(p, "", ":1"),
    "AWS::Logs::LogGroup": _log_group_arns,
    "AWS::Logs::MetricFilter": _log_group_arns,
    "AWS::S3::Bucket": lambda p: [f"s3:::{p['BucketName']}"],
    "AWS::S3::BucketPolicy": lambda p: [f"s3:::{p['Bucket']}"],
    "AWS::SNS::Subscription": lambda p: [p["TopicArn"]],
    "AWS::SNS::Topic": lambda p: [f"sns:{PLACE}:{p['TopicName']}"],
    "AWS::SNS::TopicPolicy": lambda p: p["Topics"],
    "AWS::SQS::Queue": lambda p: [f"sqs:{PLACE}:{p['QueueName']}"],
    "AWS::SQS::QueuePolicy": lambda p: [f"sqs:{PLACE}:{url.rsplit('/', 1)[1]}" for url in p["Queues"]],
    "AWS::StepFunctions::StateMachine": lambda p: [f"states:{PLACE}:stateMachine:{p['StateMachineName']}"],
}

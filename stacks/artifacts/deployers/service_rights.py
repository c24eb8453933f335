"""What CloudFormation may do to the platform's resources: the actions that their types require, on their names only.

The schema of a resource type lists the actions that create, read, update, delete and list require
(https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html#schema-properties-handlers).
The Service Authorization Reference lists the resources that each action is authorized on
(https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html). The key policies (key_policies.py)
grant access to keys, because a new key has no name and its tags may take minutes to take effect.
"""

from awacs.aws import ForAllValuesArnEquals, Null, Statement, StringEquals
from troposphere import Sub

from ... import names, references
from ...monitoring.alarms import alarm_names
from ...policies import LOG_DELIVERY, allow
from ...wiring import to_pascal_case
from .policy_terms import Environments

_REQUESTS_OUR_TAG = StringEquals({"aws:RequestTag/ManagedBy": "payment-platform"})


def allow_without_resource() -> list[Statement]:
    """Return the statements for actions that AWS authorizes only on all resources (``*``)."""
    return [
        # For composite alarms, CloudWatch rejects both actions if they are allowed on a narrower scope:
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
        allow("CompositeAlarmsCannotBePutByName", "cloudwatch:PutCompositeAlarm", ["*"]),
        allow("AlarmsCannotBeDescribedByName", "cloudwatch:DescribeAlarms", ["*"]),
        # Subscriptions are no resource type; SNS authorizes these on the topic's ARN or on ``*``.
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
        allow(
            "SubscriptionsHaveNoResource", "sns:GetSubscriptionAttributes SetSubscriptionAttributes Unsubscribe", ["*"]
        ),
        allow("NewKeysCannotBeNamed", "kms:CreateKey", ["*"], _REQUESTS_OUR_TAG),
        allow("LogDeliveryHasNoResource", LOG_DELIVERY, ["*"]),
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
        allow("IndexPoliciesHaveNoResource", "logs:DescribeIndexPolicies", ["*"]),
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsbackupstorage.html
        allow("VaultStorageHasNoResource", "backup-storage:MountCapsule", ["*"]),
        # The list handlers need these. None supports resource-level permissions, and each returns only names.
        allow(
            "ListsHaveNoResource",
            "backup:ListBackupPlans ListBackupVaults cloudformation:ListStacks cloudwatch:ListDashboards "
            "dynamodb:ListTables events:ListRules iam:ListPolicies ListRoles kms:ListAliases ListKeys "
            "lambda:ListFunctions ListLayerVersions sns:ListSubscriptions ListTopics sqs:ListQueues "
            "states:ListStateMachines",
            ["*"],
        ),
    ]


def allow_data(environments: Environments) -> list[Statement]:
    return [
        allow(
            "Tables",
            "dynamodb:CreateTable DeleteTable DescribeContinuousBackups DescribeContributorInsights "
            "DescribeKinesisStreamingDestination DescribeTable DescribeTimeToLive GetResourcePolicy "
            "ListTagsOfResource TagResource UntagResource UpdateContinuousBackups UpdateTable UpdateTimeToLive",
            environments.arns("dynamodb", *(f"table/{name}" for name in names.TABLES)),
        ),
        allow(
            "Queues",
            "sqs:CreateQueue DeleteQueue GetQueueAttributes GetQueueUrl ListQueueTags SetQueueAttributes TagQueue "
            "UntagQueue",
            environments.arns("sqs", *names.QUEUES),
        ),
        allow(
            "Topic",
            "sns:CreateTopic DeleteTopic GetDataProtectionPolicy GetTopicAttributes ListSubscriptionsByTopic "
            "ListTagsForResource SetTopicAttributes Subscribe TagResource UntagResource",
            environments.arns("sns", *names.TOPICS),
        ),
    ]


def allow_keys(environments: Environments) -> list[Statement]:
    """Return the statements that no key policy can contain: tags of a new key, aliases, and the policy of an older key.

    The policy of a key that an administrator's deployment created does not name the role yet.
    """
    return [
        allow(
            "KeysOfEarlierDeployments",
            "kms:DescribeKey GetKeyPolicy GetKeyRotationStatus ListResourceTags PutKeyPolicy",
            [references.arn("kms", "key/*")],
            StringEquals({"aws:ResourceTag/ManagedBy": "payment-platform"}),
        ),
        # Creating a key with tags also requires this action, before the key has a policy.
        # https://docs.aws.amazon.com/kms/latest/developerguide/tag-permissions.html
        allow(
            "NewKeysAreTaggedAsOurs",
            "kms:TagResource",
            [references.arn("kms", "key/*")],
            _REQUESTS_OUR_TAG,
            Null({"kms:ResourceAliases": "true"}),
        ),
        allow("Aliases", "kms:CreateAlias DeleteAlias UpdateAlias", environments.arns("kms", *names.KEY_ALIASES)),
    ]


def allow_backups(environments: Environments) -> list[Statement]:
    """Return the statements for backups. AWS chooses a plan's id, so a tag identifies the plans to change or delete.

    Nothing that the creation of a plan needs depends on the tag, because a tag may take effect late.
    """
    plans = [references.arn("backup", "backup-plan:*")]
    return [
        allow(
            "Vaults",
            "backup:CreateBackupVault DeleteBackupVault DescribeBackupVault GetBackupVaultAccessPolicy "
            "GetBackupVaultNotifications ListTags TagResource UntagResource",
            environments.arns("backup", f"backup-vault:{names.BACKUP_VAULT}"),
        ),
        allow("NewBackupPlans", "backup:CreateBackupPlan TagResource", plans, _REQUESTS_OUR_TAG),
        allow(
            "BackupPlansAreFilledAndRead",
            "backup:CreateBackupSelection GetBackupPlan GetBackupSelection ListBackupSelections ListTags",
            plans,
        ),
        allow(
            "OurBackupPlans",
            "backup:DeleteBackupPlan DeleteBackupSelection UntagResource UpdateBackupPlan",
            plans,
            StringEquals({"aws:ResourceTag/ManagedBy": "payment-platform"}),
        ),
        # AWS Backup creates this role with the account's first selection.
        # https://docs.aws.amazon.com/aws-backup/latest/devguide/using-service-linked-roles-AWSServiceRoleForBackup.html
        allow(
            "BackupLinksItsRole",
            "iam:CreateServiceLinkedRole",
            [references.role_arn("aws-service-role/backup.amazonaws.com/AWSServiceRoleForBackup")],
            StringEquals({"iam:AWSServiceName": "backup.amazonaws.com"}),
        ),
    ]


def allow_compute(environments: Environments) -> list[Statement]:
    functions = [f"function:{function.name}{version}" for function in names.FUNCTIONS for version in ("", ":*")]
    layers = [f"layer:{names.STRIPE_LAYER}{version}" for version in ("", ":*")]
    targets = environments.arns("states", f"stateMachine:{names.RECONCILIATION_WORKFLOW}")
    rules = environments.arns("events", f"rule/{names.RECONCILIATION_RULE}")
    return [
        allow(
            "Functions",
            "lambda:CreateAlias CreateFunction DeleteAlias DeleteFunction DeleteFunctionConcurrency "
            "GetAlias GetFunction GetFunctionCodeSigningConfig GetFunctionConfiguration GetFunctionRecursionConfig "
            "GetFunctionScalingConfig GetProvisionedConcurrencyConfig GetRuntimeManagementConfig "
            "ListAliases ListTags ListVersionsByFunction PublishVersion PutFunctionConcurrency "
            "TagResource UntagResource UpdateAlias UpdateFunctionCode UpdateFunctionConfiguration",
            environments.arns("lambda", *functions),
        ),
        allow(
            "Layer",
            "lambda:DeleteLayerVersion GetLayerVersion PublishLayerVersion",
            environments.arns("lambda", *layers),
        ),
        allow(
            "Artifacts",
            "s3:GetObject GetObjectVersion",
            [Sub("${Artifacts.Arn}/payment-platform/*"), Sub("${Artifacts.Arn}/payment-plans/*")],
        ),
        allow(
            "Schedule",
            "events:DeleteRule DescribeRule ListTagsForResource ListTargetsByRule PutRule RemoveTargets TagResource "
            "UntagResource",
            rules,
        ),
        # A request may have several targets, and the condition must hold for each.
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html
        allow(
            "ScheduleStartsReconciliationOnly",
            "events:PutTargets",
            rules,
            ForAllValuesArnEquals({"events:TargetArn": targets}),
            Null({"events:TargetArn": "false"}),
        ),
    ]


def allow_traffic_shift(environments: Environments) -> list[Statement]:
    """Return the statements for CodeDeploy, where an environment's settings name a ``traffic_shift``.

    A function's group is below the application in its ARN, and so is each deployment of it.
    https://docs.aws.amazon.com/codedeploy/latest/userguide/auth-and-access-control-permissions-reference.html
    """
    if not environments.shifting:
        return []
    application = names.SHIFTING_APPLICATION
    return [
        allow(
            "TrafficShift",
            "codedeploy:CreateApplication CreateDeployment CreateDeploymentGroup DeleteApplication "
            "DeleteDeploymentGroup GetApplication GetApplicationRevision GetDeployment GetDeploymentGroup "
            "ListDeploymentGroups ListDeployments ListTagsForResource RegisterApplicationRevision StopDeployment "
            "TagResource UntagResource UpdateDeploymentGroup",
            Environments(environments.shifting).arns(
                "codedeploy", f"application:{application}", f"deploymentgroup:{application}/*"
            ),
        ),
        allow(
            "ConfigurationsOfAWS",
            "codedeploy:GetDeploymentConfig",
            [references.arn("codedeploy", "deploymentconfig:CodeDeployDefault.Lambda*")],
        ),
        allow("ApplicationListHasNoResource", "codedeploy:ListApplications", ["*"]),
    ]


def allow_workflow(environments: Environments) -> list[Statement]:
    # CloudWatch Logs authorizes a log group's ARN with and without the ":*" that stands for its streams.
    groups = [f"log-group:{group}{streams}" for group in names.LOG_GROUPS for streams in ("", ":*")]
    return [
        allow(
            "StateMachine",
            "states:CreateStateMachine DeleteStateMachine DescribeStateMachine ListTagsForResource TagResource "
            "UntagResource UpdateStateMachine",
            environments.arns("states", *(f"stateMachine:{name}" for name in names.STATE_MACHINES)),
        ),
        allow(
            "LogGroups",
            "logs:AssociateKmsKey CreateLogGroup DeleteDataProtectionPolicy DeleteLogGroup DeleteMetricFilter "
            "DeleteRetentionPolicy DescribeMetricFilters DisassociateKmsKey GetDataProtectionPolicy "
            "ListTagsForResource PutDataProtectionPolicy PutMetricFilter PutRetentionPolicy TagResource UntagResource",
            environments.arns("logs", *groups),
        ),
    ]


def allow_monitoring(environments: Environments) -> list[Statement]:
    alarms = [
        # One statement for each environment: the alarms of all environments do not fit into one policy.
        allow(
            f"AlarmsOf{to_pascal_case(environment)}",
            "cloudwatch:DeleteAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource",
            Environments((environment,)).arns("cloudwatch", *(f"alarm:{name}" for name in alarm_names())),
        )
        for environment in environments.names
    ]
    return [
        allow(
            "Dashboard",
            "cloudwatch:DeleteDashboards GetDashboard ListTagsForResource PutDashboard TagResource UntagResource",
            environments.arns("cloudwatch", f"dashboard/{names.DASHBOARD}", is_regional=False),
        ),
        *alarms,
    ]


def allow_nested_stacks(environments: Environments) -> list[Statement]:
    return [
        allow(
            "NestedStacks",
            "cloudformation:CreateStack DeleteStack DescribeStacks GetStackPolicy GetTemplate SetStackPolicy "
            "UpdateStack UpdateTerminationProtection CreateChangeSet DescribeChangeSet DeleteChangeSet "
            "ExecuteChangeSet CancelUpdateStack",
            environments.stack_arns(),
        ),
    ]

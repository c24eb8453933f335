"""What CloudFormation may do to the platform's resources: what their types ask for, on the platform's names."""

from awacs import awslambda as lambda_
from awacs import (
    backup,
    backup_storage,
    cloudformation,
    cloudwatch,
    dynamodb,
    events,
    iam,
    kms,
    logs,
    s3,
    sns,
    sqs,
    states,
)
from awacs.aws import Null, Statement, StringEquals, StringLike
from troposphere import Sub

from .. import names
from ..names import everywhere
from ..policies import LOG_DELIVERY, allow, through
from .words import actions, stacks

# The deployer puts it on every stack, and CloudFormation on what is in them.
_OURS = StringEquals({"aws:ResourceTag/ManagedBy": "payment-platform"})


def data() -> list[Statement]:
    tables = [names.arn("dynamodb", f"table/{everywhere(name)}") for name in (names.TABLE, names.LEDGER_TABLE)]
    return [
        allow(
            "Tables",
            actions(
                dynamodb,
                "CreateTable DeleteTable DescribeContinuousBackups DescribeContributorInsights "
                "DescribeKinesisStreamingDestination DescribeTable DescribeTimeToLive GetResourcePolicy "
                "ListTagsOfResource TagResource UntagResource UpdateContinuousBackups UpdateTable UpdateTimeToLive",
            ),
            tables,
        ),
        allow(
            "Queue",
            actions(
                sqs,
                "CreateQueue DeleteQueue GetQueueAttributes GetQueueUrl ListQueueTags SetQueueAttributes TagQueue "
                "UntagQueue",
            ),
            [names.arn("sqs", everywhere(names.QUEUE))],
        ),
        allow(
            "Topic",
            actions(
                sns,
                "CreateTopic DeleteTopic GetDataProtectionPolicy GetSubscriptionAttributes GetTopicAttributes "
                "ListSubscriptionsByTopic ListTagsForResource SetSubscriptionAttributes SetTopicAttributes Subscribe "
                "TagResource Unsubscribe UntagResource",
            ),
            [names.arn("sns", everywhere(names.TOPIC))],
        ),
        # A key has no name before it is there; it is ours by its tag from then on.
        allow(
            "NewKeysCannotBeNamed",
            [kms.CreateKey],
            ["*"],
            StringEquals({"aws:RequestTag/ManagedBy": "payment-platform"}),
        ),
        # A tag that comes with a new key is asked for, too, and then there is no tag on it yet. One with an alias is
        # somebody's already: tagged as ours it would be ours to administer.
        # https://docs.aws.amazon.com/kms/latest/developerguide/tag-permissions.html
        allow(
            "NewKeysAreTaggedAsOurs",
            [kms.TagResource],
            [names.arn("kms", "key/*")],
            StringEquals({"aws:RequestTag/ManagedBy": "payment-platform"}),
            Null({"kms:ResourceAliases": "true"}),
        ),
        allow("AliasesCannotBeListedByName", [kms.ListAliases], ["*"]),
        allow(
            "Keys",
            actions(
                kms,
                "CreateAlias DeleteAlias DescribeKey DisableKey DisableKeyRotation EnableKey EnableKeyRotation "
                "GetKeyPolicy GetKeyRotationStatus ListResourceTags PutKeyPolicy ScheduleKeyDeletion TagResource "
                "UntagResource UpdateAlias UpdateKeyDescription",
            ),
            [names.arn("kms", "key/*")],
            _OURS,
        ),
        allow(
            "Aliases",
            actions(kms, "CreateAlias DeleteAlias UpdateAlias"),
            [
                names.arn("kms", everywhere(alias))
                for alias in (
                    names.DYNAMODB_KEY_ALIAS,
                    names.SNS_KEY_ALIAS,
                    names.LOGS_KEY_ALIAS,
                    names.QUEUE_KEY_ALIAS,
                    names.FUNCTIONS_KEY_ALIAS,
                    names.WORKFLOW_KEY_ALIAS,
                )
            ],
        ),
        allow(
            "TableKeyThroughDynamoDB",
            actions(kms, "CreateGrant Decrypt DescribeKey Encrypt RevokeGrant"),
            [names.arn("kms", "key/*")],
            through("dynamodb"),
        ),
        allow(
            "VaultKeyThroughAWSBackup",
            actions(kms, "CreateGrant Decrypt DescribeKey GenerateDataKey RetireGrant"),
            [names.arn("kms", "key/*")],
            through("backup"),
        ),
        allow(
            "VaultAndPlan",
            actions(
                backup,
                "CreateBackupPlan CreateBackupSelection CreateBackupVault DeleteBackupPlan DeleteBackupSelection "
                "DeleteBackupVault DescribeBackupVault GetBackupPlan GetBackupSelection GetBackupVaultAccessPolicy "
                "GetBackupVaultNotifications ListTags TagResource UntagResource UpdateBackupPlan",
            ),
            [
                names.arn("backup", f"backup-vault:{everywhere(names.BACKUP_VAULT)}"),
                # A plan is named by its id, which nobody knows before.
                names.arn("backup", "backup-plan:*"),
            ],
        ),
        # The first selection of an account makes it.
        # https://docs.aws.amazon.com/aws-backup/latest/devguide/using-service-linked-roles-AWSServiceRoleForBackup.html
        allow(
            "BackupLinksItsRole",
            [iam.CreateServiceLinkedRole],
            [names.role_arn("aws-service-role/backup.amazonaws.com/AWSServiceRoleForBackup")],
            StringEquals({"iam:AWSServiceName": "backup.amazonaws.com"}),
        ),
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsbackupstorage.html
        allow("VaultStorageHasNoResource", [backup_storage.MountCapsule], ["*"]),
    ]


def compute() -> list[Statement]:
    functions = [
        names.arn("lambda", f"function:{everywhere(name)}{version}")
        for name in (names.VALIDATION_FUNCTION, names.PROCESSING_FUNCTION, names.RECONCILIATION_FUNCTION)
        for version in ("", ":*")
    ]
    layers = [names.arn("lambda", f"layer:{everywhere(names.STRIPE_LAYER)}{version}") for version in ("", ":*")]
    return [
        allow(
            "Functions",
            actions(
                lambda_,
                "AddPermission CreateAlias CreateFunction DeleteAlias DeleteFunction DeleteFunctionConcurrency "
                "GetAlias GetFunction GetFunctionCodeSigningConfig GetFunctionConfiguration "
                "GetFunctionRecursionConfig GetPolicy GetProvisionedConcurrencyConfig "
                "GetRuntimeManagementConfig ListVersionsByFunction PublishVersion "
                "PutFunctionConcurrency RemovePermission TagResource UntagResource UpdateAlias UpdateFunctionCode "
                "UpdateFunctionConfiguration",
            ),
            functions,
        ),
        allow("Layer", actions(lambda_, "DeleteLayerVersion GetLayerVersion PublishLayerVersion"), layers),
        allow("Artifacts", actions(s3, "GetObject GetObjectVersion"), [Sub("${Artifacts.Arn}/*")]),
        allow(
            "FunctionsKeyThroughLambda",
            actions(kms, "CreateGrant Decrypt Encrypt GenerateDataKey"),
            [names.arn("kms", "key/*")],
            through("lambda"),
        ),
    ]


def rest() -> list[Statement]:
    return [
        allow(
            "StateMachine",
            actions(
                states,
                "CreateStateMachine DeleteStateMachine DescribeStateMachine ListTagsForResource TagResource "
                "UntagResource UpdateStateMachine",
            ),
            [names.arn("states", f"stateMachine:{everywhere(names.WORKFLOW)}")],
        ),
        allow(
            "WorkflowKeyForOurWorkflows",
            actions(kms, "Decrypt GenerateDataKey"),
            [names.arn("kms", "key/*")],
            StringLike(
                {
                    "kms:EncryptionContext:aws:states:stateMachineArn": names.arn(
                        "states", f"stateMachine:{everywhere(names.WORKFLOW)}"
                    )
                }
            ),
        ),
        allow(
            "Schedule",
            actions(
                events,
                "DeleteRule DescribeRule ListTagsForResource ListTargetsByRule PutRule PutTargets RemoveTargets "
                "TagResource UntagResource",
            ),
            [names.arn("events", f"rule/{everywhere(names.RECONCILIATION_RULE)}")],
        ),
        allow(
            "LogGroups",
            actions(
                logs,
                "AssociateKmsKey CreateLogGroup DeleteDataProtectionPolicy DeleteLogGroup DeleteMetricFilter "
                "DeleteRetentionPolicy DescribeMetricFilters DisassociateKmsKey "
                "GetDataProtectionPolicy ListTagsForResource PutDataProtectionPolicy PutMetricFilter "
                "PutRetentionPolicy TagResource UntagResource",
            ),
            [
                names.arn("logs", f"log-group:{prefix}*")
                for prefix in ("/aws/lambda/lambda-payment-", "/aws/vendedlogs/states/sfn-payment-")
            ],
        ),
        allow("LogDeliveryHasNoResource", LOG_DELIVERY, ["*"]),
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
        allow("IndexPoliciesHaveNoResource", [logs.DescribeIndexPolicies], ["*"]),
        allow(
            "Alarms",
            actions(cloudwatch, "DeleteAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource"),
            [names.arn("cloudwatch", f"alarm:{everywhere(name)}") for name in names.alarms()],
        ),
        # Of composite alarms CloudWatch takes both from nobody whose right has a narrower scope:
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
        allow("CompositeAlarmsCannotBePutByName", [cloudwatch.PutCompositeAlarm], ["*"]),
        allow("AlarmsCannotBeDescribedByName", [cloudwatch.DescribeAlarms], ["*"]),
        allow(
            "Dashboard",
            actions(
                cloudwatch, "DeleteDashboards GetDashboard ListTagsForResource PutDashboard TagResource UntagResource"
            ),
            [names.arn("cloudwatch", f"dashboard/{everywhere(names.DASHBOARD)}", region=False)],
        ),
        allow(
            "NestedStacks",
            actions(
                cloudformation,
                "CreateStack DeleteStack DescribeStacks GetStackPolicy GetTemplate SetStackPolicy UpdateStack "
                "UpdateTerminationProtection CreateChangeSet DescribeChangeSet DeleteChangeSet ExecuteChangeSet "
                "CancelUpdateStack",
            ),
            [stacks()],
        ),
    ]

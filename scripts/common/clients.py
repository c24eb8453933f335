"""The types of AWS's clients and of their answers: those of the stubs for mypy, ``Any`` at run time."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boto3 import Session
    from mypy_boto3_backup import BackupClient as BackupClient
    from mypy_boto3_backup.type_defs import RecoveryPointByBackupVaultTypeDef as RecoveryPointByBackupVaultTypeDef
    from mypy_boto3_cloudformation import CloudFormationClient as CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ChangeSetSummaryTypeDef as ChangeSetSummaryTypeDef
    from mypy_boto3_cloudformation.type_defs import ChangeTypeDef as ChangeTypeDef
    from mypy_boto3_cloudformation.type_defs import CreateChangeSetOutputTypeDef as CreateChangeSetOutputTypeDef
    from mypy_boto3_cloudformation.type_defs import DeleteChangeSetInputTypeDef as DeleteChangeSetInputTypeDef
    from mypy_boto3_cloudformation.type_defs import DescribeChangeSetOutputTypeDef as DescribeChangeSetOutputTypeDef
    from mypy_boto3_cloudformation.type_defs import (
        DescribeStackResourceDriftsInputTypeDef as DescribeStackResourceDriftsInputTypeDef,
    )
    from mypy_boto3_cloudformation.type_defs import LiveResourceDriftTypeDef as LiveResourceDriftTypeDef
    from mypy_boto3_cloudformation.type_defs import ResourceChangeDetailTypeDef as ResourceChangeDetailTypeDef
    from mypy_boto3_cloudformation.type_defs import ResourceChangeTypeDef as ResourceChangeTypeDef
    from mypy_boto3_cloudformation.type_defs import ResourceLocationTypeDef as ResourceLocationTypeDef
    from mypy_boto3_cloudformation.type_defs import TagTypeDef as TagTypeDef
    from mypy_boto3_cloudwatch import CloudWatchClient as CloudWatchClient
    from mypy_boto3_cloudwatch.literals import AlarmTypeType as AlarmTypeType
    from mypy_boto3_cloudwatch.literals import StateValueType as StateValueType
    from mypy_boto3_cloudwatch.type_defs import MetricAlarmTypeDef as MetricAlarmTypeDef
    from mypy_boto3_dynamodb import DynamoDBClient as DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TableDescriptionTypeDef as TableDescriptionTypeDef
    from mypy_boto3_dynamodb.type_defs import WaiterConfigTypeDef as WaiterConfigTypeDef
    from mypy_boto3_events import EventBridgeClient as EventBridgeClient
    from mypy_boto3_events.type_defs import TargetTypeDef as TargetTypeDef
    from mypy_boto3_iam import IAMClient as IAMClient
    from mypy_boto3_iam.type_defs import ContextEntryTypeDef as ContextEntryTypeDef
    from mypy_boto3_kms import KMSClient as KMSClient
    from mypy_boto3_lambda import LambdaClient as LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient as CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client as S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient as SecretsManagerClient
    from mypy_boto3_sns import SNSClient as SNSClient
    from mypy_boto3_sns.type_defs import SubscriptionTypeDef as SubscriptionTypeDef
    from mypy_boto3_sqs import SQSClient as SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType as QueueAttributeNameType
    from mypy_boto3_stepfunctions import SFNClient as SFNClient
    from mypy_boto3_stepfunctions.type_defs import (
        LoggingConfigurationOutputTypeDef as LoggingConfigurationOutputTypeDef,
    )
    from mypy_boto3_sts import STSClient as STSClient
    from mypy_boto3_xray import XRayClient as XRayClient

    class ClientFactory(Session):
        """Returns the client of a service, as ``Session.client`` does."""

        __call__ = Session.client

else:

    def __getattr__(_name: str) -> Any:
        """Stand in for the stubs, which only the type checker needs."""
        return Any

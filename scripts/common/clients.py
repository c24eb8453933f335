"""The types of AWS's clients and of their answers: those of the stubs for mypy, ``Any`` at run time."""

from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_backup import BackupClient as BackupClient
    from mypy_boto3_backup.type_defs import RecoveryPointByBackupVaultTypeDef as RecoveryPointByBackupVaultTypeDef
    from mypy_boto3_cloudformation import CloudFormationClient as CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import CreateChangeSetOutputTypeDef as CreateChangeSetOutputTypeDef
    from mypy_boto3_cloudformation.type_defs import DeleteChangeSetInputTypeDef as DeleteChangeSetInputTypeDef
    from mypy_boto3_cloudformation.type_defs import DescribeChangeSetOutputTypeDef as DescribeChangeSetOutputTypeDef
    from mypy_boto3_cloudformation.type_defs import (
        DescribeStackResourceDriftsInputTypeDef as DescribeStackResourceDriftsInputTypeDef,
    )
    from mypy_boto3_cloudformation.type_defs import ResourceChangeDetailTypeDef as ResourceChangeDetailTypeDef
    from mypy_boto3_cloudformation.type_defs import TagTypeDef as TagTypeDef
    from mypy_boto3_cloudwatch import CloudWatchClient as CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient as DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TableDescriptionTypeDef as TableDescriptionTypeDef
    from mypy_boto3_events import EventBridgeClient as EventBridgeClient
    from mypy_boto3_iam import IAMClient as IAMClient
    from mypy_boto3_iam.type_defs import ContextEntryTypeDef as ContextEntryTypeDef
    from mypy_boto3_kms import KMSClient as KMSClient
    from mypy_boto3_lambda import LambdaClient as LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient as CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client as S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient as SecretsManagerClient
    from mypy_boto3_sns import SNSClient as SNSClient
    from mypy_boto3_sqs import SQSClient as SQSClient
    from mypy_boto3_stepfunctions import SFNClient as SFNClient
    from mypy_boto3_sts import STSClient as STSClient
    from mypy_boto3_xray import XRayClient as XRayClient
else:

    def __getattr__(_name: str) -> Any:
        """Stand in for the stubs, which only the type checker needs."""
        return Any


class ClientFactory(Protocol):
    """Returns the client of a service; ``config`` takes precedence over the usual one."""

    @overload
    def __call__(self, service: Literal["backup"], config: Config | None = None) -> "BackupClient": ...
    @overload
    def __call__(self, service: Literal["cloudformation"], config: Config | None = None) -> "CloudFormationClient": ...
    @overload
    def __call__(self, service: Literal["cloudwatch"], config: Config | None = None) -> "CloudWatchClient": ...
    @overload
    def __call__(self, service: Literal["dynamodb"], config: Config | None = None) -> "DynamoDBClient": ...
    @overload
    def __call__(self, service: Literal["events"], config: Config | None = None) -> "EventBridgeClient": ...
    @overload
    def __call__(self, service: Literal["iam"], config: Config | None = None) -> "IAMClient": ...
    @overload
    def __call__(self, service: Literal["kms"], config: Config | None = None) -> "KMSClient": ...
    @overload
    def __call__(self, service: Literal["lambda"], config: Config | None = None) -> "LambdaClient": ...
    @overload
    def __call__(self, service: Literal["logs"], config: Config | None = None) -> "CloudWatchLogsClient": ...
    @overload
    def __call__(self, service: Literal["s3"], config: Config | None = None) -> "S3Client": ...
    @overload
    def __call__(self, service: Literal["secretsmanager"], config: Config | None = None) -> "SecretsManagerClient": ...
    @overload
    def __call__(self, service: Literal["sns"], config: Config | None = None) -> "SNSClient": ...
    @overload
    def __call__(self, service: Literal["sqs"], config: Config | None = None) -> "SQSClient": ...
    @overload
    def __call__(self, service: Literal["stepfunctions"], config: Config | None = None) -> "SFNClient": ...
    @overload
    def __call__(self, service: Literal["sts"], config: Config | None = None) -> "STSClient": ...
    @overload
    def __call__(self, service: Literal["xray"], config: Config | None = None) -> "XRayClient": ...
    @overload
    def __call__(self, service: str, config: Config | None = None) -> Any: ...

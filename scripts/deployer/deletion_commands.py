"""The AWS CLI's command that deletes a resource, by the physical id that CloudFormation has of it.

https://docs.aws.amazon.com/cli/latest/reference/
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/resources-section-structure.html
"""

import shlex

from scripts.common.suggestion import complete_aws_commands

_COMMANDS = {
    "AWS::Backup::BackupVault": "backup delete-backup-vault --backup-vault-name",
    "AWS::DynamoDB::Table": "dynamodb delete-table --table-name",
    "AWS::IAM::ManagedPolicy": "iam delete-policy --policy-arn",
    "AWS::IAM::Role": "iam delete-role --role-name",
    "AWS::KMS::Key": "kms schedule-key-deletion --key-id",
    "AWS::Logs::LogGroup": "logs delete-log-group --log-group-name",
    "AWS::S3::Bucket": "s3api delete-bucket --bucket",
    "AWS::SQS::Queue": "sqs delete-queue --queue-url",
}


def deletion_command(resource_type: str, physical_id: str) -> str:
    """Return the command, or an empty string for a type that is not in the table."""
    command = _COMMANDS.get(resource_type)
    if not command or not physical_id:
        return ""
    return complete_aws_commands(f"aws {command} {shlex.quote(physical_id)}")

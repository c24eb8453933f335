"""References to names and ARNs, which CloudFormation resolves. Names alone, which programs need, are in ``names``."""

from troposphere import AWSHelperFn, Sub

from .names import (
    BACKUP_VAULT,
    FUNCTIONS,
    LEDGER_TABLE,
    LIVE,
    NOTIFICATION_QUEUE,
    OPEN_INDEX,
    PAYMENT_WORKFLOWS,
    QUEUE,
    RECONCILIATION_RULE,
    RECONCILIATION_WORKFLOW,
    SHIFTING_APPLICATION,
    TABLE,
    TOPIC,
)


def in_template(name: str) -> AWSHelperFn:
    """Return the name as a reference that CloudFormation resolves."""
    return Sub(name)


def arn(service: str, resource: str, *, region: bool = True) -> AWSHelperFn:
    """Return the ARN of ``resource`` in the stack's partition, account and, unless the service is global, region."""
    place = "${AWS::Region}" if region else ""
    return Sub(f"arn:${{AWS::Partition}}:{service}:{place}:${{AWS::AccountId}}:{resource}")


def role_arn(role: str) -> AWSHelperFn:
    return arn("iam", f"role/{role}", region=False)


def function_arn(function: str) -> AWSHelperFn:
    return arn("lambda", f"function:{function}")


def live_function_arn(function: str) -> AWSHelperFn:
    return function_arn(f"{function}:{LIVE}")


def log_group_arn(log_group: str) -> AWSHelperFn:
    """Return the ARN without the ``:*`` that stands for the streams, as in the encryption context that KMS receives."""
    return arn("logs", f"log-group:{log_group}")


def log_streams_arn(log_group: str) -> AWSHelperFn:
    return log_group_arn(f"{log_group}:*")


TABLE_ARN = arn("dynamodb", f"table/{TABLE}")
LEDGER_TABLE_ARN = arn("dynamodb", f"table/{LEDGER_TABLE}")
OPEN_INDEX_ARN = arn("dynamodb", f"table/{TABLE}/index/{OPEN_INDEX}")
TOPIC_ARN = arn("sns", TOPIC)
QUEUE_ARN = arn("sqs", QUEUE)
NOTIFICATION_QUEUE_ARN = arn("sqs", NOTIFICATION_QUEUE)
BACKUP_VAULT_ARN = arn("backup", f"backup-vault:{BACKUP_VAULT}")
RECONCILIATION_RULE_ARN = arn("events", f"rule/{RECONCILIATION_RULE}")
PAYMENT_WORKFLOW_ARNS = [arn("states", f"stateMachine:{workflow}") for workflow in PAYMENT_WORKFLOWS]
RECONCILIATION_WORKFLOW_ARN = arn("states", f"stateMachine:{RECONCILIATION_WORKFLOW}")
SHIFTING_GROUP_ARNS = [
    arn("codedeploy", f"deploymentgroup:{SHIFTING_APPLICATION}/{function.purpose}") for function in FUNCTIONS
]

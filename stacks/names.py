"""Every name that more than one stack, the deployer or a test needs. Names of alarms: monitoring/alarms.py.

A name is written in the syntax of ``Fn::Sub``, and each template has the parameter ``Environment``, so
``in_template(TABLE)`` works in all of them. Because names are deterministic, a policy in the security stack can have
the exact ARN of a resource that a later stack creates; this prevents cycles between stacks.
"""

import string

from troposphere import AWSHelperFn, Sub

TABLE = "dynamodb-transactions-${Environment}"
LEDGER_TABLE = "dynamodb-payment-ledger-${Environment}"
# Open payments by when they are overdue; the adapter of the functions names it too.
OPEN_INDEX = "open-payments"
QUEUE = "payment-dlq-${Environment}"
# Of the notices that SNS could not deliver. The operator's commands read QUEUE.
NOTIFICATION_QUEUE = "sqs-notification-dlq-${Environment}"
TOPIC = "sns-payment-notifications-${Environment}"
# The names of a type, as the rights on them list them: a new name is a constant, and a member of its tuple.
TABLES = (TABLE, LEDGER_TABLE)
QUEUES = (QUEUE, NOTIFICATION_QUEUE)
TOPICS = (TOPIC,)

DYNAMODB_KEY_ALIAS = "alias/dynamodb-transactions-${Environment}"
SNS_KEY_ALIAS = "alias/sns-payment-notifications-${Environment}"
LOGS_KEY_ALIAS = "alias/cloudwatch-logs-${Environment}"
QUEUE_KEY_ALIAS = "alias/sqs-payment-dlq-${Environment}"
FUNCTIONS_KEY_ALIAS = "alias/lambda-payment-functions-${Environment}"
WORKFLOW_KEY_ALIAS = "alias/sfn-payment-workflow-${Environment}"
KEY_ALIASES = (
    DYNAMODB_KEY_ALIAS, SNS_KEY_ALIAS, LOGS_KEY_ALIAS, QUEUE_KEY_ALIAS, FUNCTIONS_KEY_ALIAS, WORKFLOW_KEY_ALIAS,
)  # fmt: skip

WORKFLOW_ROLE = "role-sfn-payment-workflow-${Environment}"
VALIDATION_ROLE = "role-lambda-validation-${Environment}"
PROCESSING_ROLE = "role-lambda-processing-${Environment}"
RECONCILIATION_ROLE = "role-lambda-reconciliation-${Environment}"
BACKUP_ROLE = "role-backup-payments-${Environment}"
FUNCTION_ROLES = (VALIDATION_ROLE, PROCESSING_ROLE, RECONCILIATION_ROLE)
ROLES = (WORKFLOW_ROLE, *FUNCTION_ROLES, BACKUP_ROLE)

WORKFLOW_KEY_POLICY = "policy-sfn-payment-workflow-key-${Environment}"
WORKFLOW_POLICY = "policy-sfn-payment-workflow-${Environment}"
VALIDATION_POLICY = "policy-lambda-validation-${Environment}"
PROCESSING_POLICY = "policy-lambda-processing-${Environment}"
RECONCILIATION_POLICY = "policy-lambda-reconciliation-${Environment}"
GATEWAY_POLICY = "policy-gateway-secret-${Environment}"
BACKUP_POLICY = "policy-backup-payments-${Environment}"
POLICIES = (
    WORKFLOW_POLICY,
    VALIDATION_POLICY,
    PROCESSING_POLICY,
    RECONCILIATION_POLICY,
    GATEWAY_POLICY,
    BACKUP_POLICY,
    WORKFLOW_KEY_POLICY,
)
# The permissions boundary of an environment's roles, in the account's own stack.
BOUNDARY_POLICY = "policy-payment-boundary-${Environment}"
# CloudFormation's role, one for the account.
SERVICE_ROLE = "role-payment-cloudformation"

VALIDATION_FUNCTION = "lambda-payment-validation-${Environment}"
PROCESSING_FUNCTION = "lambda-payment-processing-${Environment}"
RECONCILIATION_FUNCTION = "lambda-payment-reconciliation-${Environment}"
STRIPE_LAYER = "layer-stripe-${Environment}"
FUNCTIONS = (VALIDATION_FUNCTION, PROCESSING_FUNCTION, RECONCILIATION_FUNCTION)
# The alias that the workflow calls; it points at the version of the deployed code.
LIVE = "live"

RECONCILIATION_RULE = "rule-payment-reconciliation-${Environment}"

WORKFLOW = "sfn-payment-workflow-${Environment}"

BACKUP_VAULT = "backup-vault-payments-${Environment}"
BACKUP_PLAN = "backup-plan-payments-${Environment}"

VALIDATION_LOG_GROUP = f"/aws/lambda/{VALIDATION_FUNCTION}"
PROCESSING_LOG_GROUP = f"/aws/lambda/{PROCESSING_FUNCTION}"
RECONCILIATION_LOG_GROUP = f"/aws/lambda/{RECONCILIATION_FUNCTION}"
FUNCTION_LOG_GROUPS = (VALIDATION_LOG_GROUP, PROCESSING_LOG_GROUP, RECONCILIATION_LOG_GROUP)
WORKFLOW_LOG_GROUP = f"/aws/vendedlogs/states/{WORKFLOW}"
LOG_GROUPS = (*FUNCTION_LOG_GROUPS, WORKFLOW_LOG_GROUP)

RECONCILIATION_HEARTBEAT_FILTER = "metric-filter-reconciliation-heartbeat-${Environment}"
PAYMENT_DURATION_FILTER = "metric-filter-payment-duration-${Environment}"
DASHBOARD = "dashboard-payments-${Environment}"
# Of the metrics that the functions' log lines carry; lambda/adapters/metrics.py names it too.
METRIC_NAMESPACE = "PaymentWorkflow"


def in_template(name: str) -> AWSHelperFn:
    """The name, with the environment filled in by CloudFormation."""
    return Sub(name)


def in_environment(name: str, environment: str) -> str:
    """The name in one environment, for programs that work on a deployed stack."""
    return string.Template(name).substitute(Environment=environment)


def arn(service: str, resource: str, *, region: bool = True) -> AWSHelperFn:
    """The ARN of ``resource`` in this partition, account and (unless the service is global) region."""
    place = "${AWS::Region}" if region else ""
    return Sub(f"arn:${{AWS::Partition}}:{service}:{place}:${{AWS::AccountId}}:{resource}")


def table_arn() -> AWSHelperFn:
    return arn("dynamodb", f"table/{TABLE}")


def ledger_table_arn() -> AWSHelperFn:
    return arn("dynamodb", f"table/{LEDGER_TABLE}")


def open_index_arn() -> AWSHelperFn:
    return arn("dynamodb", f"table/{TABLE}/index/{OPEN_INDEX}")


def topic_arn() -> AWSHelperFn:
    return arn("sns", TOPIC)


def queue_arn() -> AWSHelperFn:
    return arn("sqs", QUEUE)


def notification_queue_arn() -> AWSHelperFn:
    return arn("sqs", NOTIFICATION_QUEUE)


def role_arn(role: str) -> AWSHelperFn:
    return arn("iam", f"role/{role}", region=False)


def live_function_arn(function: str) -> AWSHelperFn:
    return arn("lambda", f"function:{function}:{LIVE}")


def function_arn(function: str) -> AWSHelperFn:
    return arn("lambda", f"function:{function}")


def backup_vault_arn() -> AWSHelperFn:
    return arn("backup", f"backup-vault:{BACKUP_VAULT}")


def reconciliation_rule_arn() -> AWSHelperFn:
    return arn("events", f"rule/{RECONCILIATION_RULE}")


def workflow_arn() -> AWSHelperFn:
    return arn("states", f"stateMachine:{WORKFLOW}")


def log_group_arn(log_group: str) -> AWSHelperFn:
    """Without the ``:*`` that stands for its streams, as in the encryption context that KMS sees."""
    return arn("logs", f"log-group:{log_group}")


def log_streams_arn(log_group: str) -> AWSHelperFn:
    return arn("logs", f"log-group:{log_group}:*")

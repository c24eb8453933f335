"""The resource names and ARNs that several stacks, the deployer or the tests use. Alarm names: monitoring/alarms.py.

A name is written in the syntax of ``Fn::Sub``. Every template has the parameter ``Environment``, so
``in_template(TABLE)`` works in each of them. Because the names are deterministic, a policy in the security stack can
contain the exact ARN of a resource that a later stack creates, and the stacks need no circular references.
"""

import string
from dataclasses import dataclass


def _list_names(kind: str) -> tuple[str, ...]:
    """Return the names above whose constants end with the kind of resource: policies list all names of a type."""
    return tuple(name for constant, name in globals().items() if constant.endswith(kind))


TABLE = "dynamodb-transactions-${Environment}"
LEDGER_TABLE = "dynamodb-payment-ledger-${Environment}"
# The index of open payments by due time. lambda/adapters/dynamodb.py repeats the name.
OPEN_INDEX = "open-payments"
QUEUE = "payment-dlq-${Environment}"
# Holds the notices that SNS could not deliver. The operator's commands read only QUEUE.
NOTIFICATION_QUEUE = "sqs-notification-dlq-${Environment}"
TOPIC = "sns-payment-notifications-${Environment}"
TABLES = _list_names("TABLE")
QUEUES = _list_names("QUEUE")
TOPICS = _list_names("TOPIC")

DYNAMODB_KEY_ALIAS = "alias/dynamodb-transactions-${Environment}"
SNS_KEY_ALIAS = "alias/sns-payment-notifications-${Environment}"
LOGS_KEY_ALIAS = "alias/cloudwatch-logs-${Environment}"
QUEUE_KEY_ALIAS = "alias/sqs-payment-dlq-${Environment}"
FUNCTIONS_KEY_ALIAS = "alias/lambda-payment-functions-${Environment}"
WORKFLOW_KEY_ALIAS = "alias/sfn-payment-workflow-${Environment}"
KEY_ALIASES = _list_names("KEY_ALIAS")


@dataclass(frozen=True)
class Function:
    """A function: ``purpose`` is the name of its module in lambda/handlers, and part of the names around it."""

    purpose: str

    @property
    def name(self) -> str:
        return f"lambda-payment-{self.purpose}-${{Environment}}"

    @property
    def role(self) -> str:
        return f"role-lambda-{self.purpose}-${{Environment}}"

    @property
    def policy(self) -> str:
        return f"policy-lambda-{self.purpose}-${{Environment}}"

    @property
    def log_group(self) -> str:
        return f"/aws/lambda/{self.name}"


VALIDATION = Function("validation")
PROCESSING = Function("processing")
RECONCILIATION = Function("reconciliation")
FUNCTIONS = (
    VALIDATION,
    PROCESSING,
    RECONCILIATION,
)
STRIPE_LAYER = "layer-stripe-${Environment}"
# The alias that the workflow invokes; it points to the deployed version.
LIVE = "live"

WORKFLOW_ROLE = "role-sfn-payment-workflow-${Environment}"
RECONCILIATION_WORKFLOW_ROLE = "role-sfn-payment-reconciliation-${Environment}"
# With it, the rule starts the state machine of reconciliation.
SCHEDULE_ROLE = "role-events-payment-reconciliation-${Environment}"
BACKUP_ROLE = "role-backup-payments-${Environment}"
# With it, CodeDeploy shifts the invocations of the live functions to a new version, where a setting asks for it.
TRAFFIC_SHIFT_ROLE = "role-codedeploy-payments-${Environment}"
FUNCTION_ROLES = tuple(function.role for function in FUNCTIONS)
STATE_MACHINE_ROLES = (WORKFLOW_ROLE, RECONCILIATION_WORKFLOW_ROLE)
ROLES = (*STATE_MACHINE_ROLES, SCHEDULE_ROLE, *FUNCTION_ROLES, BACKUP_ROLE)

WORKFLOW_KEY_POLICY = "policy-sfn-payment-workflow-key-${Environment}"
WORKFLOW_POLICY = "policy-sfn-payment-workflow-${Environment}"
RECONCILIATION_WORKFLOW_POLICY = "policy-sfn-payment-reconciliation-${Environment}"
SCHEDULE_POLICY = "policy-events-payment-reconciliation-${Environment}"
GATEWAY_POLICY = "policy-gateway-secret-${Environment}"
BACKUP_POLICY = "policy-backup-payments-${Environment}"
TRAFFIC_SHIFT_POLICY = "policy-codedeploy-payments-${Environment}"
POLICIES = (
    WORKFLOW_POLICY,
    RECONCILIATION_WORKFLOW_POLICY,
    SCHEDULE_POLICY,
    *(function.policy for function in FUNCTIONS),
    GATEWAY_POLICY,
    BACKUP_POLICY,
    WORKFLOW_KEY_POLICY,
)
# The permissions boundary of an environment's roles, which the artifacts stack creates.
BOUNDARY_POLICY = "policy-payment-boundary-${Environment}"
# The service role of CloudFormation, one for each account.
SERVICE_ROLE = "role-payment-cloudformation"

RECONCILIATION_RULE = "rule-sfn-payment-reconciliation-${Environment}"

WORKFLOW = "sfn-payment-workflow-${Environment}"
# The Express workflow of payments, beside the Standard one. It has the role and the log group of that one.
EXPRESS_WORKFLOW = "sfn-payment-express-${Environment}"
RECONCILIATION_WORKFLOW = "sfn-payment-reconciliation-${Environment}"
PAYMENT_WORKFLOWS = (WORKFLOW, EXPRESS_WORKFLOW)
STATE_MACHINES = (*PAYMENT_WORKFLOWS, RECONCILIATION_WORKFLOW)

# CodeDeploy's application, with a deployment group for each function, which has the name of the function's purpose.
SHIFTING_APPLICATION = "codedeploy-payments-${Environment}"
# The alarms that CodeDeploy watches meanwhile: those by which payments fail, as monitoring/alarms.py declares them,
# and for reconciliation its own. CodeDeploy takes at most ten.
# https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_AlarmConfiguration.html
SHIFTING_ALARMS = (
    "alarm-sfn-failures-${Environment}",
    "alarm-sfn-timeouts-${Environment}",
    "alarm-sfn-throttles-${Environment}",
    "alarm-lambda-validation-errors-${Environment}",
    "alarm-lambda-validation-throttles-${Environment}",
    "alarm-lambda-processing-errors-${Environment}",
    "alarm-lambda-processing-throttles-${Environment}",
    "alarm-unknown-outcomes-${Environment}",
)
RECONCILIATION_SHIFTING_ALARM = "alarm-lambda-reconciliation-errors-${Environment}"

BACKUP_VAULT = "backup-vault-payments-${Environment}"
BACKUP_PLAN = "backup-plan-payments-${Environment}"

FUNCTION_LOG_GROUPS = tuple(function.log_group for function in FUNCTIONS)
WORKFLOW_LOG_GROUP = f"/aws/vendedlogs/states/{WORKFLOW}"
RECONCILIATION_WORKFLOW_LOG_GROUP = f"/aws/vendedlogs/states/{RECONCILIATION_WORKFLOW}"
LOG_GROUPS = (*FUNCTION_LOG_GROUPS, WORKFLOW_LOG_GROUP, RECONCILIATION_WORKFLOW_LOG_GROUP)

RECONCILIATION_HEARTBEAT_FILTER = "metric-filter-reconciliation-heartbeat-${Environment}"
PAYMENT_DURATION_FILTER = "metric-filter-payment-duration-${Environment}"
DASHBOARD = "dashboard-payments-${Environment}"
# The namespace of the functions' embedded metrics. lambda/adapters/metrics.py repeats it.
METRIC_NAMESPACE = "PaymentWorkflow"


def in_environment(name: str, environment: str) -> str:
    """Return the name in one environment, for programs that work with a deployed stack."""
    return string.Template(name).substitute(Environment=environment)

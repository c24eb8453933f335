"""Who may do what according to the emitted policies: each line of the tables is a sentence that an auditor can check.

test_access_keys.py is about keys, test_access_deployers.py about the roles that deploy.
"""

import re
from dataclasses import replace

import pytest

from tests.stacks.access import (
    ACCOUNT,
    ALL_RIGHTS,
    ANOTHER_ACCOUNT,
    FUNCTIONS,
    PLACE,
    ROOT,
    Principal,
    World,
    foreign_role,
    service,
)

WORKFLOW, VALIDATION, PROCESSING = "WorkflowRole", "ValidationRole", "ProcessingRole"
RECONCILIATION, BACKUP = "ReconciliationRole", "BackupRole"
RECONCILIATION_WORKFLOW, SCHEDULE = "ReconciliationWorkflowRole", "ScheduleRole"
TRAFFIC_SHIFT = "TrafficShiftRole"
PLATFORM_ROLES = (
    *(WORKFLOW, RECONCILIATION_WORKFLOW, SCHEDULE, BACKUP, TRAFFIC_SHIFT),
    *(f"{title}Role" for title in FUNCTIONS),
)

FUNCTION = f"arn:aws:lambda:{PLACE}:function:"
LIVE_VALIDATION = f"{FUNCTION}lambda-payment-validation-prod:live"
LIVE_PROCESSING = f"{FUNCTION}lambda-payment-processing-prod:live"
LIVE_RECONCILIATION = f"{FUNCTION}lambda-payment-reconciliation-prod:live"
TABLE = f"arn:aws:dynamodb:{PLACE}:table/dynamodb-transactions-prod"
LEDGER = f"arn:aws:dynamodb:{PLACE}:table/dynamodb-payment-ledger-prod"
INDEX = f"{TABLE}/index/open-payments"
QUEUE = f"arn:aws:sqs:{PLACE}:payment-dlq-prod"
NOTIFICATION_QUEUE = f"arn:aws:sqs:{PLACE}:sqs-notification-dlq-prod"
TOPIC = f"arn:aws:sns:{PLACE}:sns-payment-notifications-prod"
VAULT = f"arn:aws:backup:{PLACE}:backup-vault:backup-vault-payments-prod"
SECRET = f"arn:aws:secretsmanager:{PLACE}:secret:stripe-AbCdEf"
STREAMS = f"arn:aws:logs:{PLACE}:log-group:/aws/lambda/lambda-payment-{{}}-prod:log-stream:2026/01/01/[1]abc"
RULE = f"arn:aws:events:{PLACE}:rule/rule-sfn-payment-reconciliation-prod"
STATE_MACHINE = f"arn:aws:states:{PLACE}:stateMachine:sfn-payment-workflow-prod"
RECONCILIATION_MACHINE = f"arn:aws:states:{PLACE}:stateMachine:sfn-payment-reconciliation-prod"
ALARM = f"arn:aws:cloudwatch:{PLACE}:alarm:alarm-sfn-failures-prod"
ARTIFACTS = f"arn:aws:s3:::payment-artifacts-{ACCOUNT}-eu-central-1"

ACCESS_LOG = f"arn:aws:s3:::payment-artifacts-logs-{ACCOUNT}-eu-central-1/artifacts/2026"
ARTIFACT = f"{ARTIFACTS}/payment-platform/code"

EVENTS, ALARMS, SNS, S3_LOGGING = service("events"), service("cloudwatch"), service("sns"), service("logging.s3")
ADMINISTRATOR = foreign_role(ALL_RIGHTS)
STRANGER = foreign_role(ALL_RIGHTS, account=ANOTHER_ACCOUNT)
WITHOUT_TLS = {"aws:SecureTransport": "false"}


def source_of(arn: str, account: str = ACCOUNT) -> dict[str, str]:
    """Return the context of a service that calls on behalf of a resource."""
    return {"aws:SourceArn": arn, "aws:SourceAccount": account}


MAY = {
    # Step Functions
    "the workflow invokes the live validation": (WORKFLOW, "lambda:InvokeFunction", LIVE_VALIDATION),
    "the workflow invokes the live processing": (WORKFLOW, "lambda:InvokeFunction", LIVE_PROCESSING),
    "the workflow sends a dead letter": (WORKFLOW, "sqs:SendMessage", QUEUE),
    "the workflow publishes a notice": (WORKFLOW, "sns:Publish", TOPIC),
    "the workflow has its log delivered": (WORKFLOW, "logs:CreateLogDelivery"),
    "the workflow traces": (WORKFLOW, "xray:PutTraceSegments"),
    "the machine of reconciliation invokes the live function": (
        RECONCILIATION_WORKFLOW, "lambda:InvokeFunction", LIVE_RECONCILIATION,
    ),
    "the machine of reconciliation has its log delivered": (RECONCILIATION_WORKFLOW, "logs:CreateLogDelivery"),
    "the machine of reconciliation traces": (RECONCILIATION_WORKFLOW, "xray:PutTraceSegments"),
    "the schedule starts reconciliation": (SCHEDULE, "states:StartExecution", RECONCILIATION_MACHINE),
    # The functions
    "validation records a payment": (VALIDATION, "dynamodb:PutItem", TABLE),
    "validation appends to the ledger": (VALIDATION, "dynamodb:PutItem", LEDGER),
    "validation writes its log": (VALIDATION, "logs:PutLogEvents", STREAMS.format("validation")),
    "validation's lost invocations become dead letters": (VALIDATION, "sqs:SendMessage", QUEUE),
    "validation traces": (VALIDATION, "xray:PutTraceSegments"),
    "processing reads a payment": (PROCESSING, "dynamodb:GetItem", TABLE),
    "processing records a payment": (PROCESSING, "dynamodb:PutItem", TABLE),
    "processing appends to the ledger": (PROCESSING, "dynamodb:PutItem", LEDGER),
    "processing reads the gateway's secret": (PROCESSING, "secretsmanager:GetSecretValue", SECRET),
    "processing writes its log": (PROCESSING, "logs:CreateLogStream", STREAMS.format("processing")),
    "reconciliation finds overdue payments": (RECONCILIATION, "dynamodb:Query", INDEX),
    "reconciliation settles a payment": (RECONCILIATION, "dynamodb:PutItem", TABLE),
    "reconciliation publishes a notice": (RECONCILIATION, "sns:Publish", TOPIC),
    "reconciliation reads the gateway's secret": (RECONCILIATION, "secretsmanager:GetSecretValue", SECRET),
    "reconciliation writes its log": (RECONCILIATION, "logs:PutLogEvents", STREAMS.format("reconciliation")),
    # Backups
    "a backup is made of the table": (BACKUP, "dynamodb:StartAwsBackupJob", TABLE),
    "a backup is made of the ledger": (BACKUP, "dynamodb:StartAwsBackupJob", LEDGER),
    "a backup is kept in the vault": (BACKUP, "backup:CopyIntoBackupVault", VAULT),
    # With this header, S3 refuses to overwrite an object.
    "an administrator adds an artifact": (ADMINISTRATOR, "s3:PutObject", ARTIFACT, {"s3:if-none-match": "*"}),
    # Services, by the policies of the resources
    "an alarm of ours publishes": (ALARMS, "sns:Publish", TOPIC, source_of(ALARM)),
    "what the schedule cannot deliver becomes a dead letter": (EVENTS, "sqs:SendMessage", QUEUE, source_of(RULE)),
    "what SNS cannot deliver of our topic is kept": (SNS, "sqs:SendMessage", NOTIFICATION_QUEUE, source_of(TOPIC)),
    "S3 writes down who reads the artifacts": (S3_LOGGING, "s3:PutObject", ACCESS_LOG, source_of(ARTIFACTS)),
}  # fmt: skip

OTHER_RULE = RULE.replace("sfn-payment-reconciliation", "other")
FOREIGN_ALARM = ALARM.replace(ACCOUNT, ANOTHER_ACCOUNT)
MAY_NOT = {
    # Step Functions
    "the workflow invokes reconciliation": (WORKFLOW, "lambda:InvokeFunction", LIVE_RECONCILIATION),
    "the workflow invokes code that is not live": (WORKFLOW, "lambda:InvokeFunction", LIVE_VALIDATION[:-5]),
    "the workflow invokes $LATEST": (WORKFLOW, "lambda:InvokeFunction", f"{LIVE_PROCESSING[:-5]}:$LATEST"),
    "the workflow invokes another environment": (
        WORKFLOW, "lambda:InvokeFunction", LIVE_PROCESSING.replace("-prod", "-dev"),
    ),
    "the workflow changes a function": (WORKFLOW, "lambda:UpdateFunctionCode", LIVE_VALIDATION[:-5]),
    "the workflow reads a payment": (WORKFLOW, "dynamodb:GetItem", TABLE),
    "the workflow writes a payment": (WORKFLOW, "dynamodb:PutItem", TABLE),
    "the workflow writes the ledger": (WORKFLOW, "dynamodb:PutItem", LEDGER),
    "the workflow takes a dead letter": (WORKFLOW, "sqs:ReceiveMessage", QUEUE),
    "the workflow publishes without TLS": (WORKFLOW, "sns:Publish", TOPIC, WITHOUT_TLS),
    "the workflow publishes elsewhere": (WORKFLOW, "sns:Publish", f"{TOPIC}-copy"),
    "the workflow reads the gateway's secret": (WORKFLOW, "secretsmanager:GetSecretValue", SECRET),
    "the machine of reconciliation invokes processing": (
        RECONCILIATION_WORKFLOW, "lambda:InvokeFunction", LIVE_PROCESSING,
    ),
    "the machine of reconciliation invokes $LATEST": (
        RECONCILIATION_WORKFLOW, "lambda:InvokeFunction", f"{LIVE_RECONCILIATION[:-5]}:$LATEST",
    ),
    "the machine of reconciliation publishes": (RECONCILIATION_WORKFLOW, "sns:Publish", TOPIC),
    "the schedule starts a payment": (SCHEDULE, "states:StartExecution", STATE_MACHINE),
    "the schedule starts another environment's reconciliation": (
        SCHEDULE, "states:StartExecution", RECONCILIATION_MACHINE.replace("-prod", "-dev"),
    ),
    "the schedule stops reconciliation": (SCHEDULE, "states:StopExecution", RECONCILIATION_MACHINE),
    "the schedule invokes the function of reconciliation": (SCHEDULE, "lambda:InvokeFunction", LIVE_RECONCILIATION),
    # The functions
    "validation reads a payment": (VALIDATION, "dynamodb:GetItem", TABLE),
    "validation reads the gateway's secret": (VALIDATION, "secretsmanager:GetSecretValue", SECRET),
    "validation publishes": (VALIDATION, "sns:Publish", TOPIC),
    "validation writes the log of processing": (VALIDATION, "logs:PutLogEvents", STREAMS.format("processing")),
    "processing publishes": (PROCESSING, "sns:Publish", TOPIC),
    "processing finds payments that are not asked for": (PROCESSING, "dynamodb:Query", INDEX),
    "processing reads another secret": (PROCESSING, "secretsmanager:GetSecretValue", f"{SECRET}-2"),
    "processing sends a dead letter without TLS": (PROCESSING, "sqs:SendMessage", QUEUE, WITHOUT_TLS),
    "reconciliation reads the whole table": (RECONCILIATION, "dynamodb:Scan", TABLE),
    "reconciliation changes the index": (RECONCILIATION, "dynamodb:PutItem", INDEX),
    "reconciliation invokes a function": (RECONCILIATION, "lambda:InvokeFunction", LIVE_PROCESSING),
    **{
        f"{role} {words}": (role, action, resource)
        for role in PLATFORM_ROLES
        for words, action, resource in (
            ("deletes a payment", "dynamodb:DeleteItem", TABLE),
            ("changes the ledger", "dynamodb:UpdateItem", LEDGER),
            ("deletes from the ledger", "dynamodb:DeleteItem", LEDGER),
            ("reads the ledger", "dynamodb:GetItem", LEDGER),
            ("deletes a table", "dynamodb:DeleteTable", TABLE),
            ("empties the queue", "sqs:PurgeQueue", QUEUE),
            ("deletes logs", "logs:DeleteLogGroup", STREAMS.format("processing").split(":log-stream")[0]),
            ("becomes another role", "sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/somebody"),
            ("reads the artifacts", "s3:GetObject", ARTIFACT),
        )
    },
    # CodeDeploy
    "CodeDeploy changes code": (TRAFFIC_SHIFT, "lambda:UpdateFunctionCode", LIVE_PROCESSING[:-5]),
    "CodeDeploy invokes a function": (TRAFFIC_SHIFT, "lambda:InvokeFunction", LIVE_PROCESSING),
    "CodeDeploy shifts another environment": (
        TRAFFIC_SHIFT, "lambda:UpdateAlias", LIVE_PROCESSING.replace("-prod", "-dev"),
    ),
    "CodeDeploy shifts another alias": (TRAFFIC_SHIFT, "lambda:UpdateAlias", LIVE_PROCESSING.replace("live", "other")),
    "CodeDeploy sets an alarm back": (TRAFFIC_SHIFT, "cloudwatch:SetAlarmState", ALARM),
    # Backups
    "a backup role reads a payment": (BACKUP, "dynamodb:GetItem", TABLE),
    "a backup role deletes backups": (BACKUP, "backup:DeleteRecoveryPoint", VAULT),
    # Services, by the policies of the resources
    "an alarm of another account publishes": (
        ALARMS, "sns:Publish", TOPIC, source_of(FOREIGN_ALARM, ANOTHER_ACCOUNT),
    ),
    "an alarm that says it is of our account publishes": (ALARMS, "sns:Publish", TOPIC, source_of(FOREIGN_ALARM)),
    "an alarm publishes of itself": (ALARMS, "sns:Publish", TOPIC),
    "an alarm publishes without TLS": (ALARMS, "sns:Publish", TOPIC, source_of(ALARM) | WITHOUT_TLS),
    "an alarm subscribes": (ALARMS, "sns:Subscribe", TOPIC, source_of(ALARM)),
    "EventBridge publishes": (EVENTS, "sns:Publish", TOPIC, source_of(RULE)),
    "S3 publishes": (service("s3"), "sns:Publish", TOPIC, source_of(ARTIFACTS)),
    "another account publishes": (STRANGER, "sns:Publish", TOPIC),
    "a role without a policy publishes": (foreign_role(), "sns:Publish", TOPIC),
    "a rule invokes a function itself": (EVENTS, "lambda:InvokeFunction", LIVE_RECONCILIATION, source_of(RULE)),
    "S3 runs reconciliation": (service("s3"), "lambda:InvokeFunction", LIVE_RECONCILIATION, source_of(ARTIFACTS)),
    "another rule sends a dead letter": (EVENTS, "sqs:SendMessage", QUEUE, source_of(OTHER_RULE)),
    "another account's rule sends a dead letter": (EVENTS, "sqs:SendMessage", QUEUE, source_of(RULE, ANOTHER_ACCOUNT)),
    "EventBridge takes a dead letter": (EVENTS, "sqs:ReceiveMessage", QUEUE, source_of(RULE)),
    "the schedule sends a dead letter without TLS": (EVENTS, "sqs:SendMessage", QUEUE, source_of(RULE) | WITHOUT_TLS),
    "a topic sends a dead letter": (service("sns"), "sqs:SendMessage", QUEUE, source_of(TOPIC)),
    "SNS keeps a notice of another topic": (SNS, "sqs:SendMessage", NOTIFICATION_QUEUE, source_of(f"{TOPIC}-copy")),
    "SNS keeps a notice of another account": (
        SNS, "sqs:SendMessage", NOTIFICATION_QUEUE, source_of(TOPIC, ANOTHER_ACCOUNT),
    ),
    "SNS keeps a notice of nobody": (SNS, "sqs:SendMessage", NOTIFICATION_QUEUE),
    "SNS takes a notice back": (SNS, "sqs:ReceiveMessage", NOTIFICATION_QUEUE, source_of(TOPIC)),
    "SNS keeps a notice without TLS": (SNS, "sqs:SendMessage", NOTIFICATION_QUEUE, source_of(TOPIC) | WITHOUT_TLS),
    "the schedule sends to the queue of notices": (EVENTS, "sqs:SendMessage", NOTIFICATION_QUEUE, source_of(RULE)),
    "the workflow sends to the queue of notices": (WORKFLOW, "sqs:SendMessage", NOTIFICATION_QUEUE),
    "another account reads undelivered notices": (STRANGER, "sqs:ReceiveMessage", NOTIFICATION_QUEUE),
    "another account sends a dead letter": (STRANGER, "sqs:SendMessage", QUEUE),
    "the account itself sends a dead letter without TLS": (
        Principal(ROOT, (ALL_RIGHTS,)), "sqs:SendMessage", QUEUE, WITHOUT_TLS,
    ),
    "an administrator reads an artifact without TLS": (ADMINISTRATOR, "s3:GetObject", ARTIFACT, WITHOUT_TLS),
    "an administrator overwrites an artifact": (ADMINISTRATOR, "s3:PutObject", ARTIFACT),
    "another account reads an artifact": (STRANGER, "s3:GetObject", ARTIFACT),
    "another account's bucket writes our access logs": (
        S3_LOGGING, "s3:PutObject", ACCESS_LOG, source_of(ARTIFACTS, ANOTHER_ACCOUNT),
    ),
    "another bucket writes our access logs": (S3_LOGGING, "s3:PutObject", ACCESS_LOG, source_of("arn:aws:s3:::theirs")),
}  # fmt: skip


@pytest.mark.parametrize("sentence", MAY)
def test_the_policies_allow_that(sentence: str, world: World) -> None:
    assert world.may(*MAY[sentence])


@pytest.mark.parametrize("sentence", MAY_NOT)
def test_the_policies_deny_that(sentence: str, world: World) -> None:
    """The boundary is ignored, because an environment may have none."""
    principal, *request = MAY_NOT[sentence]
    assert not world.may(replace(world.principal_of(principal), boundary=()), *request)


# Trust: the service that assumes each role, and the resource on whose behalf it does.
TRUST = {
    WORKFLOW: ("states", STATE_MACHINE),
    **{f"{title}Role": ("lambda", f"{FUNCTION}lambda-payment-{title.lower()}-prod") for title in FUNCTIONS},
    RECONCILIATION_WORKFLOW: ("states", RECONCILIATION_MACHINE),
    SCHEDULE: ("events", RULE),
    BACKUP: ("backup", VAULT),
    TRAFFIC_SHIFT: (
        "codedeploy",
        f"arn:aws:codedeploy:{PLACE}:deploymentgroup:codedeploy-payments-prod/validation",
    ),
    "CloudFormationRole": ("cloudformation", f"arn:aws:cloudformation:{PLACE}:stack/payment-platform-prod/id"),
}


def test_every_role_is_in_the_table_of_trust(world: World) -> None:
    assert set(TRUST) | {"GitHubPlanRole", "GitHubDeployRole"} == set(world.roles), (
        "list the role of a function in FUNCTIONS of tests/stacks/access.py, and any other in TRUST, by who assumes it"
    )


@pytest.mark.parametrize("role", TRUST)
def test_a_role_is_assumed_by_its_service_for_this_account_only(role: str, world: World) -> None:
    name, arn = TRUST[role]
    assert world.may_assume(role, service(name), source_of(arn))
    assert not world.may_assume(role, service(name), source_of(arn, ANOTHER_ACCOUNT))
    assert not world.may_assume(role, service(name)), "a service that names no resource"
    for service_name in {"states", "lambda", "backup", "cloudformation", "codedeploy", "ec2", "events"} - {name}:
        assert not world.may_assume(role, service(service_name), source_of(arn))
    user = Principal(f"arn:aws:iam::{ACCOUNT}:user/admin")
    for principal in (Principal(ROOT), user, ADMINISTRATOR, STRANGER):
        assert not world.may_assume(role, principal, source_of(arn)), principal


def test_only_the_workflow_assumes_the_workflows_role(world: World) -> None:
    for state_machine in (f"{STATE_MACHINE}-copy", STATE_MACHINE.replace("-prod", "-dev"), f"{STATE_MACHINE}:1"):
        assert not world.may_assume(WORKFLOW, service("states"), source_of(state_machine)), state_machine


def test_only_the_rule_and_the_machine_of_reconciliation_assume_their_roles(world: World) -> None:
    assert not world.may_assume(SCHEDULE, service("events"), source_of(OTHER_RULE))
    assert not world.may_assume(RECONCILIATION_WORKFLOW, service("states"), source_of(STATE_MACHINE))
    assert not world.may_assume(WORKFLOW, service("states"), source_of(RECONCILIATION_MACHINE))


def test_every_arn_of_a_policy_is_complete(world: World) -> None:
    """With an unresolved reference, a request would be denied for the wrong reason."""
    for title, statements in world.policies.items():
        assert not re.findall(r"\$\{[^}]*\}", str(statements)), title
    for arn, policy in world.resource_policies.items():
        assert not re.findall(r"\$\{[^}]*\}", arn + str(policy)), arn

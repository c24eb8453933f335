"""Defects of roles, their trust policies, and the policies of queues, topics and functions."""

from .planting import (
    ROOT,
    Planted,
    add_actions,
    add_statement,
    drop_conditions,
    drop_value,
    edit_statement,
    make_defects,
    replace_text,
    set_value,
    swap_values,
)

_ACCESS, _POLICIES = "tests/stacks/test_access.py::", "tests/stacks/test_policies.py::"
_WILDCARDS = "tests/stacks/test_suppressions.py::test_exactly_the_wildcards_of_a_policy_are_suppressed"
_TABLES = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/"
TABLE = {"Fn::Sub": _TABLES + "dynamodb-transactions-${Environment}"}
LEDGER = {"Fn::Sub": _TABLES + "dynamodb-payment-ledger-${Environment}"}


def _trust_test(role: str) -> str:
    return f"{_ACCESS}test_a_role_is_assumed_by_its_service_for_this_account_only[{role}]"


def _denial_test(sentence: str) -> str:
    return f"{_ACCESS}test_the_policies_deny_that[{sentence}]"


def _access_test(sentence: str) -> str:
    return f"{_ACCESS}test_the_policies_allow_that[{sentence}]"


TRUST = "OnlyTheServiceForThisAccount"
_TRUSTS: Planted = [
    ("validation's role trusts Lambda for any account", drop_conditions("ValidationRole", TRUST, "aws:SourceAccount"),
     _trust_test("ValidationRole")),
    ("the workflow's role trusts any account's state machine",
     drop_conditions("WorkflowRole", TRUST, "aws:SourceAccount"), _trust_test("WorkflowRole")),
    ("the workflow's role trusts any state machine", drop_conditions("WorkflowRole", TRUST, "aws:SourceArn"),
     f"{_ACCESS}test_only_the_workflow_assumes_the_workflows_role"),
    ("processing's role trusts EC2 too",
     edit_statement("ProcessingRole", TRUST, Principal={"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com"]}),
     _trust_test("ProcessingRole")),
    ("reconciliation's role trusts the account's users",
     add_statement("ReconciliationRole", Principal={"AWS": ROOT}, Action=["sts:AssumeRole"]),
     _trust_test("ReconciliationRole")),
    ("the backup's role trusts anybody", edit_statement("BackupRole", TRUST, Principal="*"), _trust_test("BackupRole")),
    ("the backup's role trusts Lambda instead",
     edit_statement("BackupRole", TRUST, Principal={"Service": "lambda.amazonaws.com"}), _trust_test("BackupRole")),
]  # fmt: skip

_ROLES: Planted = [
    ("two roles have each other's policies",
     swap_values("ValidationRole.ManagedPolicyArns.0", "ProcessingRole.ManagedPolicyArns.0"),
     f"{_POLICIES}test_every_policy_is_attached_by_the_role_itself"),
    ("a role has a policy written into it", set_value("ProcessingRole.Policies", []),
     f"{_POLICIES}test_every_policy_is_attached_by_the_role_itself"),
    ("the boundary is taken off a role", drop_value("ProcessingRole.PermissionsBoundary"),
     "tests/stacks/test_access_deployers.py::test_every_role_of_the_platform_has_the_boundary"),
    ("a suppressed policy gets another wildcard",
     add_statement("ProcessingPolicy", Action=["s3:GetObject"], Resource=["arn:aws:s3:::exports-*"]),
     f"{_WILDCARDS}[ProcessingPolicy]"),
    ("the workflow may invoke every function", edit_statement("WorkflowPolicy", "InvokeLiveFunctions", Resource=["*"]),
     _denial_test("the workflow invokes reconciliation")),
    ("the workflow may invoke code that is not live",
     replace_text("WorkflowPolicy.PolicyDocument.Statement.0.Resource", ":live", ""),
     _denial_test("the workflow invokes code that is not live")),
    ("the workflow may invoke every version",
     replace_text("WorkflowPolicy.PolicyDocument.Statement.0.Resource", ":live", ":*"),
     _denial_test("the workflow invokes $LATEST")),
    ("the workflow may invoke other environments",
     replace_text("WorkflowPolicy.PolicyDocument.Statement.0.Resource", "${Environment}", "*"),
     _denial_test("the workflow invokes another environment")),
    ("the workflow may read payments", add_statement("WorkflowPolicy", Action=["dynamodb:GetItem"], Resource=[TABLE]),
     _denial_test("the workflow reads a payment")),
    ("the workflow may publish to every topic", edit_statement("WorkflowPolicy", "PublishNotices", Resource=["*"]),
     _denial_test("the workflow publishes elsewhere")),
    ("the workflow may take dead letters", add_actions("WorkflowPolicy", "DeadLetterPayments", "sqs:ReceiveMessage"),
     _denial_test("the workflow takes a dead letter")),
    ("the workflow may not invoke processing", drop_value("WorkflowPolicy.PolicyDocument.Statement.0.Resource.1"),
     _access_test("the workflow invokes the live processing")),
    ("the workflow may not deliver its log",
     edit_statement("WorkflowPolicy", "LogDeliveryHasNoResource", Action=["logs:DescribeLogGroups"]),
     _access_test("the workflow has its log delivered")),
    ("recording is any action on the table",
     edit_statement("ValidationPolicy", "RecordPayments", Action=["dynamodb:*"]),
     f"{_POLICIES}test_only_denials_have_actions_with_wildcards"),
    ("validation may read payments", add_actions("ValidationPolicy", "RecordPayments", "dynamodb:GetItem"),
     _denial_test("validation reads a payment")),
    ("the ledger may be changed", add_actions("ValidationPolicy", "AppendToLedger", "dynamodb:UpdateItem"),
     _denial_test("ValidationRole changes the ledger")),
    ("payments may be deleted", add_actions("ReconciliationPolicy", "RecordPayments", "dynamodb:DeleteItem"),
     _denial_test("ReconciliationRole deletes a payment")),
    ("a function may write to every table",
     replace_text("ProcessingPolicy.PolicyDocument.Statement.0.Resource", "dynamodb-transactions-${Environment}", "*"),
     f"{_POLICIES}test_every_wildcard_of_an_arn_is_in_the_list"),
    ("tracing stands for more than tracing", add_actions("ProcessingPolicy", "TracingHasNoResource", "s3:GetObject"),
     "tests/stacks/test_statements.py::test_every_statement_is_as_it_was_last_reviewed"),
    ("a statement on everything gives no reason",
     edit_statement("ProcessingPolicy", "TracingHasNoResource", Sid="Tracing"),
     f"{_POLICIES}test_every_statement_on_all_resources_is_in_the_list"),
    ("the gateway's secret is every secret",
     set_value("GatewaySecretPolicy.PolicyDocument.Fn::If.1.Statement.0.Resource", ["*"]),
     _denial_test("processing reads another secret")),
    ("a function may write every log",
     replace_text("ValidationPolicy.PolicyDocument.Statement", "log-group:/aws/lambda/lambda-payment-validation",
                  "log-group:/aws/lambda/*"), _denial_test("validation writes the log of processing")),
    ("overdue payments cannot be found",
     edit_statement("ReconciliationPolicy", "FindOverduePayments", Resource=[TABLE]),
     _access_test("reconciliation finds overdue payments")),
    ("the backup may read payments", add_actions("BackupPolicy", "BackUpTables", "dynamodb:GetItem"),
     _denial_test("a backup role reads a payment")),
    ("the backup leaves the ledger out", edit_statement("BackupPolicy", "BackUpTables", Resource=[TABLE]),
     _access_test("a backup is made of the ledger")),
    ("a statement is on everything but what it names",
     edit_statement("BackupPolicy", "BackUpTables", NotResource=[LEDGER]),
     f"{_POLICIES}test_only_denials_have_actions_with_wildcards"),
]  # fmt: skip

_RESOURCE_POLICIES: Planted = [
    ("any account's alarm may publish", drop_conditions("NotificationsPolicy", "AlarmsPublish"),
     _denial_test("an alarm of another account publishes")),
    ("an alarm publishes whoever's it is", drop_conditions("NotificationsPolicy", "AlarmsPublish", "aws:SourceArn"),
     _denial_test("an alarm that says it is of our account publishes")),
    ("an alarm publishes for any account",
     drop_conditions("NotificationsPolicy", "AlarmsPublish", "aws:SourceAccount", "aws:SourceArn"),
     _denial_test("an alarm publishes of itself")),
    ("the alarms may not publish",
     edit_statement("NotificationsPolicy", "AlarmsPublish", Principal={"Service": "events.amazonaws.com"}),
     _access_test("an alarm of ours publishes")),
    ("anybody may publish", edit_statement("NotificationsPolicy", "AlarmsPublish", Principal="*"),
     f"{_POLICIES}test_no_resource_policy_allows_every_principal"),
    ("the topic refuses what comes by TLS",
     edit_statement("NotificationsPolicy", "OnlyOverTLS", Condition={"Bool": {"aws:SecureTransport": "true"}}),
     _access_test("the workflow publishes a notice")),
    ("the topic takes what comes without TLS", edit_statement("NotificationsPolicy", "OnlyOverTLS", Effect="Allow"),
     _denial_test("an alarm publishes without TLS")),
    ("the queue takes dead letters without TLS",
     edit_statement("DeadLettersPolicy", "OnlyOverTLS", Action=["sqs:PurgeQueue"]),
     _denial_test("processing sends a dead letter without TLS")),
    ("any rule may send dead letters", drop_conditions("DeadLettersPolicy", "ScheduleDeadLetters", "aws:SourceArn"),
     _denial_test("another rule sends a dead letter")),
    ("any account's rule may send dead letters",
     drop_conditions("DeadLettersPolicy", "ScheduleDeadLetters", "aws:SourceAccount"),
     _denial_test("another account's rule sends a dead letter")),
    ("what the schedule cannot deliver is refused",
     replace_text("DeadLettersPolicy.PolicyDocument.Statement.0", "rule-payment-reconciliation", "rule-payment"),
     _access_test("what the schedule cannot deliver becomes a dead letter")),
    ("what SNS cannot deliver is refused",
     edit_statement("UndeliveredNoticesPolicy", "UndeliveredNotices", Principal={"Service": "sqs.amazonaws.com"}),
     _access_test("what SNS cannot deliver of our topic is kept")),
    ("SNS keeps notices of any topic",
     drop_conditions("UndeliveredNoticesPolicy", "UndeliveredNotices", "aws:SourceArn"),
     _denial_test("SNS keeps a notice of another topic")),
    ("SNS keeps notices of any account",
     drop_conditions("UndeliveredNoticesPolicy", "UndeliveredNotices", "aws:SourceAccount"),
     _denial_test("SNS keeps a notice of another account")),
    ("undelivered notices come without TLS",
     edit_statement("UndeliveredNoticesPolicy", "OnlyOverTLS", Action=["sqs:PurgeQueue"]),
     _denial_test("SNS keeps a notice without TLS")),
    ("the queue's policy stands on no queue", set_value("DeadLettersPolicy.Queues", []),
     "tests/stacks/test_deployed.py::test_the_queues_the_topic_and_the_buckets_have_policies"),
]  # fmt: skip

_ARTIFACTS: Planted = [
    ("a suppressed boundary gets a wildcard for actions",
     add_statement("BoundaryProd", Action=["sns:*"], Resource=[ROOT]), f"{_WILDCARDS}[BoundaryProd]"),
]  # fmt: skip

_COMPUTE: Planted = [
    ("any rule may run reconciliation", drop_value("ScheduleMayReconcile.SourceArn"),
     _denial_test("another rule runs reconciliation")),
    ("any account may run reconciliation", drop_value("ScheduleMayReconcile.SourceAccount"),
     _denial_test("another account's rule runs reconciliation")),
    ("the schedule may run processing", set_value("ScheduleMayReconcile.FunctionName", {"Ref": "ProcessingLive"}),
     _denial_test("the schedule runs processing")),
    ("anybody may run reconciliation", set_value("ScheduleMayReconcile.Principal", "*"),
     f"{_POLICIES}test_no_resource_policy_allows_every_principal"),
    ("the schedule may run $LATEST only",
     set_value("ScheduleMayReconcile.FunctionName", {"Ref": "ReconciliationFunction"}),
     _access_test("the schedule runs reconciliation")),
]  # fmt: skip

DEFECTS = [
    *make_defects("security", _TRUSTS, _ROLES),
    *make_defects("data", _RESOURCE_POLICIES),
    *make_defects("artifacts", _ARTIFACTS),
    *make_defects("compute", _COMPUTE),
]

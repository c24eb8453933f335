"""Who may do what: roles, what they trust, and the policies of what they reach."""

from .planting import ROOT, Defect, Planted, added, change, drop, may_also, put, statement, swap, unconditioned

SECURITY, DATA, COMPUTE = "security", "data", "compute"
_ACCESS, _POLICIES = "tests/stacks/test_access.py::", "tests/stacks/test_policies.py::"
_WILDCARDS = "tests/stacks/test_suppressions.py::test_exactly_the_wildcards_of_a_policy_are_suppressed"
_TABLES = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/"
TABLE = {"Fn::Sub": _TABLES + "dynamodb-transactions-${Environment}"}
LEDGER = {"Fn::Sub": _TABLES + "dynamodb-payment-ledger-${Environment}"}


def _assumed(role: str) -> str:
    return f"{_ACCESS}test_a_role_is_assumed_by_its_service_for_this_account_only[{role}]"


def _never(sentence: str) -> str:
    return f"{_ACCESS}test_it_is_never_so_that[{sentence}]"


def _so(sentence: str) -> str:
    return f"{_ACCESS}test_it_is_so_that[{sentence}]"


TRUST = "OnlyTheServiceForThisAccount"
_TRUSTS: Planted = [
    ("validation's role trusts Lambda for any account", SECURITY,
     unconditioned("ValidationRole", TRUST, "aws:SourceAccount"), _assumed("ValidationRole")),
    ("the workflow's role trusts any account's state machine", SECURITY,
     unconditioned("WorkflowRole", TRUST, "aws:SourceAccount"), _assumed("WorkflowRole")),
    ("the workflow's role trusts any state machine", SECURITY,
     unconditioned("WorkflowRole", TRUST, "aws:SourceArn"),
     f"{_ACCESS}test_the_workflows_role_is_for_the_workflow"),
    ("processing's role trusts EC2 too", SECURITY,
     statement("ProcessingRole", TRUST, Principal={"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com"]}),
     _assumed("ProcessingRole")),
    ("reconciliation's role trusts the account's users", SECURITY,
     added("ReconciliationRole", Principal={"AWS": ROOT}, Action=["sts:AssumeRole"]), _assumed("ReconciliationRole")),
    ("the backup's role trusts anybody", SECURITY,
     statement("BackupRole", TRUST, Principal="*"), _assumed("BackupRole")),
    ("the backup's role trusts Lambda instead", SECURITY,
     statement("BackupRole", TRUST, Principal={"Service": "lambda.amazonaws.com"}), _assumed("BackupRole")),
]  # fmt: skip

_ROLES: Planted = [
    ("two roles have each other's policies", SECURITY,
     swap("ValidationRole.Properties.ManagedPolicyArns.0", "ProcessingRole.Properties.ManagedPolicyArns.0"),
     f"{_POLICIES}test_a_role_has_its_policies_from_its_first_moment"),
    ("a role has a policy written into it", SECURITY,
     put("ProcessingRole.Properties.Policies", []),
     f"{_POLICIES}test_a_role_has_its_policies_from_its_first_moment"),
    ("the boundary is taken off a role", SECURITY, drop("ProcessingRole.Properties.PermissionsBoundary"),
     "tests/stacks/test_access_deployers.py::test_every_role_of_the_platform_stands_under_the_boundary"),
    ("a suppressed policy gets another wildcard", SECURITY,
     added("ProcessingPolicy", Action=["s3:GetObject"], Resource=["arn:aws:s3:::exports-*"]),
     f"{_WILDCARDS}[ProcessingPolicy]"),
    ("a suppressed boundary gets a wildcard for actions", "artifacts",
     added("Boundary", Action=["sns:*"], Resource=[ROOT]), f"{_WILDCARDS}[Boundary]"),
    ("the workflow may invoke every function", SECURITY,
     statement("WorkflowPolicy", "InvokeLiveFunctions", Resource=["*"]), _never("the workflow invokes reconciliation")),
    ("the workflow may invoke code that is not live", SECURITY,
     change("WorkflowPolicy.Properties.PolicyDocument.Statement.0.Resource", ":live", ""),
     _never("the workflow invokes code that is not live")),
    ("the workflow may invoke every version", SECURITY,
     change("WorkflowPolicy.Properties.PolicyDocument.Statement.0.Resource", ":live", ":*"),
     _never("the workflow invokes $LATEST")),
    ("the workflow may invoke other environments", SECURITY,
     change("WorkflowPolicy.Properties.PolicyDocument.Statement.0.Resource", "${Environment}", "*"),
     _never("the workflow invokes another environment")),
    ("the workflow may read payments", SECURITY,
     added("WorkflowPolicy", Action=["dynamodb:GetItem"], Resource=[TABLE]), _never("the workflow reads a payment")),
    ("the workflow may publish to every topic", SECURITY,
     statement("WorkflowPolicy", "PublishNotices", Resource=["*"]), _never("the workflow publishes elsewhere")),
    ("the workflow may take dead letters", SECURITY,
     may_also("WorkflowPolicy", "DeadLetterPayments", "sqs:ReceiveMessage"),
     _never("the workflow takes a dead letter")),
    ("the workflow may not invoke processing", SECURITY,
     drop("WorkflowPolicy.Properties.PolicyDocument.Statement.0.Resource.1"),
     _so("the workflow invokes the live processing")),
    ("the workflow may not deliver its log", SECURITY,
     statement("WorkflowPolicy", "LogDeliveryHasNoResource", Action=["logs:DescribeLogGroups"]),
     _so("the workflow has its log delivered")),
    ("recording is any action on the table", SECURITY,
     statement("ValidationPolicy", "RecordPayments", Action=["dynamodb:*"]),
     f"{_POLICIES}test_no_action_is_open_but_in_what_is_denied"),
    ("validation may read payments", SECURITY,
     may_also("ValidationPolicy", "RecordPayments", "dynamodb:GetItem"), _never("validation reads a payment")),
    ("the ledger may be changed", SECURITY,
     may_also("ValidationPolicy", "AppendToLedger", "dynamodb:UpdateItem"),
     _never("ValidationRole changes the ledger")),
    ("payments may be deleted", SECURITY,
     may_also("ReconciliationPolicy", "RecordPayments", "dynamodb:DeleteItem"),
     _never("ReconciliationRole deletes a payment")),
    ("a function may write to every table", SECURITY,
     change("ProcessingPolicy.Properties.PolicyDocument.Statement.0.Resource", "dynamodb-transactions-${Environment}",
            "*"),
     f"{_POLICIES}test_the_exact_list_of_where_an_arn_is_open"),
    ("tracing stands for more than tracing", SECURITY,
     may_also("ProcessingPolicy", "TracingHasNoResource", "s3:GetObject"),
     f"{_POLICIES}test_a_role_of_the_platform_may_do_exactly_this[ProcessingPolicy]"),
    ("a statement on everything gives no reason", SECURITY,
     statement("ProcessingPolicy", "TracingHasNoResource", Sid="Tracing"),
     f"{_POLICIES}test_the_exact_list_of_what_is_allowed_on_everything"),
    ("the gateway's secret is every secret", SECURITY,
     put("GatewaySecretPolicy.Properties.PolicyDocument.Fn::If.1.Statement.0.Resource", ["*"]),
     _never("processing reads another secret")),
    ("a function may write every log", SECURITY,
     change("ValidationPolicy.Properties.PolicyDocument.Statement", "log-group:/aws/lambda/lambda-payment-validation",
            "log-group:/aws/lambda/*"), _never("validation writes the log of processing")),
    ("overdue payments cannot be found", SECURITY,
     statement("ReconciliationPolicy", "FindOverduePayments", Resource=[TABLE]),
     _so("reconciliation finds overdue payments")),
    ("the backup may read payments", SECURITY,
     may_also("BackupPolicy", "BackUpTables", "dynamodb:GetItem"), _never("a backup role reads a payment")),
    ("the backup leaves the ledger out", SECURITY,
     statement("BackupPolicy", "BackUpTables", Resource=[TABLE]), _so("a backup is made of the ledger")),
    ("a statement is on everything but what it names", SECURITY,
     statement("BackupPolicy", "BackUpTables", NotResource=[LEDGER]),
     f"{_POLICIES}test_no_action_is_open_but_in_what_is_denied"),
]  # fmt: skip

_REACHED: Planted = [
    ("any account's alarm may publish", DATA,
     unconditioned("NotificationsPolicy", "AlarmsPublish"), _never("an alarm of another account publishes")),
    ("an alarm publishes whoever's it is", DATA,
     unconditioned("NotificationsPolicy", "AlarmsPublish", "aws:SourceArn"),
     _never("an alarm that says it is of our account publishes")),
    ("an alarm publishes for any account", DATA,
     unconditioned("NotificationsPolicy", "AlarmsPublish", "aws:SourceAccount", "aws:SourceArn"),
     _never("an alarm publishes of itself")),
    ("the alarms may not publish", DATA,
     statement("NotificationsPolicy", "AlarmsPublish", Principal={"Service": "events.amazonaws.com"}),
     _so("an alarm of ours publishes")),
    ("anybody may publish", DATA, statement("NotificationsPolicy", "AlarmsPublish", Principal="*"),
     f"{_POLICIES}test_nobody_is_allowed_by_being_anybody"),
    ("the topic refuses what comes by TLS", DATA,
     statement("NotificationsPolicy", "OnlyOverTLS", Condition={"Bool": {"aws:SecureTransport": "true"}}),
     _so("the workflow publishes a notice")),
    ("the topic takes what comes without TLS", DATA,
     statement("NotificationsPolicy", "OnlyOverTLS", Effect="Allow"), _never("an alarm publishes without TLS")),
    ("the queue takes dead letters without TLS", DATA,
     statement("DeadLettersPolicy", "OnlyOverTLS", Action=["sqs:PurgeQueue"]),
     _never("processing sends a dead letter without TLS")),
    ("any rule may send dead letters", DATA,
     unconditioned("DeadLettersPolicy", "ScheduleDeadLetters", "aws:SourceArn"),
     _never("another rule sends a dead letter")),
    ("any account's rule may send dead letters", DATA,
     unconditioned("DeadLettersPolicy", "ScheduleDeadLetters", "aws:SourceAccount"),
     _never("another account's rule sends a dead letter")),
    ("what the schedule cannot deliver is refused", DATA,
     change("DeadLettersPolicy.Properties.PolicyDocument.Statement.0", "rule-payment-reconciliation", "rule-payment"),
     _so("what the schedule cannot deliver becomes a dead letter")),
    ("the queue's policy stands on no queue", DATA, put("DeadLettersPolicy.Properties.Queues", []),
     "tests/stacks/test_deployed.py::test_the_policies_stand_on_the_queue_the_topic_and_the_buckets"),
    ("any rule may run reconciliation", COMPUTE, drop("ScheduleMayReconcile.Properties.SourceArn"),
     _never("another rule runs reconciliation")),
    ("any account may run reconciliation", COMPUTE, drop("ScheduleMayReconcile.Properties.SourceAccount"),
     _never("another account's rule runs reconciliation")),
    ("the schedule may run processing", COMPUTE,
     put("ScheduleMayReconcile.Properties.FunctionName", {"Ref": "ProcessingLive"}),
     _never("the schedule runs processing")),
    ("anybody may run reconciliation", COMPUTE, put("ScheduleMayReconcile.Properties.Principal", "*"),
     f"{_POLICIES}test_nobody_is_allowed_by_being_anybody"),
    ("the schedule may run $LATEST only", COMPUTE,
     put("ScheduleMayReconcile.Properties.FunctionName", {"Ref": "ReconciliationFunction"}),
     _so("the schedule runs reconciliation")),
]  # fmt: skip

DEFECTS = [Defect(*one) for one in (*_TRUSTS, *_ROLES, *_REACHED)]

"""scripts/verify.sh on a deployed platform: all checks pass, nothing is left behind, and each defect is named.

The defects are made by calls of AWS's API, as a person would make them by mistake.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from scripts.deployer.deployment_options import Rollout
from scripts.local import choose_target, gaps, server, target
from scripts.operator.platform import Platform as OperatedPlatform
from scripts.verify import alarms, cli, dead_letters, notifications, payments, runner, schedule, traces
from scripts.verify import run as runs
from scripts.verify.read_only import WriteRefused, refuse_writes
from scripts.verify.results import Check, Status, run_check
from scripts.verify.run import Run
from stacks import settings
from stacks.monitoring.alarms import ALARMS
from tests.e2e.conftest import ENVIRONMENT, Platform, deploy_platform
from tests.e2e.situations import policy_arn, put_document, read_policy, reconcile, without_permission
from tests.emitted import ROOT
from tests.ops.situations import COMPOSITE, create_composite_alarm

pytestmark = pytest.mark.e2e

BOOTSTRAP = {"PermissionsBoundary": "platform"}
SETTINGS_FILE = Path(__file__).with_name("environments.toml")
RULE, QUEUE_KEY = f"rule-sfn-payment-reconciliation-{ENVIRONMENT}", f"alias/sqs-payment-dlq-{ENVIRONMENT}"
FUNCTION, ALARM = f"lambda-payment-processing-{ENVIRONMENT}", f"alarm-reviews-{ENVIRONMENT}"
# Those of every environment: the settings of local have no backups.
ALARM_COUNT = sum(not alarm.condition for alarm in ALARMS)
READS = {
    "CloudFormation": {"DescribeStackDriftDetectionStatus", "DescribeStacks", "DetectStackDrift", "ListStackResources"},
    "CloudWatch": {"DescribeAlarms", "GetMetricStatistics", "ListTagsForResource"},
    "CloudWatch Logs": {"DescribeLogGroups", "DescribeMetricFilters", "ListTagsForResource"},
    "DynamoDB": {"DescribeContinuousBackups", "DescribeTable", "ListTagsOfResource"},
    "EventBridge": {"DescribeRule", "ListTagsForResource", "ListTargetsByRule"},
    "IAM": {"GetPolicy", "GetPolicyVersion", "GetRole", "ListAttachedRolePolicies", "ListRolePolicies"},
    "KMS": {"DescribeKey", "GetKeyPolicy", "GetKeyRotationStatus", "ListResourceTags"},
    "Lambda": {"GetAlias", "GetFunction", "GetFunctionConfiguration", "ListVersionsByFunction"},
    "S3": {"GetBucketEncryption", "GetBucketPolicy", "GetBucketTagging", "GetBucketVersioning", "GetPublicAccessBlock"},
    "SFN": {"DescribeStateMachine", "ListTagsForResource"},
    "SNS": {"GetSubscriptionAttributes", "GetTopicAttributes", "ListSubscriptionsByTopic", "ListTagsForResource"},
    "SQS": {"GetQueueAttributes", "ListQueueTags"},
    "STS": {"GetCallerIdentity"},
}  # fmt: skip


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with server.run_server(wait_scale=0.02) as running:
        platform = deploy_platform(target.emulator_target(running), BOOTSTRAP)
        reconcile(platform)  # for a heartbeat
        # A run gives an alarm back the state in which it found it.
        for _ in range(200):
            if "ALARM" not in read_alarm_states(platform).values():
                break
            time.sleep(0.1)
        yield platform


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the emulator, messages and logs arrive within seconds or never."""
    monkeypatch.setattr(schedule, "FIRST_HEARTBEAT_SECONDS", 5)
    monkeypatch.setattr(schedule, "UNDELIVERED_SECONDS", 0)
    for module, name in (
        (payments, "NOTIFICATION_SECONDS"),
        (alarms, "NOTIFICATION_SECONDS"),
        (dead_letters, "LETTER_SECONDS"),
        (traces, "LOG_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 3)
    monkeypatch.setattr(alarms, "BACK_SECONDS", 0)
    monkeypatch.setattr(traces, "TRACE_SECONDS", 0)
    monkeypatch.setattr(notifications, "_READ_SECONDS", 0)
    monkeypatch.setattr(runs, "LONGEST_PAUSE_SECONDS", 0.2)


def make_run(platform: Platform, **changes: Any) -> Run:
    parameters = settings.load(ENVIRONMENT, SETTINGS_FILE) | changes.pop("settings", {})
    operated = OperatedPlatform(ENVIRONMENT, changes.pop("target", platform.target), "verify")
    return Run(operated, parameters, Rollout(), BOOTSTRAP, **changes)


def run_checks(platform: Platform, *groups: str, **changes: Any) -> list[Check]:
    return runner.run_groups(make_run(platform, **changes), runner.select_groups(groups))


def select_problems(checks: Sequence[Check]) -> dict[str, str]:
    return {
        f"{check.group}: {check.name}": check.observation
        for check in checks
        if check.status in (Status.FAILED, Status.UNKNOWN)
    }


def read_alarm_states(platform: Platform) -> dict[str, str]:
    described = platform.client("cloudwatch").describe_alarms()["MetricAlarms"]
    # The alarms of dead letters depend on other tests.
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in described if "dead-letters" not in alarm["AlarmName"]}


def test_all_checks_are_ok_and_nothing_is_left_behind(platform: Platform) -> None:
    sqs, sns = platform.client("sqs"), platform.client("sns")
    dead_letters = sqs.get_queue_url(QueueName=f"payment-dlq-{ENVIRONMENT}")["QueueUrl"]
    sqs.send_message(QueueUrl=dead_letters, MessageBody='{"transaction_id": "VERIFYING-somebody-else"}')
    subscribed = sns.list_subscriptions()["Subscriptions"]

    run = make_run(platform)
    checks = runner.run_groups(run, runner.select_groups([]))

    assert select_problems(checks) == {}
    counts = {status: sum(check.status is status for check in checks) for status in Status}
    # Checks are skipped for gaps of the emulator, and for resources that the settings switch off.
    by_settings = {
        "resources: subscription",
        "resources: backups",
        "backups: a backup on demand",
        "resources: traffic shift",
    }
    skipped = {f"{check.group}: {check.name}": check.observation for check in checks if check.status is Status.SKIPPED}
    assert {name for name, reason in skipped.items() if not reason.startswith("the emulator ")} == by_settings
    assert counts[Status.OK] >= 38
    assert [json.loads(letter["Body"])["transaction_id"] for letter in receive_messages(platform, dead_letters)] == [
        "VERIFYING-somebody-else"
    ]
    assert sns.list_subscriptions()["Subscriptions"] == subscribed
    assert not [url for url in sqs.list_queues().get("QueueUrls", []) if "payment-verify" in url]
    in_alarm = [name for name, state in read_alarm_states(platform).items() if state == "ALARM"]
    assert in_alarm == []
    assert run.cleanup.problems == []


def test_ctrl_c_leaves_nothing_behind(platform: Platform) -> None:
    """The run waits for the failed payment, which leaves its dead letter later."""
    run, sns = make_run(platform), platform.client("sns")
    subscribed = sns.list_subscriptions()["Subscriptions"]

    def interrupt(check: Check) -> None:
        if check.group == "alarms":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run_groups(run, runner.select_groups(["payments", "alarms"]), interrupt)
    dead_letters = platform.client("sqs").get_queue_url(QueueName=f"payment-dlq-{ENVIRONMENT}")["QueueUrl"]
    platform.follow(run.executions["failed"])
    assert run.name not in json.dumps(receive_messages(platform, dead_letters))
    assert sns.list_subscriptions()["Subscriptions"] == subscribed
    assert run.cleanup.problems == []


def receive_messages(platform: Platform, url: str) -> list[dict[str, Any]]:
    answer = platform.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    return list(answer.get("Messages", []))


@contextmanager
def alarm_without_actions(platform: Platform) -> Iterator[None]:
    cloudwatch = platform.client("cloudwatch")
    (described,) = cloudwatch.describe_alarms(AlarmNames=[ALARM])["MetricAlarms"]
    names = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    properties = {name: value for name, value in described.items() if name in names}
    cloudwatch.put_metric_alarm(**properties | {"AlarmActions": [], "OKActions": []})
    yield
    cloudwatch.put_metric_alarm(**properties)


@contextmanager
def key_statement_removed(platform: Platform) -> Iterator[None]:
    kms = platform.client("kms")
    key = kms.describe_key(KeyId=QUEUE_KEY)["KeyMetadata"]["KeyId"]
    policy = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    reduced = json.loads(policy)
    reduced["Statement"] = [
        statement for statement in reduced["Statement"] if statement["Sid"] != "ScheduleDeadLetters"
    ]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(reduced))
    yield
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)


@contextmanager
def schedule_disabled(platform: Platform) -> Iterator[None]:
    platform.client("events").disable_rule(Name=RULE)
    yield
    platform.client("events").enable_rule(Name=RULE)


@contextmanager
def boundary_widened(platform: Platform) -> Iterator[None]:
    """The boundary permits everything."""
    iam, arn = platform.client("iam"), f"arn:aws:iam::{server.ACCOUNT}:policy/policy-payment-boundary-local"
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    statement = {"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}
    put_document(iam, arn, document | {"Statement": [*document["Statement"], statement]})
    yield
    put_document(iam, arn, document)


@contextmanager
def version_published(platform: Platform) -> Iterator[None]:
    """A version was published, and the alias still points to the previous one."""
    functions = platform.client("lambda")
    before = functions.get_function_configuration(FunctionName=FUNCTION)["Description"]
    functions.update_function_configuration(FunctionName=FUNCTION, Description="changed by hand")
    version = functions.publish_version(FunctionName=FUNCTION)["Version"]
    yield
    functions.delete_function(FunctionName=FUNCTION, Qualifier=version)
    functions.update_function_configuration(FunctionName=FUNCTION, Description=before)


@contextmanager
def queue_policy_removed(platform: Platform) -> Iterator[None]:
    """The queue has no policy: TLS is not required, and the schedule's dead letters are refused."""
    sqs = platform.client("sqs")
    url = sqs.get_queue_url(QueueName=f"payment-dlq-{ENVIRONMENT}")["QueueUrl"]
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


@contextmanager
def bucket_policy_removed(platform: Platform) -> Iterator[None]:
    """The bucket of artifacts has no policy: TLS is not required, and artifacts may be overwritten."""
    s3, bucket = platform.client("s3"), f"payment-artifacts-{server.ACCOUNT}-{server.REGION}"
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=bucket)
    yield
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)


@contextmanager
def log_retention_changed(platform: Platform) -> Iterator[None]:
    logs = platform.client("logs")
    logs.put_retention_policy(logGroupName=f"/aws/lambda/{FUNCTION}", retentionInDays=365)
    yield
    logs.put_retention_policy(logGroupName=f"/aws/lambda/{FUNCTION}", retentionInDays=1)


@contextmanager
def subscriber_added(platform: Platform) -> Iterator[None]:
    sns, topic = platform.client("sns"), platform.outputs["SnsTopicArn"]
    arn = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="me@example.com", ReturnSubscriptionArn=True)
    yield
    sns.unsubscribe(SubscriptionArn=arn["SubscriptionArn"])


@contextmanager
def key_alias_moved(platform: Platform) -> Iterator[None]:
    """The alias of the logs' key was moved to a key that encrypts nothing."""
    kms, alias = platform.client("kms"), f"alias/cloudwatch-logs-{ENVIRONMENT}"
    key = kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=alias, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    yield
    kms.update_alias(AliasName=alias, TargetKeyId=key)


@contextmanager
def schedule_without_permission(platform: Platform) -> Iterator[None]:
    """The only statement of the policy allows another action."""
    iam, policy = platform.client("iam"), read_policy(platform, "schedule")
    other = json.loads(json.dumps(policy).replace("states:StartExecution", "states:StopExecution"))
    assert other != policy
    put_document(iam, policy_arn("schedule"), other)
    yield
    put_document(iam, policy_arn("schedule"), policy)


Defect = Callable[[Platform], AbstractContextManager[None]]
DEFECTS: dict[str, tuple[Defect, tuple[str, ...], dict[str, str]]] = {
    "a permission of a role": (
        lambda platform: without_permission(platform, "validation", "dynamodb:PutItem"),
        ("access", "payments"),
        {
            "access: policies of the roles": "policy-lambda-validation-local: statement RecordPayments is missing",
            "payments: completed": "role-lambda-validation-local was denied the action; see 'policies of the roles'",
        },
    ),
    # The emulator does not enforce the permission, so only the policy shows the defect.
    "a permission of the workflow": (
        lambda platform: without_permission(platform, "workflow", "sqs:SendMessage"),
        ("access",),
        {"access: policies of the roles": "sfn-payment-workflow-local: statement DeadLetterPayments is missing"},
    ),
    "the permission of the schedule": (
        schedule_without_permission,
        ("access",),
        {
            "access: policies of the roles": (
                "policy-events-payment-reconciliation-local: StartReconciliation lacks Action states:StartExecution"
            )
        },
    ),
    "an alarm's action": (
        alarm_without_actions,
        ("resources", "alarms"),
        {
            "resources: alarms": f"{ALARM}: AlarmActions is not set, must be",
            f"alarms: {ALARM_COUNT} alarms send notifications": f"{ALARM} sent no notification",
        },
    ),
    "a statement of a key": (
        key_statement_removed,
        ("keys",),
        {"keys: state, rotation, policies": f"key of {QUEUE_KEY}: statement ScheduleDeadLetters is missing"},
    ),
    "the schedule": (
        schedule_disabled,
        ("resources", "schedule"),
        {
            "resources: schedule": f"{RULE}: State is DISABLED, must be ENABLED",
            "schedule: heartbeat of reconciliation": f"{RULE} is DISABLED",
        },
    ),
    "the boundary of the account": (
        boundary_widened,
        ("account",),
        {"account: roles and policies": "policy-payment-boundary-local: statement Everything is not in the template"},
    ),
    "the policy of the bucket of artifacts": (
        bucket_policy_removed,
        ("account",),
        {"account: buckets and their policies": "statement OnlyOverTLS is missing"},
    ),
    "the live version": (
        version_published,
        ("versions",),
        {f"versions: live {FUNCTION}": f"{FUNCTION}: live is version 1, the newest published one is 2"},
    ),
    "the queue's policy": (
        queue_policy_removed,
        ("resources",),
        {"resources: dead-letter queues and their policies": "statement OnlyOverTLS is missing"},
    ),
    "the retention of a log": (
        log_retention_changed,
        ("resources",),
        {"resources: log groups": f"{FUNCTION}: RetentionInDays is 365, must be 1"},
    ),
    "an uninvited subscriber": (
        subscriber_added,
        ("notifications",),
        {"notifications: subscribers": "me@example.com is subscribed to the topic, and not by the stack"},
    ),
    "the alias of a key": (
        key_alias_moved,
        ("keys",),
        {f"keys: alias/cloudwatch-logs-{ENVIRONMENT}": "TargetKeyId is"},
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_named_and_nothing_else(defect: str, platform: Platform) -> None:
    make_defect, groups, expected = DEFECTS[defect]
    with make_defect(platform):
        checks = run_checks(platform, *groups)
    failed = select_problems(checks)
    for name, words in expected.items():
        assert words in failed.get(name, "ok"), f"{name}: {failed}"
    # Without the permission all payments fail.
    unexpected = {name for name in failed if not name.startswith("payments: ")} - set(expected)
    assert unexpected == set()


def subscriber_settings(platform: Platform) -> dict[str, str]:
    """Return the settings of the deployed subscriber; the settings file has none."""
    return {name: platform.parameters[name] for name in ("NotificationProtocol", "NotificationEndpoint")}


def test_a_subscription_without_its_dead_letter_queue_is_named(platform: Platform) -> None:
    sns, topic = platform.client("sns"), platform.outputs["SnsTopicArn"]
    (subscription,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    redrive = {"SubscriptionArn": subscription["SubscriptionArn"], "AttributeName": "RedrivePolicy"}
    attributes = sns.get_subscription_attributes(SubscriptionArn=redrive["SubscriptionArn"])["Attributes"]
    sns.set_subscription_attributes(**redrive, AttributeValue="{}")
    try:
        problems = select_problems(run_checks(platform, "resources", settings=subscriber_settings(platform)))
    finally:
        sns.set_subscription_attributes(**redrive, AttributeValue=attributes["RedrivePolicy"])
    assert set(problems) == {"resources: subscription"}
    assert "RedrivePolicy.deadLetterTargetArn is not set, must be arn:" in problems["resources: subscription"]


def test_a_composite_alarm_follows_its_members(platform: Platform) -> None:
    """The test creates the alarm by the rule of the template, because the emulator's CloudFormation does not."""
    cloudwatch, name = platform.client("cloudwatch"), f"{COMPOSITE}-{ENVIRONMENT}"
    create_composite_alarm(platform)
    try:
        (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        # Failed payments of other tests may set off the other members.
        (rule,) = [part for part in alarm["AlarmRule"].split(" OR ") if "validation-throttles" in part]
        for actions, status in (([platform.outputs["SnsTopicArn"]], Status.OK), ([], Status.FAILED)):
            cloudwatch.put_composite_alarm(AlarmName=name, AlarmRule=rule, AlarmActions=actions)
            run = make_run(platform, settings={"CompositeAlarm": "true"})
            path = "Monitoring/PaymentsFailingAlarm"
            run.expected[path] = replace(run.expected[path], physical_id=name)
            for member in run.select_resources("AWS::CloudWatch::Alarm"):
                if "validation-throttles" not in member.physical_id:
                    del run.expected[member.path]
            (*_, check) = runner.run_groups(run, runner.select_groups(["alarms"]))
            assert check.status is status, check.observation
    finally:
        cloudwatch.delete_alarms(AlarmNames=[name])


def test_read_only_makes_no_call_but_the_reviewed_reads(platform: Platform) -> None:
    calls: dict[str, set[str]] = {}

    def record(model: Any, **_: Any) -> None:
        calls.setdefault(str(model.service_model.service_id), set()).add(model.name)

    emulator = target.emulator_target(server.Server(0, int(platform.target.endpoint_url.rsplit(":", 1)[1]), ""))  # type: ignore[union-attr]
    emulator.session.events.register("before-call", record)
    checks = run_checks(platform, target=emulator, read_only=True, settings=subscriber_settings(platform))
    assert select_problems(checks) == {}
    assert calls == READS


def test_a_write_in_a_run_that_must_not_write_is_refused(platform: Platform) -> None:
    emulator = target.emulator_target(server.Server(0, int(platform.target.endpoint_url.rsplit(":", 1)[1]), ""))  # type: ignore[union-attr]
    refuse_writes(emulator.session)
    with pytest.raises(WriteRefused, match=r"cloudwatch:SetAlarmState is not a read"):
        emulator.client("cloudwatch").set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="")
    emulator.client("cloudwatch").describe_alarms()


@pytest.mark.nightly
def test_every_gap_of_the_emulator_is_still_one(platform: Platform) -> None:
    """When this fails a release has closed a gap: delete its entry."""
    _, execution = platform.pay()
    run = make_run(platform, target=replace(platform.target, gaps={}))
    checks = runner.run_groups(run, runner.select_groups(["account", "resources", "schedule"]))
    run.stopped.clear()
    run.executions["completed"], run.traces["completed"] = (
        execution.execution_arn,
        "1-67891233-abcdef012345678912345678",
    )
    checks.append(run_check("traces", "workflow log", traces.check_workflow_log, run))
    checks.append(run_check("traces", "X-Ray traces", traces.check_traces, run))
    problems = select_problems(checks)
    observations = " ".join(problems.values())
    for name in gaps.PROPERTIES:
        assert name.rsplit(".", 1)[1] in observations, name
    assert {name.split(": ", 1)[1] for name in problems} >= set(gaps.SERVICES)


def invoke_command(platform: Platform, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    # With requests of its own, as in a process of its own: the platform's target has deployed.
    monkeypatch.setattr(choose_target, "reach_environment", lambda *_, **__: dataclasses.replace(platform.target))
    return CliRunner().invoke(cli.main, [ENVIRONMENT, "--settings", str(SETTINGS_FILE), *arguments])


def test_the_json_document_is_as_its_schema_says(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke_command(platform, monkeypatch, "--yes", "--json", "--only", "stacks", "--only", "notifications")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    schema = json.loads((ROOT / "docs" / "verify-output.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
    assert {check["group"] for check in document["checks"]} == {"stacks", "notifications"}


def test_it_announces_what_it_will_do_and_does_nothing_without_a_yes(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = platform.client("sqs").list_queues().get("QueueUrls")
    result = invoke_command(platform, monkeypatch)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "verify: cannot ask for confirmation without a terminal; run it in a terminal or add --yes"
    )
    for words in (
        "on the AWS emulator: about 1 min, ",
        "start 7 executions",
        "may page, every subscriber",
        f"set {ALARM_COUNT} alarms",
    ):
        assert words in result.stderr
    assert platform.client("sqs").list_queues().get("QueueUrls") == before


def test_a_failed_check_is_exit_code_2(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    with schedule_disabled(platform):
        result = invoke_command(platform, monkeypatch, "--read-only", "--only", "schedule")
    assert result.exit_code == 2
    assert "1 failed" in result.stdout
    assert "Nothing is written (--read-only" in result.stderr

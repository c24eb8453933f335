"""scripts/verify.sh on a deployed platform: all is well, it leaves nothing behind, and each defect is named.

What it expects comes from the committed templates and settings, what it sees from the emulator: a defect is made by
AWS's own calls, as somebody's mistake would be.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from scripts.deployer.rollout import Rollout
from scripts.local import gaps, server, target
from scripts.operator.platform import Platform as Operated
from scripts.verify import alarms, cli, dead_letters, notifications, payments, runner, schedule, traces
from scripts.verify import place as places
from scripts.verify.place import Place
from scripts.verify.read_only import WriteRefused, guard
from scripts.verify.results import Check, Status, run
from stacks import settings
from tests.e2e.conftest import ENVIRONMENT, Platform, deployed
from tests.e2e.situations import RECONCILIATION, put_document, reconcile, without
from tests.emitted import ROOT
from tests.ops.situations import COMPOSITE, make_composite_alarm

pytestmark = pytest.mark.e2e

BOOTSTRAP = {"PermissionsBoundary": "platform"}
SETTINGS_FILE = Path(__file__).with_name("environments.toml")
RULE, QUEUE_KEY = f"rule-payment-reconciliation-{ENVIRONMENT}", f"alias/sqs-payment-dlq-{ENVIRONMENT}"
FUNCTION, ALARM = f"lambda-payment-processing-{ENVIRONMENT}", f"alarm-reviews-{ENVIRONMENT}"
READS = {
    "CloudFormation": {"DescribeStackDriftDetectionStatus", "DescribeStacks", "DetectStackDrift", "ListStackResources"},
    "CloudWatch": {"DescribeAlarms", "GetMetricStatistics", "ListTagsForResource"},
    "CloudWatch Logs": {"DescribeLogGroups", "DescribeMetricFilters", "ListTagsForResource"},
    "DynamoDB": {"DescribeContinuousBackups", "DescribeTable", "ListTagsOfResource"},
    "EventBridge": {"DescribeRule", "ListTagsForResource", "ListTargetsByRule"},
    "IAM": {"GetPolicy", "GetPolicyVersion", "GetRole", "ListAttachedRolePolicies", "ListRolePolicies"},
    "KMS": {"DescribeKey", "GetKeyPolicy", "GetKeyRotationStatus", "ListResourceTags"},
    "Lambda": {"GetAlias", "GetFunction", "GetFunctionConfiguration", "GetPolicy", "ListVersionsByFunction"},
    "SFN": {"DescribeStateMachine", "ListTagsForResource"},
    "SNS": {"GetSubscriptionAttributes", "GetTopicAttributes", "ListSubscriptionsByTopic", "ListTagsForResource"},
    "SQS": {"GetQueueAttributes", "ListQueueTags"},
    "STS": {"GetCallerIdentity"},
}  # fmt: skip


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with server.run_server(wait_scale=0.02) as running:
        platform = deployed(target.emulator_target(running), BOOTSTRAP)
        reconcile(platform)  # for a heartbeat, as its schedule does within five minutes
        yield platform


@pytest.fixture(autouse=True)
def _soon_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not come here within some seconds never does."""
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
    monkeypatch.setattr(places, "LONGEST_PAUSE_SECONDS", 0.2)


def place_of(platform: Platform, **changes: Any) -> Place:
    parameters = settings.load(ENVIRONMENT, SETTINGS_FILE) | changes.pop("settings", {})
    operated = Operated(ENVIRONMENT, changes.pop("target", platform.target), "verify")
    return Place(operated, parameters, Rollout(), BOOTSTRAP, **changes)


def verify(platform: Platform, *groups: str, **changes: Any) -> list[Check]:
    return runner.run(place_of(platform, **changes), runner.selected(groups))


def problems(checks: Sequence[Check]) -> dict[str, str]:
    return {f"{one.group}: {one.name}": one.seen for one in checks if one.status in (Status.FAILED, Status.UNKNOWN)}


def alarm_states(platform: Platform) -> dict[str, str]:
    described = platform.client("cloudwatch").describe_alarms()["MetricAlarms"]
    # It follows what this test itself does, whenever they are evaluated.
    return {one["AlarmName"]: one["StateValue"] for one in described if "dead-letters" not in one["AlarmName"]}


def test_all_is_well_and_nothing_is_left_behind(platform: Platform) -> None:
    sqs, sns = platform.client("sqs"), platform.client("sns")
    dead_letters = sqs.get_queue_url(QueueName=f"payment-dlq-{ENVIRONMENT}")["QueueUrl"]
    sqs.send_message(QueueUrl=dead_letters, MessageBody='{"transaction_id": "VERIFYING-somebody-else"}')
    subscribed = sns.list_subscriptions()["Subscriptions"]

    place = place_of(platform)
    checks = runner.run(place, runner.selected([]))

    assert problems(checks) == {}
    counts = {status: sum(check.status is status for check in checks) for status in Status}
    # Skipped is what the emulator lacks, by its table, and what the settings turn off.
    by_settings = {"resources: subscription", "resources: backups", "backups: a backup on demand"}
    skipped = {f"{one.group}: {one.name}": one.seen for one in checks if one.status is Status.SKIPPED}
    assert {name for name, reason in skipped.items() if not reason.startswith("the emulator ")} == by_settings
    assert counts[Status.OK] >= 38
    assert [json.loads(letter["Body"])["transaction_id"] for letter in received(platform, dead_letters)] == [
        "VERIFYING-somebody-else"
    ]
    assert sns.list_subscriptions()["Subscriptions"] == subscribed
    assert not [url for url in sqs.list_queues().get("QueueUrls", []) if "payment-verify" in url]
    assert "ALARM" not in alarm_states(platform).values()
    assert place.cleanup.problems == []


def test_ctrl_c_leaves_nothing_behind(platform: Platform) -> None:
    """The failed payment still runs then, and leaves its dead letter later: that is waited for."""
    place, sns = place_of(platform), platform.client("sns")
    subscribed = sns.list_subscriptions()["Subscriptions"]

    def interrupt(check: Check) -> None:
        if check.group == "alarms":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(place, runner.selected(["payments", "alarms"]), interrupt)
    dead_letters = platform.client("sqs").get_queue_url(QueueName=f"payment-dlq-{ENVIRONMENT}")["QueueUrl"]
    platform.follow(place.executions["failed"])
    assert place.run_name not in json.dumps(received(platform, dead_letters))
    assert sns.list_subscriptions()["Subscriptions"] == subscribed
    assert place.cleanup.problems == []


def received(platform: Platform, url: str) -> list[dict[str, Any]]:
    answer = platform.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    return list(answer.get("Messages", []))


@contextmanager
def without_actions(platform: Platform) -> Iterator[None]:
    cloudwatch = platform.client("cloudwatch")
    (described,) = cloudwatch.describe_alarms(AlarmNames=[ALARM])["MetricAlarms"]
    names = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    whole = {name: value for name, value in described.items() if name in names}
    cloudwatch.put_metric_alarm(**whole | {"AlarmActions": [], "OKActions": []})
    yield
    cloudwatch.put_metric_alarm(**whole)


@contextmanager
def without_key_statement(platform: Platform) -> Iterator[None]:
    kms = platform.client("kms")
    key = kms.describe_key(KeyId=QUEUE_KEY)["KeyMetadata"]["KeyId"]
    policy = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    less = json.loads(policy)
    less["Statement"] = [one for one in less["Statement"] if one["Sid"] != "ScheduleDeadLetters"]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(less))
    yield
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)


@contextmanager
def disabled_schedule(platform: Platform) -> Iterator[None]:
    platform.client("events").disable_rule(Name=RULE)
    yield
    platform.client("events").enable_rule(Name=RULE)


@contextmanager
def without_permission_to_invoke(platform: Platform) -> Iterator[None]:
    functions, live = platform.client("lambda"), {"FunctionName": RECONCILIATION, "Qualifier": "live"}
    (statement,) = json.loads(functions.get_policy(**live)["Policy"])["Statement"]
    functions.remove_permission(**live, StatementId=statement["Sid"])
    yield
    functions.add_permission(
        **live,
        StatementId=statement["Sid"],
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=f"arn:aws:events:{server.REGION}:{server.ACCOUNT}:rule/{RULE}",
        SourceAccount=server.ACCOUNT,
    )


@contextmanager
def wider_boundary(platform: Platform) -> Iterator[None]:
    """Somebody let the roles of the platform do everything."""
    iam, arn = platform.client("iam"), f"arn:aws:iam::{server.ACCOUNT}:policy/policy-payment-boundary-local"
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    everything = {"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}
    put_document(iam, arn, document | {"Statement": [*document["Statement"], everything]})
    yield
    put_document(iam, arn, document)


@contextmanager
def newer_version(platform: Platform) -> Iterator[None]:
    """Somebody published a version, and the alias was not moved to it."""
    functions = platform.client("lambda")
    before = functions.get_function_configuration(FunctionName=FUNCTION)["Description"]
    functions.update_function_configuration(FunctionName=FUNCTION, Description="changed by hand")
    version = functions.publish_version(FunctionName=FUNCTION)["Version"]
    yield
    functions.delete_function(FunctionName=FUNCTION, Qualifier=version)
    functions.update_function_configuration(FunctionName=FUNCTION, Description=before)


@contextmanager
def open_queue(platform: Platform) -> Iterator[None]:
    """The queue's policy is gone: nobody has to use TLS, and the schedule's dead letters are refused."""
    sqs = platform.client("sqs")
    url = sqs.get_queue_url(QueueName=f"payment-dlq-{ENVIRONMENT}")["QueueUrl"]
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


@contextmanager
def kept_for_long(platform: Platform) -> Iterator[None]:
    logs = platform.client("logs")
    logs.put_retention_policy(logGroupName=f"/aws/lambda/{FUNCTION}", retentionInDays=365)
    yield
    logs.put_retention_policy(logGroupName=f"/aws/lambda/{FUNCTION}", retentionInDays=1)


@contextmanager
def second_subscriber(platform: Platform) -> Iterator[None]:
    sns, topic = platform.client("sns"), platform.outputs["SnsTopicArn"]
    arn = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="me@example.com", ReturnSubscriptionArn=True)
    yield
    sns.unsubscribe(SubscriptionArn=arn["SubscriptionArn"])


@contextmanager
def another_key(platform: Platform) -> Iterator[None]:
    """The alias of the logs' key was moved to a key that encrypts nothing."""
    kms, alias = platform.client("kms"), f"alias/cloudwatch-logs-{ENVIRONMENT}"
    key = kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=alias, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    yield
    kms.update_alias(AliasName=alias, TargetKeyId=key)


Defect = Callable[[Platform], AbstractContextManager[None]]
DEFECTS: dict[str, tuple[Defect, tuple[str, ...], dict[str, str]]] = {
    "a permission of a role": (
        lambda platform: without(platform, "validation", "dynamodb:PutItem"),
        ("access", "payments"),
        {
            "access: policies of the roles": "policy-lambda-validation-local: statement RecordPayments is missing",
            "payments: completed": "role-lambda-validation-local lacks a permission, see 'policies of the roles'",
        },
    ),
    # The emulator lets the workflow send all the same: only the policy tells.
    "a permission of the workflow": (
        lambda platform: without(platform, "workflow", "sqs:SendMessage"),
        ("access",),
        {
            "access: policies of the roles": "sfn-payment-workflow-local: statement DeadLetterPayments is missing",
        },
    ),
    "an alarm's action": (
        without_actions,
        ("resources", "alarms"),
        {
            "resources: alarms": f"{ALARM}: AlarmActions is not set, must be",
            "alarms: 22 alarms send notifications": f"{ALARM} sent no notification",
        },
    ),
    "a statement of a key": (
        without_key_statement,
        ("keys",),
        {"keys: state, rotation, policies": f"key of {QUEUE_KEY}: statement ScheduleDeadLetters is missing"},
    ),
    "the schedule": (
        disabled_schedule,
        ("resources", "schedule"),
        {
            "resources: schedule": f"{RULE}: State is DISABLED, must be ENABLED",
            "schedule: heartbeat of reconciliation": f"{RULE} is DISABLED",
        },
    ),
    "the permission of the schedule": (
        without_permission_to_invoke,
        ("access",),
        {"access: EventBridge may invoke": "ScheduleMayReconcile"},
    ),
    "the boundary of the account": (
        wider_boundary,
        ("account",),
        {"account: roles and policies": "policy-payment-boundary-local: statement Everything is not in the template"},
    ),
    "the live version": (
        newer_version,
        ("versions",),
        {f"versions: live {FUNCTION}": f"{FUNCTION}: live is version 1, the newest published one is 2"},
    ),
    "the queue's policy": (
        open_queue,
        ("resources",),
        {"resources: dead-letter queues and their policies": "statement OnlyOverTLS is missing"},
    ),
    "the retention of a log": (
        kept_for_long,
        ("resources",),
        {"resources: log groups": f"{FUNCTION}: RetentionInDays is 365, must be 1"},
    ),
    "an uninvited subscriber": (
        second_subscriber,
        ("notifications",),
        {"notifications: subscribers": "me@example.com is subscribed to the topic, and not by the stack"},
    ),
    "the alias of a key": (
        another_key,
        ("keys",),
        {f"keys: alias/cloudwatch-logs-{ENVIRONMENT}": "TargetKeyId is"},
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_named_and_nothing_else_is(defect: str, platform: Platform) -> None:
    make, groups, expected = DEFECTS[defect]
    with make(platform):
        checks = verify(platform, *groups)
    failed = problems(checks)
    for name, words in expected.items():
        assert words in failed.get(name, "ok"), f"{name}: {failed}"
    # A payment that cannot be recorded fails, whatever it was to become.
    others = {name for name in failed if not name.startswith("payments: ")} - set(expected)
    assert others == set()


def subscriber(platform: Platform) -> dict[str, str]:
    """The settings of the subscriber that the platform was deployed with; the settings file has none."""
    return {name: platform.parameters[name] for name in ("NotificationProtocol", "NotificationEndpoint")}


def test_a_subscription_without_its_dead_letter_queue_is_named(platform: Platform) -> None:
    sns, topic = platform.client("sns"), platform.outputs["SnsTopicArn"]
    (subscription,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    redrive = {"SubscriptionArn": subscription["SubscriptionArn"], "AttributeName": "RedrivePolicy"}
    attributes = sns.get_subscription_attributes(SubscriptionArn=redrive["SubscriptionArn"])["Attributes"]
    sns.set_subscription_attributes(**redrive, AttributeValue="{}")
    try:
        seen = problems(verify(platform, "resources", settings=subscriber(platform)))
    finally:
        sns.set_subscription_attributes(**redrive, AttributeValue=attributes["RedrivePolicy"])
    assert set(seen) == {"resources: subscription"}
    assert "RedrivePolicy.deadLetterTargetArn is not set, must be arn:" in seen["resources: subscription"]


def test_a_composite_alarm_follows_its_members(platform: Platform) -> None:
    """The emulator's CloudFormation makes none, so this makes it of the template's rule."""
    cloudwatch, name = platform.client("cloudwatch"), f"{COMPOSITE}-{ENVIRONMENT}"
    make_composite_alarm(platform)
    try:
        (made,) = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        # A failed payment of another test may set the others off at any moment, and then it is in ALARM, too.
        (rule,) = [part for part in made["AlarmRule"].split(" OR ") if "validation-throttles" in part]
        for actions, status in (([platform.outputs["SnsTopicArn"]], Status.OK), ([], Status.FAILED)):
            cloudwatch.put_composite_alarm(AlarmName=name, AlarmRule=rule, AlarmActions=actions)
            place = place_of(platform, settings={"CompositeAlarm": "true"})
            path = "Monitoring/PaymentsFailingAlarm"
            place.expected[path] = replace(place.expected[path], physical_id=name)
            for other in [*place.of_type("AWS::CloudWatch::Alarm")]:
                if "validation-throttles" not in other.physical_id:
                    del place.expected[other.path]
            (*_, check) = runner.run(place, runner.selected(["alarms"]))
            assert check.status is status, check.seen
    finally:
        cloudwatch.delete_alarms(AlarmNames=[name])


def test_read_only_makes_no_call_but_the_reviewed_reads(platform: Platform) -> None:
    calls: dict[str, set[str]] = {}

    def record(model: Any, **_: Any) -> None:
        calls.setdefault(str(model.service_model.service_id), set()).add(model.name)

    to = target.emulator_target(server.Server(0, int(platform.target.endpoint_url.rsplit(":", 1)[1]), ""))  # type: ignore[union-attr]
    to.session.events.register("before-call", record)
    checks = verify(platform, target=to, read_only=True, settings=subscriber(platform))
    assert problems(checks) == {}
    assert calls == READS


def test_a_write_in_a_run_that_must_not_write_is_refused(platform: Platform) -> None:
    to = target.emulator_target(server.Server(0, int(platform.target.endpoint_url.rsplit(":", 1)[1]), ""))  # type: ignore[union-attr]
    guard(to.session)
    with pytest.raises(WriteRefused, match=r"cloudwatch:SetAlarmState is not a read"):
        to.client("cloudwatch").set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="")
    to.client("cloudwatch").describe_alarms()


def test_every_gap_of_the_emulator_is_still_one(platform: Platform) -> None:
    """When this fails a release has closed a gap: delete its entry."""
    _, paid = platform.pay()
    place = place_of(platform, target=replace(platform.target, gaps={}))
    checks = runner.run(place, runner.selected(["resources", "schedule"]))
    place.stopped.clear()
    place.executions["completed"], place.traces["completed"] = paid.execution_arn, "1-67891233-abcdef012345678912345678"
    checks.append(run("traces", "workflow log", traces._workflow_log, place))
    checks.append(run("traces", "X-Ray traces", traces._traces, place))
    seen = problems(checks)
    told = " ".join(seen.values())
    for name in gaps.PROPERTIES:
        assert f": {name.rsplit('.', 1)[1]} " in told or name.rsplit(".", 1)[1] in told, name
    assert {name.split(": ", 1)[1] for name in seen} >= set(gaps.SERVICES)


def command(platform: Platform, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setattr(cli, "reach_environment", lambda *_, **__: platform.target)
    return CliRunner().invoke(cli.main, [ENVIRONMENT, "--settings", str(SETTINGS_FILE), *arguments])


def test_the_json_document_is_as_its_schema_says(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    result = command(platform, monkeypatch, "--yes", "--json", "--only", "stacks", "--only", "notifications")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    schema = json.loads((ROOT / "docs" / "verify-output.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
    assert {check["group"] for check in document["checks"]} == {"stacks", "notifications"}


def test_it_says_what_it_will_do_and_does_nothing_without_a_yes(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = platform.client("sqs").list_queues().get("QueueUrls")
    result = command(platform, monkeypatch)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "verify: cannot ask for confirmation without a terminal; run it in a terminal or add --yes"
    )
    for words in (
        "on the AWS emulator: about 1 min, ",
        "start 7 executions",
        "may page, every subscriber",
        "set 22 alarms",
    ):
        assert words in result.stderr
    assert platform.client("sqs").list_queues().get("QueueUrls") == before


def test_a_failed_check_is_exit_code_2(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    with disabled_schedule(platform):
        result = command(platform, monkeypatch, "--read-only", "--only", "schedule")
    assert result.exit_code == 2
    assert "1 failed" in result.stdout
    assert "Nothing is written (--read-only" in result.stderr

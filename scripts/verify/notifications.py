"""The subscribers of the topic; and a mailbox, a temporary queue that receives the notifications."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

from awacs import sqs as actions
from awacs.aws import Allow, ArnEquals, Bool, Condition, Deny, PolicyDocument, Principal, Statement
from botocore.exceptions import ClientError

from scripts.common.clients import SubscriptionTypeDef
from scripts.common.suggestion import complete_aws_commands
from scripts.operator.executions import parse_object
from stacks import names

from .results import MISSING, Check, Failed, Skipped, run_check
from .run import Run

GROUP = "notifications"
QUEUE_PREFIX = "payment-verify-"
# SQS deletes the messages after this time if the process is killed.
RETENTION_SECONDS = 3600
_READ_SECONDS = 2


def checks(run: Run) -> Iterator[Check]:
    yield run_check(GROUP, "subscribers", check_subscribers, run)


def check_subscribers(run: Run) -> str:
    """Check that the stack's subscription is confirmed and the only one, because subscribers learn about payments."""
    parameters = run.tree.stack.parameters
    endpoint, protocol = (parameters.get(name, "") for name in ("NotificationEndpoint", "NotificationProtocol"))
    # The queue of this run is subscribed, unless the run only reads.
    mailbox = ("sqs", run.mailbox.arn if run.mailbox else "")
    subscriptions = [
        subscription
        for subscription in _list_subscriptions(run, find_topic_arn(run))
        if (subscription["Protocol"], subscription["Endpoint"]) != mailbox
    ]
    invited = [
        subscription
        for subscription in subscriptions
        if (subscription["Protocol"], subscription["Endpoint"]) == (protocol, endpoint)
    ]
    if uninvited := [
        _describe_uninvited(run, subscription) for subscription in subscriptions if subscription not in invited
    ]:
        raise Failed("; ".join(uninvited))
    if not endpoint:
        raise Skipped("the settings name no notification_endpoint: nobody is notified of failures")
    if not invited:
        raise Failed(f"{endpoint} is not subscribed")
    if not all(subscription["SubscriptionArn"].startswith("arn:") for subscription in invited):
        raise Failed(f"{endpoint} has not confirmed the subscription: SNS sends nothing to it until then")
    return f"{endpoint}, confirmed"


def _list_subscriptions(run: Run, topic: str) -> Iterator[SubscriptionTypeDef]:
    for page in run.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic):
        yield from page["Subscriptions"]


def _describe_uninvited(run: Run, subscription: SubscriptionTypeDef) -> str:
    """Name the subscriber, and for a queue of an earlier run the command that removes it."""
    endpoint = subscription["Endpoint"]
    if subscription["Protocol"] != "sqs" or not endpoint.startswith(_queue_arn(run, QUEUE_PREFIX)):
        return f"{endpoint} is subscribed to the topic, and not by the stack"
    region = run.platform.target.region
    name = endpoint.rsplit(":", 1)[-1]
    url = f'"$(aws sqs get-queue-url --region {region} --queue-name {name} --query QueueUrl --output text)"'
    return complete_aws_commands(
        f"{endpoint} is subscribed to the topic by another run of this command. Once that run has ended, remove it: "
        f"aws sns unsubscribe --region {region} --subscription-arn {subscription['SubscriptionArn']} && "
        f"aws sqs delete-queue --region {region} --queue-url {url}"
    )


def _queue_arn(run: Run, name: str) -> str:
    target = run.platform.target
    partition = target.pseudo_parameters()["AWS::Partition"]
    return f"arn:{partition}:sqs:{target.region}:{target.account}:{name}"


def find_topic_arn(run: Run) -> str:
    return next(topic.physical_id for topic in run.select_resources("AWS::SNS::Topic"))


class Mailbox:
    """Receives what the topic publishes after ``subscribe_queue``, and keeps all messages in memory."""

    def __init__(self, run: Run) -> None:
        self._place, self._sqs = run, run.platform.target.client("sqs")
        self._lock = threading.Lock()
        self._messages: list[dict[str, Any]] = []
        self.queue_name = f"{QUEUE_PREFIX}{run.id}"
        self.url = self.arn = self._subscription = ""

    def subscribe_queue(self) -> None:
        """Create the queue and subscribe it. The run's cleanup undoes both."""
        run, topic = self._place, find_topic_arn(self._place)
        self.arn = _queue_arn(run, self.queue_name)
        run.cleanup.make_change(
            f"delete the queue {self.queue_name}", partial(self._create_queue, topic), self._delete_queue
        )
        run.cleanup.make_change(
            f"unsubscribe the queue {self.queue_name}",
            partial(self._create_subscription, topic),
            partial(self._delete_subscription, topic),
        )

    def _create_queue(self, topic: str) -> None:
        self.url = self._sqs.create_queue(
            QueueName=self.queue_name,
            Attributes={
                "SqsManagedSseEnabled": "true",
                "MessageRetentionPeriod": str(RETENTION_SECONDS),
                # Set at creation: a later change takes up to a minute, and SNS does not retry what the queue refuses.
                # https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
                "Policy": _make_queue_policy(topic, self.arn).to_json(),
            },
            tags={"ManagedBy": "payment-platform-verify", "Environment": self._place.environment},
        )["QueueUrl"]

    def _delete_queue(self) -> None:
        """Delete the queue; by its name if the answer with its URL was lost."""
        try:
            url = self.url or self._sqs.get_queue_url(QueueName=self.queue_name)["QueueUrl"]
            self._sqs.delete_queue(QueueUrl=url)
        except ClientError as error:
            if error.response["Error"]["Code"] not in MISSING:
                raise

    def _create_subscription(self, topic: str) -> None:
        answer = self._place.client("sns").subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=self.arn, ReturnSubscriptionArn=True
        )
        self._subscription = answer["SubscriptionArn"]

    def _delete_subscription(self, topic: str) -> None:
        """Delete the subscription; by its endpoint if the answer with its ARN was lost."""
        subscription = self._subscription or self._find_subscription(topic)
        if subscription:
            self._place.client("sns").unsubscribe(SubscriptionArn=subscription)

    def _find_subscription(self, topic: str) -> str:
        return next(
            (
                subscription["SubscriptionArn"]
                for subscription in _list_subscriptions(self._place, topic)
                if (subscription["Protocol"], subscription["Endpoint"]) == ("sqs", self.arn)
            ),
            "",
        )

    def receive_messages(self) -> list[dict[str, Any]]:
        """Return all messages so far, each with its ``attributes`` by name. Takes up to two seconds."""
        with self._lock:
            answer = self._sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=_READ_SECONDS)
            for message in answer.get("Messages", []):
                envelope = parse_object(message["Body"])
                attributes = envelope.get("MessageAttributes", {})
                self._messages.append(
                    parse_object(str(envelope.get("Message", "")))
                    | {"attributes": {name: attribute.get("Value") for name, attribute in attributes.items()}}
                )
                self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
            return list(self._messages)


def open_mailbox(run: Run) -> None:
    mailbox = Mailbox(run)
    mailbox.subscribe_queue()
    run.mailbox = mailbox


def _make_queue_policy(topic: str, queue: str) -> PolicyDocument:
    """https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html"""
    return PolicyDocument(
        Version="2012-10-17",
        Statement=[
            Statement(
                Effect=Allow,
                Principal=Principal("Service", "sns.amazonaws.com"),
                Action=[actions.SendMessage],
                Resource=[queue],
                Condition=Condition([ArnEquals({"aws:SourceArn": topic})]),
            ),
            Statement(
                Effect=Deny,
                Principal=Principal("*"),
                Action=[actions.Action("*")],
                Resource=[queue],
                Condition=Condition([Bool({"aws:SecureTransport": "false"})]),
            ),
        ],
    )


def wait_for_notification(run: Run, execution_arn: str, outcome: str, seconds: float) -> dict[str, Any]:
    """Return the notification of an execution. Raises ``Failed`` if there is none, or without the filter attributes."""

    def read_notifications() -> list[dict[str, Any]]:
        return [message for message in run.mailbox.receive_messages() if message.get("execution_arn") == execution_arn]

    received: list[dict[str, Any]] = run.wait_for(read_notifications, seconds)
    if not received:
        raise Failed(
            f"no notification within {seconds:.0f} s; see PublishNotices and UseTopicKeyThroughSNS of "
            f"{run.resource_name(names.WORKFLOW_ROLE)}, and the policy of {run.resource_name(names.SNS_KEY_ALIAS)}"
        )
    attributes = received[0]["attributes"]
    expected = {"outcome": outcome, "environment": run.environment}
    if any(attributes.get(name) != value for name, value in expected.items()):
        raise Failed(f"the notification has the attributes {json.dumps(attributes)}, must have {json.dumps(expected)}")
    return received[0]

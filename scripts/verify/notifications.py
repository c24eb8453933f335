"""Who is notified; and a mailbox to see the notifications: a temporary queue that is subscribed to the topic."""

import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from awacs import sqs as actions
from awacs.aws import Allow, ArnEquals, Bool, Condition, Deny, PolicyDocument, Principal, Statement

from scripts.operator.executions import parse_object
from stacks import names

from .place import Place
from .results import Check, Failed, Skipped, run

GROUP = "notifications"
QUEUE_PREFIX = "payment-verify-"
# What is left in the queue if this process is killed is gone after that.
RETENTION_SECONDS = 3600
_READ_SECONDS = 2


def checks(place: Place) -> Iterator[Check]:
    yield run(GROUP, "subscribers", _subscribers, place)


def _subscribers(place: Place) -> str:
    """The stack's subscription, confirmed, and nobody else's: each subscriber learns of payments."""
    parameters = place.tree.stack.parameters
    endpoint, protocol = (parameters.get(name, "") for name in ("NotificationEndpoint", "NotificationProtocol"))
    pages = place.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic_arn(place))
    # This run's queue is subscribed by now, unless the run only reads.
    mailbox = ("sqs", place.mailbox.arn if place.mailbox else "")
    subscriptions = [
        subscription
        for page in pages
        for subscription in page["Subscriptions"]
        if (subscription["Protocol"], subscription["Endpoint"]) != mailbox
    ]
    invited = [each for each in subscriptions if (each["Protocol"], each["Endpoint"]) == (protocol, endpoint)]
    if uninvited := [_describe_uninvited(place, each) for each in subscriptions if each not in invited]:
        raise Failed("; ".join(uninvited))
    if not endpoint:
        raise Skipped("the settings name no notification_endpoint: nobody is notified of failures")
    if not invited:
        raise Failed(f"{endpoint} is not subscribed")
    if not all(subscription["SubscriptionArn"].startswith("arn:") for subscription in invited):
        raise Failed(f"{endpoint} has not confirmed the subscription: SNS sends it nothing until then")
    return f"{endpoint}, confirmed"


def _describe_uninvited(place: Place, subscription: Mapping[str, str]) -> str:
    """Who is subscribed; for a queue that an earlier run left, the command that removes it."""
    endpoint = subscription["Endpoint"]
    if subscription["Protocol"] != "sqs" or not endpoint.startswith(_queue_arn(place, QUEUE_PREFIX)):
        return f"{endpoint} is subscribed to the topic, and not by the stack"
    region = place.platform.target.region
    name = endpoint.rsplit(":", 1)[-1]
    url = f'"$(aws sqs get-queue-url --region {region} --queue-name {name} --query QueueUrl --output text)"'
    return (
        f"{endpoint} is subscribed to the topic by another run of this command. Once that run has ended, remove it: "
        f"aws sns unsubscribe --region {region} --subscription-arn {subscription['SubscriptionArn']} && "
        f"aws sqs delete-queue --region {region} --queue-url {url}"
    )


def _queue_arn(place: Place, name: str) -> str:
    target = place.platform.target
    partition = target.pseudo_parameters()["AWS::Partition"]
    return f"arn:{partition}:sqs:{target.region}:{target.account}:{name}"


def topic_arn(place: Place) -> str:
    return next(topic.physical_id for topic in place.of_type("AWS::SNS::Topic"))


class Mailbox:
    """Hears what the topic publishes, from ``open`` to the end of the run. Its messages are kept in memory."""

    def __init__(self, place: Place) -> None:
        self._place, self._sqs = place, place.platform.target.client("sqs")
        self._lock = threading.Lock()
        self._messages: list[dict[str, Any]] = []
        self.queue_name = f"{QUEUE_PREFIX}{place.run_id}"
        self.url = self.arn = ""

    def open(self) -> None:
        """Make the queue and subscribe it. Both are undone by the run's cleanup."""
        place, topic = self._place, topic_arn(self._place)
        self.arn = _queue_arn(place, self.queue_name)
        self.url = self._sqs.create_queue(
            QueueName=self.queue_name,
            Attributes={
                "SqsManagedSseEnabled": "true",
                "MessageRetentionPeriod": str(RETENTION_SECONDS),
                # From the beginning: SNS does not send again what a queue refused, and a change takes up to a minute.
                # https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
                "Policy": _only_from(topic, self.arn).to_json(),
            },
            tags={"ManagedBy": "payment-platform-verify", "Environment": place.environment},
        )["QueueUrl"]
        place.cleanup.add(f"delete the queue {self.queue_name}", self._delete_queue)
        sns = place.client("sns")
        answer = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self.arn, ReturnSubscriptionArn=True)
        subscription = answer["SubscriptionArn"]
        place.cleanup.add(
            f"unsubscribe the queue {self.queue_name}", lambda: sns.unsubscribe(SubscriptionArn=subscription)
        )

    def _delete_queue(self) -> None:
        self._sqs.delete_queue(QueueUrl=self.url)

    def messages(self) -> list[dict[str, Any]]:
        """All so far: each with ``attributes`` by name, and what the publisher sent. Takes up to two seconds."""
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


def open_mailbox(place: Place) -> None:
    mailbox = Mailbox(place)
    mailbox.open()
    place.mailbox = mailbox


def _only_from(topic: str, queue: str) -> PolicyDocument:
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


def notification_of(place: Place, execution_arn: str, outcome: str, seconds: float) -> dict[str, Any]:
    """Raises ``Failed`` when no notification of the execution arrives, or one without what subscribers filter by."""

    def probe() -> list[dict[str, Any]]:
        return [message for message in place.mailbox.messages() if message.get("execution_arn") == execution_arn]

    received: list[dict[str, Any]] = place.wait(probe, seconds)
    if not received:
        raise Failed(
            f"no notification within {seconds:.0f} s; see PublishNotices and UseTopicKeyThroughSNS of "
            f"{place.named(names.WORKFLOW_ROLE)}, and the policy of {place.named(names.SNS_KEY_ALIAS)}"
        )
    attributes = received[0]["attributes"]
    expected = {"outcome": outcome, "environment": place.environment}
    if any(attributes.get(name) != value for name, value in expected.items()):
        raise Failed(f"the notification has the attributes {json.dumps(attributes)}, must have {json.dumps(expected)}")
    return received[0]

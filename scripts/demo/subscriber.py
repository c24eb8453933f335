"""A queue that receives the platform's notifications, as a team's own system would."""

from typing import Any

from awacs import sqs as actions
from awacs.aws import Allow, ArnEquals, Condition, PolicyDocument, Principal, Statement

from scripts.common.clients import SQSClient
from scripts.operator.executions import parse_object

NAME = "payment-notices"


def create_queue(sqs: SQSClient, topic_arn: str) -> tuple[str, str]:
    """Create a queue to which only this topic may send, and return its URL and ARN."""
    url = sqs.create_queue(QueueName=NAME)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = Statement(
        Effect=Allow,
        Principal=Principal("Service", "sns.amazonaws.com"),
        Action=[actions.SendMessage],
        Resource=[arn],
        Condition=Condition([ArnEquals({"aws:SourceArn": topic_arn})]),
    )
    policy = PolicyDocument(Version="2012-10-17", Statement=[statement])
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy.to_json()})
    return url, arn


def receive_objects(sqs: SQSClient, url: str) -> list[dict[str, Any]]:
    """Receive and delete all messages of a queue, and return those that are JSON objects; anybody may send others."""
    bodies = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages"):
        for message in messages:
            bodies.append(parse_object(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [body for body in bodies if body]

"""A queue that receives the platform's notices, as a team's own system would."""

import json
from collections.abc import Callable
from typing import Any

from awacs import sqs as actions
from awacs.aws import Allow, ArnEquals, Condition, PolicyDocument, Principal, Statement

NAME = "payment-notices"


def create(sqs: Any, topic_arn: str) -> tuple[str, str]:
    """URL and ARN of a queue that only this topic may send to."""
    url = sqs.create_queue(QueueName=NAME)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = PolicyDocument(
        Version="2012-10-17",
        Statement=[
            Statement(
                Effect=Allow,
                Principal=Principal("Service", "sns.amazonaws.com"),
                Action=[actions.SendMessage],
                Resource=[arn],
                Condition=Condition([ArnEquals({"aws:SourceArn": topic_arn})]),
            )
        ],
    )
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy.to_json()})
    return url, arn


def collect(
    sqs: Any, queue_url: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True, *, leave: bool = False
) -> list[dict[str, Any]]:
    """The messages of a queue that are ``wanted``, as JSON. These are deleted, others come back after a while.

    With ``leave`` none is deleted, and everybody may see them again at once.
    """
    bodies, seen = [], []
    ask = {"QueueUrl": queue_url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1}
    while messages := sqs.receive_message(**ask).get("Messages"):
        for message in messages:
            body = json.loads(message["Body"])
            if wanted(body):
                bodies.append(body)
                if not leave:
                    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            seen.append(message["ReceiptHandle"])
    for receipt in seen if leave else ():
        sqs.change_message_visibility(QueueUrl=queue_url, ReceiptHandle=receipt, VisibilityTimeout=0)
    return bodies

"""A queue that receives the platform's notices, as a team's own system would."""

from typing import Any

from awacs import sqs as actions
from awacs.aws import Allow, ArnEquals, Condition, PolicyDocument, Principal, Statement

from scripts.operator.dead_letters import parsed

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


def collect(sqs: Any, queue_url: str) -> list[dict[str, Any]]:
    """Take away the messages of a queue; those that are JSON objects. Others may have sent whatever they liked."""
    bodies = []
    ask = {"QueueUrl": queue_url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1}
    while messages := sqs.receive_message(**ask).get("Messages"):
        for message in messages:
            bodies.append(parsed(message["Body"]))
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return [body for body in bodies if body]

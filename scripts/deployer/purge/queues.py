"""SQS queues."""

from typing import Any

from .leftover import Leftover, format_count

_TYPE = "AWS::SQS::Queue"
_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


class Queues:
    name_property = "QueueName"
    loss = "its messages"

    def __init__(self, client: Any) -> None:
        self._client = client

    def find(self, name: str) -> Leftover | None:
        try:
            url = self._client.get_queue_url(QueueName=name)["QueueUrl"]
            tags = self._client.list_queue_tags(QueueUrl=url).get("Tags", {})
            counts = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))["Attributes"]
        except self._client.exceptions.QueueDoesNotExist:
            return None
        messages = sum(int(counts.get(each, 0)) for each in _COUNTS)
        return Leftover(_TYPE, name, url, tags, f"about {format_count(messages, 'message')}")

    def delete(self, leftover: Leftover) -> None:
        """The name is free 60 seconds later.

        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html
        """
        self._client.delete_queue(QueueUrl=leftover.id)

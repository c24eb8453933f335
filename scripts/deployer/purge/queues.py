"""SQS queues."""

from scripts.common.clients import SQSClient

from .leftover import Leftover, format_count

_TYPE = "AWS::SQS::Queue"


class Queues:
    name_property = "QueueName"
    loss = "its messages"

    def __init__(self, client: SQSClient) -> None:
        self._client = client

    def find(self, name: str) -> Leftover | None:
        try:
            url = self._client.get_queue_url(QueueName=name)["QueueUrl"]
            tags = self._client.list_queue_tags(QueueUrl=url).get("Tags", {})
            counts = self._client.get_queue_attributes(
                QueueUrl=url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                    "ApproximateNumberOfMessagesDelayed",
                ],
            )["Attributes"]
        except self._client.exceptions.QueueDoesNotExist:
            return None
        contents = f"about {format_count(sum(map(int, counts.values())), 'message')}"
        return Leftover(_TYPE, name, url, tags, contents)

    def delete(self, leftover: Leftover) -> None:
        """Delete the queue, whose name is free 60 seconds later.

        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html
        """
        self._client.delete_queue(QueueUrl=leftover.id)

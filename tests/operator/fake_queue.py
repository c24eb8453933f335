"""A queue that keeps receipts as SQS does: each receipt of a message makes the earlier ones worthless."""

from typing import Any

from botocore.exceptions import ClientError


class Queue:
    """``clock`` is turned by the test. Messages are hidden and shown again by it."""

    def __init__(self, *bodies: str) -> None:
        self.clock = 0.0
        self.bodies = {str(n): body for n, body in enumerate(bodies)}
        self._visible_at = dict.fromkeys(self.bodies, 0.0)
        self._receipts: dict[str, str] = {}
        self._received = 0

    @property
    def visible(self) -> list[str]:
        return [one for one in self.bodies if self._visible_at[one] <= self.clock]

    def receive_message(self, MaxNumberOfMessages: int, VisibilityTimeout: int, **_: Any) -> dict[str, Any]:
        messages = []
        for one in self.visible[:MaxNumberOfMessages]:
            self._received += 1
            self._visible_at[one] = self.clock + VisibilityTimeout
            self._receipts[one] = f"{one}/{self._received}"
            messages.append({"MessageId": one, "Body": self.bodies[one], "ReceiptHandle": self._receipts[one]})
        return {"Messages": messages} if messages else {}

    def change_message_visibility(self, ReceiptHandle: str, VisibilityTimeout: int, **_: Any) -> None:
        one = ReceiptHandle.partition("/")[0]
        if one not in self.bodies or self._receipts.get(one) != ReceiptHandle or one in self.visible:
            error = {"Code": "AWS.SimpleQueueService.MessageNotInflight", "Message": "not in flight"}
            raise ClientError({"Error": error}, "ChangeMessageVisibility")  # type: ignore[typeddict-item]
        self._visible_at[one] = self.clock + VisibilityTimeout

    def change_message_visibility_batch(self, Entries: list[Any], **_: Any) -> dict[str, Any]:
        assert 1 <= len(Entries) <= 10
        failed = []
        for entry in Entries:
            try:
                self.change_message_visibility(entry["ReceiptHandle"], entry["VisibilityTimeout"])
            except ClientError:
                failed.append({"Id": entry["Id"]})
        return {"Failed": failed}

    def delete_message(self, ReceiptHandle: str, **_: Any) -> None:
        """It succeeds with an old receipt, too, and deletes nothing."""
        one = ReceiptHandle.partition("/")[0]
        if self._receipts.get(one) == ReceiptHandle:
            del self.bodies[one]

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        hidden = len(self.bodies) - len(self.visible)
        return {"Attributes": {"ApproximateNumberOfMessagesNotVisible": str(hidden)}}

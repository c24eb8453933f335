"""A queue with receipts like those of SQS: a new receipt of a message invalidates the earlier ones."""

from typing import Any

from botocore.exceptions import ClientError

from tests.service_models import follow_model


@follow_model("sqs")
class FakeQueue:
    """The test advances ``clock``, by which messages become visible again."""

    def __init__(self, *bodies: str) -> None:
        self.clock = 0.0
        self.bodies = {str(n): body for n, body in enumerate(bodies)}
        self._visible_at = dict.fromkeys(self.bodies, 0.0)
        self._receipts: dict[str, str] = {}
        self._received = 0

    @property
    def visible_ids(self) -> list[str]:
        return [message_id for message_id in self.bodies if self._visible_at[message_id] <= self.clock]

    def receive_message(self, MaxNumberOfMessages: int, VisibilityTimeout: int = 30, **_: Any) -> dict[str, Any]:
        messages = []
        for message_id in self.visible_ids[:MaxNumberOfMessages]:
            self._received += 1
            self._visible_at[message_id] = self.clock + VisibilityTimeout
            receipt = self._receipts[message_id] = f"{message_id}/{self._received}"
            messages.append({"MessageId": message_id, "Body": self.bodies[message_id], "ReceiptHandle": receipt})
        return {"Messages": messages} if messages else {}

    def change_message_visibility(self, ReceiptHandle: str, VisibilityTimeout: int, **_: Any) -> None:
        self._hide_message(ReceiptHandle, VisibilityTimeout)

    def change_message_visibility_batch(self, Entries: list[Any], **_: Any) -> dict[str, Any]:
        assert 1 <= len(Entries) <= 10
        changed, failed = [], []
        for entry in Entries:
            try:
                self._hide_message(entry["ReceiptHandle"], entry["VisibilityTimeout"])
                changed.append({"Id": entry["Id"]})
            except ClientError as error:
                code = error.response["Error"]["Code"]
                failed.append({"Id": entry["Id"], "SenderFault": True, "Code": code})
        return {"Successful": changed, "Failed": failed}

    def delete_message(self, ReceiptHandle: str, **_: Any) -> None:
        """Succeed with an old receipt, too, without deleting anything."""
        message_id = ReceiptHandle.partition("/")[0]
        if self._receipts.get(message_id) == ReceiptHandle:
            del self.bodies[message_id]

    def get_queue_attributes(self, AttributeNames: list[str], **_: Any) -> dict[str, Any]:
        counts = {
            "ApproximateNumberOfMessages": len(self.visible_ids),
            "ApproximateNumberOfMessagesNotVisible": len(self.bodies) - len(self.visible_ids),
        }
        return {"Attributes": {name: str(counts[name]) for name in AttributeNames}}

    def _hide_message(self, receipt: str, seconds: int) -> None:
        message_id = receipt.partition("/")[0]
        is_valid = message_id in self.bodies and self._receipts.get(message_id) == receipt
        if not is_valid or message_id in self.visible_ids:
            error = {"Code": "AWS.SimpleQueueService.MessageNotInflight", "Message": "not in flight"}
            raise ClientError({"Error": error}, "ChangeMessageVisibility")  # type: ignore[typeddict-item]
        self._visible_at[message_id] = self.clock + seconds

"""Sends notices to the topic and dead letters to the queue, in the form that the state machine uses."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from payments.errors import NoticeNotSent
from payments.payment import Payment, Status

from adapters import clients

# The errors by which the workflow reports the same statuses.
_ERRORS = {Status.FAILED: "PaymentGivenUp", Status.REVIEW: "ReviewNeeded"}


def create_client(service: str) -> Any:
    # Few attempts, because many payments may wait behind one notice that cannot be sent.
    return clients.create_client(service, connect_seconds=2, read_seconds=5, attempts=2)


class TopicAndQueue:
    """The notices of one environment. They contain only ids and codes, because they leave the encrypted table."""

    def __init__(self, topic_arn: str, queue_url: str, environment: str, sns: Any, sqs: Any) -> None:
        self._topic_arn, self._queue_url, self._environment = topic_arn, queue_url, environment
        self._sns, self._sqs = sns, sqs

    def announce(self, payment: Payment) -> None:
        """Publish a notice, with attributes that subscribers can filter by. Raises ``NoticeNotSent``."""
        message = {
            "kind": "payment",
            "notice_id": payment.notice_id,
            "transaction_id": payment.transaction_id,
            "status": payment.status,
            "reasons": list(payment.reasons),
            "failure": payment.failure or "",
            "execution_arn": payment.execution_arn,
        }
        attributes = {"outcome": payment.outcome, "payment_status": payment.status, "environment": self._environment}
        self._send_message(
            self._sns.publish,
            payment,
            TopicArn=self._topic_arn,
            Subject=f"Payment {payment.outcome}",
            Message=json.dumps(message),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )

    def dead_letter(self, payment: Payment) -> None:
        """Send a dead letter for an operator. Raises ``NoticeNotSent``."""
        letter = {
            "notice_id": payment.notice_id,
            "transaction_id": payment.transaction_id,
            "payment_status": payment.status,
            "state": "Reconciliation",
            "error": _ERRORS[payment.status],
            "cause": payment.failure or "",
            "execution_arn": payment.execution_arn,
            "timestamp": datetime.fromtimestamp(payment.updated_at, UTC).isoformat(timespec="milliseconds"),
        }
        self._send_message(self._sqs.send_message, payment, QueueUrl=self._queue_url, MessageBody=json.dumps(letter))

    def _send_message(self, operation: Callable[..., Any], payment: Payment, **arguments: Any) -> None:
        try:
            operation(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise NoticeNotSent(f"transaction {payment.transaction_id}: {type(error).__name__}") from None

"""Notices on the topic, as the state machine publishes them."""

import json
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError
from payments.errors import NoticeNotSent
from payments.payment import Payment


def client() -> Any:
    return botocore.session.get_session().create_client("sns")


class Topic:
    def __init__(self, topic_arn: str, environment: str, sns: Any) -> None:
        self._topic_arn, self._environment, self._sns = topic_arn, environment, sns

    def announce(self, payment: Payment) -> None:
        """Tell subscribers what a payment came to: ids and codes, with the outcome as an attribute to filter by.

        Raises ``NoticeNotSent``; the payment is settled all the same.
        """
        message = {
            "transaction_id": payment.transaction_id,
            "status": payment.status,
            "reasons": list(payment.reasons),
            "failure": payment.failure or "",
            "execution_arn": payment.execution,
        }
        attributes = {"outcome": payment.status, "environment": self._environment}
        try:
            self._publish(payment, message, attributes)
        except (ClientError, BotoCoreError) as error:
            raise NoticeNotSent(f"transaction {payment.transaction_id}: {type(error).__name__}") from None

    def _publish(self, payment: Payment, message: dict[str, Any], attributes: dict[str, str]) -> None:
        self._sns.publish(
            TopicArn=self._topic_arn,
            Subject=f"Payment settled: {payment.status}",
            Message=json.dumps(message),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )

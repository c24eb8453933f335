"""The validation function: ``{"request", "execution": {"id", "started_at"}}`` -> the recorded payment."""

import functools
from collections.abc import Mapping
from typing import Any

from adapters import environment
from adapters.environment import read_variable
from payments.errors import InternalError, MalformedRequest
from payments.money import Money
from payments.receive import receive_payment
from payments.rules import Limits

from .events import read_execution_id
from .lambda_handler import clock, describe_payment, log
from .lambda_handler import lambda_handler as lambda_handler

# One for the life of the execution environment, to keep its connection.
get_ledger = functools.cache(environment.build_ledger)


def read_limits() -> Limits:
    try:
        return Limits(
            maximum=parse_amounts(read_variable("MAXIMUM_AMOUNTS")),
            high_value=parse_amounts(read_variable("HIGH_VALUE_AMOUNTS")),
            fraud_score_limit=int(read_variable("FRAUD_SCORE_LIMIT")),
        )
    except ValueError as error:  # settings, not payment data
        raise InternalError(f"the limits are not usable: {error}") from None


def parse_amounts(setting: str) -> dict[str, Money]:
    """Return the amounts of a setting such as ``USD=10000,EUR=9000`` by currency."""
    pairs = (entry.split("=") for entry in setting.split(","))
    return {currency: Money.parse(int(amount), currency) for currency, amount in pairs}


@lambda_handler
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    if "request" not in event:
        raise MalformedRequest("the event must be an object with a request")
    payment = receive_payment(
        event["request"],
        ledger=get_ledger(),
        limits=read_limits(),
        execution=read_execution_id(event),
        current_time=clock(),
        notify_outcomes=environment.notifies_outcomes(),
    )
    log.info(
        "payment validated",
        extra={"transaction_id": payment.transaction_id, "status": payment.status, "reasons": payment.reasons},
    )
    return describe_payment(payment, read_execution_id(event))

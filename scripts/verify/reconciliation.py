"""Reconciliation finalises an open payment: one of this run whose outcome is unknown, made overdue.

It is recorded and charged by the functions themselves, outside the workflow, which would look it up at once. It would
be overdue after five minutes: its times are set back instead, in a write on the condition that it is still UNKNOWN.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

from payments.payment import OVERDUE_SECONDS
from payments.payment import Status as PaymentStatus

from scripts.operator import records
from stacks import names

from .place import Place
from .results import Check, Failed, Skipped, run
from .samples import Sample, open_sample

GROUP = "reconciliation"
SETTLED_SECONDS = 60


def checks(place: Place) -> Iterator[Check]:
    yield run(GROUP, "an open payment is finalised", _finalise, place)


def _finalise(place: Place) -> str:
    if place.settings["Gateway"] != "simulator":
        raise Skipped("Stripe cannot be asked for an unknown outcome")
    sample = open_sample(place.settings)
    transaction_id = sample.request(place.run_name)["transaction_id"]
    _leave_open(place, sample)
    _make_overdue(place, transaction_id)

    def probe() -> bool:
        # The index of open payments follows the table a moment later.
        place.reconciliations += 1
        place.platform.invoke_reconciliation({"action": "reconcile"})
        return records.read_payment(place.platform, transaction_id).status == sample.status

    if not place.wait(probe, SETTLED_SECONDS):
        status = records.read_payment(place.platform, transaction_id).status
        raise Failed(
            f"{transaction_id} is still {status} after {SETTLED_SECONDS} s; see the log of "
            f"{place.named(names.RECONCILIATION_FUNCTION)}, and FindOverduePayments of "
            f"{place.named(names.RECONCILIATION_ROLE)}"
        )
    return f"{transaction_id}: UNKNOWN, then {sample.status} by a lookup at the gateway"


def _leave_open(place: Place, sample: Sample) -> None:
    request = sample.request(place.run_name)
    execution = {"id": f"{place.run_name}-reconciliation"}
    validated = _invoke(place, names.VALIDATION_FUNCTION, {"request": request, "execution": execution})
    charge = {"action": "process", "transaction_id": request["transaction_id"], "execution": execution}
    answer = _invoke(place, names.PROCESSING_FUNCTION, charge | {"record_id": validated.get("record_id", "")})
    if answer.get("errorType") != "ChargeOutcomeUnknown":
        raise Failed(f"the processing function answers {answer.get('errorType') or answer}, must not know the outcome")


def _invoke(place: Place, function: str, event: dict[str, Any]) -> dict[str, Any]:
    answer = place.client("lambda").invoke(
        FunctionName=place.named(function), Qualifier=names.LIVE, Payload=json.dumps(event).encode()
    )
    payload: dict[str, Any] = json.loads(answer["Payload"].read())
    if function == names.VALIDATION_FUNCTION and "FunctionError" in answer:
        raise Failed(f"the validation function fails: {payload.get('errorType')}: {payload.get('errorMessage')}")
    return payload


def _make_overdue(place: Place, transaction_id: str) -> None:
    then = f"{time.time() - OVERDUE_SECONDS[PaymentStatus.UNKNOWN] - 1:.6f}"
    place.client("dynamodb").update_item(
        TableName=place.platform.outputs["DynamodbTableName"],
        Key={"transaction_id": {"S": transaction_id}},
        UpdateExpression="SET updated_at = :then, since = :then, overdue_at = :now",
        ConditionExpression="#status = :unknown",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={
            ":then": {"N": then},
            ":now": {"N": f"{time.time() - 1:.6f}"},
            ":unknown": {"S": PaymentStatus.UNKNOWN},
        },
    )

"""Reconciliation finalises an open payment of this run whose outcome is unknown.

The check invokes the functions itself, because the workflow would look the payment up at once. To make the payment
overdue, it sets its times back, on the condition that it is still UNKNOWN.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

from payments.payment import OVERDUE_SECONDS
from payments.payment import Status as PaymentStatus

from scripts.operator import records
from stacks import names

from .results import Check, Failed, Skipped, run_check
from .run import Run
from .samples import Sample, make_open_sample

GROUP = "reconciliation"
SETTLED_SECONDS = 60


def checks(run: Run) -> Iterator[Check]:
    yield run_check(GROUP, "an open payment is finalised", _check_finalisation, run)


def _check_finalisation(run: Run) -> str:
    if run.settings["Gateway"] != "simulator":
        raise Skipped("Stripe cannot be asked for an unknown outcome")
    sample = make_open_sample(run.settings)
    transaction_id = sample.request(run.name)["transaction_id"]
    _leave_open(run, sample)
    _make_overdue(run, transaction_id)

    def reconcile() -> bool:
        # The index of open payments is eventually consistent.
        run.reconciliations += 1
        run.platform.invoke_reconciliation({"action": "reconcile"})
        return records.read_payment(run.platform, transaction_id).status == sample.status

    if not run.wait_for(reconcile, SETTLED_SECONDS):
        status = records.read_payment(run.platform, transaction_id).status
        raise Failed(
            f"{transaction_id} is still {status} after {SETTLED_SECONDS} s; see the log of "
            f"{run.resource_name(names.RECONCILIATION.name)}, and FindOverduePayments of "
            f"{run.resource_name(names.RECONCILIATION.role)}"
        )
    return f"{transaction_id}: UNKNOWN, then {sample.status} by a lookup at the gateway"


def _leave_open(run: Run, sample: Sample) -> None:
    request = sample.request(run.name)
    execution = {"id": f"{run.name}-reconciliation"}
    validated = _invoke_function(run, names.VALIDATION.name, {"request": request, "execution": execution})
    charge = {"action": "process", "transaction_id": request["transaction_id"], "execution": execution}
    answer = _invoke_function(run, names.PROCESSING.name, charge | {"record_id": validated.get("record_id", "")})
    if answer.get("errorType") != "ChargeOutcomeUnknown":
        raise Failed(f"the processing function answers {answer.get('errorType') or answer}, must not know the outcome")


def _invoke_function(run: Run, function: str, event: dict[str, Any]) -> dict[str, Any]:
    answer = run.make_payment(
        lambda: run.client("lambda").invoke(
            FunctionName=run.resource_name(function), Qualifier=names.LIVE, Payload=json.dumps(event).encode()
        )
    )
    payload: dict[str, Any] = json.loads(answer["Payload"].read())
    if function == names.VALIDATION.name and "FunctionError" in answer:
        raise Failed(f"the validation function fails: {payload.get('errorType')}: {payload.get('errorMessage')}")
    return payload


def _make_overdue(run: Run, transaction_id: str) -> None:
    overdue_since = f"{time.time() - OVERDUE_SECONDS[PaymentStatus.UNKNOWN] - 1:.6f}"
    run.client("dynamodb").update_item(
        TableName=run.platform.outputs["DynamodbTableName"],
        Key={"transaction_id": {"S": transaction_id}},
        UpdateExpression="SET updated_at = :then, since = :then, overdue_at = :now",
        ConditionExpression="#status = :unknown",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={
            ":then": {"N": overdue_since},
            ":now": {"N": f"{time.time() - 1:.6f}"},
            ":unknown": {"S": PaymentStatus.UNKNOWN},
        },
    )

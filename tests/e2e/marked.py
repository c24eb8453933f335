"""Payments that carry marks wherever a payment can carry anything, and every way that they can go."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from payments.errors import MalformedRequest
from payments.payment import Status
from payments.request import read_request

from scripts.operator import dead_letter_queue
from scripts.operator.batch import Batch
from scripts.operator.payment_requests import read_arguments
from scripts.operator.platform import Platform as Operated
from scripts.operator.redrives import Redrives
from tests.e2e.conftest import ENVIRONMENT, Platform
from tests.e2e.situations import DAY, HOUR, leave, without
from tests.payments.stripe_server import MESSAGE, Stripe

CUSTOMER, STRIPE_CUSTOMER, MAJOR_UNITS, METHOD = "CUST-MARKED", "cus_marked", 87391501, "digital_wallet"
CARD, SPELT = "4242424242424242", ("4242-4242-4242-4242", "4242 4242 4242 4242")
NAME, TEXT, CURRENCY = "Marja Markedson", "a MARK", "QZX"
PERSONAL = {
    "card_number": CARD,
    "card_verification": "marked-737",
    "email": "marja@marked.example",
    "name": NAME,
    "marked_field": {"iban": "DE89370400440532013000"},
}
SENT_MARKS = (
    *(CUSTOMER, STRIPE_CUSTOMER, str(MAJOR_UNITS), METHOD, CARD, *SPELT, NAME, TEXT, CURRENCY, "marked-737"),
    *("marja@marked.example", "marked_field", "DE89370400440532013000"),
)
# What only the gateway knows and says.
API_KEY = "sk_test_marked"
MARKS = (*SENT_MARKS, MESSAGE, API_KEY)
# Of a fingerprint, what an execution's name had of it; found wherever all of it stands.
FINGERPRINT_DIGITS = 16
# Executions at the same time.
_AT_ONCE = 3


@dataclass
class Sender:
    """Sends marked payments, and counts the ways they went.

    ``fingerprints`` has the first digits of the plain fingerprint of each request: they give it away to whoever tries
    all amounts.
    """

    platform: Platform
    customer: str = CUSTOMER
    ways: int = 0
    fingerprints: set[str] = field(default_factory=set)
    _running: list[str] = field(default_factory=list)

    def request(self, cents: int = 0, **changes: Any) -> dict[str, Any]:
        return {
            "transaction_id": f"T-{self.ways}",
            "payment_amount": MAJOR_UNITS + cents / 100,
            "payment_method": METHOD,
            "customer_id": self.customer,
        } | changes

    def pay(self, cents: int = 0, **changes: Any) -> dict[str, Any]:
        """A payment of its own, started; its request."""
        request = self.request(cents, **changes)
        self.start(request)
        return request

    def start(self, request: Any) -> None:
        self.ways += 1
        self.remember(request)
        self._running.append(self.platform.start(request))
        self.ended(_AT_ONCE)

    def remember(self, request: Any) -> None:
        """Keep the fingerprint, unless it is of no request."""
        with suppress(MalformedRequest):
            self.fingerprints.add(read_request(request).compute_fingerprint(None)[:FINGERPRINT_DIGITS])

    def ended(self, but: int = 0) -> None:
        """Wait for what was started."""
        while len(self._running) > but:
            self.platform.follow(self._running.pop(0))

    def invoke(self, function: str, event: Any, **options: Any) -> None:
        self.ways += 1
        name = f"lambda-payment-{function}-{ENVIRONMENT}"
        payload = event if isinstance(event, bytes) else json.dumps(event).encode()
        self.platform.client("lambda").invoke(FunctionName=name, Payload=payload, **options)

    def operate(self, action: str, transaction_id: str, **parameters: Any) -> None:
        event = {"action": action, "transaction_id": transaction_id, "operator": "alice", **parameters}
        self.invoke("reconciliation", event)

    def leave(self, status: Status, cents: int, age: float) -> str:
        """A payment as a workflow that died has left it."""
        transaction_id = leave(self.platform, status, cents, age)
        amount, customer = {"N": f"{MAJOR_UNITS}{cents:02}"}, {"S": self.customer}
        self.change(transaction_id, amount_minor=amount, customer_id=customer)
        return transaction_id

    def change(self, transaction_id: str, **values: dict[str, str]) -> None:
        self.ways += 1
        self.platform.client("dynamodb").update_item(
            TableName=self.platform.outputs["DynamodbTableName"],
            Key={"transaction_id": {"S": transaction_id}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
        )


def every_way(send: Sender) -> None:
    """With the simulator as the gateway."""
    for way in (
        *(_outcomes, _commands, _rejections, _no_requests),
        *(_by_hand, _defects, _reconciliation, _asynchronously),
    ):
        way(send)
        send.ended()


def _outcomes(send: Sender) -> None:
    """Each that the simulator knows; then the same again, and another request under the id."""
    requests = [send.pay(cents) for cents in range(8)]
    send.ended()
    for request in (requests[0], requests[1], requests[3], requests[6]):
        send.start(request)
        send.start(request | {"payment_amount": MAJOR_UNITS + 0.5, "customer_id": f"{CUSTOMER}-2"})


def _commands(send: Sender) -> None:
    """As operators start a payment, repeat it, start another under its id, and redrive what failed."""
    operated = Operated(ENVIRONMENT, send.platform.target, "alice")
    transaction_id, executions = f"T-{send.ways}", set()
    for amount in (f"{MAJOR_UNITS}.03", f"{MAJOR_UNITS}.030", f"{MAJOR_UNITS}.04"):
        send.ways += 1
        request = read_arguments(transaction_id, amount, METHOD, send.customer, None)
        send.remember(json.loads(request.body))
        batch = Batch(operated, [request])
        list(batch.send_requests())
        executions |= {result.execution for result in batch.wait_for_outcomes() if result.is_newly_sent}
    for execution_arn in executions:
        send.platform.follow(execution_arn)
    with dead_letter_queue.hold_letters(
        operated, is_selected=lambda letter: letter.transaction_id == transaction_id
    ) as (letter,):
        send.ways += 1
        redriven = Redrives(operated).redrive_letter(letter).removeprefix("started ")
    send.platform.follow(redriven)


def _rejections(send: Sender) -> None:
    send.pay(**PERSONAL)
    for amount in (TEXT, [TEXT], MAJOR_UNITS * 100, -MAJOR_UNITS, MAJOR_UNITS + 0.001):
        send.pay(payment_amount=amount)
    for currency in (TEXT, CURRENCY, [TEXT]):
        send.pay(currency=currency, payment_amount=MAJOR_UNITS + 0.001)
    for method in (TEXT, {TEXT: CARD}, "bank_transfer"):
        send.pay(payment_method=method)
    for customer in (NAME, {"name": NAME}, f"{CARD} "):
        send.pay(customer_id=customer)


def _no_requests(send: Sender) -> None:
    for request in (TEXT, [PERSONAL], int(CARD), PERSONAL):
        send.start(request)
    for transaction_id in (CARD, *SPELT, f"TXN-{CARD}", f"{CARD} of {NAME}", PERSONAL):
        send.pay(transaction_id=transaction_id)
    nested: Any = PERSONAL
    for _ in range(900):
        nested = [nested]
    send.pay(note=nested)
    send.pay(note=TEXT * 5_000)


def _by_hand(send: Sender) -> None:
    """Each function, asked for the wrong thing."""
    request = send.request()
    send.remember(request)
    for event in ({"request": request}, {"request": TEXT}, request, [request], b'{"request": "' + TEXT.encode()):
        send.invoke("validation", event)
    for transaction_id in (CARD, f"{CARD} of {NAME}", PERSONAL, request["transaction_id"], "T-UNKNOWN"):
        event = {"transaction_id": transaction_id, "execution": {"id": "by-hand"}, "record_id": "f", **PERSONAL}
        event |= {"error": "GatewayUnavailable", "request": request, "is_sent": True, "is_dead_lettered": True}
        for action in ("process", "record_failure", "record_notice", TEXT):
            send.invoke("processing", event | {"action": action})
        for new_request in (request, TEXT):
            send.operate("reopen", transaction_id, request=new_request)
        for status in ("COMPLETED", TEXT):
            send.operate("resolve", transaction_id, status=status, reference="sim_1")
        send.operate("refund", transaction_id)


def _defects(send: Sender) -> None:
    """No access to the tables; and an item as nobody expects it, because something else wrote it."""
    for function, action in (("Validation", "dynamodb:PutItem"), ("Processing", "dynamodb:GetItem")):
        with without(send.platform, function, action):
            send.pay()
            send.ended()
    request = send.pay(3)
    send.ended()
    wrong: tuple[dict[str, dict[str, str]], ...] = (
        {"status": {"S": TEXT}},
        {"status": {"S": "COMPLETED"}, "reasons": {"S": TEXT}},
    )
    for values in wrong:
        send.change(request["transaction_id"], **values)
        send.start(request)
        send.operate("refund", request["transaction_id"])


def _reconciliation(send: Sender) -> None:
    """What was left is settled and told, or left to a person, who resolves it; what was charged is given back."""
    for status in (Status.PENDING, Status.PROCESSING, Status.UNKNOWN):
        for cents in (4, 5, 6):
            send.leave(status, cents, HOUR)
    review = send.leave(Status.UNKNOWN, 6, DAY)
    send.leave(Status.UNKNOWN, 6, DAY)
    send.change(send.leave(Status.PROCESSING, 4, HOUR), reasons={"S": TEXT})
    send.invoke("reconciliation", {})
    for status, reference in (("COMPLETED", None), ("COMPLETED", "sim_1"), ("FAILED", None)):
        send.operate("resolve", review, status=status, reference=reference)
    for request in [send.pay(cents) for cents in (0, 8, 9)]:
        send.ended()
        for action in ("refund", "refund", "reopen"):
            send.operate(action, request["transaction_id"], request=request)


def _asynchronously(send: Sender) -> None:
    functions = send.platform.client("lambda")
    for function in ("validation", "processing", "reconciliation"):
        functions.put_function_event_invoke_config(
            FunctionName=f"lambda-payment-{function}-{ENVIRONMENT}", MaximumRetryAttempts=0
        )
        send.invoke(function, {"action": "refund", "transaction_id": CARD, **PERSONAL}, InvocationType="Event")


def every_way_of_stripe(send: Sender, stripe: Stripe) -> None:
    """With an error, whose message repeats what was asked for, at every request that it takes."""
    send.customer = STRIPE_CUSTOMER
    errors = ["unauthorized", "rate_limit", "error_before", "drop_after"]
    faults_of_payments: tuple[dict[str, str | list[str]], ...] = (
        {"list_cards": errors},
        {"create": errors},
        {"confirm": ["rate_limit", "unauthorized", "error_before"], "list_intents": errors},
        {"confirm": "decline", "cancel": "error_before"},
        {"confirm": "action"},
    )
    for faults in faults_of_payments:
        stripe.fail_next(**faults)
        send.pay()
        send.ended()
    for refused in (errors[:3], errors[3:]):
        stripe.fail_next()
        request = send.pay()
        send.ended()
        stripe.fail_next(refund=refused)
        for _ in range(3):
            send.operate("refund", request["transaction_id"])
    for age in (HOUR, DAY):
        send.leave(Status.UNKNOWN, 0, age)
    stripe.fail_next(create="error_before")
    send.invoke("reconciliation", {})

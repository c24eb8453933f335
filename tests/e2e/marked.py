"""Scenarios of payments whose every field contains a marker that a search can find."""

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
from tests.e2e.situations import DAY, HOUR, put_abandoned_payment, without_permission
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
# Markers that only the gateway knows and sends.
API_KEY = "sk_test_marked"
MARKS = (*SENT_MARKS, MESSAGE, API_KEY)
# The length of the beginning of a fingerprint that execution names contained; it finds whole fingerprints as well.
FINGERPRINT_DIGITS = 16
# Executions that run at the same time.
_AT_ONCE = 3


@dataclass
class Sender:
    """Sends payments with markers, and counts the requests and invocations.

    ``fingerprints`` contains the first digits of the plain fingerprint of each request. They reveal the request to
    anyone who tries all amounts.
    """

    platform: Platform
    customer: str = CUSTOMER
    count: int = 0
    fingerprints: set[str] = field(default_factory=set)
    _running: list[str] = field(default_factory=list)

    def make_request(self, cents: int = 0, **changes: Any) -> dict[str, Any]:
        return {
            "transaction_id": f"T-{self.count}",
            "payment_amount": MAJOR_UNITS + cents / 100,
            "payment_method": METHOD,
            "customer_id": self.customer,
        } | changes

    def pay(self, cents: int = 0, **changes: Any) -> dict[str, Any]:
        """Start a payment with a new id, and return its request."""
        request = self.make_request(cents, **changes)
        self.start(request)
        return request

    def start(self, request: Any) -> None:
        self.count += 1
        self.keep_fingerprint(request)
        self._running.append(self.platform.start(request))
        self.wait_for_executions(_AT_ONCE)

    def keep_fingerprint(self, request: Any) -> None:
        """Keep the fingerprint of a request, unless the request is malformed."""
        with suppress(MalformedRequest):
            self.fingerprints.add(read_request(request).compute_fingerprint(None)[:FINGERPRINT_DIGITS])

    def wait_for_executions(self, limit: int = 0) -> None:
        """Wait until at most ``limit`` of the started executions run."""
        while len(self._running) > limit:
            self.platform.follow(self._running.pop(0))

    def invoke_function(self, function: str, event: Any, **options: Any) -> None:
        self.count += 1
        name = f"lambda-payment-{function}-{ENVIRONMENT}"
        payload = event if isinstance(event, bytes) else json.dumps(event).encode()
        self.platform.client("lambda").invoke(FunctionName=name, Payload=payload, **options)

    def run_action(self, action: str, transaction_id: str, **parameters: Any) -> None:
        event = {"action": action, "transaction_id": transaction_id, "operator": "alice", **parameters}
        self.invoke_function("reconciliation", event)

    def put_abandoned_payment(self, status: Status, cents: int, age: float) -> str:
        """Store a payment as a workflow that died has left it, and return its id."""
        transaction_id = put_abandoned_payment(self.platform, status, cents, age)
        amount, customer = {"N": f"{MAJOR_UNITS}{cents:02}"}, {"S": self.customer}
        self.change_item(transaction_id, amount_minor=amount, customer_id=customer)
        return transaction_id

    def change_item(self, transaction_id: str, **values: dict[str, str]) -> None:
        self.count += 1
        self.platform.client("dynamodb").update_item(
            TableName=self.platform.outputs["DynamodbTableName"],
            Key={"transaction_id": {"S": transaction_id}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
        )


def run_scenarios(sender: Sender) -> None:
    """Run every scenario with the simulator as the gateway."""
    for run_scenario in (
        *(_send_each_outcome, _run_commands, _send_rejected_payments, _send_malformed_requests),
        *(_invoke_functions_directly, _cause_internal_errors, _reconcile_payments, _invoke_asynchronously),
    ):
        run_scenario(sender)
        sender.wait_for_executions()


def _send_each_outcome(sender: Sender) -> None:
    """Send a payment for each outcome of the simulator, then repeat it, and send another request with its id."""
    requests = [sender.pay(cents) for cents in range(8)]
    sender.wait_for_executions()
    for request in (requests[0], requests[1], requests[3], requests[6]):
        sender.start(request)
        sender.start(request | {"payment_amount": MAJOR_UNITS + 0.5, "customer_id": f"{CUSTOMER}-2"})


def _run_commands(sender: Sender) -> None:
    """Start a payment as an operator, repeat it, start another with its id, and redrive the failed one."""
    operated = Operated(ENVIRONMENT, sender.platform.target, "alice")
    transaction_id, executions = f"T-{sender.count}", set()
    for amount in (f"{MAJOR_UNITS}.03", f"{MAJOR_UNITS}.030", f"{MAJOR_UNITS}.04"):
        sender.count += 1
        request = read_arguments(transaction_id, amount, METHOD, sender.customer, None)
        sender.keep_fingerprint(json.loads(request.body))
        batch = Batch(operated, [request])
        list(batch.send_requests())
        executions |= {result.execution for result in batch.wait_for_outcomes() if result.is_newly_sent}
    for execution_arn in executions:
        sender.platform.follow(execution_arn)
    with dead_letter_queue.hold_letters(
        operated, is_selected=lambda letter: letter.transaction_id == transaction_id
    ) as (letter,):
        sender.count += 1
        redriven = Redrives(operated).redrive_letter(letter).removeprefix("started ")
    sender.platform.follow(redriven)


def _send_rejected_payments(sender: Sender) -> None:
    sender.pay(**PERSONAL)
    for amount in (TEXT, [TEXT], MAJOR_UNITS * 100, -MAJOR_UNITS, MAJOR_UNITS + 0.001):
        sender.pay(payment_amount=amount)
    for currency in (TEXT, CURRENCY, [TEXT]):
        sender.pay(currency=currency, payment_amount=MAJOR_UNITS + 0.001)
    for method in (TEXT, {TEXT: CARD}, "bank_transfer"):
        sender.pay(payment_method=method)
    for customer in (NAME, {"name": NAME}, f"{CARD} "):
        sender.pay(customer_id=customer)


def _send_malformed_requests(sender: Sender) -> None:
    for request in (TEXT, [PERSONAL], int(CARD), PERSONAL):
        sender.start(request)
    for transaction_id in (CARD, *SPELT, f"TXN-{CARD}", f"{CARD} of {NAME}", PERSONAL):
        sender.pay(transaction_id=transaction_id)
    nested: Any = PERSONAL
    for _ in range(900):
        nested = [nested]
    sender.pay(note=nested)
    sender.pay(note=TEXT * 5_000)


def _invoke_functions_directly(sender: Sender) -> None:
    """Invoke each function with invalid events."""
    request = sender.make_request()
    sender.keep_fingerprint(request)
    for event in ({"request": request}, {"request": TEXT}, request, [request], b'{"request": "' + TEXT.encode()):
        sender.invoke_function("validation", event)
    for transaction_id in (CARD, f"{CARD} of {NAME}", PERSONAL, request["transaction_id"], "T-UNKNOWN"):
        event = {"transaction_id": transaction_id, "execution": {"id": "by-hand"}, "record_id": "f", **PERSONAL}
        event |= {"error": "GatewayUnavailable", "request": request, "is_sent": True, "is_dead_lettered": True}
        for action in ("process", "record_failure", "record_notice", TEXT):
            sender.invoke_function("processing", event | {"action": action})
        for new_request in (request, TEXT):
            sender.run_action("reopen", transaction_id, request=new_request)
        for status in ("COMPLETED", TEXT):
            sender.run_action("resolve", transaction_id, status=status, reference="sim_1")
        sender.run_action("refund", transaction_id)


def _cause_internal_errors(sender: Sender) -> None:
    """Deny access to the tables, and store items that the functions cannot read."""
    for function, action in (("Validation", "dynamodb:PutItem"), ("Processing", "dynamodb:GetItem")):
        with without_permission(sender.platform, function, action):
            sender.pay()
            sender.wait_for_executions()
    request = sender.pay(3)
    sender.wait_for_executions()
    wrong: tuple[dict[str, dict[str, str]], ...] = (
        {"status": {"S": TEXT}},
        {"status": {"S": "COMPLETED"}, "reasons": {"S": TEXT}},
    )
    for values in wrong:
        sender.change_item(request["transaction_id"], **values)
        sender.start(request)
        sender.run_action("refund", request["transaction_id"])


def _reconcile_payments(sender: Sender) -> None:
    """Settle abandoned payments, resolve those under review, and refund charged payments."""
    for status in (Status.PENDING, Status.PROCESSING, Status.UNKNOWN):
        for cents in (4, 5, 6):
            sender.put_abandoned_payment(status, cents, HOUR)
    review = sender.put_abandoned_payment(Status.UNKNOWN, 6, DAY)
    sender.put_abandoned_payment(Status.UNKNOWN, 6, DAY)
    sender.change_item(sender.put_abandoned_payment(Status.PROCESSING, 4, HOUR), reasons={"S": TEXT})
    sender.invoke_function("reconciliation", {})
    for status, reference in (("COMPLETED", None), ("COMPLETED", "sim_1"), ("FAILED", None)):
        sender.run_action("resolve", review, status=status, reference=reference)
    for request in [sender.pay(cents) for cents in (0, 8, 9)]:
        sender.wait_for_executions()
        for action in ("refund", "refund", "reopen"):
            sender.run_action(action, request["transaction_id"], request=request)


def _invoke_asynchronously(sender: Sender) -> None:
    functions = sender.platform.client("lambda")
    for function in ("validation", "processing", "reconciliation"):
        functions.put_function_event_invoke_config(
            FunctionName=f"lambda-payment-{function}-{ENVIRONMENT}", MaximumRetryAttempts=0
        )
        sender.invoke_function(
            function, {"action": "refund", "transaction_id": CARD, **PERSONAL}, InvocationType="Event"
        )


def run_stripe_scenarios(sender: Sender, stripe: Stripe) -> None:
    """Let each request to Stripe fail, with an error message that repeats the request."""
    sender.customer = STRIPE_CUSTOMER
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
        sender.pay()
        sender.wait_for_executions()
    for refused in (errors[:3], errors[3:]):
        stripe.fail_next()
        request = sender.pay()
        sender.wait_for_executions()
        stripe.fail_next(refund=refused)
        for _ in range(3):
            sender.run_action("refund", request["transaction_id"])
    for age in (HOUR, DAY):
        sender.put_abandoned_payment(Status.UNKNOWN, 0, age)
    stripe.fail_next(create="error_before")
    sender.invoke_function("reconciliation", {})

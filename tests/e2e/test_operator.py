"""The operator's commands against the deployed platform."""

import json
import time
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from payments.payment import Status

from scripts.operator import cli
from scripts.operator.cli import common
from scripts.operator.platform import Platform as Operated
from tests.e2e.conftest import Platform
from tests.e2e.situations import DAY, put_abandoned_payment, read_ledger, reconcile

pytestmark = pytest.mark.e2e


@pytest.fixture
def run(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in an environment, by default in ``local``."""
    monkeypatch.setattr(common, "reach_platform", lambda name, *_: Operated(name, platform.target, "alice"))
    return lambda *arguments, environment="local": CliRunner().invoke(cli.main, ["--env", environment, *arguments])


def test_a_dead_letter_is_listed_explained_and_redriven(platform: Platform, run) -> None:
    request, _ = platform.pay(payment_amount=150.03)
    transaction_id = request["transaction_id"]
    listed = json.loads(run("dlq", "list", "--json").output)
    assert [(letter["transaction_id"], letter["current_status"]) for letter in listed] == [(transaction_id, "FAILED")]
    assert transaction_id in run("dlq", "list").output
    explanation = run("dlq", "explain", transaction_id).output
    assert "the gateway was unavailable on every attempt; nothing was charged" in explanation
    assert "a redrive will try it again" in explanation
    # Reading deletes nothing.
    assert len(json.loads(run("dlq", "list", "--json").output)) == 1

    redriven = run("dlq", "redrive", transaction_id)
    assert redriven.exit_code == 0, redriven.output
    execution = redriven.stdout.split("started ")[1].strip()
    assert platform.follow(execution).error == "GatewayUnavailable"
    # It failed again and left a new letter; the old one is deleted.
    (letter,) = json.loads(run("dlq", "list", "--json").output)
    assert letter["execution_arn"] == execution


def test_the_customer_of_finished_payments_is_erased(platform: Platform, run) -> None:
    customer = f"CUST-{time.time_ns()}"
    paid, _ = platform.pay(customer_id=customer)
    failed, _ = platform.pay(customer_id=customer, payment_amount=150.06)
    answer = run("erase", "--customer", customer, "--yes")
    assert (answer.exit_code, answer.stdout) == (1, f"{paid['transaction_id']}: erased\n")
    assert answer.stderr.startswith(f"payments: transaction {failed['transaction_id']} is UNKNOWN and not finished")
    item = platform.read_item(paid["transaction_id"])
    assert (item["status"], customer in str(item)) == ({"S": "COMPLETED"}, False)
    last_step = read_ledger(platform, paid["transaction_id"])[-1]
    assert last_step["actor"]["S"].startswith("alice by way of lambda-payment-reconciliation-local")
    assert "customer erased" in last_step["note"]["S"]
    # The same request is refused, and nothing is charged.
    assert platform.follow(platform.start(paid)).error == "IdempotencyConflict"
    assert run("refund", paid["transaction_id"], "--yes").exit_code == 0


def test_a_payment_that_is_closed_at_the_gateway_is_redriven_under_another_key(platform: Platform, run) -> None:
    request, _ = platform.pay(payment_amount=150.05)
    assert platform.read_item(request["transaction_id"])["closed"] == {"BOOL": True}
    redriven = run("dlq", "redrive", request["transaction_id"])
    assert redriven.exit_code == 0, redriven.output
    platform.follow(redriven.stdout.split("started ")[1].strip())
    item = platform.read_item(request["transaction_id"])
    # The simulator confirms again that it was not charged.
    assert (item["status"], item["generation"]) == ({"S": "FAILED"}, {"N": "1"})


def test_a_letter_that_cannot_be_redriven_stays_and_says_why(platform: Platform, run) -> None:
    request, _ = platform.pay(payment_amount=150.03)
    platform.receive_dead_letters()
    platform.pay(**request | {"payment_amount": 151})
    platform.follow(platform.start({"transaction_id": 7}))
    redriven = run("dlq", "redrive", "--all")
    assert redriven.exit_code == 1
    assert "the id belongs to another payment; it cannot be redriven" in redriven.output
    assert "no payment is recorded under this id; it cannot be redriven" in redriven.output
    assert platform.read_item(request["transaction_id"])["status"] == {"S": "FAILED"}
    assert len(json.loads(run("dlq", "list", "--json").output)) == 2


@pytest.mark.parametrize("body", ["not JSON", "[1, 2]", '{"detail-type": "Scheduled Event"}'])
def test_a_letter_that_is_not_the_workflows_is_listed_too(platform: Platform, run, body: str) -> None:
    sqs = platform.client("sqs")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="payment-dlq-local")["QueueUrl"], MessageBody=body)
    (letter,) = json.loads(run("dlq", "list", "--json").output)
    assert (letter["transaction_id"], letter["error"]) == ("", "not from the workflow")
    # The start of its id, as the list shows it, is enough to clear it.
    short_id = letter["letter_id"][:8]
    assert short_id in run("dlq", "list").output
    assert "add --yes" in run("dlq", "clear", short_id).output
    cleared = run("dlq", "clear", short_id, "--yes")
    assert (cleared.exit_code, cleared.output.splitlines()[-1]) == (0, "cleared")
    assert run("dlq", "list").output == "no dead letters\n"
    assert f"no dead letter has an id that begins with {short_id}" in run("dlq", "clear", short_id).output


def test_a_payment_under_review_is_resolved_by_an_operator(platform: Platform, run) -> None:
    transaction_id = put_abandoned_payment(platform, Status.UNKNOWN, 6, DAY)
    reconcile(platform)
    (letter,) = json.loads(run("dlq", "list", "--json").output)
    assert (letter["transaction_id"], letter["current_status"], letter["error"]) == (
        transaction_id,
        "REVIEW",
        "ReviewNeeded",
    )
    assert "it cannot be redriven" in run("dlq", "redrive", transaction_id).output
    assert "give exactly one of" in run("resolve", transaction_id, "--charged", "sim_1", "--not-charged").output
    for _ in range(2):
        resolved = run("resolve", transaction_id, "--charged", "sim_1", "--yes")
        assert resolved.output == f"{transaction_id}: COMPLETED\n"
    assert read_ledger(platform, transaction_id)[-1]["actor"]["S"].startswith("alice by way of")
    assert f"{transaction_id}: has its outcome" in run("dlq", "redrive", "--all").output
    assert "only a payment in REVIEW" in run("resolve", transaction_id, "--not-charged", "--yes").output


def test_a_refund_is_made_once_and_refused_in_other_statuses(platform: Platform, run) -> None:
    request, _ = platform.pay()
    for _ in range(2):
        refunded = run("refund", request["transaction_id"], "--yes")
        assert (refunded.exit_code, refunded.output) == (0, f"{request['transaction_id']}: REFUNDED\n")
    assert read_ledger(platform, request["transaction_id"])[-1]["actor"]["S"].startswith("alice by way of ")
    refused, _ = platform.pay(payment_amount=150.08)
    answer = run("refund", refused["transaction_id"], "--yes")
    assert answer.exit_code == 1
    assert "COMPLETED: the gateway refuses the refund" in answer.output
    silent, _ = platform.pay(payment_amount=150.09)
    assert "reconciliation asks again" in run("refund", silent["transaction_id"], "--yes").output
    assert "is not recorded" in run("refund", "T-NONE", "--yes").output
    # The platform refuses before the command asks for confirmation.
    declined, _ = platform.pay(payment_amount=150.01)
    assert "only a COMPLETED one can be refunded" in run("refund", declined["transaction_id"]).output
    # The line above the question describes the payment.
    aborted = run("refund", refused["transaction_id"])
    assert f"{refused['transaction_id']} is COMPLETED, 150.08 USD, charged as sim_" in aborted.output
    assert "add --yes" in aborted.output


@pytest.mark.parametrize(
    "arguments",
    [["dlq", "list"], ["refund", "T", "--yes"], ["list"], ["list", "--open"], ["show", "T"], ["reconcile"], ["tail"]],
)
def test_a_missing_platform_is_reported(run, arguments: list[str]) -> None:
    answer = run(*arguments, environment="staging")
    message = "payments: payment-platform-staging is not deployed; deploy it with scripts/deploy.sh staging"
    assert (answer.exit_code, answer.output[: len(message)]) == (1, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dlq", "redrive"], "give either TRANSACTION_ID or --all"),
        (["dlq", "redrive", "T", "--all"], "give either TRANSACTION_ID or --all"),
        (["dlq", "clear", ""], "LETTER_ID is empty"),
        (["show", "T-NONE"], "T-NONE is not recorded in local"),
        (["start", "T"], "--amount, --method, --customer missing"),
        (["start", "--amount", "1", "--file", "a.csv"], "--file already contains everything; leave out --amount"),
        (["start", "--file", "none.csv"], "payments: nothing was sent: none.csv: No such file or directory"),
        (["list", "--since", "soon"], "give 30m, 2h, 3d or a time"),
        (["dlq", "explain", "T-NONE"], "no dead letter for transaction T-NONE"),
    ],
)
def test_wrong_arguments_are_explained(run, arguments: list[str], message: str) -> None:
    answer = run(*arguments)
    assert answer.exit_code != 0
    assert message in answer.output

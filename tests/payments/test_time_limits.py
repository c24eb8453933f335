"""Every time limit, number of attempts and other bound of the functions, and what it depends on.

The first test pins the values, so that none changes unnoticed; the others hold the relations between them.
"""

from typing import Any

import pytest
from adapters import dynamodb, gateway_secret, notices, stored_items, stripe_gateway, stripe_http, stripe_requests
from handlers import reconciliation
from payments import charge, notification, payment, ports, receive, rules
from payments.payment import Status

from stacks.compute.stack import RECONCILIATION_TIMEOUT_SECONDS

MINUTE, HOUR = 60, 60 * 60
DAY = 24 * HOUR


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def measure_slowest_call(client: Any) -> float:
    """Return the seconds that a call of ``client`` takes when no attempt is answered."""
    config = client.meta.config
    return float(config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout))


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        (charge.LEASE_SECONDS, MINUTE),
        (charge.CHARGE_WINDOW_SECONDS, 23 * HOUR),
        (notification.NOTIFIER_SECONDS, 30 * MINUTE),
        (notification.NOTICE_SECONDS, 15 * MINUTE),
        (payment.CLOSING_SECONDS, 15 * MINUTE),
        (payment.LONGEST_WAIT_SECONDS, HOUR),
        (ports.GATEWAY_SECONDS, 50),
        ((stripe_gateway.CALL_SECONDS, stripe_http.CONNECT_SECONDS, stripe_http.REQUEST_SECONDS), (48, 2, 10)),
        (stripe_http.IDLE_SECONDS, 20),
        ((stripe_requests._PAGE, stripe_requests._PAGES), (100, 10)),
        (stripe_requests._INTENT_SECONDS, 2 * DAY),
        ((gateway_secret.MAXIMUM_AGE_SECONDS, gateway_secret.RETRY_AFTER_SECONDS), (5 * MINUTE, 30)),
        (
            (reconciliation.READ_SECONDS, reconciliation.UNANSWERED_SECONDS, reconciliation.BUDGET_SECONDS),
            (30, 30, 150),
        ),
        ((reconciliation.MEASURE_SECONDS, dynamodb.MEASURED_PAYMENTS, stored_items.MAXIMUM_SHARDS), (370, 10_000, 64)),
        (receive.SALT_BYTES, 16),
        ((rules.HIGH_VALUE_SCORE, rules.RISKY_METHOD_SCORE), (30, 20)),
    ],
)
def test_a_limit_has_its_documented_value(limit: object, value: object) -> None:
    assert limit == value


def test_each_open_status_is_overdue_after_its_time() -> None:
    assert payment.OVERDUE_SECONDS == {
        Status.PENDING: 15 * MINUTE,
        Status.PROCESSING: 5 * MINUTE,
        Status.UNKNOWN: 5 * MINUTE,
        Status.REFUNDING: 5 * MINUTE,
    }


@pytest.mark.parametrize(
    ("client", "connect_seconds", "read_seconds", "attempts"),
    [
        (dynamodb.create_client, 2, 5, 3),
        (lambda: notices.create_client("sns"), 2, 5, 2),
        (lambda: notices.create_client("sqs"), 2, 5, 2),
        (gateway_secret.create_client, 1, 2, 2),
    ],
    ids=["tables", "topic", "queue", "secret"],
)
def test_each_client_gives_up_in_time(client: Any, connect_seconds: int, read_seconds: int, attempts: int) -> None:
    config = client().meta.config
    assert (config.connect_timeout, config.read_timeout) == (connect_seconds, read_seconds)
    assert (config.retries["mode"], config.retries["total_max_attempts"]) == ("standard", attempts)


def test_a_run_of_reconciliation_ends_before_its_function_is_stopped() -> None:
    """It may begin a last payment at the end of its budget, with every call at its slowest."""
    table_call = measure_slowest_call(dynamodb.create_client())
    notice_call = measure_slowest_call(notices.create_client("sns"))
    last_payment = ports.GATEWAY_SECONDS + gateway_secret.FETCH_SECONDS + 7 * table_call + 2 * notice_call
    assert last_payment == 232
    assert reconciliation.BUDGET_SECONDS + last_payment < RECONCILIATION_TIMEOUT_SECONDS
    assert reconciliation.MEASURE_SECONDS + table_call < RECONCILIATION_TIMEOUT_SECONDS
    assert reconciliation.READ_SECONDS < reconciliation.BUDGET_SECONDS


def test_the_fetch_of_the_secret_takes_its_attempts_and_the_wait_between_them() -> None:
    assert measure_slowest_call(gateway_secret.create_client()) + 1 == gateway_secret.FETCH_SECONDS


def test_no_key_is_used_that_stripe_may_have_forgotten() -> None:
    """After 24 hours: https://docs.stripe.com/api/idempotent_requests"""
    assert charge.CHARGE_WINDOW_SECONDS + HOUR <= DAY
    assert stripe_requests._INTENT_SECONDS >= 2 * DAY  # intents are listed for longer than their keys last

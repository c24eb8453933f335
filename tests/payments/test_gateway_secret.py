"""The gateway's API key in Secrets Manager, over real HTTP: it is renewed, cached, and never revealed."""

import functools
import json
import logging
import traceback
from collections.abc import Iterator

import pytest
from adapters import environment, gateway_secret
from adapters.gateway_secret import Secret
from adapters.stripe_gateway import StripeGateway
from handlers import processing
from payments.errors import GatewayUnavailable, InternalError, PaymentError
from payments.money import Money
from payments.payment import Status
from payments.ports import Charge, Charged, NotCharged

from tests.payments import stripe_server
from tests.payments.secrets_server import Secrets, serve_secrets
from tests.workflow import Workflow, request

ARN = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:stripe-AbCdEf"
CHARGE = Charge("payment-T-1", "T-1", Money(15000, "USD"), "credit_card", "cus_1", 1)


def text(api_key: object) -> str:
    return json.dumps({"api_key": api_key})


class Clock:
    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Secrets]:
    """One attempt and a short timeout, so that a failure takes no time."""
    state = Secrets(text("sk_MARKED_1"))
    monkeypatch.setattr(gateway_secret, "TRIES", 1)
    monkeypatch.setattr(gateway_secret, "READ_SECONDS", 0.2)
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with serve_secrets(state) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
        yield state


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def secret(secrets: Secrets, clock: Clock) -> Secret:
    return Secret(ARN, gateway_secret.create_client(), clock)


def test_a_key_is_read_again_after_five_minutes(secrets: Secrets, secret: Secret, clock: Clock) -> None:
    assert secret.read_api_key() == "sk_MARKED_1"
    secrets.text = text("sk_MARKED_2")
    clock.time += 299
    assert (secret.read_api_key(), secrets.requests) == ("sk_MARKED_1", 1)
    clock.time += 1
    assert (secret.read_api_key(), secrets.requests) == ("sk_MARKED_2", 2)
    assert (secret.read_api_key(), secrets.requests) == ("sk_MARKED_2", 2)


def test_a_refused_key_is_read_again_at_once(secrets: Secrets, secret: Secret) -> None:
    secret.read_api_key()
    secrets.text = text("sk_MARKED_2")
    secret.expire_key()
    assert (secret.read_api_key(), secrets.requests) == ("sk_MARKED_2", 2)
    secret.read_api_key()
    assert secrets.requests == 2


def test_the_cached_key_is_used_while_the_secret_cannot_be_read(
    secrets: Secrets, secret: Secret, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    secret.read_api_key()
    clock.time += 300
    secrets.faults = [(503, "ServiceUnavailable")]
    assert secret.read_api_key() == "sk_MARKED_1"
    (warning,) = caplog.records
    assert (warning.levelname, warning.error) == ("WARNING", "GatewayUnavailable")
    assert warning.detail == "the gateway's secret cannot be read: ServiceUnavailable"
    # While Secrets Manager is unavailable, it is asked only every thirty seconds.
    clock.time += 29
    assert (secret.read_api_key(), secrets.requests) == ("sk_MARKED_1", 2)
    clock.time += 1
    secrets.text = "malformed MARKED"
    assert (secret.read_api_key(), secrets.requests) == ("sk_MARKED_1", 3)
    clock.time += 30
    secrets.text = text("sk_MARKED_2")
    assert secret.read_api_key() == "sk_MARKED_2"
    assert [record.error for record in caplog.records] == ["GatewayUnavailable", "InternalError"]
    assert "MARKED" not in "".join(str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ((400, "ThrottlingException"), GatewayUnavailable),
        ((400, "InternalServiceError"), GatewayUnavailable),
        ((500, "InternalFailure"), GatewayUnavailable),
        ((503, "ServiceUnavailable"), GatewayUnavailable),
        ("drop", GatewayUnavailable),
        ("slow", GatewayUnavailable),
        ((400, "AccessDeniedException"), InternalError),
        ((400, "ResourceNotFoundException"), InternalError),
        ((400, "DecryptionFailure"), InternalError),
        ((400, "InvalidRequestException"), InternalError),
    ],
)
def test_each_error_of_the_first_read_is_worth_a_retry_or_not(
    secrets: Secrets, secret: Secret, fault: object, error: type
) -> None:
    secrets.faults = [fault]
    with pytest.raises(error) as raised:
        secret.read_api_key()
    assert type(raised.value) is error
    code = (
        fault[1] if isinstance(fault, tuple) else {"drop": "ConnectionClosedError", "slow": "ReadTimeoutError"}[fault]
    )
    assert str(raised.value) == f"the gateway's secret cannot be read: {code}"
    _assert_reveals_nothing(raised.value)
    assert secret.read_api_key() == "sk_MARKED_1"


def test_an_unreachable_secrets_manager_is_worth_a_retry(secrets: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:1")
    with pytest.raises(GatewayUnavailable, match="EndpointConnectionError"):
        Secret(ARN, gateway_secret.create_client()).read_api_key()


@pytest.mark.parametrize(
    "malformed",
    ["MARKED", "{}", "[]", '"MARKED"', text(""), text(7), text(None), text("sk_MARKED\n"), text("sk MARKED")],
)
def test_a_malformed_secret_is_not_worth_a_retry_and_not_revealed(
    secrets: Secrets, secret: Secret, malformed: str
) -> None:
    secrets.text = malformed
    with pytest.raises(InternalError) as raised:
        secret.read_api_key()
    _assert_reveals_nothing(raised.value)


def _assert_reveals_nothing(error: PaymentError) -> None:
    assert error.__cause__ is error.__context__ is None
    assert "MARKED" not in "".join(traceback.format_exception(error))


def test_no_log_line_contains_the_secret(secrets: Secrets, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, botocore logs the body of every answer unless its logger is limited."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "botocore")
    Secret(ARN, gateway_secret.create_client()).read_api_key()
    assert "MARKED" not in caplog.text


def test_a_read_is_retried_once(secrets: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_secret, "TRIES", 2)
    secret = Secret(ARN, gateway_secret.create_client())
    secrets.faults = ["drop", "drop"]
    with pytest.raises(GatewayUnavailable):
        secret.read_api_key()
    assert secrets.requests == 2
    secrets.faults = ["drop"]
    assert (secret.read_api_key(), secrets.requests) == ("sk_MARKED_1", 4)


def test_a_key_that_stripe_refuses_is_renewed_for_the_next_call(
    secrets: Secrets, secret: Secret, stripe: stripe_server.Stripe
) -> None:
    stripe.api_key = "sk_MARKED_1"
    with stripe_server.serve_stripe(stripe) as url:
        gateway = StripeGateway(secret, "test", url)
        secrets.text, stripe.api_key = text("sk_MARKED_2"), "sk_MARKED_2"
        assert gateway.charge(CHARGE) == NotCharged("AuthenticationError")
        assert gateway.charge(CHARGE) == Charged("pi_1")
    assert secrets.requests == 2


def test_a_key_that_is_refused_at_the_confirmation_charges_nothing(
    secrets: Secrets, secret: Secret, stripe: stripe_server.Stripe
) -> None:
    stripe.api_key = "sk_MARKED_1"
    stripe.fail_next(confirm="unauthorized")
    with stripe_server.serve_stripe(stripe) as url:
        gateway = StripeGateway(secret, "test", url)
        assert gateway.charge(CHARGE) == NotCharged("AuthenticationError")
        assert gateway.charge(CHARGE) == Charged("pi_1")
    assert stripe.money_moved == 15000


@pytest.fixture
def workflow(secrets: Secrets, monkeypatch: pytest.MonkeyPatch, stripe: stripe_server.Stripe) -> Iterator[Workflow]:
    """The workflow with Stripe as its gateway, configured by environment variables like the function."""
    flow = Workflow().install(monkeypatch)
    stripe.api_key = "sk_MARKED_1"
    with stripe_server.serve_stripe(stripe) as url:
        for name, value in {"GATEWAY": "stripe", "GATEWAY_SECRET_ARN": ARN, "GATEWAY_URL": url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(processing, "get_gateway", functools.cache(environment.build_gateway))
        yield flow


def test_the_workflow_retries_while_the_key_cannot_be_read(workflow: Workflow, secrets: Secrets) -> None:
    secrets.faults = [(400, "ThrottlingException"), "slow"]
    execution = workflow.pay(request())
    assert execution.output["status"] == "COMPLETED"
    # An attempt without a key claims nothing.
    assert (execution.output["attempt"], execution.waited_seconds) == (1, 2 + 4)


def test_the_workflow_does_not_retry_if_the_key_may_not_be_read(workflow: Workflow, secrets: Secrets) -> None:
    secrets.faults = [(400, "AccessDeniedException")] * 2
    execution = workflow.pay(request())
    assert (execution.status, secrets.requests) == ("FAILED", 1)
    assert workflow.ledger.payments["TXN-TEST-001"].status is Status.FAILED
    assert "InternalError" in json.dumps(workflow.dead_letters)

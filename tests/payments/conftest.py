"""One payment on the core alone, the workflow in memory, and the Stripe gateway over real HTTP with its server."""

from collections.abc import Iterator

import pytest
from adapters.stripe_gateway import StripeGateway

from tests.payments.life import Life
from tests.payments.stripe_cases import KnownKey
from tests.payments.stripe_server import Stripe, serve_stripe
from tests.workflow import Workflow


@pytest.fixture
def life() -> Life:
    """A payment that is validated."""
    life = Life()
    life.validate()
    return life


@pytest.fixture
def workflow(monkeypatch: pytest.MonkeyPatch) -> Workflow:
    return Workflow().install(monkeypatch)


@pytest.fixture
def stripe() -> Stripe:
    return Stripe()


@pytest.fixture
def gateway(stripe: Stripe) -> Iterator[StripeGateway]:
    with serve_stripe(stripe) as url:
        yield StripeGateway(KnownKey("sk_test_x"), "test", url)

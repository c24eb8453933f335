"""The Stripe gateway over real HTTP, and the server that it talks to."""

from collections.abc import Iterator

import pytest
from adapters.stripe_gateway import StripeGateway

from tests.payments.stripe_cases import KnownKey
from tests.payments.stripe_server import Stripe, serving


@pytest.fixture
def stripe() -> Stripe:
    return Stripe()


@pytest.fixture
def gateway(stripe: Stripe) -> Iterator[StripeGateway]:
    with serving(stripe) as url:
        yield StripeGateway(KnownKey("sk_test_x"), "test", url)

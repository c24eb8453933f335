"""One payment on the core alone, the workflow in memory, and the Stripe gateway with a server over real HTTP."""

from collections.abc import Iterator

import pytest

from tests.payments.life import Life
from tests.payments.stripe_cases import Gateway
from tests.payments.stripe_server import Stripe, serve_stripe
from tests.workflow import Workflow


@pytest.fixture
def life() -> Life:
    """A validated payment."""
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
def gateway(stripe: Stripe) -> Iterator[Gateway]:
    with serve_stripe(stripe) as url:
        yield Gateway(stripe, url)

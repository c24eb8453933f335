"""Payments through Stripe: the layer that the deployer builds, the secret that a role may read, and real HTTP.

The platform is one of its own, deployed with this gateway; that Stripe is on this machine is all the functions are told
beside that.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.deployer.archive import zip_folder
from scripts.local.runtime import RUNTIME
from stacks import names
from tests.e2e.conftest import ENVIRONMENT, Platform, run_stripe_platform
from tests.e2e.situations import call_function
from tests.payments.stripe_server import Stripe

pytestmark = pytest.mark.e2e

API_KEY = "sk_test_of_these_tests"
PROCESSING = names.in_environment(names.PROCESSING.name, ENVIRONMENT)


@pytest.fixture(scope="module")
def one_stripe() -> Stripe:
    """The server refuses every other key."""
    stripe = Stripe()
    stripe.api_key = API_KEY
    return stripe


@pytest.fixture(scope="module")
def platform(one_stripe: Stripe) -> Iterator[Platform]:
    with run_stripe_platform(one_stripe, wait_scale=0.02) as platform:
        yield platform


@pytest.fixture
def stripe(one_stripe: Stripe) -> Stripe:
    """Return the Stripe server without payments and faults."""
    one_stripe.intents.clear()
    one_stripe.refunds.clear()
    one_stripe.forget_keys()
    one_stripe.fail_next()
    return one_stripe


def test_a_payment_is_charged_once_with_the_key_of_the_secret(platform: Platform, stripe: Stripe) -> None:
    """Fails without the layer, without the policy of the role, and with a policy for another secret."""
    request, story = platform.pay()
    assert (story.status, story.states[-1]) == ("SUCCEEDED", "PaymentComplete")
    reference = story.output["gateway_reference"]
    assert reference.startswith("pi_")
    assert platform.read_item(request["transaction_id"])["gateway_reference"] == {"S": reference}
    assert stripe.intents[reference]["metadata"] == {
        "transaction_id": request["transaction_id"],
        "environment": "local",
    }
    assert platform.follow(platform.start(request)).output["gateway_reference"] == reference
    assert stripe.money_moved == 15000


def test_a_declined_card_fails_the_payment(platform: Platform, stripe: Stripe) -> None:
    stripe.fail_next(confirm="decline")
    request, story = platform.pay()
    assert (story.status, story.states[-1]) == ("SUCCEEDED", "PaymentUnsuccessful")
    assert story.output["reasons"] == ["card_declined"]
    assert platform.read_item(request["transaction_id"])["status"] == {"S": "DECLINED"}
    assert stripe.money_moved == 0


def test_an_answer_that_is_lost_is_looked_up_and_charged_once(platform: Platform, stripe: Stripe) -> None:
    stripe.fail_next(confirm="drop_after")
    request, story = platform.pay()
    assert (story.status, story.states[-1]) == ("SUCCEEDED", "PaymentComplete")
    assert story.runs["ProcessPayment"] == 2
    assert platform.read_item(request["transaction_id"])["gateway_reference"]["S"] in stripe.intents
    assert stripe.money_moved == 15000


def test_a_refund_gives_the_money_back_once(platform: Platform, stripe: Stripe) -> None:
    """The reconciliation function has its own role and layer."""
    request, story = platform.pay()
    request_to_refund = {"action": "refund", "transaction_id": request["transaction_id"], "operator": "alice"}
    assert [call_function(platform, "reconciliation", **request_to_refund)["status"] for _ in range(2)] == [
        "REFUNDED",
        "REFUNDED",
    ]
    assert [refund["payment_intent"] for refund in stripe.refunds] == [story.output["gateway_reference"]]
    assert stripe.money_moved == 0


def test_the_library_is_found_in_the_layer_and_nowhere_else(platform: Platform, tmp_path: Path) -> None:
    """If the functions could import the packages of this machine, the tests above would pass without the layer."""
    functions = platform.client("lambda")
    live = functions.get_function_configuration(FunctionName=PROCESSING, Qualifier=names.LIVE)
    (layer,) = live["Layers"]
    (tmp_path / "index.py").write_text("import stripe\ndef handler(event, context): return {'path': stripe.__file__}")

    def imported(name: str, layers: list[str]) -> dict[str, str]:
        functions.create_function(
            FunctionName=name,
            Handler="index.handler",
            Role=live["Role"],
            Timeout=live["Timeout"],
            Code={"ZipFile": zip_folder(tmp_path, RUNTIME.files)},
            Layers=layers,
            **RUNTIME.properties,
        )
        answer: dict[str, str] = json.loads(functions.invoke(FunctionName=name)["Payload"].read())
        return answer

    path = imported("with-the-layer", [layer["Arn"]])["path"]
    assert path.endswith("/python/stripe/__init__.py")
    assert not path.startswith(sys.prefix)
    assert "No module named 'stripe'" in imported("without-it", []).get("errorMessage", "")

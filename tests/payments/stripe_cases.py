"""What the tests of the Stripe gateway share: a payment, its outcomes and keys, and a gateway."""

from dataclasses import dataclass, replace

from adapters.stripe_gateway import StripeGateway
from payments.money import Money
from payments.ports import ActionRequired, Charge, Declined, Outcome

from tests.payments.stripe_server import Stripe

CHARGE = Charge("payment-T-1", "T-1", Money(15000, "USD"), "credit_card", "cus_1", 1, StripeGateway.request_version)
AGAIN = replace(CHARGE, attempt=2)
EXPIRED = replace(CHARGE, key_expired=True)
INTENT_KEY, CONFIRM_KEY, REFUND_KEY = (f"test-payment-T-1-{request}" for request in ("intent", "confirm", "refund"))
AUTHENTICATE = ActionRequired("authentication_required")
DECLINED, OPEN_DECLINE = Declined("card_declined"), Declined("card_declined", is_closed=False)


@dataclass
class KnownKey:
    """Stands in for ``gateway_secret.Secret``, which has its own tests."""

    key: str

    def read_api_key(self) -> str:
        return self.key

    def expire_key(self) -> None:
        pass


class Gateway(StripeGateway):
    """The gateway on a Stripe server whose next requests can be made to fail."""

    def __init__(self, stripe: Stripe, url: str) -> None:
        super().__init__(KnownKey("sk_test_x"), "test", url)
        self._stripe = stripe

    def charge_with(self, charge: Charge = CHARGE, **faults: str | list[str]) -> Outcome:
        """Charge while the next requests fail as ``Stripe.fail_next`` says."""
        self._stripe.fail_next(**faults)
        return self.charge(charge)

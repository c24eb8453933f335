"""The payment that the tests of the Stripe gateway charge, and the names of the requests that they break."""

from dataclasses import dataclass, replace

from adapters.stripe_gateway import StripeGateway
from payments.money import Money
from payments.ports import ActionRequired, Charge

CHARGE = Charge("payment-T-1", "T-1", Money(15000, "USD"), "credit_card", "cus_1", 1, StripeGateway.request_version)
AGAIN = replace(CHARGE, attempt=2)
EXPIRED = replace(CHARGE, key_expired=True)
CARDS, CREATE, LIST = "GET payment_methods", "POST payment_intents", "GET payment_intents"
CONFIRM, CANCEL = "POST payment_intents/confirm", "POST payment_intents/cancel"
REFUND, REFUNDS = "POST refunds", "GET refunds"
INTENT_KEY, CONFIRM_KEY, REFUND_KEY = (f"test-payment-T-1-{request}" for request in ("intent", "confirm", "refund"))
AUTHENTICATE = ActionRequired("authentication_required")


@dataclass
class KnownKey:
    """In the place of ``gateway_secret.Secret``, which has its own tests."""

    key: str

    def read_api_key(self) -> str:
        return self.key

    def expire_key(self) -> None:
        pass

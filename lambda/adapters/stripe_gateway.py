"""Stripe as the gateway, through its own library: PaymentIntents, idempotency keys, metadata.

A charge is two requests. Creating a PaymentIntent moves no money; confirming it does. So a failure before the
confirmation proves that nothing was charged; and a lookup repeats the creation under its key, which gives the same
intent back, reads what has become of it, and cancels it if it is still open: then it can never be charged.

https://docs.stripe.com/api/idempotent_requests   https://docs.stripe.com/payments/paymentintents/lifecycle
"""

import json
import logging
from typing import Any

import botocore.session
import stripe
from payments.errors import InternalError
from payments.ports import (
    Charge,
    Charged,
    Declined,
    NotCharged,
    NotRefunded,
    Outcome,
    Refunded,
    RefundOutcome,
    Unknown,
)

# Five requests at the most (payment method, intent, what became of it, cancel, what became of it then), each to connect
# and to answer: together they stay below ports.GATEWAY_SECONDS.
REQUESTS, CONNECT_SECONDS, READ_SECONDS = 5, 2, 7

# Stripe knows cards; what else the platform accepts has no counterpart that settles at once.
_CARDS = frozenset({"credit_card", "debit_card", "digital_wallet"})
# Currencies whose minor unit Stripe counts otherwise than ISO 4217 does, or not to the last digit; they are declined
# rather than charged a hundredfold. https://docs.stripe.com/currencies#special-cases
_OTHER_UNITS = frozenset(["ISK", "UGX", "MGA", "UYI", "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND", "CLF", "UYW"])
_OPEN = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})


def from_secret(secret_arn: str, base_url: str | None = None) -> "StripeGateway":
    """The gateway with the API key of a Secrets Manager secret: ``{"api_key": "sk_..."}``. The key is never logged."""
    secrets: Any = botocore.session.get_session().create_client("secretsmanager")
    try:
        api_key = json.loads(secrets.get_secret_value(SecretId=secret_arn)["SecretString"])["api_key"]
    except Exception as error:
        # Neither the message nor the cause: they may hold the secret.
        raise InternalError(f"the gateway's secret cannot be read: {type(error).__name__}") from None
    return StripeGateway(api_key, base_url)


class StripeGateway:
    def __init__(self, api_key: str, base_url: str | None = None) -> None:
        # At INFO it logs the error messages of Stripe, which repeat parameters.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        addresses: dict[str, Any] = {"base_addresses": {"api": base_url}} if base_url else {}
        self._stripe = stripe.StripeClient(
            api_key,
            http_client=stripe.RequestsClient(timeout=(CONNECT_SECONDS, READ_SECONDS)),
            # Retries are the workflow's: it knows which attempt it is.
            max_network_retries=0,
            **addresses,
        ).v1

    def charge(self, charge: Charge) -> Outcome:
        if charge.payment_method not in _CARDS:
            return Declined("payment_method_not_supported")
        if not _same_minor_unit(charge.amount.currency):
            return Declined("currency_not_supported")
        try:
            method = self._payment_method(charge)
            if method is None:
                # An earlier attempt may have found one, and charged it.
                return Unknown("no_payment_method") if charge.attempt > 1 else Declined("no_payment_method")
            intent = self._intent(charge, method)
        except stripe.StripeError as error:
            return NotCharged(_code(error))  # nothing is confirmed yet
        try:
            confirmed = self._stripe.payment_intents.confirm(
                intent.id, options={"idempotency_key": f"{charge.idempotency_key}-confirm"}
            )
        except stripe.CardError as error:
            return Declined(_code(error))
        except stripe.RateLimitError as error:
            return NotCharged(_code(error))  # refused before it was looked at
        except stripe.StripeError as error:
            return Unknown(_code(error))
        if confirmed.status == "requires_action":
            # The customer is not here to act; and must not be able to later, when this is a decline.
            try:
                confirmed = self._cancel(confirmed)
            except stripe.StripeError as error:
                return Unknown(_code(error))
            return Declined("authentication_required") if confirmed.status == "canceled" else self._outcome(confirmed)
        return self._outcome(confirmed)

    def lookup(self, charge: Charge) -> Outcome:
        if charge.payment_method not in _CARDS:
            return NotCharged("payment_method_not_supported")
        if charge.key_expired:
            return self._search(charge)
        try:
            method = self._payment_method(charge)
            if method is None:
                return Unknown("no_payment_method")  # there may have been one
            intent = self._stripe.payment_intents.retrieve(self._intent(charge, method).id)
            if intent.status in _OPEN and not intent.last_payment_error:
                intent = self._cancel(intent)
        except stripe.StripeError as error:
            return Unknown(_code(error))
        return self._outcome(intent)

    def refund(self, charge: Charge, reference: str) -> RefundOutcome:
        try:
            refund = self._stripe.refunds.create(
                params={"payment_intent": reference, "metadata": {"transaction_id": charge.transaction_id}},
                options={"idempotency_key": f"{charge.idempotency_key}-refund"},
            )
        except stripe.InvalidRequestError as error:
            return (
                self._earlier_refund(reference)
                if _code(error) == "charge_already_refunded"
                else NotRefunded(_code(error))
            )
        except stripe.StripeError as error:
            return Unknown(_code(error))
        return self._refund_outcome(refund)

    def _payment_method(self, charge: Charge) -> str | None:
        methods = self._stripe.payment_methods.list(params={"customer": charge.customer_id, "type": "card", "limit": 1})
        return methods.data[0].id if methods.data else None

    def _intent(self, charge: Charge, method: str) -> Any:
        """The payment's intent: made by the first call under the key, given back by every other."""
        return self._stripe.payment_intents.create(
            params={
                "amount": charge.amount.minor_units,
                "currency": charge.amount.currency.lower(),
                "customer": charge.customer_id,
                "payment_method": method,
                # Its types follow a newer version of the API than accounts are bound to have.
                "payment_method_types": ["card"],  # type: ignore[typeddict-unknown-key]
                "metadata": {"transaction_id": charge.transaction_id},
            },
            options={"idempotency_key": f"{charge.idempotency_key}-intent"},
        )

    def _cancel(self, intent: Any) -> Any:
        try:
            return self._stripe.payment_intents.cancel(intent.id)
        except stripe.InvalidRequestError:  # it was confirmed in between
            return self._stripe.payment_intents.retrieve(intent.id)

    def _search(self, charge: Charge) -> Outcome:
        """Where the key is forgotten: what is found is true, what is not found proves nothing."""
        query = f"metadata['transaction_id']:'{charge.transaction_id}' AND status:'succeeded'"
        try:
            found = self._stripe.payment_intents.search(params={"query": query, "limit": 1}).data
        except stripe.StripeError as error:
            return Unknown(_code(error))
        return Charged(found[0].id) if found else Unknown("the idempotency key is forgotten")

    def _outcome(self, intent: Any) -> Outcome:
        match intent.status:
            case "succeeded":
                return Charged(intent.id)
            case "canceled":
                return NotCharged("canceled")
            case "requires_payment_method":
                failure = intent.last_payment_error
                return Declined(failure.code or "card_declined") if failure else Unknown(intent.status)
        return Unknown(str(intent.status))

    def _earlier_refund(self, reference: str) -> RefundOutcome:
        try:
            found = self._stripe.refunds.list(params={"payment_intent": reference, "limit": 1}).data
        except stripe.StripeError as error:
            return Unknown(_code(error))
        return self._refund_outcome(found[0]) if found else Unknown("refunded, and no refund found")

    def _refund_outcome(self, refund: Any) -> RefundOutcome:
        if refund.status == "succeeded":
            return Refunded(refund.id)
        if refund.status in ("failed", "canceled"):
            return NotRefunded(str(refund.status))
        return Unknown(str(refund.status))


def _same_minor_unit(currency: str) -> bool:
    return currency not in _OTHER_UNITS


def _code(error: stripe.StripeError) -> str:
    """A code, never the message: Stripe repeats parameters in it."""
    return str(error.code or type(error).__name__)

"""Stripe as the gateway, through its own library: PaymentIntents, idempotency keys, metadata.

A charge is two requests. Creating a PaymentIntent moves no money; confirming it, with the customer's newest card, does.
So a failure before the confirmation proves that nothing was charged; and a lookup repeats the creation under its key,
which gives the same intent back, reads what has become of it, and cancels it if it is still open: then it can never be
charged. The creation has the same parameters for every attempt, whatever cards the customer adds or removes meanwhile:
a key is refused with other parameters than it was first used with.

https://docs.stripe.com/api/idempotent_requests   https://docs.stripe.com/payments/paymentintents/lifecycle
"""

import logging
from typing import Any

import stripe
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

from adapters import gateway_secret
from adapters.gateway_secret import Secret

# Six requests at the most (card, intent, other intents, confirmation, cancellation, what became of it then), each to
# connect and to answer: together, and with gateway_secret.FETCH_SECONDS, they stay below ports.GATEWAY_SECONDS.
REQUESTS, CONNECT_SECONDS, READ_SECONDS = 6, 2, 5

# Stripe knows cards; what else the platform accepts has no counterpart that settles at once.
_CARDS = frozenset({"credit_card", "debit_card", "digital_wallet"})
# Currencies whose minor unit Stripe counts otherwise than ISO 4217 does, or not to the last digit; they are declined
# rather than charged a hundredfold. https://docs.stripe.com/currencies#special-cases
_OTHER_UNITS = frozenset(["ISK", "UGX", "MGA", "UYI", "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND", "CLF", "UYW"])
# Where an intent can be confirmed, or acted on, and canceled. https://docs.stripe.com/api/payment_intents/cancel
_OPEN = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
# A refund changes no more; pending and requires_action do. https://docs.stripe.com/api/refunds/object
_REFUND_ENDS = frozenset({"succeeded", "failed", "canceled"})


def from_secret(secret_arn: str, environment: str, base_url: str | None = None) -> "StripeGateway":
    """The gateway with the API key of a secret, which is read at once: without a key no payment shall be claimed.

    Raises what ``Secret.api_key`` raises.
    """
    return StripeGateway(Secret(secret_arn, gateway_secret.client()), environment, base_url)


class StripeGateway:
    """One environment's payments: others may use the same Stripe account, and the same transaction ids."""

    def __init__(self, secret: Secret, environment: str, base_url: str | None = None) -> None:
        # At INFO it logs the error messages of Stripe, which repeat parameters; at DEBUG what it sends by logs each
        # URL, with the customer in it.
        for library in ("stripe", "urllib3"):
            logging.getLogger(library).setLevel(logging.WARNING)
        self._secret, self._environment, self._base_url = secret, environment, base_url
        self._api_key = secret.api_key()
        self._stripe = self._client()

    def _client(self) -> stripe.V1Services:
        addresses: dict[str, Any] = {"base_addresses": {"api": self._base_url}} if self._base_url else {}
        return stripe.StripeClient(
            self._api_key,
            http_client=stripe.RequestsClient(timeout=(CONNECT_SECONDS, READ_SECONDS)),
            # Retries are the workflow's: it knows which attempt it is.
            max_network_retries=0,
            **addresses,
        ).v1

    def _renew(self) -> None:
        """Once at the start of a call, so that it is reckoned for once."""
        api_key = self._secret.api_key()
        if api_key != self._api_key:
            self._api_key = api_key
            self._stripe = self._client()

    def charge(self, charge: Charge) -> Outcome:
        if charge.payment_method not in _CARDS:
            return Declined("payment_method_not_supported")
        if not _same_minor_unit(charge.amount.currency):
            return Declined("currency_not_supported")
        self._renew()
        try:
            card = self._newest_card(charge)
            if card is not None:
                intent = self._intent(charge)
                if charge.attempt > 1 and self._other_intent(charge, intent) is not None:
                    return Unknown("another_intent")  # a lookup finds out what became of it
        except stripe.StripeError as error:
            return NotCharged(self._code(error))  # nothing is confirmed yet
        return self._without_card(charge) if card is None else self._confirm(charge, intent, card)

    def lookup(self, charge: Charge) -> Outcome:
        if charge.payment_method not in _CARDS:
            return NotCharged("payment_method_not_supported")
        self._renew()
        return self._search(charge) if charge.key_expired else self._look_up(charge)

    def refund(self, charge: Charge, reference: str) -> RefundOutcome:
        self._renew()
        if charge.key_expired:
            return self._earlier_refund(charge, reference)
        try:
            refund = self._stripe.refunds.create(
                params={"payment_intent": reference, "metadata": self._metadata(charge)},
                options={"idempotency_key": self._key(charge, "refund")},
            )
        except stripe.InvalidRequestError as error:
            if self._code(error) == "charge_already_refunded":
                return self._earlier_refund(charge, reference)
            return NotRefunded(self._code(error))
        except stripe.StripeError as error:
            return Unknown(self._code(error))
        try:
            # Under its key the creation answers as it did then: pending, for ever.
            now = refund if refund.status in _REFUND_ENDS else self._stripe.refunds.retrieve(refund.id)
        except stripe.StripeError as error:
            return Unknown(self._code(error))
        outcome = _refund_outcome(now)
        # After a failed one somebody may have made another by hand.
        return self._earlier_refund(charge, reference) if isinstance(outcome, NotRefunded) else outcome

    def _key(self, charge: Charge, request: str) -> str:
        return f"{self._environment}-{charge.idempotency_key}-{request}"

    def _metadata(self, charge: Charge) -> dict[str, str]:
        return {"transaction_id": charge.transaction_id, "environment": self._environment}

    def _is_of(self, charge: Charge, made: Any) -> bool:
        """Whether an intent or a refund is ours, and of this payment; one made by hand is not."""
        return all(getattr(made.metadata, name, None) == value for name, value in self._metadata(charge).items())

    def _newest_card(self, charge: Charge) -> str | None:
        cards = self._stripe.payment_methods.list(params={"customer": charge.customer_id, "type": "card", "limit": 1})
        return cards.data[0].id if cards.data else None

    def _without_card(self, charge: Charge) -> Outcome:
        """A decline; but an earlier attempt may have found a card, and charged it."""
        if charge.attempt == 1:
            return Declined("no_payment_method")
        outcome = self._look_up(charge)
        return Declined("no_payment_method") if isinstance(outcome, NotCharged) else outcome

    def _intent(self, charge: Charge) -> Any:
        """The payment's intent: made by the first call under the key, given back by every other, as it was then."""
        return self._stripe.payment_intents.create(
            params={
                "amount": charge.amount.minor_units,
                "currency": charge.amount.currency.lower(),
                "customer": charge.customer_id,
                # Its types follow a newer version of the API than accounts are bound to have.
                "payment_method_types": ["card"],  # type: ignore[typeddict-unknown-key]
                "metadata": self._metadata(charge),
            },
            options={"idempotency_key": self._key(charge, "intent")},
        )

    def _other_intent(self, charge: Charge, intent: Any) -> Any:
        """Another intent of the same payment, which may have been charged; None where there is none.

        Stripe does not say whether a key that was used with one API key is known to the next one. If it is not, the
        creation has just made a second intent. https://docs.stripe.com/api/payment_intents/list
        """
        intents = self._stripe.payment_intents.list(params={"customer": charge.customer_id, "limit": 100}).data
        others = [one for one in intents if self._is_of(charge, one) and one.id != intent.id]
        return next((one for one in others if one.status != "canceled"), None)

    def _confirm(self, charge: Charge, intent: Any, card: str) -> Outcome:
        """Charge the card: the one request that moves money. https://docs.stripe.com/api/payment_intents/confirm"""
        try:
            confirmed = self._stripe.payment_intents.confirm(
                intent.id,
                params={"payment_method": card},
                options={"idempotency_key": self._key(charge, "confirm")},
            )
        except stripe.CardError as error:
            # Stripe keeps a declined intent open for another card; the payment is over. The decline stands all the
            # same when canceling fails: under its key the confirmation is answered as it was now.
            declined = Declined(self._code(error))
            ended = self._end(intent, declined.code)
            return declined if isinstance(ended, Unknown) else ended
        except (stripe.RateLimitError, stripe.AuthenticationError) as error:
            # Refused before it was looked at. https://docs.stripe.com/error-low-level#idempotency
            return NotCharged(self._code(error))
        except stripe.IdempotencyError:
            return self._confirmed_before(intent)
        except stripe.StripeError as error:
            return Unknown(self._code(error))
        if confirmed.status == "requires_action":
            # The customer is not here to act; and must not be able to later, when this is a decline.
            return self._end(confirmed, _refusal(confirmed))
        return _outcome(confirmed)

    def _confirmed_before(self, intent: Any) -> Outcome:
        """Whether an earlier attempt charged, which confirmed another card under the key; this one did nothing.

        If not, no attempt under the key can any more: ``Unknown``, so that a lookup ends it.
        """
        try:
            intent = self._stripe.payment_intents.retrieve(intent.id)
        except stripe.StripeError as error:
            return Unknown(self._code(error))
        return Charged(intent.id) if intent.status == "succeeded" else Unknown(str(intent.status))

    def _end(self, intent: Any, refusal: str | None) -> Outcome:
        """Cancel an open intent, so that nobody can charge it any more, whoever has its id or its client secret.

        ``refusal`` is the code of what was declined, if anything was; canceling may clear it from the intent.
        https://docs.stripe.com/api/payment_intents/cancel
        """
        try:
            try:
                ended = self._stripe.payment_intents.cancel(intent.id)
            except stripe.InvalidRequestError:  # it was confirmed, or canceled, in between
                ended = self._stripe.payment_intents.retrieve(intent.id)
        except stripe.StripeError as error:
            return Unknown(self._code(error))
        return Declined(refusal) if refusal and ended.status == "canceled" else _outcome(ended)

    def _look_up(self, charge: Charge) -> Outcome:
        try:
            intent = self._stripe.payment_intents.retrieve(self._intent(charge).id)
            other = self._other_intent(charge, intent)
        except stripe.StripeError as error:
            return Unknown(self._code(error))
        if other is not None and other.status != "succeeded" and intent.status in _OPEN:
            # Neither may be charged any more; the next lookup has one less to end.
            ended = self._end(other, None)
            return ended if isinstance(ended, Charged) else Unknown("another_intent")
        intent = intent if other is None else other
        return self._end(intent, _refusal(intent)) if intent.status in _OPEN else _outcome(intent)

    def _search(self, charge: Charge) -> Outcome:
        """Where the key is forgotten: what is found is true, what is not found proves nothing."""
        ours = [f"metadata['{name}']:'{value}'" for name, value in self._metadata(charge).items()]
        query = " AND ".join([*ours, "status:'succeeded'"])
        try:
            found = self._stripe.payment_intents.search(params={"query": query, "limit": 1}).data
        except stripe.StripeError as error:
            return Unknown(self._code(error))
        return Charged(found[0].id) if found else Unknown("the idempotency key is forgotten")

    def _earlier_refund(self, charge: Charge, reference: str) -> RefundOutcome:
        """What was given back of the charge so far, by us or by hand; never gives anything back itself.

        There may be several: parts, and one that failed before the next was tried. https://docs.stripe.com/refunds
        """
        try:
            # The newest come first. https://docs.stripe.com/api/refunds/list
            refunds = self._stripe.refunds.list(params={"payment_intent": reference, "limit": 100}).data
        except stripe.StripeError as error:
            return Unknown(self._code(error))
        ours = [refund for refund in refunds if self._is_of(charge, refund)]
        done = [refund for refund in refunds if refund.status == "succeeded"]
        ours_done = [refund for refund in ours if refund.status == "succeeded"]
        if ours_done or sum(refund.amount for refund in done) >= charge.amount.minor_units:
            return Refunded((ours_done or done)[0].id)
        under_way = [refund for refund in refunds if refund.status not in _REFUND_ENDS]
        if under_way:
            return Unknown(str(under_way[0].status))
        return _refund_outcome(ours[0]) if ours else Unknown("no refund found")

    def _code(self, error: stripe.StripeError) -> str:
        """A code, never the message: Stripe repeats parameters in it. A key that it refused is noted on the way."""
        if isinstance(error, stripe.AuthenticationError):
            self._secret.refused()
        return str(error.code or type(error).__name__)


def _outcome(intent: Any) -> Outcome:
    """What the intent says of itself; ``NotCharged`` is final, for only a canceled one has it."""
    refusal = _refusal(intent)
    match intent.status:
        case "succeeded":
            return Charged(intent.id)
        case "canceled" | "requires_payment_method" if refusal:
            return Declined(refusal)
        case "canceled":
            return NotCharged("canceled")
    return Unknown(str(intent.status))


def _refusal(intent: Any) -> str | None:
    """The code of what kept a confirmed intent from being charged; None for one that was charged or never confirmed.

    https://docs.stripe.com/api/payment_intents/object#payment_intent_object-last_payment_error
    """
    if intent.status == "requires_action":
        return "authentication_required"
    failure = intent.last_payment_error
    return str(getattr(failure, "code", None) or "card_declined") if failure else None


def _refund_outcome(refund: Any) -> RefundOutcome:
    if refund.status == "succeeded":
        return Refunded(refund.id)
    if refund.status in _REFUND_ENDS:
        return NotRefunded(str(refund.status))
    return Unknown(str(refund.status))


def _same_minor_unit(currency: str) -> bool:
    return currency not in _OTHER_UNITS

"""Stripe as the gateway: PaymentIntents, and what each answer means for the payment.

A charge is two requests. Creating a PaymentIntent moves no money; confirming it with the customer's newest card does.
So a failure before the confirmation proves that nothing was charged. A lookup lists the payment's intents and cancels
the open ones, which can then never be charged. If there is none, it creates one and cancels it, so that a slow attempt
finds that one instead of creating its own. Every attempt creates with the same parameters, whatever cards the customer
adds or removes, because Stripe rejects a key with other parameters than it was first used with.

``stripe_requests.py`` explains how requests are repeated without taking effect twice.
https://docs.stripe.com/payments/paymentintents/lifecycle
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import stripe
from payments.ports import (
    GATEWAY_SECONDS,
    ActionRequired,
    Charge,
    Charged,
    Declined,
    NotCharged,
    Outcome,
    RefundOutcome,
    Unknown,
)

from adapters import gateway_secret, stripe_http
from adapters.gateway_secret import Secret
from adapters.stripe_http import Connections, Deadline
from adapters.stripe_refunds import refund_charge
from adapters.stripe_requests import ADDRESS, FORMS, PRESENT_FORM, Requests, find_certain_failure, read_code

# For a call's requests and the fetch of its API key. The rest of the port's time is for everything else.
CALL_SECONDS = GATEWAY_SECONDS - 2

# The payment methods that are cards for Stripe. The others have no counterpart that settles at once.
_CARDS = frozenset({"credit_card", "debit_card", "digital_wallet"})
# The currencies whose minor unit differs between Stripe and ISO 4217, or that Stripe rounds. They are declined, not
# charged a hundredfold. https://docs.stripe.com/currencies#special-cases
_OTHER_UNITS = frozenset(["ISK", "UGX", "MGA", "UYI", "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND", "CLF", "UYW"])
# The statuses in which an intent can be confirmed or acted on, and canceled. https://docs.stripe.com/api/payment_intents/cancel
_OPEN = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
# A code of an error, or a decline code of the card's issuer. https://docs.stripe.com/declines/codes
_AUTHENTICATION_REQUIRED = "authentication_required"

Answer = TypeVar("Answer")


def connect_with_secret(secret_arn: str, environment: str, base_url: str | None = None) -> "StripeGateway":
    """Return the gateway with the API key of a secret. The key is read at once: no payment is claimed without a key.

    Raises what ``Secret.read_api_key`` raises.
    """
    return StripeGateway(Secret(secret_arn, gateway_secret.create_client()), environment, base_url)


class StripeGateway:
    """The gateway of one environment; others may use the same Stripe account and the same transaction ids.

    ``clock`` returns seconds, and measures the time of a call.
    """

    request_version = PRESENT_FORM

    def __init__(
        self, secret: Secret, environment: str, base_url: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        # At INFO, the library logs the error messages of Stripe, which repeat parameters.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        self._secret, self._environment, self._clock = secret, environment, clock
        self._address = base_url or ADDRESS
        self._connections = Connections(self._address)
        secret.read_api_key()

    def charge(self, charge: Charge) -> Outcome:
        if charge.payment_method not in _CARDS:
            return Declined("payment_method_not_supported")
        if charge.amount.currency in _OTHER_UNITS:
            return Declined("currency_not_supported")
        if charge.request_version not in FORMS:
            return NotCharged("request_version_not_supported")
        return self._answer_call(charge, _Call.charge)

    def lookup(self, charge: Charge) -> Outcome:
        if charge.payment_method not in _CARDS:
            return NotCharged("payment_method_not_supported")
        return self._answer_call(charge, _Call.search_charge if charge.key_expired else _Call.settle_intents)

    def close(self, charge: Charge) -> Outcome:
        if charge.payment_method not in _CARDS:
            return NotCharged("payment_method_not_supported")
        return self._answer_call(charge, _Call.close_intents)

    def refund(self, charge: Charge, reference: str) -> RefundOutcome:
        return self._answer_call(charge, lambda call: refund_charge(charge, reference, call.requests))

    def _answer_call(self, charge: Charge, answer: Callable[["_Call"], Answer]) -> Answer | Unknown:
        """Return the answer, or ``Unknown`` if a request raises."""
        deadline = Deadline(CALL_SECONDS, self._clock)
        api_key = self._secret.read_api_key()
        requests = Requests(charge, self._environment, api_key, self._connections, deadline, self._address)
        call = _Call(charge, requests, deadline, self._secret)
        try:
            return answer(call)
        except stripe.StripeError as error:
            return Unknown(call.note_error(error))


class _Call:
    """One call of the gateway, for one payment. A method raises ``stripe.StripeError`` if the outcome is unknown."""

    def __init__(self, charge: Charge, requests: Requests, deadline: Deadline, secret: Secret) -> None:
        self._charge, self.requests, self._deadline, self._secret = charge, requests, deadline, secret

    def charge(self) -> Outcome:
        try:
            card = self.requests.find_newest_card()
            # Stripe may not know the key under another API key than it was used with, and an intent of a failed request
            # may appear late. So existing intents take precedence over what the key returns.
            intents = self.requests.list_intents() if card and self._charge.attempt > 1 else []
            if card and not intents:
                intents = self.requests.create_intent()
        except stripe.StripeError as error:
            reason = find_certain_failure(error)
            # Nothing is confirmed yet.
            return self._decline_unless_charged(reason) if reason else NotCharged(self.note_error(error))
        if card is None:
            return self._decline_unless_charged("no_payment_method")
        if not self._are_of_this_amount(intents):
            return Unknown("another_amount")
        if len(intents) > 1:
            return Unknown("another_intent")  # a lookup finds the outcome of each
        (intent,) = intents
        if intent.status in _OPEN and _read_refusal(intent) is None:
            return self._confirm_intent(intent, card)
        return self._settle_earlier_intent(intent)

    def settle_intents(self) -> Outcome:
        """Return the outcome of the payment's intents, and leave none of them open."""
        intents = self.requests.list_intents()
        if not intents:
            if self._charge.request_version not in FORMS:
                return Unknown("request_version_not_supported")
            try:
                intents = self.requests.create_intent()
            except stripe.StripeError as error:
                reason = find_certain_failure(error)
                if reason is None:
                    raise
                return NotCharged(reason)
        return self._settle_all(intents)

    def search_charge(self) -> Outcome:
        """Search for a charge after the key's lifetime, and close what exists. Finding nothing proves nothing."""
        intents = self.requests.search_intents()
        outcome = self._settle_all(intents) if intents else None
        return outcome if isinstance(outcome, Charged) else Unknown("the idempotency key is forgotten")

    def close_intents(self) -> Outcome:
        """Close the payment's intents and return their outcome; create none.

        The list reaches back two days and is never behind; the search finds older intents.
        """
        intents = {intent.id: intent for intent in self.requests.list_intents()}
        if self._charge.key_expired:
            intents = {intent.id: intent for intent in self.requests.search_intents()} | intents
        return self._settle_all(list(intents.values())) if intents else NotCharged("no_intent")

    def note_error(self, error: stripe.StripeError) -> str:
        """Return the error's code. Expires an API key that was refused."""
        if isinstance(error, stripe.AuthenticationError):
            self._secret.expire_key()
        return read_code(error)

    def _decline_unless_charged(self, reason: str) -> Outcome:
        """Decline what cannot be charged now, unless an earlier attempt charged it."""
        if self._charge.attempt == 1:
            return Declined(reason)
        outcome = self.settle_intents()
        return Declined(reason) if isinstance(outcome, NotCharged) else outcome

    def _confirm_intent(self, intent: Any, card: str) -> Outcome:
        if self._deadline.seconds_left() < stripe_http.REQUEST_SECONDS:
            return NotCharged("no_time_left")  # instead of sending a request without waiting for its answer
        try:
            confirmed = self.requests.confirm_intent(intent.id, card)
        except stripe.CardError as error:
            return self._cancel_intent(intent, _classify_failure(error.error))
        except (stripe.RateLimitError, stripe.AuthenticationError) as error:
            # Refused before it was processed. https://docs.stripe.com/error-low-level#idempotency
            return NotCharged(self.note_error(error))
        except stripe.StripeError as error:
            return self._read_after_failed_confirmation(intent, error)
        # Without off_session the intent waits for the customer, who is not present to act.
        is_waiting = confirmed.status == "requires_action"
        return self._cancel_intent(confirmed, _read_refusal(confirmed)) if is_waiting else _read_outcome(confirmed)

    def _read_after_failed_confirmation(self, intent: Any, error: stripe.StripeError) -> Outcome:
        """Return what the intent says if Stripe answered: an earlier attempt may have confirmed it with another card.

        Raises ``error`` for an open intent, which a lookup cancels. No attempt can confirm it under the payment's key,
        and the effect of this attempt may appear later.
        """
        if error.http_status is None:
            raise error
        intent = self.requests.retrieve_intent(intent.id)
        if intent.status in _OPEN and _read_refusal(intent) is None:
            raise error
        return self._settle_earlier_intent(intent)

    def _settle_earlier_intent(self, intent: Any) -> Outcome:
        """Return the outcome; ``Unknown`` if the intent is canceled, because a retry could not charge it."""
        outcome = self._settle_intent(intent)
        return Unknown(outcome.reason) if isinstance(outcome, NotCharged) else outcome

    def _settle_all(self, intents: list[Any]) -> Outcome:
        """Cancel every open intent, and return the outcome of all together. Never raises."""
        if not self._are_of_this_amount(intents):
            return Unknown("another_amount")
        outcomes = [self._settle_intent(intent) for intent in intents]
        for kind in (Charged, Unknown):
            for outcome in outcomes:
                if isinstance(outcome, kind):
                    return outcome
        refusals = [outcome for outcome in outcomes if isinstance(outcome, Declined | ActionRequired)]
        return min(refusals, key=lambda refusal: refusal.is_closed, default=outcomes[0])

    def _settle_intent(self, intent: Any) -> Outcome:
        return self._cancel_intent(intent, _read_refusal(intent)) if intent.status in _OPEN else _read_outcome(intent)

    def _cancel_intent(self, intent: Any, refusal: Declined | ActionRequired | None) -> Outcome:
        """Cancel an open intent, so that nobody who has its id or client secret can charge it, and return its outcome.

        ``refusal`` is the reason why it was not charged, if there is one; canceling may remove that from the intent.
        Never raises, because the outcome of another intent may be known.
        https://docs.stripe.com/api/payment_intents/cancel
        """
        try:
            ended = self.requests.cancel_intent(intent.id)
        except stripe.InvalidRequestError:  # it was confirmed or canceled in the meantime
            try:
                ended = self.requests.retrieve_intent(intent.id)
            except stripe.StripeError as error:
                return Unknown(self.note_error(error))
        except stripe.StripeError as error:
            return replace(refusal, is_closed=False) if refusal else Unknown(self.note_error(error))
        if refusal is None or ended.status not in _OPEN | {"canceled"}:
            return _read_outcome(ended)
        return replace(refusal, is_closed=ended.status == "canceled")

    def _are_of_this_amount(self, intents: list[Any]) -> bool:
        """Whether all intents have this payment's amount; one with another amount is not of this payment."""
        amount = self._charge.amount
        return all((i.amount, i.currency.upper()) == (amount.minor_units, amount.currency) for i in intents)


def _read_outcome(intent: Any) -> Outcome:
    """Return the outcome that the intent states; ``NotCharged`` is final, because the intent is canceled."""
    refusal = _read_refusal(intent)
    match intent.status:
        case "succeeded":
            return Charged(intent.id)
        case "canceled":
            return refusal or NotCharged("canceled")
    return Unknown(str(intent.status))


def _read_refusal(intent: Any) -> Declined | ActionRequired | None:
    """Return why a confirmed intent was not charged; None if it was charged or never confirmed.

    https://docs.stripe.com/api/payment_intents/object#payment_intent_object-last_payment_error
    """
    if intent.status == "requires_action":
        return ActionRequired(_AUTHENTICATION_REQUIRED)
    return _classify_failure(intent.last_payment_error) if intent.last_payment_error else None


def _classify_failure(failure: Any) -> Declined | ActionRequired:
    code, decline_code = (getattr(failure, name, None) for name in ("code", "decline_code"))
    if _AUTHENTICATION_REQUIRED in (code, decline_code):
        # With off_session it is an error of the card. https://docs.stripe.com/payments/save-and-reuse
        return ActionRequired(_AUTHENTICATION_REQUIRED)
    return Declined(str(code or "card_declined"))

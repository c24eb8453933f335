"""Stripe as the gateway: PaymentIntents, and what each answer means for the payment.

A charge is two requests. Creating a PaymentIntent moves no money; confirming it with the customer's newest card does.
So a failure before the confirmation proves that nothing was charged. A lookup lists the payment's intents and cancels
the open ones, which can then never be charged. If there is none, it creates one and cancels it, so that an attempt that
is only slow finds that one instead of creating its own. Every attempt creates with the same parameters, whatever cards
the customer adds or removes, because Stripe refuses a key with other parameters than it was first used with.

``stripe_requests.py`` explains how requests are repeated without taking effect twice.
https://docs.stripe.com/payments/paymentintents/lifecycle
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import stripe
from payments.ports import (
    GATEWAY_SECONDS,
    ActionRequired,
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

from adapters import gateway_secret, stripe_http
from adapters.gateway_secret import Secret
from adapters.stripe_http import Connections, Deadline
from adapters.stripe_requests import ADDRESS, FORMS, PRESENT_FORM, Requests, find_certain_failure, is_refusal

# Of a call as a whole, with the fetch of the API key; what is left of the port's time is for all that is no request.
CALL_SECONDS = GATEWAY_SECONDS - 2

# Stripe knows cards; what else the platform accepts has no counterpart that settles at once.
_CARDS = frozenset({"credit_card", "debit_card", "digital_wallet"})
# Currencies whose minor unit Stripe counts otherwise than ISO 4217 does, or not to the last digit; they are declined
# rather than charged a hundredfold. https://docs.stripe.com/currencies#special-cases
_OTHER_UNITS = frozenset(["ISK", "UGX", "MGA", "UYI", "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND", "CLF", "UYW"])
# Where an intent can be confirmed, or acted on, and canceled. https://docs.stripe.com/api/payment_intents/cancel
_OPEN = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
# A refund changes no more; pending and requires_action do. https://docs.stripe.com/api/refunds/object
_REFUND_ENDS = frozenset({"succeeded", "failed", "canceled"})
# A code of the error, or a decline code of the card's issuer. https://docs.stripe.com/declines/codes
_AUTHENTICATION_REQUIRED = "authentication_required"


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
        # At INFO it logs the error messages of Stripe, which repeat parameters.
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
        return self._open_call(charge).charge()

    def lookup(self, charge: Charge) -> Outcome:
        if charge.payment_method not in _CARDS:
            return NotCharged("payment_method_not_supported")
        call = self._open_call(charge)
        return call.search_charge() if charge.key_expired else call.settle_intents()

    def close(self, charge: Charge) -> Outcome:
        if charge.payment_method not in _CARDS:
            return NotCharged("payment_method_not_supported")
        return self._open_call(charge).close_intents()

    def refund(self, charge: Charge, reference: str) -> RefundOutcome:
        return self._open_call(charge).refund_charge(reference)

    def _open_call(self, charge: Charge) -> "_Call":
        deadline = Deadline(CALL_SECONDS, self._clock)
        api_key = self._secret.read_api_key()
        requests = Requests(charge, self._environment, api_key, self._connections, deadline, self._address)
        return _Call(charge, requests, deadline, self._secret)


class _Call:
    """One call of the gateway, for one payment."""

    def __init__(self, charge_payment: Charge, requests: Requests, deadline: Deadline, secret: Secret) -> None:
        self._charge, self._requests, self._deadline, self._secret = charge_payment, requests, deadline, secret

    def charge(self) -> Outcome:
        try:
            card = self._requests.find_newest_card()
            if card is None:
                return self._decline_unless_charged("no_payment_method")
            # The key may not be known to Stripe under another API key than it was used with, and what a request that
            # failed created may show late: so what is there goes before what the key says.
            intents = self._requests.list_intents() if self._charge.attempt > 1 else []
            intents = intents or self._requests.create_intent()
        except stripe.StripeError as error:
            reason = find_certain_failure(error)
            # Nothing is confirmed yet.
            return self._decline_unless_charged(reason) if reason else NotCharged(self._note_error_code(error))
        if not self._are_of_this_amount(intents):
            return Unknown("another_amount")
        if len(intents) > 1:
            return Unknown("another_intent")  # a lookup finds out what became of each
        (intent,) = intents
        if intent.status in _OPEN and _read_refusal(intent) is None:
            return self._confirm_intent(intent, card)
        return self._settle_earlier_intent(intent)

    def settle_intents(self) -> Outcome:
        """Return the outcome of the payment's intents, and leave none of them open."""
        try:
            intents = self._requests.list_intents()
        except stripe.StripeError as error:
            return Unknown(self._note_error_code(error))
        if not intents:
            if self._charge.request_version not in FORMS:
                return Unknown("request_version_not_supported")
            try:
                intents = self._requests.create_intent()
            except stripe.StripeError as error:
                reason = find_certain_failure(error)
                return NotCharged(reason) if reason else Unknown(self._note_error_code(error))
        return self._settle_all(intents)

    def search_charge(self) -> Outcome:
        """Search for a charge after the key's lifetime, and close what is found; finding nothing proves nothing."""
        try:
            intents = self._requests.search_intents()
        except stripe.StripeError as error:
            return Unknown(self._note_error_code(error))
        outcome = self._settle_all(intents) if intents else None
        return outcome if isinstance(outcome, Charged) else Unknown("the idempotency key is forgotten")

    def close_intents(self) -> Outcome:
        """Close the payment's intents and return their outcome; creates none.

        The list reaches back two days and is never behind; the search has what is older.
        """
        try:
            intents = {intent.id: intent for intent in self._requests.list_intents()}
            if self._charge.key_expired:
                intents = {intent.id: intent for intent in self._requests.search_intents()} | intents
        except stripe.StripeError as error:
            return Unknown(self._note_error_code(error))
        return self._settle_all(list(intents.values())) if intents else NotCharged("no_intent")

    def refund_charge(self, reference: str) -> RefundOutcome:
        try:
            if not self._charge.key_expired:
                return self._create_refund(reference)
            return self._find_refund(reference) or Unknown("no refund found")
        except stripe.StripeError as error:
            return Unknown(self._note_error_code(error))

    # Charging

    def _decline_unless_charged(self, reason: str) -> Outcome:
        """Decline what cannot be charged now, unless an earlier attempt charged it."""
        if self._charge.attempt == 1:
            return Declined(reason)
        outcome = self.settle_intents()
        return Declined(reason) if isinstance(outcome, NotCharged) else outcome

    def _confirm_intent(self, intent: Any, card: str) -> Outcome:
        if self._deadline.seconds_left() < stripe_http.REQUEST_SECONDS:
            return NotCharged("no_time_left")  # rather than sent and not waited for
        try:
            confirmed = self._requests.confirm_intent(intent.id, card)
        except stripe.CardError as error:
            return self._cancel_intent(intent, _classify_failure(error.error))
        except (stripe.RateLimitError, stripe.AuthenticationError) as error:
            # Refused before it was looked at. https://docs.stripe.com/error-low-level#idempotency
            return NotCharged(self._note_error_code(error))
        except stripe.StripeError as error:
            return self._read_after_failed_confirmation(intent, error)
        # Without off_session it waits for the customer, who is not here to act.
        is_waiting = confirmed.status == "requires_action"
        return self._cancel_intent(confirmed, _read_refusal(confirmed)) if is_waiting else _read_outcome(confirmed)

    def _read_after_failed_confirmation(self, intent: Any, error: stripe.StripeError) -> Outcome:
        """Return what the intent says if Stripe answered: an earlier attempt may have confirmed it with another card.

        An open intent is left to a lookup, which cancels it. No attempt can confirm it under the payment's key,
        and the effect of this attempt may show later.
        """
        if error.http_status is None:
            return Unknown(self._note_error_code(error))
        try:
            intent = self._requests.retrieve_intent(intent.id)
        except stripe.StripeError as failure:
            return Unknown(self._note_error_code(failure))
        if intent.status in _OPEN and _read_refusal(intent) is None:
            return Unknown(self._note_error_code(error))
        return self._settle_earlier_intent(intent)

    def _settle_earlier_intent(self, intent: Any) -> Outcome:
        """Return the outcome; ``Unknown`` if the intent is canceled, since ``NotCharged`` would be retried in vain."""
        outcome = self._settle_intent(intent)
        return Unknown(outcome.reason) if isinstance(outcome, NotCharged) else outcome

    # Closing

    def _settle_all(self, intents: list[Any]) -> Outcome:
        """Cancel every open intent, and return the outcome of all together."""
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

        ``refusal`` is the reason why it was not charged, if there is one; canceling may clear that from the intent.
        https://docs.stripe.com/api/payment_intents/cancel
        """
        try:
            ended = self._requests.cancel_intent(intent.id)
        except stripe.InvalidRequestError:  # it was confirmed, or canceled, in between
            try:
                ended = self._requests.retrieve_intent(intent.id)
            except stripe.StripeError as error:
                return Unknown(self._note_error_code(error))
        except stripe.StripeError as error:
            return replace(refusal, is_closed=False) if refusal else Unknown(self._note_error_code(error))
        if refusal is None or ended.status not in _OPEN | {"canceled"}:
            return _read_outcome(ended)
        return replace(refusal, is_closed=ended.status == "canceled")

    def _are_of_this_amount(self, intents: list[Any]) -> bool:
        """Whether all intents have this payment's amount; one with another amount is not of this payment."""
        amount = self._charge.amount
        return all((i.amount, i.currency.upper()) == (amount.minor_units, amount.currency) for i in intents)

    # Refunds

    def _create_refund(self, reference: str) -> RefundOutcome:
        """Refund and return the outcome; raises ``stripe.StripeError`` if the effect is unknown."""
        # Whether a request under an earlier key may have an effect that shows later.
        is_in_doubt = False

        def create(key: str) -> RefundOutcome | None:
            nonlocal is_in_doubt
            try:
                refund = self._requests.create_refund(reference, key)
            except stripe.StripeError as error:
                if not (isinstance(error, stripe.InvalidRequestError) and is_refusal(error)):
                    is_in_doubt = is_in_doubt or error.http_status is None or error.http_status >= 500
                    raise
                if error.code == "charge_already_refunded":
                    return None
                return (
                    Unknown(self._note_error_code(error)) if is_in_doubt else NotRefunded(self._note_error_code(error))
                )
            # Under its key the creation answers as it did then: pending, for ever.
            return Refunded(refund.id) if refund.status == "succeeded" else None

        outcome = self._requests.create_once("refund", create, lambda: self._find_refund(reference))
        return outcome or self._find_refund(reference) or Unknown("no refund found")

    def _find_refund(self, reference: str) -> RefundOutcome | None:
        """Return what the existing refunds, also those made by hand, come to; None if they decide nothing.

        There may be partial refunds, and one that failed before the next. Raises ``stripe.StripeError``.
        https://docs.stripe.com/refunds
        """
        refunds = self._requests.list_refunds(reference)
        own_refunds = [refund for refund in refunds if self._requests.is_of_payment(refund)]
        succeeded = [refund for refund in refunds if refund.status == "succeeded"]
        own_succeeded = [refund for refund in own_refunds if refund.status == "succeeded"]
        if own_succeeded or sum(refund.amount for refund in succeeded) >= self._charge.amount.minor_units:
            return Refunded((own_succeeded or succeeded)[0].id)
        under_way = [refund for refund in refunds if refund.status not in _REFUND_ENDS]
        if under_way:
            return Unknown(str(under_way[0].status))
        return NotRefunded(str(own_refunds[0].status)) if own_refunds else None

    def _note_error_code(self, error: stripe.StripeError) -> str:
        """Return the error's code, never its message, which repeats parameters. Expires an API key that was refused."""
        if isinstance(error, stripe.AuthenticationError):
            self._secret.expire_key()
        return str(error.code or type(error).__name__)


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

"""Refunds of Stripe, and what each answer means for the payment. https://docs.stripe.com/refunds"""

import stripe
from payments.ports import Charge, NotRefunded, Refunded, RefundOutcome, Unknown

from adapters.stripe_requests import Requests, is_refusal, read_code

# The statuses that do not change any more, unlike pending and requires_action.
# https://docs.stripe.com/api/refunds/object
_FINAL = frozenset({"succeeded", "failed", "canceled"})


def refund_charge(charge: Charge, reference: str, requests: Requests) -> RefundOutcome:
    """Refund the charge, or with an expired key only look for its refund, and return the outcome.

    Raises ``stripe.StripeError`` if the effect is unknown.
    """
    outcome = None if charge.key_expired else _create_refund(charge, reference, requests)
    return outcome or _find_refund(charge, reference, requests) or Unknown("no refund found")


def _create_refund(charge: Charge, reference: str, requests: Requests) -> RefundOutcome | None:
    """Create the refund and return its outcome, or None if only the existing refunds show it."""
    # Whether a request under an earlier key may have an effect that appears later.
    is_in_doubt = False

    def create(key: str) -> RefundOutcome | None:
        nonlocal is_in_doubt
        try:
            refund = requests.create_refund(reference, key)
        except stripe.StripeError as error:
            if not (isinstance(error, stripe.InvalidRequestError) and is_refusal(error)):
                is_in_doubt = is_in_doubt or error.http_status is None or error.http_status >= 500
                raise
            if error.code == "charge_already_refunded":
                return None
            return Unknown(read_code(error)) if is_in_doubt else NotRefunded(read_code(error))
        # A repeated key returns the refund as it was created, so its status stays pending.
        return Refunded(refund.id) if refund.status == "succeeded" else None

    return requests.create_once("refund", create, lambda: _find_refund(charge, reference, requests))


def _find_refund(charge: Charge, reference: str, requests: Requests) -> RefundOutcome | None:
    """Return the outcome of the existing refunds, also those made by hand; None if they decide nothing.

    There may be partial refunds, and one that failed before the next.
    """
    refunds = requests.list_refunds(reference)
    own_refunds = [refund for refund in refunds if requests.is_of_payment(refund)]
    succeeded = [refund for refund in refunds if refund.status == "succeeded"]
    own_succeeded = [refund for refund in own_refunds if refund.status == "succeeded"]
    if own_succeeded or sum(refund.amount for refund in succeeded) >= charge.amount.minor_units:
        return Refunded((own_succeeded or succeeded)[0].id)
    under_way = [refund for refund in refunds if refund.status not in _FINAL]
    if under_way:
        return Unknown(str(under_way[0].status))
    return NotRefunded(str(own_refunds[0].status)) if own_refunds else None

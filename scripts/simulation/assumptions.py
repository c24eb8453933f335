"""The numbers of a simulation that no file of the platform has. ``--assume NAME=VALUE`` changes one."""

from dataclasses import dataclass, field, fields
from typing import Any


def _assume(default: float, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Durations are in seconds, shares from 0 to 1, and the quotas the defaults of AWS in us-east-1.

    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """

    validation_seconds: float = _assume(0.05, "a call of the validation function")
    processing_seconds: float = _assume(0.1, "a call of the processing function, without the gateway")
    service_seconds: float = _assume(0.05, "a call of SNS or SQS")
    read_seconds: float = _assume(0.01, "reconciliation reads a payment")
    settle_seconds: float = _assume(0.15, "reconciliation writes and announces an outcome, without the gateway")
    gateway_seconds: float = _assume(0.5, "the gateway answers")
    refusal_seconds: float = _assume(0.1, "the gateway refuses")
    # The longest request of lambda/adapters/stripe_http.py.
    timeout_seconds: float = _assume(10, "a call that gets no answer")
    charged_share: float = _assume(0.5, "of the charges without an answer, those that the gateway made")
    crash_share: float = _assume(0, "of the charges, those after which the function crashes")
    # https://docs.stripe.com/rate-limits: 100 in live mode, unless Stripe raises it.
    gateway_per_second: float = _assume(
        0, "calls that the gateway accepts in a second; 0: twice the payments, at least 100"
    )
    start_bucket: float = _assume(1300, "StartExecution's bucket")
    starts_per_second: float = _assume(300, "StartExecution's refill")
    # `payments.sh start` tries as often: scripts/common/target.py.
    start_attempts: float = _assume(10, "attempts of a caller whose StartExecution is throttled")
    transition_bucket: float = _assume(5000, "StateTransition's bucket")
    transitions_per_second: float = _assume(5000, "StateTransition's refill")
    concurrency: float = _assume(1000, "concurrent executions of all functions in the account")

    def __post_init__(self) -> None:
        for assumption in fields(self):
            value = getattr(self, assumption.name)
            if value < 0 or (assumption.name.endswith("_share") and value > 1):
                raise ValueError(f"{assumption.name} = {value:g} is not possible")


def list_meanings() -> dict[str, str]:
    """Return what each assumption is, with its default, by its name."""
    return {entry.name: f"{entry.metadata['meaning']} [{entry.default:g}]" for entry in fields(Assumptions)}

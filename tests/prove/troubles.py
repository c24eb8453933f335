"""The troubles that each call of a life may have: faults of faults.py, and those that only the explorer injects."""

from collections.abc import Mapping
from enum import Enum

from payments.ports import GATEWAY_SECONDS

from stacks.workflow.state_machine import INTEGRATION_TIMEOUT_SECONDS, PATIENT, THROTTLED
from tests.prove.faults import Fault

# No request arrives later than this: the gateway has the longest timeout of all calls.
LATE_SECONDS = 61.0


class Directed(Enum):
    """Troubles beyond the faults of faults.py."""

    SAVED_ERROR = "answers 500 without effect, and the key replays that for a day"
    SAVED_ERROR_WITH_EFFECT = "answers 500 with effect, and the key replays that for a day"
    LATE = "time out, with an effect that comes later"
    REFUSED = "throttled until the retries are used up"
    SLOW = "throttled until the last retry, which is not"
    UNLISTED = "fails with an error that the state machine does not list"
    ANSWERS_LOST = "answers, each time, and the answers are lost until the retries are used up"


Trouble = Fault | Directed | None

# The troubles of each call. One of two faults with the same effect stands for both.
READ_TROUBLES = (Fault.TIMEOUT, Fault.CRASH_BEFORE)
WRITE_TROUBLES = (Fault.TIMEOUT_WITH_EFFECT, Fault.CRASH_AFTER, Fault.TIMEOUT)
MONEY_TROUBLES = (
    *(Fault.TIMEOUT_WITH_EFFECT, Fault.CRASH_AFTER, Fault.TIMEOUT_LATE, Fault.CRASH_LATE, Fault.THROTTLED),
    *(Fault.TIMEOUT, Fault.CRASH_BEFORE, Directed.SAVED_ERROR, Directed.SAVED_ERROR_WITH_EFFECT),
)
TROUBLES: Mapping[str, tuple[Fault | Directed, ...]] = {
    "dynamodb.get_item": READ_TROUBLES,
    "dynamodb.transact_write_items": WRITE_TROUBLES,
    "gateway.charge": MONEY_TROUBLES,
    "gateway.refund": MONEY_TROUBLES,
    "gateway.lookup": (Fault.TIMEOUT_WITH_EFFECT, Fault.TIMEOUT, Fault.CRASH_AFTER),
    "sns.publish": WRITE_TROUBLES,
    "sqs.send_message": WRITE_TROUBLES,
    "workflow.publish": (Fault.TIMEOUT_WITH_EFFECT, Directed.LATE, Directed.REFUSED, Directed.SLOW, Directed.UNLISTED),
    "workflow.send_message": (Fault.TIMEOUT_WITH_EFFECT, Directed.LATE, Directed.REFUSED, Directed.UNLISTED),
}
OF_AN_INVOCATION = (Directed.REFUSED, Directed.SLOW, Directed.UNLISTED, Directed.ANSWERS_LOST)
# How often the workflow retries a throttled call, whether of a function, the topic or the queue.
THROTTLED_RETRIES: int = THROTTLED["MaxAttempts"]  # type: ignore[assignment]
assert PATIENT["MaxAttempts"] == THROTTLED_RETRIES
TIMEOUTS = frozenset({Fault.TIMEOUT, Fault.TIMEOUT_WITH_EFFECT, Fault.TIMEOUT_LATE, Directed.LATE})
# How long their callers wait for an answer, in seconds.
WAITING_SECONDS = {"gateway": GATEWAY_SECONDS, "workflow": INTEGRATION_TIMEOUT_SECONDS}
# Calls at which no other actor takes over.
QUIET = frozenset({"clock", "dynamodb.query", "dynamodb.batch_get_item"})
START = "starts"

"""An execution of the state machine: StartExecution, the tasks with their retries, and the way of a failure.

Each function returns a generator for SimPy, and the error of its last attempt, or None.
"""

from collections.abc import Callable, Generator
from typing import Any

from scripts.simulation.retriers import Retriers

from .figures import End
from .gateway import Answer
from .payment import COMPLETED, FAILED, NOT_RECORDED, PENDING, PROCESSING, REVIEW, UNKNOWN, Payment
from .world import World

# What a process of SimPy yields are events, for which it waits.
Steps = Generator[Any, Any, str | None]
Call = Callable[[World, Payment], Steps]

VALIDATION, PROCESSING_FUNCTION = "validation", "processing"
THROTTLED, CRASHED = "Lambda.TooManyRequestsException", "Runtime.ExitError"
# Entered after the states that are tasks: the choice and the end of a payment that has its outcome, and what a failure
# enters beside its functions (its choice, the dead letter, the notice, and the end).
_TRANSITIONS_OF_OUTCOME = 2
_LONGEST_START_WAIT_SECONDS = 20


def run_execution(world: World, payment: Payment) -> Generator[Any, Any, None]:
    """Run a payment's execution from its arrival to its end."""
    if not (yield from _start_execution(world, payment)):
        world.end_payment(payment, End.NOT_STARTED)
        return
    error = yield from _visit_task(world, payment, "ValidatePayment", _validate)
    if error is None:
        error = yield from _visit_task(world, payment, "ProcessPayment", _process)
    if error is None:
        yield from _enter_states(world, _TRANSITIONS_OF_OUTCOME)
        return
    yield from _fail_execution(world, payment)
    if not payment.is_ended and payment.status == NOT_RECORDED:
        world.end_payment(payment, End.NOT_RECORDED)
    world.index_payment(payment)


def _start_execution(world: World, payment: Payment) -> Generator[Any, Any, bool]:
    """Start an execution; a caller that is throttled tries again, as the SDK does in its standard mode.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
    """
    for attempt in range(int(world.assumptions.start_attempts)):
        if world.starts.take(world.time, world.weight):
            return True
        payment.is_delayed = True
        yield world.timeout(min(world.random.random() * 2**attempt, _LONGEST_START_WAIT_SECONDS))
    return False


def _visit_task(world: World, payment: Payment, state: str, call: Call) -> Steps:
    """Enter a state, and call its function until it succeeds or its retriers give up."""
    retriers: Retriers = world.rules.retriers[state]
    attempts: dict[int, int] = {}
    while True:
        # A retry is a transition, too: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
        yield from _enter_states(world, 1)
        error = yield from call(world, payment)
        if error is None:
            return None
        wait = retriers.plan_wait(error, attempts, world.random)
        if wait is None:
            return error
        payment.is_delayed = True
        yield world.timeout(wait)


def _enter_states(world: World, count: int) -> Generator[Any, Any, None]:
    """Take tokens for transitions. Step Functions delays what it throttles."""
    if delay := world.transitions.reserve(world.time, count * world.weight):
        yield world.timeout(delay)


def _validate(world: World, payment: Payment) -> Steps:
    if not world.concurrency.acquire(VALIDATION, world.weight):
        return THROTTLED
    yield world.timeout(world.assumptions.validation_seconds)
    world.concurrency.release(VALIDATION, world.weight)
    payment.set_status(PENDING, world.time)
    return None


def _process(world: World, payment: Payment) -> Steps:
    if not world.concurrency.acquire(PROCESSING_FUNCTION, world.weight):
        return THROTTLED
    error = yield from _charge_payment(world, payment)
    world.concurrency.release(PROCESSING_FUNCTION, world.weight)
    return error


def _charge_payment(world: World, payment: Payment) -> Steps:
    """Do as lambda/payments/charge.py does."""
    at, seconds = world.time, world.assumptions.processing_seconds
    match payment.status:
        case status if status in (COMPLETED, FAILED, REVIEW):  # by reconciliation
            yield world.timeout(seconds)
            return {COMPLETED: None, FAILED: "PaymentGivenUp", REVIEW: "ReviewNeeded"}[status]
        case status if status == UNKNOWN:
            return (yield from _look_up_payment(world, payment))
    if payment.lease_until is not None and at < payment.lease_until:
        yield world.timeout(seconds)
        return "PaymentInProgress"
    if payment.is_window_over(at):
        yield world.timeout(seconds)
        return "ReviewNeeded"
    is_taken_over = payment.status == PROCESSING
    payment.claim(at)
    gateway_seconds, answer = world.gateway.charge(at, world.weight)
    # The same key gives the charge of an earlier attempt.
    if answer is Answer.UNKNOWN and not payment.is_charged:
        payment.is_charged = world.random.random() < world.assumptions.charged_share
    payment.is_charged = payment.is_charged or answer is Answer.CHARGED
    yield world.timeout(seconds + gateway_seconds)
    if world.assumptions.crash_share and world.random.random() < world.assumptions.crash_share:
        return CRASHED
    if answer is Answer.CHARGED:
        payment.set_status(COMPLETED, world.time)
        world.end_payment(payment, End.LATE if payment.is_delayed else End.AT_ONCE)
        return None
    if answer is Answer.NOT_CHARGED and not is_taken_over:
        payment.set_status(PENDING, world.time)
        return "GatewayUnavailable"
    payment.set_status(UNKNOWN, world.time)
    world.index_payment(payment)
    return "ChargeOutcomeUnknown"


def _look_up_payment(world: World, payment: Payment) -> Steps:
    gateway_seconds, answer = world.gateway.look_up("lookup", payment.is_charged, world.time, world.weight)
    yield world.timeout(world.assumptions.processing_seconds + gateway_seconds)
    if payment.status != UNKNOWN:  # by reconciliation
        return "PaymentChanged"
    if answer is Answer.UNKNOWN:
        return "ChargeOutcomeUnknown"
    if answer is Answer.CHARGED:
        payment.set_status(COMPLETED, world.time)
        world.end_payment(payment, End.LATE)
        return None
    payment.key_closed = True
    payment.set_status(FAILED, world.time)
    world.end_payment(payment, End.FAILED)
    return "PaymentGivenUp"


def _fail_execution(world: World, payment: Payment) -> Generator[Any, Any, None]:
    """Record the failure, send the dead letter and the notice, and record that."""
    is_recorded = (yield from _visit_task(world, payment, "RecordFailure", _record_failure)) is None
    if is_recorded:
        yield from _enter_states(world, 1)
    if payment.status == COMPLETED:
        yield from _enter_states(world, 1)
        return
    for _ in ("SendToDeadLetterQueue", "NotifyFailure"):
        yield from _enter_states(world, 1)
        yield world.timeout(world.assumptions.service_seconds)
    yield from _visit_task(world, payment, "RecordNotice", _record_notice)
    yield from _enter_states(world, 1)


def _record_failure(world: World, payment: Payment) -> Steps:
    """Do as lambda/payments/failure.py does."""
    if not world.concurrency.acquire(PROCESSING_FUNCTION, world.weight):
        return THROTTLED
    yield world.timeout(world.assumptions.processing_seconds)
    world.concurrency.release(PROCESSING_FUNCTION, world.weight)
    if payment.status == PENDING:
        payment.set_status(FAILED, world.time)
        world.end_payment(payment, End.FAILED)
    if payment.status in (FAILED, PROCESSING, UNKNOWN):
        payment.claim_notice(world.time)
    return None


def _record_notice(world: World, payment: Payment) -> Steps:
    if not world.concurrency.acquire(PROCESSING_FUNCTION, world.weight):
        return THROTTLED
    yield world.timeout(world.assumptions.processing_seconds)
    world.concurrency.release(PROCESSING_FUNCTION, world.weight)
    if payment.notice_until is not None:
        payment.confirm_notice(world.time)
    return None

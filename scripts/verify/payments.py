"""Payments of this run, with every outcome that the gateway can be asked for; all run at the same time.

They stay in the tables: the ledger is append-only.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator

from payments.status import UNSUCCESSFUL

from scripts.operator import records
from scripts.operator.executions import Execution, read_execution
from stacks import names

from . import dead_letters, deployments, notifications
from .place import Place
from .results import Check, Failed, Skipped, Status, run
from .samples import Sample, samples

GROUP = "payments"
LONGEST_SECONDS = 180
NOTIFICATION_SECONDS = 60
_ROLES = {
    "ValidatePayment": names.VALIDATION_ROLE,
    "ProcessPayment": names.PROCESSING_ROLE,
    "RecordFailure": names.PROCESSING_ROLE,
    "RecordNotice": names.PROCESSING_ROLE,
    "RecordUnsuccessful": names.PROCESSING_ROLE,
}


def checks(place: Place) -> Iterator[Check]:
    asked_for = samples(place.settings)
    place.cleanup.add("delete the dead letters of this run", lambda: dead_letters.delete_letters(place))
    started = run(GROUP, "start", _start_all, place, asked_for)
    if started.status is not Status.OK:
        yield started
        return
    wrong = set()
    for sample in asked_for:
        check = _timed(place, sample)
        if check.status is not Status.OK:
            wrong.add(sample.name)
        yield check

    def follow_up(name: str, look: Callable[[Place, Sample], str], sample: Sample) -> Check:
        return run(GROUP, name, _skip if sample.name in wrong else look, place, sample)

    yield follow_up(f"{asked_for[0].name}, sent again", _replay, asked_for[0])
    for sample in (sample for sample in asked_for if sample.leaves_letter):
        yield follow_up(f"dead letter of {sample.name}", dead_letters.take_letter, sample)
    for sample in (sample for sample in asked_for if sample.status != "COMPLETED"):
        yield follow_up(f"notification of {sample.name}", _notification, sample)
    if place.settings["Gateway"] != "simulator":
        yield run(GROUP, "completed, retried", _not_with_stripe)


def _skip(place: Place, sample: Sample) -> str:
    raise Skipped(f"{sample.request(place.run_name)['transaction_id']} did not get its outcome")


def _not_with_stripe() -> str:
    raise Skipped("Stripe decides the outcome: send a payment of a test customer with scripts/payments.sh start")


def _start_all(place: Place, asked_for: list[Sample]) -> str:
    # The payments that fail set off the alarms of failures.
    deployments.check_none_runs(place)
    for sample in asked_for:
        _start(place, sample, sample.name)
    return f"{len(asked_for)} executions"


def _start(place: Place, sample: Sample, name: str) -> str:
    """The execution's ARN. Its trace is sampled by asking for that, so that X-Ray has it for certain.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-traceids
    """
    trace = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    started = place.client("stepfunctions").start_execution(
        stateMachineArn=place.platform.outputs["StepFunctionsStateMachineArn"],
        name=f"{place.run_name}-{name}",
        input=json.dumps(sample.request(place.run_name)),
        traceHeader=f"Root={trace};Sampled=1",
    )
    place.executions[name], place.traces[name] = str(started["executionArn"]), trace
    return place.executions[name]


def _timed(place: Place, sample: Sample) -> Check:
    """With the seconds that its execution took: all run at once, so the wait for each would say nothing."""
    story: list[Execution] = []
    check = run(GROUP, sample.name, _outcome, place, sample, story)
    seconds = round(story[0].seconds, 1) if story else check.seconds
    return Check(check.group, check.name, check.status, check.seen, seconds)


def _outcome(place: Place, sample: Sample, story: list[Execution]) -> str:
    execution = _ended(place, sample.name)
    story.append(execution)
    transaction_id = sample.request(place.run_name)["transaction_id"]
    record = records.read_payments(place.platform, [transaction_id]).get(transaction_id)
    status = record.status if record else "not recorded"
    attempts = execution.tries["ProcessPayment"]
    problems = [] if status == sample.status else [f"payment is {status}, must be {sample.status}"]
    if execution.error != sample.error:
        problems.append(_error_of(place, execution, sample))
    if not problems and attempts != sample.attempts:
        problems.append(f"{attempts} attempts, must be {sample.attempts}")
    if problems:
        raise Failed(f"{transaction_id}: {'; '.join(problems)}")
    return f"{sample.amount}: {status}{f' after {attempts} attempts' if attempts > 1 else ''}"


def _error_of(place: Place, execution: Execution, sample: Sample) -> str:
    """Where it failed, with the cause, and whose permission is missing where that is the cause."""
    if not execution.error:
        return f"the execution succeeded, must fail with {sample.error}"
    failure = next((moment for moment in execution.moments if moment.kind == "failed"), None)
    if failure is None:
        return f"the execution is {execution.status}: {execution.error}"
    reason = f"{failure.state} failed: {failure.error}: {failure.cause}"
    if "AccessDenied" in failure.cause or "not authorized" in failure.cause:
        role = place.named(_ROLES.get(failure.state, names.WORKFLOW_ROLE))
        reason += f"; {role} lacks a permission, see 'policies of the roles'"
    return reason


def _ended(place: Place, name: str) -> Execution:
    arn = place.executions[name]

    def probe() -> Execution | None:
        execution = read_execution(place.client("stepfunctions"), arn)
        return execution if execution.has_ended else None

    execution: Execution | None = place.wait(probe, LONGEST_SECONDS)
    if execution is None:
        raise Failed(f"{arn} still runs after {LONGEST_SECONDS} s")
    return execution


def _replay(place: Place, sample: Sample) -> str:
    """The same request in a second execution: the recorded outcome comes back, and nothing is written."""
    transaction_id = sample.request(place.run_name)["transaction_id"]
    before = records.read_payment(place.platform, transaction_id)
    _start(place, sample, f"{sample.name}-again")
    execution = _ended(place, f"{sample.name}-again")
    after = records.read_payment(place.platform, transaction_id)
    if execution.status != "SUCCEEDED":
        raise Failed(_error_of(place, execution, sample))
    if after != before:
        raise Failed(f"{transaction_id} was changed by the same request: {before.status} before, {after.status} now")
    if sample.status == "COMPLETED" and execution.output.get("gateway_reference") != before.gateway_reference:
        raise Failed(f"{transaction_id} has another charge: {execution.output.get('gateway_reference')}")
    return f"{after.status} under the same charge, nothing written"


def _notification(place: Place, sample: Sample) -> str:
    if sample.status in UNSUCCESSFUL and place.settings["NotifyBusinessOutcomes"] != "true":
        raise Skipped("the settings turn it off: notify_business_outcomes")
    notifications.notification_of(place, place.executions[sample.name], sample.status, NOTIFICATION_SECONDS)
    return f"outcome {sample.status}, received by the temporary queue"

"""Concurrent payments with every outcome that the gateway can simulate. They stay in the append-only tables."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial

from payments.status import UNSUCCESSFUL

from scripts.common.errors import AWS_ERRORS, is_refusal
from scripts.common.suggestion import suggest_payments_command
from scripts.operator import records
from scripts.operator.execution_names import is_express
from scripts.operator.executions import Execution
from scripts.operator.express_executions import read_payment_execution
from stacks import names

from . import dead_letters, notifications
from .results import Check, Failed, Skipped, Status, run_check
from .run import Run
from .samples import Sample, make_samples

GROUP = "payments"
LONGEST_SECONDS = 180
NOTIFICATION_SECONDS = 60
_ROLES = {
    "ValidatePayment": names.VALIDATION.role,
    "ProcessPayment": names.PROCESSING.role,
    "RecordFailure": names.PROCESSING.role,
    "RecordNotice": names.PROCESSING.role,
    "RecordUnsuccessful": names.PROCESSING.role,
}


def checks(run: Run) -> Iterator[Check]:
    payments = make_samples(run.settings)
    run.cleanup.add_step("delete the dead letters of this run", lambda: dead_letters.delete_letters(run))
    started = run_check(GROUP, "start", _start_payments, run, payments)
    if started.status is not Status.OK:
        yield started
        return
    failed = set()
    for sample in payments:
        check = _check_payment(run, sample)
        if check.status is not Status.OK:
            failed.add(sample.name)
        yield check

    def follow_up(name: str, check_sample: Callable[[Run, Sample], str], sample: Sample) -> Check:
        return run_check(GROUP, name, _skip_sample if sample.name in failed else check_sample, run, sample)

    yield follow_up(f"{payments[0].name}, sent again", _check_replay, payments[0])
    for sample in (sample for sample in payments if sample.leaves_letter):
        yield follow_up(f"dead letter of {sample.name}", dead_letters.take_letter, sample)
    for sample in (sample for sample in payments if sample.status != "COMPLETED"):
        yield follow_up(f"notification of {sample.name}", _check_notification, sample)
    if run.settings["Gateway"] != "simulator":
        start = suggest_payments_command(run.environment, "start")
        reason = f"Stripe decides the outcome: send a payment of a test customer with {start}"
        yield Check(GROUP, "completed, retried", Status.SKIPPED, reason)


def _skip_sample(run: Run, sample: Sample) -> str:
    raise Skipped(f"{sample.request(run.name)['transaction_id']} did not get its outcome")


def _start_payments(run: Run, payments: list[Sample]) -> str:
    # Failed payments set off alarms.
    run.check_no_deployment()
    for sample in payments:
        _start_execution(run, sample, sample.name)
    return f"{len(payments)} executions"


def _start_execution(run: Run, sample: Sample, name: str) -> None:
    """Start an execution with a sampled trace, so that X-Ray has it for certain.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-traceids
    """
    trace = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    request = partial(
        run.client("stepfunctions").start_execution,
        stateMachineArn=run.platform.outputs["StepFunctionsStateMachineArn"],
        name=f"{run.name}-{name}",
        input=json.dumps(sample.request(run.name)),
        traceHeader=f"Root={trace};Sampled=1",
    )
    run.unanswered_starts.add(name)
    try:
        started = run.make_payment(request)
    except AWS_ERRORS as error:
        if is_refusal(error):
            run.unanswered_starts.remove(name)
        raise
    run.unanswered_starts.remove(name)
    run.executions[name], run.traces[name] = str(started["executionArn"]), trace


def _check_payment(run: Run, sample: Sample) -> Check:
    """Return the result with the duration of the execution; the wait says nothing, because all run at once."""
    executions: list[Execution] = []
    check = run_check(GROUP, sample.name, _check_outcome, run, sample, executions)
    seconds = round(executions[0].seconds, 1) if executions else check.seconds
    return Check(check.group, check.name, check.status, check.observation, seconds)


def _check_outcome(run: Run, sample: Sample, executions: list[Execution]) -> str:
    if is_express(run.executions[sample.name]) and run.settings["WorkflowLogLevel"] != "ALL":
        raise Skipped("the log of the Express workflow has no paths: workflow_log_level")
    execution = _wait_for_end(run, sample.name)
    executions.append(execution)
    transaction_id = sample.request(run.name)["transaction_id"]
    record = records.read_payments(run.platform, [transaction_id]).get(transaction_id)
    status = record.status if record else "not recorded"
    runs = execution.runs["ProcessPayment"]
    problems = [] if status == sample.status else [f"payment is {status}, must be {sample.status}"]
    if execution.error != sample.error:
        problems.append(_describe_error(run, execution, sample))
    if not problems and runs != sample.process_runs:
        problems.append(f"Process ran {runs} times, must be {sample.process_runs}")
    if problems:
        raise Failed(f"{transaction_id}: {'; '.join(problems)}")
    return f"{sample.amount}: {status}{f' after {runs} runs of Process' if runs > 1 else ''}"


def _describe_error(run: Run, execution: Execution, sample: Sample) -> str:
    """Describe where the execution failed, and which role was denied an action if that is why."""
    if not execution.error:
        return f"the execution succeeded, must fail with {sample.error}"
    failure = next((moment for moment in execution.moments if moment.kind == "failed"), None)
    if failure is None:
        return f"the execution is {execution.status}: {execution.error}"
    reason = f"{failure.state} failed: {failure.error}: {failure.cause}"
    if "AccessDenied" in failure.cause or "not authorized" in failure.cause:
        role = run.resource_name(_ROLES.get(failure.state, names.WORKFLOW_ROLE))
        reason += f"; {role} was denied the action; see 'policies of the roles'"
    return reason


def _wait_for_end(run: Run, name: str) -> Execution:
    arn = run.executions[name]

    def read_ended() -> Execution | None:
        execution = read_payment_execution(run.platform, arn)
        return execution if execution.has_ended else None

    execution: Execution | None = run.wait_for(read_ended, LONGEST_SECONDS)
    if execution is None:
        raise Failed(f"{arn} still runs after {LONGEST_SECONDS} s")
    return execution


def _check_replay(run: Run, sample: Sample) -> str:
    """Send the request again, which must return the recorded outcome and write nothing."""
    transaction_id = sample.request(run.name)["transaction_id"]
    before = records.read_payment(run.platform, transaction_id)
    _start_execution(run, sample, f"{sample.name}-again")
    execution = _wait_for_end(run, f"{sample.name}-again")
    after = records.read_payment(run.platform, transaction_id)
    if execution.status != "SUCCEEDED":
        raise Failed(_describe_error(run, execution, sample))
    if after != before:
        raise Failed(f"{transaction_id} was changed by the same request: {before.status} before, {after.status} now")
    if sample.status == "COMPLETED" and execution.output.get("gateway_reference") != before.gateway_reference:
        raise Failed(f"{transaction_id} has another charge: {execution.output.get('gateway_reference')}")
    return f"{after.status} under the same charge, nothing written"


def _check_notification(run: Run, sample: Sample) -> str:
    if sample.status in UNSUCCESSFUL and run.settings["NotifyBusinessOutcomes"] != "true":
        raise Skipped("the settings turn it off: notify_business_outcomes")
    notifications.wait_for_notification(run, run.executions[sample.name], sample.status, NOTIFICATION_SECONDS)
    return f"outcome {sample.status}, received by the temporary queue"

"""The definition of the state machine, in the Amazon States Language with JSONata.

    ValidatePayment -> ProcessPayment -> PaymentOutcome -> PaymentComplete
                                             |-> NotifyUnsuccessful -> RecordUnsuccessful -> PaymentUnsuccessful
    any technical failure -> RecordFailure -> FailureOutcome -> SendToDeadLetterQueue -> NotifyFailure -> RecordNotice
                                                  |-> PaymentFailed <-------------------------------------|

Each state of the last two lines catches errors into the next, so nothing masks the failure. FailureOutcome leads to the
end states of PaymentOutcome if the payment has its outcome in spite of the failure. If another execution or
reconciliation announces the failure, this execution only fails. Only ``Task`` states can catch errors, so every
expression that can fail is in one; the expressions of other states and of catchers always succeed.
AWS does not guarantee that ``States.DataLimitExceeded`` can be caught, so the input and the state data are small.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html

Standard and Express workflows have the same states, but for their patience, and the first state IdentifyRun of Express:
a ``Profile`` holds what differs.
"""

from dataclasses import dataclass
from typing import Any

from ..compute.stack import TIMEOUT_SECONDS as FUNCTION_TIMEOUT_SECONDS
from . import errors as workflow_errors

# Longer than the function's own timeout, so that Step Functions reports that one.
TASK_TIMEOUT_SECONDS = FUNCTION_TIMEOUT_SECONDS + 10
INTEGRATION_TIMEOUT_SECONDS = 30

# Far more than a payment needs, and far less than the 256 KiB at which an execution ends without a catch.
MAXIMUM_REQUEST_CHARACTERS = 20_000

# Lambda did not run the function. Jitter keeps the executions from retrying at the same moment.
THROTTLED = {
    "ErrorEquals": [*workflow_errors.THROTTLED],
    "IntervalSeconds": 1,
    "MaxAttempts": 8,
    "BackoffRate": 2,
    "MaxDelaySeconds": 60,
    "JitterStrategy": "FULL",
}
# Another attempt holds the payment, or died holding it: wait until its lease has expired.
IN_PROGRESS = {"ErrorEquals": ["PaymentInProgress"], "IntervalSeconds": 20, "MaxAttempts": 5, "BackoffRate": 1}
# The interval, attempts and rate are the reference's.
TRANSIENT = {
    "ErrorEquals": [
        "GatewayUnavailable",
        "ChargeOutcomeUnknown",
        "LedgerUnavailable",
        "PaymentChanged",
        *workflow_errors.TRANSIENT,
    ],
    "IntervalSeconds": 2,
    "MaxAttempts": 3,
    "BackoffRate": 2,
}
# The function crashed or timed out. It may run again, because the ledger records how far it came.
CRASHED = {"ErrorEquals": [*workflow_errors.CRASHED], "IntervalSeconds": 2, "MaxAttempts": 1, "BackoffRate": 1}
# Waits for over three minutes in all, because functions that had been idle for weeks took up to 106 seconds to become
# ready (https://github.com/aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws/issues/801).
# Without jitter, which could use up all attempts within a few seconds.
NOT_READY = {
    "ErrorEquals": [*workflow_errors.NOT_READY],
    "IntervalSeconds": 10,
    "MaxAttempts": 5,
    "BackoffRate": 2,
    "MaxDelaySeconds": 60,
}
FUNCTION_RETRY = [THROTTLED, IN_PROGRESS, TRANSIENT, CRASHED, NOT_READY]
# Recording a failure waits for minutes, to outlast an outage of the service.
PATIENT = {"IntervalSeconds": 2, "MaxAttempts": 8, "BackoffRate": 2, "MaxDelaySeconds": 60}
RECORD_RETRY = [THROTTLED, {**TRANSIENT, **PATIENT}, CRASHED, NOT_READY]
INTEGRATION_RETRY = [{"ErrorEquals": ["States.ALL"], **PATIENT}]

# Repeats lambda/payments/request.py; a test compares them.
TRANSACTION_ID = "[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"
CARD_NUMBER = (
    "(^|[^0-9A-Fa-f])"
    "([3-6][0-9]{12,18}|2[2-7][0-9]{14}|[2-6][0-9]{3}([._:-][0-9]{4}){3}|3[0-9]{3}[._:-][0-9]{6}[._:-][0-9]{5})"
    "([^0-9A-Fa-f]|$)"
)

_REQUEST = "$states.context.Execution.Input"
# The outcomes with and without a charge. Repeats lambda/payments; a test compares them.
COMPLETED = ("COMPLETED", "REFUNDING", "REFUNDED")
UNSUCCESSFUL = ("REJECTED", "DECLINED", "ACTION_REQUIRED")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What differs between the two types of workflow. Times are in seconds."""

    workflow_type: str
    # Whether an execution may run more than once, so that each run needs an id of its own.
    identifies_runs: bool
    # How long a call of the validation function, of one that records, and of the processing function may take.
    record_timeout: int
    process_timeout: int
    integration_timeout: int
    function_retry: list[dict[str, Any]]
    record_retry: list[dict[str, Any]]
    integration_retry: list[dict[str, Any]]
    # The longest execution; None for as long as all attempts and waits may take.
    timeout: int | None = None

    @property
    def run_id(self) -> str:
        """The expression for the id by which the functions know a run of an execution: a claim belongs to one run."""
        return "$run_id" if self.identifies_runs else "$states.context.Execution.Id"

    @property
    def execution(self) -> dict[str, str]:
        """The field of a function's event that identifies the run."""
        return {"id": f"{{% {self.run_id} %}}", "started_at": "{% $states.context.Execution.StartTime %}"}


STANDARD = Profile(
    workflow_type="STANDARD",
    identifies_runs=False,
    record_timeout=TASK_TIMEOUT_SECONDS,
    process_timeout=TASK_TIMEOUT_SECONDS,
    integration_timeout=INTEGRATION_TIMEOUT_SECONDS,
    function_retry=FUNCTION_RETRY,
    record_retry=RECORD_RETRY,
    integration_retry=INTEGRATION_RETRY,
)
# AWS ends an Express execution after five minutes. Within the timeout below, a payment that cannot be recorded leaves
# its dead letter, however its attempts fail; of a recorded one, reconciliation takes up whatever was cut short.
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
_BRIEF_THROTTLED = {**THROTTLED, "MaxAttempts": 4, "MaxDelaySeconds": 8}
_BRIEF_IN_PROGRESS = {**IN_PROGRESS, "MaxAttempts": 4}
_BRIEF_NOT_READY = {**NOT_READY, "MaxAttempts": 2}
_BRIEF_PATIENT = {**PATIENT, "MaxAttempts": 4, "MaxDelaySeconds": 8}
EXPRESS = Profile(
    workflow_type="EXPRESS",
    # "In rare cases, the internal state of a workflow can be lost, and the workflow will be automatically restarted":
    # https://docs.aws.amazon.com/step-functions/latest/dg/express-at-least-once-execution.html
    identifies_runs=True,
    # Two calls of DynamoDB at 21 s take longer; then the call is repeated.
    record_timeout=30,
    # The gateway may take 50 s of it.
    process_timeout=75,
    integration_timeout=10,
    function_retry=[_BRIEF_THROTTLED, _BRIEF_IN_PROGRESS, TRANSIENT, CRASHED, _BRIEF_NOT_READY],
    record_retry=[_BRIEF_THROTTLED, {**TRANSIENT, **_BRIEF_PATIENT}, CRASHED, _BRIEF_NOT_READY],
    integration_retry=[{"ErrorEquals": ["States.ALL"], **_BRIEF_PATIENT}],
    timeout=290,
)


def define_states(profile: Profile = STANDARD) -> dict[str, Any]:
    """Return the definition, with ``${...}`` for the ARNs of ``DefinitionSubstitutions``."""
    states: dict[str, Any] = {
        "ValidatePayment": {
            **_function_task(
                profile, "${ValidationFunctionArn}", {"request": _bounded_request(), "execution": profile.execution}
            ),
            "Catch": _caught_in(profile, "ValidatePayment"),
            "Next": "ProcessPayment",
        },
        "ProcessPayment": {
            **_function_task(
                profile,
                "${ProcessingFunctionArn}",
                {
                    "action": "process",
                    "transaction_id": "{% $states.input.transaction_id %}",
                    "record_id": "{% $states.input.record_id %}",
                    "execution": profile.execution,
                },
            ),
            "TimeoutSeconds": profile.process_timeout,
            "Catch": _caught_in(profile, "ProcessPayment"),
            "Next": "PaymentOutcome",
        },
        "PaymentOutcome": {
            "Type": "Choice",
            "Choices": _outcome_choices(),
            # No function answers anything else. If one did, it would be a failure like any other.
            "Assign": _failure_states(
                profile, "PaymentOutcome", "'UnexpectedOutcome'", "'ProcessPayment gave no known status'"
            ),
            "Default": "RecordFailure",
        },
        "PaymentComplete": {"Type": "Succeed"},
        "NotifyUnsuccessful": {
            **_publish_state(
                profile,
                subject="{% 'Payment ' & $states.input.status %}",
                outcome="{% $states.input.status %}",
                payment_status="{% $states.input.status %}",
                message="{'kind': 'payment', 'notice_id': $states.input.notice_id,"
                " 'transaction_id': $states.input.transaction_id, 'status': $states.input.status,"
                " 'reasons': $states.input.reasons, 'execution_arn': $states.context.Execution.Id,"
                " 'timestamp': $states.context.State.EnteredTime}",
            ),
            "Output": "{% $states.input %}",
            "Assign": {"is_sent": True},
            # The payment has its outcome all the same. A notice that was not sent stays due for reconciliation.
            "Catch": [
                {
                    "ErrorEquals": ["States.ALL"],
                    "Output": "{% $states.input %}",
                    "Assign": {"is_sent": False},
                    "Next": "RecordUnsuccessful",
                }
            ],
            "Next": "RecordUnsuccessful",
        },
        "RecordUnsuccessful": _record_notice(
            profile,
            "{% $states.input.transaction_id %}",
            "{% $states.input.notice_id %}",
            is_dead_lettered=False,
            next_state="PaymentUnsuccessful",
        ),
        "PaymentUnsuccessful": {"Type": "Succeed"},
        "RecordFailure": {
            **_function_task(
                profile,
                "${ProcessingFunctionArn}",
                {
                    "action": "record_failure",
                    "transaction_id": "{% $failure.transaction_id %}",
                    "request": f"{{% {_is_bounded(_REQUEST)} ? {_REQUEST} : null %}}",
                    "error": "{% $failure.error %}",
                    "execution": profile.execution,
                },
            ),
            "Assign": {
                "has_payment": "{% $states.result.Payload.has_payment %}",
                "payment_status": "{% $states.result.Payload.status %}",
                "outcome": "{% $states.result.Payload.outcome %}",
                "notice_id": "{% $states.result.Payload.notice_id %}",
            },
            "Retry": profile.record_retry,
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "SendToDeadLetterQueue"}],
            "Next": "FailureOutcome",
        },
        "FailureOutcome": {
            "Type": "Choice",
            "Choices": [
                # The payment may have its outcome in spite of the failure.
                *_outcome_choices(),
                {"Condition": "{% $states.input.announce = true %}", "Next": "SendToDeadLetterQueue"},
            ],
            "Default": "PaymentFailed",
        },
        "SendToDeadLetterQueue": {
            "Type": "Task",
            "Resource": "${SendMessage}",
            "TimeoutSeconds": profile.integration_timeout,
            "Arguments": {"QueueUrl": "${QueueUrl}", "MessageBody": f"{{% $string({_DEAD_LETTER}) %}}"},
            "Assign": {"is_dead_lettered": True},
            "Retry": profile.integration_retry,
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "NotifyFailure"}],
            "Next": "NotifyFailure",
        },
        "NotifyFailure": {
            **_publish_state(
                profile,
                subject="{% $has_payment ? 'Payment ' & $outcome : 'Execution failed' %}",
                outcome="{% $outcome %}",
                payment_status="{% $has_payment ? $payment_status : 'NONE' %}",
                message=_FAILURE_NOTICE,
            ),
            # A notice of the execution leaves the notice of its payment due.
            "Assign": {"is_sent": "{% $has_payment %}"},
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "RecordNotice"}],
            "Next": "RecordNotice",
        },
        # A notice that was not sent stays due, and reconciliation sends it.
        "RecordNotice": _record_notice(
            profile,
            "{% $failure.transaction_id %}",
            "{% $notice_id %}",
            is_dead_lettered="{% $is_dead_lettered %}",
            next_state="PaymentFailed",
        ),
        "PaymentFailed": {
            "Type": "Fail",
            "Error": "{% $failure.error %}",
            "Cause": "{% $failure.cause %}",
        },
    }
    if profile.identifies_runs:
        run_id = "{% $states.context.Execution.Id & '#' & $uuid() %}"
        states = {"IdentifyRun": {"Type": "Pass", "Assign": {"run_id": run_id}, "Next": "ValidatePayment"}, **states}
    return {
        "Comment": "Validates a payment, charges it once, and announces every other outcome",
        "QueryLanguage": "JSONata",
        "StartAt": next(iter(states)),
        "TimeoutSeconds": profile.timeout or longest_execution_seconds(states) + 60,
        "States": states,
    }


def longest_execution_seconds(states: dict[str, Any]) -> int:
    """Return the sum, over all tasks, of every attempt's full timeout and every wait between attempts."""
    total = 0
    for state in states.values():
        if state["Type"] == "Task":
            retriers = state["Retry"]
            attempts = 1 + sum(retrier["MaxAttempts"] for retrier in retriers)
            total += attempts * state["TimeoutSeconds"] + sum(map(_longest_wait_seconds, retriers))
    return total


def _longest_wait_seconds(retrier: dict[str, Any]) -> int:
    delays = (retrier["IntervalSeconds"] * retrier["BackoffRate"] ** n for n in range(retrier["MaxAttempts"]))
    return sum(min(delay, retrier.get("MaxDelaySeconds", delay)) for delay in delays)


def _function_task(profile: Profile, function_arn: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "${InvokeFunction}",
        "TimeoutSeconds": profile.record_timeout,
        "Arguments": {"FunctionName": function_arn, "Payload": payload},
        "Output": "{% $states.result.Payload %}",
        "Retry": profile.function_retry,
    }


def _publish_state(
    profile: Profile, *, subject: str, outcome: str, payment_status: str, message: str
) -> dict[str, Any]:
    """Return a task that publishes a notice. Subscribers can filter by ``outcome`` and ``payment_status``.

    ``outcome`` is how the execution ends, ``payment_status`` the status in the ledger.
    """
    return {
        "Type": "Task",
        "Resource": "${Publish}",
        "TimeoutSeconds": profile.integration_timeout,
        "Arguments": {
            # RedriveExecution resumes an execution that may have ended days ago: its claim has expired and its notice
            # may be outdated. https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
            "TopicArn": "{% $states.context.Execution.RedriveCount > 0"
            " ? $error('a redriven execution sends no notice: reconciliation does') : '${TopicArn}' %}",
            "Subject": subject,
            "Message": f"{{% $string({message}) %}}",
            "MessageAttributes": {
                "outcome": {"DataType": "String", "StringValue": outcome},
                "payment_status": {"DataType": "String", "StringValue": payment_status},
                "environment": {"DataType": "String", "StringValue": "${Environment}"},
            },
        },
        "Retry": profile.integration_retry,
    }


def _outcome_choices() -> list[dict[str, Any]]:
    """Return the choices by the status that a function answered."""
    return [
        # A replay may find that the completed payment has been refunded.
        {"Condition": _status_in(*COMPLETED), "Next": "PaymentComplete"},
        {
            # Only the execution that claimed the notice sends it.
            "Condition": _status_in(*UNSUCCESSFUL, condition="$states.input.announce = true"),
            "Next": "NotifyUnsuccessful",
        },
        {"Condition": _status_in(*UNSUCCESSFUL), "Next": "PaymentUnsuccessful"},
    ]


def _record_notice(
    profile: Profile,
    transaction_id: str,
    notice_id: str,
    *,
    is_dead_lettered: str | bool,
    next_state: str,
) -> dict[str, Any]:
    """Return a task that confirms what the execution sent. A claim without confirmation expires, and is sent again."""
    return {
        **_function_task(
            profile,
            "${ProcessingFunctionArn}",
            {
                "action": "record_notice",
                "transaction_id": transaction_id,
                "notice_id": notice_id,
                "is_sent": "{% $is_sent %}",
                "is_dead_lettered": is_dead_lettered,
                "execution": profile.execution,
            },
        ),
        # The execution's output stays the payment's outcome.
        "Output": "{% $states.input %}",
        "Retry": profile.record_retry,
        "Catch": [{"ErrorEquals": ["States.ALL"], "Output": "{% $states.input %}", "Next": next_state}],
        "Next": next_state,
    }


def _status_in(*statuses: str, condition: str = "true") -> str:
    """Return a condition whose value is a boolean for any input."""
    return f"{{% $states.input.status in {list(statuses)} and {condition} %}}"


def _is_bounded(value: str) -> str:
    return f"$length($string({value})) <= {MAXIMUM_REQUEST_CHARACTERS}"


def _bounded_request() -> str:
    return (
        f"{{% {_is_bounded('$states.input')} ? $states.input"
        f" : $error('the request has more than {MAXIMUM_REQUEST_CHARACTERS} characters') %}}"
    )


def _caught_in(profile: Profile, state: str) -> list[dict[str, Any]]:
    # AWS guarantees no Cause, and limits the length of neither. Both must fit into a Fail state.
    cause = "$exists($states.errorOutput.Cause) ? $substring($string($states.errorOutput.Cause), 0, 1000) : ''"
    return [
        {
            "ErrorEquals": ["States.ALL"],
            "Assign": _failure_states(profile, state, "$substring($string($states.errorOutput.Error), 0, 256)", cause),
            "Next": "RecordFailure",
        }
    ]


def _failure_states(profile: Profile, state: str, error: str, cause: str) -> dict[str, Any]:
    """Return the variables that describe a failure. Their expressions cannot fail: nothing would catch the error."""
    # Only an id that validation accepts: anything else may be payment data, or truncated to the id of another payment.
    transaction_id = (
        f"$type({_REQUEST}) = 'object' and $type({_REQUEST}.transaction_id) = 'string'"
        f" ? ($contains({_REQUEST}.transaction_id, /^{TRANSACTION_ID}$/)"
        f" and $not($contains({_REQUEST}.transaction_id, /{CARD_NUMBER}/)) ? {_REQUEST}.transaction_id : '') : ''"
    )
    return {
        "failure": {
            "transaction_id": f"{{% {transaction_id} %}}",
            "state": state,
            "error": f"{{% {error} %}}",
            "cause": f"{{% {cause} %}}",
        },
        # Until RecordFailure has read the payment, a notice can only be about the execution.
        "has_payment": False,
        "payment_status": "NOT_READ",
        "outcome": "EXECUTION_FAILED",
        "notice_id": f"{{% {profile.run_id} %}}",
        "is_dead_lettered": False,
        "is_sent": False,
    }


# Ids and codes, never payment data: the request stays in the execution and in the encrypted table.
_DEAD_LETTER = (
    "{'notice_id': $notice_id, 'transaction_id': $failure.transaction_id, 'payment_status': $payment_status,"
    " 'state': $failure.state, 'error': $failure.error, 'cause': $failure.cause,"
    " 'execution_arn': $states.context.Execution.Id,"
    " 'timestamp': $states.context.State.EnteredTime}"
)
# The notice of a recorded payment under this execution's claim, or else of the execution alone.
_FAILURE_NOTICE = (
    "$has_payment"
    f" ? $merge([{_DEAD_LETTER}, {{'kind': 'payment', 'status': $payment_status}}])"
    " : {'kind': 'execution', 'notice_id': $notice_id, 'state': $failure.state, 'error': $failure.error,"
    " 'execution_arn': $states.context.Execution.Id, 'timestamp': $states.context.State.EnteredTime}"
)

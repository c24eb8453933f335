"""Compares the table of errors with AWS's documentation, in both directions, and with the workflow's retriers."""

import pytest
from awslambdaric.lambda_runtime_exception import FaultException
from botocore.loaders import Loader
from payments.payment import OVERDUE_SECONDS, Status

from stacks.workflow import errors as workflow_errors
from stacks.workflow.state_machine import FUNCTION_RETRY
from tests.emitted import load_template
from tests.workflow import Workflow, request

STATES = load_template("workflow")["Resources"]["PaymentWorkflow"]["Properties"]["Definition"]["States"]
RETRIED_NAMES = [
    *workflow_errors.THROTTLED, *workflow_errors.NOT_READY, *workflow_errors.TRANSIENT, *workflow_errors.CRASHED,
]  # fmt: skip
RETRIED = set(RETRIED_NAMES)
# Errors by the page that documents them; those of Lambda's Invoke and of the runtime come from AWS's libraries.
PAGES = {
    "https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html": {
        "States.ALL", "States.DataLimitExceeded", "States.ExceedToleratedFailureThreshold", "States.HeartbeatTimeout",
        "States.Http.Socket", "States.IntrinsicFailure", "States.ItemReaderFailed", "States.NoChoiceMatched",
        "States.ParameterPathFailure", "States.Permissions", "States.QueryEvaluationError",
        "States.ResultPathMatchFailure", "States.ResultWriterFailed", "States.Runtime", "States.TaskFailed",
        "States.Timeout",
    },
    "https://states-language.net/spec.html#appendix-a": {"States.BranchFailed"},
    "https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html": {
        "Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException",
        "Lambda.ClientExecutionTimeoutException", "Lambda.TooManyRequestsException", "Lambda.Unknown",
    },
    "https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html": {
        "Sandbox.Timedout", "Runtime.InvalidEntrypoint", "Runtime.NodejsExit",
    },
    "https://repost.aws/knowledge-center/lambda-runtime-error": {"Runtime.ExitError"},
    "https://github.com/awslabs/aws-deployment-framework/issues/758": {"Runtime.OutOfMemory"},
}  # fmt: skip


def list_documented() -> set[str]:
    invoke = Loader().load_service_model("lambda", "service-2")["operations"]["Invoke"]
    runtime = {value for value in vars(FaultException).values() if str(value).startswith("Runtime.")}
    assert len(invoke["errors"]) >= 40, "botocore's model has moved"
    assert len(runtime) >= 10, "the runtime client's names have moved"
    return {f"Lambda.{error['shape']}" for error in invoke["errors"]} | runtime | set().union(*PAGES.values())


def test_every_documented_error_is_retried_or_has_a_reason_not_to_be() -> None:
    """A new release of botocore or of the runtime client may add an error; add it to the table."""
    assert list_documented() - RETRIED - set(workflow_errors.NOT_RETRIED) == set()


def test_the_table_has_only_documented_errors() -> None:
    """An undocumented name is a typing error, and retries nothing."""
    assert (RETRIED | set(workflow_errors.NOT_RETRIED)) - list_documented() == set()


def test_each_error_is_in_the_table_once() -> None:
    names = [*RETRIED_NAMES, *workflow_errors.NOT_RETRIED]
    assert sorted(names) == sorted(set(names))
    assert all(workflow_errors.NOT_RETRIED.values()), "a reason is missing"


@pytest.mark.parametrize(
    "name", [name for name, state in STATES.items() if "FunctionName" in state.get("Arguments", ())]
)
def test_a_task_that_calls_a_function_retries_exactly_the_listed_errors(name: str) -> None:
    """Errors of AWS have a dot in their names; errors of the functions have none. No error has two retriers."""
    retried = [error for retrier in STATES[name]["Retry"] for error in retrier["ErrorEquals"]]
    assert len(retried) == len(set(retried))
    assert {error for error in retried if "." in error} == RETRIED


@pytest.mark.parametrize("error", sorted(RETRIED))
@pytest.mark.parametrize("function", ["${ValidationFunctionArn}", "${ProcessingFunctionArn}"])
def test_a_payment_survives_a_single_retried_failure(
    error: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = Workflow(broken={function: error}).install(monkeypatch)
    execution = workflow.pay(request(), sleep=lambda _: workflow.broken.clear())
    assert (execution.status, execution.output["status"]) == ("SUCCEEDED", "COMPLETED")
    assert workflow.notices == workflow.dead_letters == []


@pytest.mark.parametrize("error", ["Lambda.ResourceConflictException", "Lambda.CodeArtifactUserPendingException"])
def test_a_payment_waits_for_functions_that_were_idle_for_weeks(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each function is pending at its first call, for the 106 seconds that were observed."""
    workflow = Workflow(broken=dict.fromkeys(("${ValidationFunctionArn}", "${ProcessingFunctionArn}"), error))
    waited: dict[str, float] = dict.fromkeys(workflow.broken, 0.0)

    def become_ready(seconds: float) -> None:
        function = next(iter(workflow.broken))
        waited[function] += seconds
        if waited[function] > 106:
            del workflow.broken[function]

    execution = workflow.install(monkeypatch).pay(request(), sleep=become_ready)
    assert (execution.status, execution.output["status"]) == ("SUCCEEDED", "COMPLETED")


@pytest.mark.parametrize("error", ["Lambda.ResourceNotFoundException", "Lambda.KMSNotFoundException"])
def test_an_error_that_cannot_go_away_is_not_retried(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = Workflow(broken={"${ValidationFunctionArn}": error}).install(monkeypatch)
    execution = workflow.pay(request())
    assert (execution.error, execution.waited_seconds) == (error, 0)


def test_reconciliation_takes_no_payment_from_an_execution_that_waits() -> None:
    """Otherwise it could give up a pending payment whose function is not ready yet."""
    waits = 0.0
    for retrier in FUNCTION_RETRY:
        for attempt in range(retrier["MaxAttempts"]):
            wait = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** attempt
            waits += min(wait, retrier.get("MaxDelaySeconds", wait))
    assert waits < OVERDUE_SECONDS[Status.PENDING]

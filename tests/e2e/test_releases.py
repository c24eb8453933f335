"""A deployment under load: executions that are running while the functions change, forth and back.

Step Functions keeps the definition of a running execution, and calls the functions by their alias, which a deployment
moves between any two calls. So each payment is made with the definition of one release and with the functions of both:
the first calls reach one release, and the others the other one. Functions are deployed before the definition and rolled
back after it, so new executions of one release meet the functions of the other as well. Every payment has to end as
with a single release. While CodeDeploy shifts traffic, each call of a payment may reach either release, so the calls
also take turns. The ledger is DynamoDB's of the emulator; the workflow's other services are in memory.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-cloudformation-versions.html
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from scripts.local import server
from tests.asl import Execution, Interpreter
from tests.e2e.conftest import Platform
from tests.e2e.releases import Functions, Release, checked_out_release, release_before, run_functions
from tests.workflow import ENVIRONMENT

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

HOUR = 60 * 60
# No payment makes as many calls.
MOST_CALLS = 10
SETTLED = ("COMPLETED", "DECLINED", "FAILED")


class Ending(NamedTuple):
    """How a payment ends: what its record, the caller of the execution and the subscribers see."""

    status: str
    execution: str
    notices: tuple[str, ...] = ()
    dead_letters: int = 0


# By the amount's minor units, which select what the simulated gateway does (lambda/adapters/simulator.py).
ENDINGS = {
    15000: Ending("COMPLETED", "SUCCEEDED"),
    15001: Ending("DECLINED", "SUCCEEDED", ("DECLINED",)),
    15002: Ending("COMPLETED", "SUCCEEDED"),
    15003: Ending("FAILED", "FAILED", ("FAILED",), dead_letters=1),
    15004: Ending("COMPLETED", "SUCCEEDED"),
    15006: Ending("UNKNOWN", "FAILED", ("UNKNOWN",), dead_letters=1),
    15010: Ending("ACTION_REQUIRED", "SUCCEEDED", ("ACTION_REQUIRED",)),
    -100: Ending("REJECTED", "SUCCEEDED", ("REJECTED",)),
}


class Releases(NamedTuple):
    before: Release
    current: Release
    functions: dict[str, Functions]


class Stopped(BaseException):
    """The execution is stopped. No state catches it."""


@dataclass
class Payment:
    """A payment under one definition, whose first ``switch_after`` calls reach ``first``, and the others ``then``.

    If it ``takes_turns``, every second call reaches ``then``.
    """

    definition: dict[str, Any]
    first: Functions
    then: Functions
    switch_after: int
    stop_after: int | None = None
    takes_turns: bool = False
    transaction_id: str = field(default_factory=lambda: f"T-{uuid.uuid4().hex[:12]}")
    at: float = field(default_factory=time.time)
    calls: int = 0
    notices: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)

    def make(self, minor_units: int) -> Execution:
        request = {
            "transaction_id": self.transaction_id,
            "payment_amount": minor_units / 100,
            "payment_method": "credit_card",
            "customer_id": "CUST-12345",
        }
        tasks = {
            "${InvokeFunction}": self._invoke,
            "${SendMessage}": self._collect(self.dead_letters, "MessageBody"),
            "${Publish}": self._collect(self.notices, "Message"),
        }
        return Interpreter(self.definition, tasks, self._wait).run(request, self.transaction_id)

    def _invoke(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.calls == self.stop_after:
            raise Stopped
        is_first = self.calls % 2 == 0 if self.takes_turns else self.calls < self.switch_after
        functions = self.first if is_first else self.then
        self.calls += 1
        name = {"${ValidationFunctionArn}": "validation", "${ProcessingFunctionArn}": "processing"}
        return {
            "StatusCode": 200,
            "Payload": functions.invoke(name[arguments["FunctionName"]], arguments["Payload"], self.at),
        }

    def _collect(self, messages: list[dict[str, Any]], name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def send(arguments: dict[str, Any]) -> dict[str, Any]:
            messages.append(json.loads(arguments[name]))
            return {"MessageId": "1"}

        return send

    def _wait(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture(scope="module")
def releases(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    before, current = release_before(tmp_path_factory.mktemp("release")), checked_out_release()
    variables = (
        server.emulator_environment(platform.target.endpoint_url or "")
        | ENVIRONMENT
        | {
            "CUSTOMER_DATA_DAYS": "30",
            "DYNAMODB_TABLE_NAME": platform.outputs["DynamodbTableName"],
            "LEDGER_TABLE_NAME": "dynamodb-payment-ledger-local",
            "SNS_TOPIC_ARN": platform.outputs["SnsTopicArn"],
            "DLQ_URL": f"http://queue/{server.ACCOUNT}/payment-dlq-local",
        }
    )
    with ExitStack() as stack:
        functions = {
            release.name: stack.enter_context(run_functions(release, variables)) for release in (before, current)
        }
        yield Releases(before, current, functions)


def read_ending(platform: Platform, payment: Payment, execution: Execution) -> Ending:
    return Ending(
        platform.read_item(payment.transaction_id)["status"]["S"],
        execution.status,
        tuple(notice["status"] for notice in payment.notices),
        len(payment.dead_letters),
    )


def directions(releases: Releases) -> Iterator[tuple[dict[str, Any], Functions, Functions]]:
    """Yield the definition, the functions before the deployment or the rollback, and those after it."""
    before, current = releases.functions[releases.before.name], releases.functions[releases.current.name]
    yield releases.before.definition, before, current
    yield releases.current.definition, current, before


@pytest.mark.parametrize("minor_units", ENDINGS)
def test_a_payment_ends_the_same_wherever_the_functions_change(
    platform: Platform, releases: Releases, minor_units: int
) -> None:
    for definition, first, then in directions(releases):
        calls = switch_after = 0
        while switch_after <= calls:
            payment = Payment(definition, first, then, switch_after)
            execution = payment.make(minor_units)
            ending = read_ending(platform, payment, execution)
            assert ending == ENDINGS[minor_units], f"switched after {switch_after} calls: {execution}"
            calls, switch_after = payment.calls, switch_after + 1


@pytest.mark.parametrize("minor_units", ENDINGS)
def test_a_payment_ends_the_same_while_its_calls_reach_one_release_and_the_other(
    platform: Platform, releases: Releases, minor_units: int
) -> None:
    """An alias with weights chooses a version for each invocation, whatever the last one was.

    https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
    """
    for definition, first, then in directions(releases):
        for pair in ((first, then), (then, first)):
            payment = Payment(definition, *pair, switch_after=0, takes_turns=True)
            execution = payment.make(minor_units)
            assert read_ending(platform, payment, execution) == ENDINGS[minor_units], execution


@pytest.mark.parametrize("minor_units", [15000, 15001, 15003, 15004])
def test_reconciliation_settles_what_an_execution_of_the_other_release_left(
    platform: Platform, releases: Releases, minor_units: int
) -> None:
    stopped = []
    for definition, first, then in directions(releases):
        for stop_after in range(1, MOST_CALLS):
            payment = Payment(definition, first, first, switch_after=0, stop_after=stop_after)
            try:
                payment.make(minor_units)
            except Stopped:
                then.invoke("reconciliation", {"action": "reconcile"}, payment.at + HOUR)
                stopped.append(payment)
    sent = platform.receive_notices()
    for payment in stopped:
        status = platform.read_item(payment.transaction_id)["status"]["S"]
        notices = [
            notice["status"]
            for notice in [*payment.notices, *sent]
            if notice["transaction_id"] == payment.transaction_id
        ]
        assert status in SETTLED, f"stopped after {payment.calls} calls"
        # The last notice states the final status. Only a completed payment may have none.
        assert notices[-1:] == [status] or (status, notices) == ("COMPLETED", [])

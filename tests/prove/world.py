"""One platform in memory, with the real definition of the state machine, handlers, core and adapters.

services.py has the services of others, which fail as faults.py says. ``World.check_payments`` judges the result.
"""

import functools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from adapters import dynamodb
from adapters.dynamodb import DynamoDBLedger
from adapters.gateway_secret import Secret
from adapters.notices import TopicAndQueue
from adapters.stored_items import from_item
from handlers import processing, reconciliation, validation
from payments.payment import TRANSITIONS, Payment, Status
from payments.ports import Charge, Outcome

from stacks.workflow.state_machine import EXPRESS, STANDARD, define_states
from tests.asl import Execution, Interpreter, StatesError
from tests.prove.faults import CLOCK_FAULTS, Crash, Fault, Faults
from tests.prove.services import DAY, FakeDynamoDB, FakeGateway, FakeQueue, FakeSecrets, FakeTopic
from tests.prove.truth import NEED_A_LETTER, NOT_NOTIFIED, SILENT, Finding, Notice, find_violations, judge_notice
from tests.workflow import ENVIRONMENT

# The figures of the current test: how many payments were checked, and how often each kind of violation was found.
FIGURES: Counter[str] = Counter()

# The shards of the index, fewer than the real ones: each is one more call of the same kind.
SHARDS = 8
START = 1_767_225_600.0  # 2026-01-01


class World:
    """One platform: ``run_payment`` runs an execution, ``run_schedule`` reconciliation, ``check_payments`` judges."""

    def __init__(
        self,
        plan: dict[int, Fault] | None = None,
        behaviour: Callable[[Charge], Outcome | None] = lambda _: None,
        *,
        is_express: bool = False,
    ) -> None:
        self.definition = load_definition(is_express)
        self.faults = Faults(plan or {})
        self.time = START
        self.dynamodb = FakeDynamoDB(self.faults)
        self.gateway = FakeGateway(self.faults, behaviour, lambda: self.time)
        self._secrets = FakeSecrets(self.faults)
        self._secret: Secret | None = None
        # The number of calls before an operator's redrive, if there was one.
        self.redriven_at = 0
        # Whether a state catches a task's result that is too large; AWS's documentation and practice differ.
        self.catches_large_results = False
        # The notices about payments, in order, each judged when it was sent.
        self.received_notices: list[Notice] = []
        self.topic, self.queue = FakeTopic(self.faults, self._record_notice), FakeQueue(self.faults)

    @contextmanager
    def install_ports(self) -> Iterator["World"]:
        """Give the handlers this world's ports until the block ends."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in ENVIRONMENT.items():
                patch.setenv(name, value)
            patch.setattr(dynamodb, "MAXIMUM_SHARDS", SHARDS)
            for module in (validation, processing, reconciliation):
                patch.setattr(module, "clock", self.clock)
                patch.setattr(module, "get_ledger", self.build_ledger)
            patch.setattr(processing, "get_gateway", self._connect_gateway)
            patch.setattr(reconciliation, "get_gateway", self._connect_gateway)
            notices = TopicAndQueue("arn:topic", "queue", "test", self.topic, self.queue)
            patch.setattr(reconciliation, "get_notices", lambda: notices)
            yield self

    def build_ledger(self, operator: str | None = None) -> DynamoDBLedger:
        return DynamoDBLedger(
            "transactions",
            "ledger",
            self.dynamodb,
            operator or "function:1",
            SHARDS,
            erases_customers=os.environ.get("CUSTOMER_DATA_DAYS", "0") != "0",
        )

    def clock(self) -> float:
        self.faults.next("clock", CLOCK_FAULTS)
        self.time += 0.001
        return self.time

    def _connect_gateway(self) -> FakeGateway:
        """Return the gateway after reading its API key, which an execution environment caches."""
        if self._secret is None:
            self._secret = Secret("arn:secret", self._secrets, lambda: self.time)
        self._secret.read_api_key()
        return self.gateway

    def run_payment(
        self, request: dict[str, Any], name: str = "1", definition: dict[str, Any] | None = None
    ) -> Execution:
        """Run an execution of this ``definition``, by default of the world's."""
        tasks = {
            "${InvokeFunction}": self._invoke_function,
            "${SendMessage}": self.queue.send_from_workflow,
            "${Publish}": self.topic.publish_from_workflow,
        }
        interpreter = Interpreter(
            definition or self.definition, tasks, self._pass_time, catches_large_results=self.catches_large_results
        )
        return interpreter.run(request, name)

    def invoke_handler(self, handler: Any, event: dict[str, Any]) -> Any:
        """Invoke a handler; raise what Lambda reports of an invocation without an answer."""
        try:
            return handler(event, None)
        except Crash:
            self._secret = None  # the environment has ended, and its cache with it
            raise StatesError("Runtime.ExitError", "Runtime exited") from None
        except Exception as error:
            raise StatesError(type(error).__name__, str(error)) from error

    def run_schedule(self, seconds: float = 2 * DAY) -> None:
        """Let this time pass while the schedule runs, until nothing is left to do; late effects arrive in between."""
        end, step = self.time + seconds, 300.0
        while self.list_unfinished() and self.time < end:
            self.time += step
            self.gateway.let_late_effects_happen()
            with suppress(StatesError):  # the next run repeats it
                self.invoke_handler(reconciliation.handler, {})
            # Longer steps suffice, since nothing changes until the gateway forgets the keys.
            step = min(step * 2, 6 * 60 * 60)
        self.gateway.let_late_effects_happen()

    def read_payments(self) -> dict[str, Payment]:
        return {key: from_item(item) for key, item in self.dynamodb.payments.items()}

    def list_unfinished(self) -> list[Payment]:
        """Return the payments that are open or have a due notice."""
        return [payment for payment in self.read_payments().values() if payment.overdue_at is not None]

    def check_payments(self) -> None:
        """Fail if truth.py finds anything wrong, a ledger leads elsewhere, or a notice is still due or was repeated."""
        findings = list(find_violations(self, self.received_notices))
        for transaction_id, payment in self.read_payments().items():
            FIGURES["payments checked"] += 1
            if fault := self._find_notification_fault(payment):
                findings.append(Finding(NOT_NOTIFIED, fault))
            assert replay_ledger(self.dynamodb, transaction_id) == payment.status, "the ledger has another status"
        FIGURES.update({finding.kind for finding in findings})
        assert not findings, "; ".join(finding.text for finding in findings)

    def _record_notice(self, arguments: dict[str, Any]) -> None:
        if notice := judge_notice(arguments, self):
            self.received_notices.append(notice)

    def _find_notification_fault(self, payment: Payment) -> str | None:
        """Return what is wrong with the notices and dead letters of a payment since it was last reopened, or None.

        Each status is announced under one notice id, and a failure also has a dead letter.
        """
        if payment.notification.is_due:
            return f"{payment.status}, and the notice is still due"
        since = self._find_reopening(payment.transaction_id)
        ids: dict[str, set[str]] = {}
        for notice in self.received_notices:
            if notice.transaction_id == payment.transaction_id and _read_sequence(notice.notice_id) > since:
                ids.setdefault(notice.outcome, set()).add(notice.notice_id)
        if announced_twice := [outcome for outcome, notice_ids in ids.items() if len(notice_ids) > 1]:
            return f"{announced_twice} announced twice: {ids}"
        if payment.status not in {*SILENT, *ids}:
            return f"{payment.status}, and nobody was notified"
        if payment.status in NEED_A_LETTER and not self._has_dead_letter(payment, since):
            return f"{payment.status}, and no dead letter"
        outcomes = [
            notice.outcome for notice in self.received_notices if notice.transaction_id == payment.transaction_id
        ]
        if outcomes and outcomes[-1] != payment.status:
            return f"{payment.status}, and the last notice says {outcomes[-1]}"
        return None

    def _has_dead_letter(self, payment: Payment, since: int) -> bool:
        """Whether the payment has a dead letter since that write; one of an execution that could not read it counts."""
        letters = [letter for letter in self.queue.letters if letter["transaction_id"] == payment.transaction_id]
        ids = [letter["notice_id"] for letter in letters]
        return any(":execution:" in notice_id or _read_sequence(notice_id) > since for notice_id in ids)

    def _find_reopening(self, transaction_id: str) -> int:
        """Return the write that last reopened the payment; earlier notices belong to an earlier attempt."""
        reopened = ({"S": "FAILED"}, {"S": "PENDING"})
        steps = [(n, step) for (key, n), step in self.dynamodb.steps.items() if key == transaction_id]
        return max((n for n, step in steps if (step.get("from_status"), step["status"]) == reopened), default=0)

    def _invoke_function(self, arguments: dict[str, Any]) -> dict[str, Any]:
        handler = {"${ValidationFunctionArn}": validation.handler, "${ProcessingFunctionArn}": processing.handler}[
            arguments["FunctionName"]
        ]
        return {"StatusCode": 200, "Payload": self.invoke_handler(handler, arguments["Payload"])}

    def _pass_time(self, seconds: float) -> None:
        self.time += seconds


@functools.cache
def load_definition(is_express: bool = False) -> dict[str, Any]:
    return define_states(EXPRESS if is_express else STANDARD)


def _read_sequence(notice_id: str) -> int:
    """Return the write that set the status which a notice states."""
    return int(notice_id.rpartition(":")[2])


def replay_ledger(dynamodb: FakeDynamoDB, transaction_id: str) -> str | None:
    """Return the status that the ledger's steps lead to; fail for a gap or a transition that is not allowed."""
    steps = sorted((s for t, s in dynamodb.steps if t == transaction_id))
    assert steps == list(range(1, len(steps) + 1)), "a gap in the ledger"
    status: str | None = None
    for sequence in steps:
        step = dynamodb.steps[transaction_id, sequence]
        assert step.get("from_status", {}).get("S") == status, "the ledger has a step from another status"
        if step["status"]["S"] != status or "note" not in step:
            allowed = TRANSITIONS[Status(status) if status else None]
            assert Status(step["status"]["S"]) in allowed, "a transition that is not allowed"
        status = step["status"]["S"]
    return status

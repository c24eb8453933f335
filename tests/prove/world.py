"""One platform in memory. Everything of ours is real: the state machine's definition, the handlers, core and adapters.

What is not ours is in services.py, and breaks as faults.py says. ``World.check`` holds what must hold afterwards.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from adapters.dynamodb import DynamoDBLedger
from adapters.gateway_secret import Secret
from adapters.notices import TopicAndQueue
from adapters.stored_items import from_item
from handlers import processing, reconciliation, validation
from payments.payment import OPEN, TRANSITIONS, Payment, Status
from payments.ports import Charge, Outcome

from stacks.workflow.state_machine import define_states
from tests.asl import Execution, Interpreter, StatesError
from tests.prove.faults import CLOCK_FAULTS, Crash, Fault, Faults
from tests.prove.services import DAY, FakeDynamoDB, FakeGateway, FakeQueue, FakeSecrets, FakeTopic
from tests.prove.truth import notice_of
from tests.workflow import ENVIRONMENT

# What the checks of this test came to: how many payments were looked at, and what was wrong with them.
FIGURES: Counter[str] = Counter()

START = 1_767_225_600.0  # 2026-01-01


class World:
    """One platform. ``pay`` runs the workflow, ``reconcile`` the schedule; ``check`` holds what must always hold."""

    def __init__(
        self, plan: dict[int, Fault] | None = None, behaviour: Callable[[Charge], Outcome | None] = lambda _: None
    ) -> None:
        self.faults = Faults(plan or {})
        self.time = START
        self.dynamodb = FakeDynamoDB(self.faults)
        self.gateway = FakeGateway(self.faults, behaviour, lambda: self.time)
        self._secrets = FakeSecrets(self.faults)
        self._secret: Secret | None = None
        # The number of calls before an operator's redrive, if there was one.
        self.redriven_at = 0
        # Whether a state catches a result of its task that is too large: AWS's documentation and its practice differ.
        self.catches_large_results = False
        # What was wrong with a notice at the moment at which it was sent.
        self.untrue: list[str] = []
        self.topic, self.queue = FakeTopic(self.faults, self._judge_notice), FakeQueue(self.faults)

    @contextmanager
    def install_ports(self) -> Iterator["World"]:
        """The handlers' ports are this world's for the length of the block."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in ENVIRONMENT.items():
                patch.setenv(name, value)
            for module in (validation, processing, reconciliation):
                patch.setattr(module, "clock", self.clock)
                patch.setattr(module, "get_ledger", self.build_ledger)
            patch.setattr(processing, "get_gateway", self._connect_gateway)
            patch.setattr(reconciliation, "get_gateway", self._connect_gateway)
            notices = TopicAndQueue("arn:topic", "queue", "test", self.topic, self.queue)
            patch.setattr(reconciliation, "get_notices", lambda: notices)
            yield self

    def build_ledger(self, operator: str | None = None) -> DynamoDBLedger:
        return DynamoDBLedger("transactions", "ledger", self.dynamodb, operator or "function:1")

    def clock(self) -> float:
        self.faults.next("clock", CLOCK_FAULTS)
        self.time += 0.001
        return self.time

    def _connect_gateway(self) -> FakeGateway:
        """The gateway, with its key at hand: read for every new environment, and again when it is old."""
        if self._secret is None:
            self._secret = Secret("arn:secret", self._secrets, lambda: self.time)
        self._secret.read_api_key()
        return self.gateway

    def run_payment(self, request: dict[str, Any], name: str = "1") -> Execution:
        tasks = {
            "${InvokeFunction}": self._invoke_function,
            "${SendMessage}": self.queue.send_from_workflow,
            "${Publish}": self.topic.publish_from_workflow,
        }
        interpreter = Interpreter(
            load_definition(), tasks, self._pass_time, catches_large_results=self.catches_large_results
        )
        return interpreter.run(request, name)

    def invoke_handler(self, handler: Any, event: dict[str, Any]) -> Any:
        """One invocation; what Lambda reports of one that did not answer is raised."""
        try:
            return handler(event, None)
        except Crash:
            self._secret = None  # the environment is gone, and what it kept
            raise StatesError("Runtime.ExitError", "Runtime exited") from None
        except Exception as error:
            raise StatesError(type(error).__name__, str(error)) from error

    def run_schedule(self, seconds: float = 2 * DAY) -> None:
        """Let time go by, with the schedule running; late effects of the gateway come in between."""
        end, step = self.time + seconds, 300.0
        while self.list_unfinished() and self.time < end:
            self.time += step
            self.gateway.let_late_effects_happen()
            with suppress(StatesError):  # the next run takes it up
                self.invoke_handler(reconciliation.handler, {})
            # Nothing changes until the gateway forgets: no need to live through every five minutes of it.
            step = min(step * 2, 6 * 60 * 60)
        self.gateway.let_late_effects_happen()

    def read_payments(self) -> dict[str, Payment]:
        return {key: from_item(item) for key, item in self.dynamodb.payments.items()}

    def list_unfinished(self) -> list[Payment]:
        """Open payments, and those of which somebody is still to be told."""
        return [payment for payment in self.read_payments().values() if payment.overdue_at is not None]

    def check_payments(self) -> None:
        """Of every payment: the money moved as its status says, the ledger gives that status, and people were told."""
        for transaction_id, payment in self.read_payments().items():
            charges = self.gateway.count_moves("charge", transaction_id)
            charged = payment.status in (Status.COMPLETED, Status.REFUNDED)
            told_otherwise = payment.status is not Status.REVIEW and charged is not (charges > 0)
            FIGURES["payments checked"] += 1
            FIGURES["double charges"] += charges > 1
            FIGURES["lost or stuck payments"] += payment.status in OPEN or told_otherwise
            self._check_money(payment, charges)
            assert replay_ledger(self.dynamodb, transaction_id) == payment.status, "the ledger says otherwise"
            FIGURES["notices untrue"] += len(self.untrue)
            fault = self._notification_fault(payment)
            FIGURES["failures not notified, or notified twice"] += fault is not None
            assert fault is None, fault

    def _judge_notice(self, arguments: dict[str, Any]) -> None:
        notice = notice_of(arguments, self)
        if notice is not None and notice.untrue:
            self.untrue.append(notice.untrue)

    def _check_money(self, payment: Payment, charges: int) -> None:
        """Charged at most once, exactly once where the record says so, never where it says that it was not."""
        refunds = self.gateway.count_moves("refund", payment.transaction_id)
        assert charges <= 1, f"charged {charges} times"
        assert refunds <= charges, f"refunded {refunds} times"
        match payment.status:
            case Status.COMPLETED:
                assert (charges, refunds) == (1, 0), f"COMPLETED, charged {charges}, refunded {refunds} times"
            case Status.REFUNDED:
                assert (charges, refunds) == (1, 1), f"REFUNDED, charged {charges}, refunded {refunds} times"
            case Status.REJECTED | Status.DECLINED | Status.ACTION_REQUIRED | Status.FAILED:
                assert charges == 0, f"{payment.status}, and charged"
            case Status.REVIEW:
                pass
            case _:
                raise AssertionError(f"still {payment.status}")

    def _notification_fault(self, payment: Payment) -> str | None:
        """What is wrong with what people heard of the payment; None if nothing is.

        A status is announced under one notice id, what failed has a dead letter, and the last notice that subscribers
        received states the status.
        """
        if self.untrue:
            return f"an untrue notice: {self.untrue[0]}"
        if payment.notification.is_due:
            return f"{payment.status}, and the notice is still due"
        since = self._find_reopening(payment.transaction_id)
        ids: dict[str, set[str]] = {}
        for notice in self.notices_of(payment.transaction_id):
            if _read_sequence(notice) > since:
                ids.setdefault(notice["outcome"], set()).add(notice["notice_id"])
        if announced_twice := [outcome for outcome, notice_ids in ids.items() if len(notice_ids) > 1]:
            return f"{announced_twice} announced twice: {ids}"
        announced = {Status.FAILED, Status.REVIEW, Status.DECLINED, Status.ACTION_REQUIRED, Status.REJECTED}
        if payment.status in announced and payment.status not in ids:
            return f"{payment.status}, and nobody was notified"
        if payment.status in (Status.FAILED, Status.REVIEW) and not self._has_dead_letter(payment, since):
            return f"{payment.status}, and no dead letter"
        received_notices = [notice["outcome"] for notice in self.notices_of(payment.transaction_id)]
        if received_notices and received_notices[-1] != payment.status:
            return f"{payment.status}, and subscribers last heard {received_notices[-1]}"
        return None

    def _has_dead_letter(self, payment: Payment, since: int) -> bool:
        """Whether a letter was left since that write; one of an execution that could not read the record counts."""
        letters = [letter for letter in self.queue.letters if letter["transaction_id"] == payment.transaction_id]
        return any(":execution:" in letter["notice_id"] or _read_sequence(letter) > since for letter in letters)

    def notices_of(self, transaction_id: str) -> list[dict[str, Any]]:
        """The payment's notices in the order in which subscribers received them; not those of executions."""
        return [notice for notice in self.topic.notices if notice.get("transaction_id") == transaction_id]

    def _find_reopening(self, transaction_id: str) -> int:
        """The write by which the payment was last reopened: what was told before was of another try."""
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
def load_definition() -> dict[str, Any]:
    return define_states()


def _read_sequence(notice: dict[str, Any]) -> int:
    """The write by which the payment entered the status that a notice states."""
    return int(notice["notice_id"].rpartition(":")[2])


def replay_ledger(dynamodb: FakeDynamoDB, transaction_id: str) -> str | None:
    """The status that the ledger's steps lead to; fails for a gap and for a step that the table does not have."""
    steps = sorted((s for t, s in dynamodb.steps if t == transaction_id))
    assert steps == list(range(1, len(steps) + 1)), "a gap in the ledger"
    status: str | None = None
    for sequence in steps:
        step = dynamodb.steps[transaction_id, sequence]
        assert step.get("from_status", {}).get("S") == status, "the ledger has a step from another status"
        if step["status"]["S"] != status or "note" not in step:
            allowed = TRANSITIONS[Status(status) if status else None]
            assert Status(step["status"]["S"]) in allowed, "a step the table lacks"
        status = step["status"]["S"]
    return status

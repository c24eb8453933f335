"""The platform in memory, with a switch at every call that a function makes.

Everything of ours is real: the definition of the state machine, the handlers, the core, the DynamoDB adapter. What is
not ours stands here: DynamoDB (conditional writes, transactions, a sparse index), the gateway (idempotency keys,
lookups that make "not charged" final), SNS and SQS, and the clock. ``Faults`` breaks the n-th call in a given way.
"""

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import handling
import processing
import pytest
import reconciliation
import validation
from adapters.dynamodb import DynamoDBLedger, from_item
from botocore.exceptions import ClientError, ReadTimeoutError
from payments.payment import OPEN, TRANSITIONS, Payment, Status
from payments.ports import (
    Charge,
    Charged,
    NotCharged,
    NotRefunded,
    Outcome,
    Refunded,
    RefundOutcome,
    Unknown,
)

from stacks.state_machine import definition
from tests.asl import Execution, Interpreter, StatesError
from tests.workflow import ENVIRONMENT

# What the checks of this test came to: how many payments were looked at, and what was wrong with them.
FOUND: Counter[str] = Counter()

START = 1_767_225_600.0  # 2026-01-01
DAY = 24 * 60 * 60


class Crash(BaseException):
    """The process is gone: no handler of an exception runs, not even ``except Exception``."""


class Fault(Enum):
    CRASH_BEFORE = "crash before the call"
    CRASH_AFTER = "crash after the call"
    TIMEOUT = "time out, without effect"
    TIMEOUT_WITH_EFFECT = "time out, with effect"
    TIMEOUT_LATE = "time out, with an effect that comes later"
    CRASH_LATE = "crash, with an effect that comes later"
    THROTTLED = "throttled"


DYNAMODB_FAULTS = frozenset(Fault) - {Fault.TIMEOUT_LATE, Fault.CRASH_LATE}
GATEWAY_FAULTS = frozenset(Fault)
CLOCK_FAULTS = frozenset({Fault.CRASH_BEFORE})


@dataclass
class Faults:
    """Which call, counted from 0, breaks how. Remembers what each call was, so that a test can enumerate."""

    plan: dict[int, Fault] = field(default_factory=dict)
    calls: list[tuple[str, frozenset[Fault]]] = field(default_factory=list)
    # Called before each call that others could notice: where a scheduler switches. Reading the clock is not one.
    switch: Callable[[str], None] = lambda _: None

    def next(self, name: str, possible: frozenset[Fault]) -> Fault | None:
        if name != "clock":
            self.switch(name)
        fault = self.plan.get(len(self.calls))
        self.calls.append((name, possible))
        if fault is Fault.CRASH_BEFORE:
            raise Crash(name)
        return fault if fault in possible else None


class FakeDynamoDB:
    """The client's three operations that the adapter uses, with the conditions that it writes."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.payments: dict[str, dict[str, Any]] = {}
        self.steps: dict[tuple[str, int], dict[str, Any]] = {}

    def get_item(self, *, TableName: str, Key: dict[str, Any], ConsistentRead: bool) -> dict[str, Any]:
        assert (TableName, ConsistentRead) == ("transactions", True)

        def read() -> dict[str, Any]:
            item = self.payments.get(Key["transaction_id"]["S"])
            return {"Item": copy.deepcopy(item)} if item else {}

        return self._faulty("get_item", read)

    def query(self, *, TableName: str, IndexName: str, ExpressionAttributeValues: dict[str, Any], **_: Any) -> Any:
        assert (TableName, IndexName) == ("transactions", "open-payments")
        shard, now = ExpressionAttributeValues[":shard"]["N"], float(ExpressionAttributeValues[":now"]["N"])
        # Not broken: it writes nothing, and what it finds is read again, by a call that is.
        if shard == "0":
            self._faults.switch("dynamodb.query")
        items = [
            {"transaction_id": item["transaction_id"]}
            for item in self.payments.values()
            if item.get("open_shard", {}).get("N") == shard and float(item["overdue_at"]["N"]) <= now
        ]
        return {"Items": items}

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> dict[str, Any]:
        (state, step) = (item["Put"] for item in TransactItems)
        assert (state["TableName"], step["TableName"]) == ("transactions", "ledger")

        def put() -> dict[str, Any]:
            held = self.payments.get(state["Item"]["transaction_id"]["S"])
            key = (step["Item"]["transaction_id"]["S"], int(step["Item"]["sequence"]["N"]))
            failed, none = "ConditionalCheckFailed", {"Code": "None"}
            reasons = [none, none]
            if not _holds(state, held):
                reasons[0] = {"Code": failed, "Item": copy.deepcopy(held)}
            if step["ConditionExpression"] == "attribute_not_exists(transaction_id)" and key in self.steps:
                reasons[1] = {"Code": failed}
            if reasons != [none, none]:
                raise _error("TransactionCanceledException", CancellationReasons=reasons)
            self.payments[key[0]] = copy.deepcopy(state["Item"])
            self.steps[key] = copy.deepcopy(step["Item"])
            return {}

        return self._faulty("transact_write_items", put)

    def _faulty(self, name: str, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        fault = self._faults.next(f"dynamodb.{name}", DYNAMODB_FAULTS)
        if fault is Fault.THROTTLED:
            if name == "transact_write_items":
                raise _error("TransactionCanceledException", CancellationReasons=[{"Code": "ThrottlingError"}] * 2)
            raise _error("ProvisionedThroughputExceededException")
        if fault is Fault.TIMEOUT:
            raise ReadTimeoutError(endpoint_url="dynamodb")
        done = do()
        if fault is Fault.TIMEOUT_WITH_EFFECT:
            raise ReadTimeoutError(endpoint_url="dynamodb")
        if fault is Fault.CRASH_AFTER:
            raise Crash(name)
        return done


class FakeGateway:
    """A gateway that remembers: money moves once per key, and a key that was looked up in vain is void."""

    def __init__(
        self, faults: Faults, behaviour: Callable[[Charge], Outcome | None], clock: Callable[[], float]
    ) -> None:
        self._faults, self._behaviour, self._clock = faults, behaviour, clock
        self._first_seen: dict[str, float] = {}
        # Every movement of money, in order.
        self.movements: list[tuple[str, str]] = []
        self._answers: dict[str, Outcome] = {}
        self._void: set[str] = set()
        self._refunds: dict[str, Refunded] = {}
        self._late: list[Callable[[], object]] = []

    def charge(self, charge: Charge) -> Outcome:
        outcome: Outcome = self._faulty("charge", lambda: self._charge(charge), NotCharged("rate limited"))
        return outcome

    def lookup(self, charge: Charge) -> Outcome:
        outcome: Outcome = self._faulty("lookup", lambda: self._lookup(charge), Unknown("rate limited"))
        return outcome

    def refund(self, charge: Charge, reference: str) -> RefundOutcome:
        outcome: RefundOutcome = self._faulty(
            "refund", lambda: self._refund(charge, reference), Unknown("rate limited")
        )
        return outcome

    def let_late_effects_happen(self) -> None:
        while self._late:
            self._late.pop(0)()

    def moved(self, kind: str, transaction_id: str) -> int:
        """How often money moved, under whatever key of the payment."""
        return sum(1 for moved, key in self.movements if moved == kind and key.startswith(f"payment-{transaction_id}"))

    def _key(self, charge: Charge) -> str:
        """The charge's key; what was done under it more than a day ago is forgotten, as at Stripe."""
        key = charge.idempotency_key
        if self._clock() - self._first_seen.setdefault(key, self._clock()) > DAY:
            self._first_seen[key] = self._clock()
            self._answers.pop(key, None)
            self._void.discard(key)
        return key

    def _charge(self, charge: Charge) -> Outcome:
        key = self._key(charge)
        if key in self._void:
            return NotCharged("cancelled")
        if key not in self._answers:
            outcome = self._behaviour(charge)
            if isinstance(outcome, NotCharged | Unknown):
                return outcome  # nothing was done, and nothing is remembered
            if outcome is None:
                self.movements.append(("charge", key))
                outcome = Charged(f"ref-{key}")
            self._answers[key] = outcome
        return self._answers[key]

    def _lookup(self, charge: Charge) -> Outcome:
        if charge.key_expired:  # a search: what is found is true, what is not found proves nothing
            moved = ("charge", charge.idempotency_key) in self.movements
            return Charged(f"ref-{charge.idempotency_key}") if moved else Unknown("the key is forgotten")
        key = self._key(charge)
        if key not in self._answers:
            self._void.add(key)
            return NotCharged("no such charge, and there will be none")
        return self._answers[key]

    def _refund(self, charge: Charge, reference: str) -> RefundOutcome:
        if self._answers.get(charge.idempotency_key) != Charged(reference):
            return NotRefunded("no such charge")
        if reference not in self._refunds:
            self.movements.append(("refund", charge.idempotency_key))
            self._refunds[reference] = Refunded(f"refund-{reference}")
        return self._refunds[reference]

    def _faulty(self, name: str, do: Callable[[], Any], throttled: Any) -> Any:
        fault = self._faults.next(f"gateway.{name}", GATEWAY_FAULTS)
        if fault is Fault.THROTTLED:
            return throttled
        if fault is Fault.TIMEOUT:
            return Unknown("timeout")
        if fault in (Fault.TIMEOUT_LATE, Fault.CRASH_LATE):
            # On its way, and nobody waits for it any more.
            self._late.append(do)
            if fault is Fault.CRASH_LATE:
                raise Crash(name)
            return Unknown("timeout")
        done = do()
        if fault is Fault.TIMEOUT_WITH_EFFECT:
            return Unknown("timeout")
        if fault is Fault.CRASH_AFTER:
            raise Crash(name)
        return done


class World:
    """One platform. ``pay`` runs the workflow, ``reconcile`` the schedule; ``check`` holds what must always hold."""

    def __init__(
        self, plan: dict[int, Fault] | None = None, behaviour: Callable[[Charge], Outcome | None] = lambda _: None
    ) -> None:
        self.faults = Faults(plan or {})
        self.now = START
        self.dynamodb = FakeDynamoDB(self.faults)
        self.gateway = FakeGateway(self.faults, behaviour, lambda: self.now)
        self.dead_letters: list[dict[str, Any]] = []
        self.notices: list[dict[str, Any]] = []

    @contextmanager
    def installed(self) -> Iterator["World"]:
        """The handlers' ports are this world's for the length of the block."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (ENVIRONMENT | {"SNS_TOPIC_ARN": "arn:topic"}).items():
                patch.setenv(name, value)
            for module in (validation, processing, reconciliation):
                patch.setattr(module, "clock", self.clock)
                patch.setattr(module, "ledger", self.ledger)
            patch.setattr(handling, "clock", lambda: self.now)
            patch.setattr(processing, "gateway", lambda: self.gateway)
            patch.setattr(reconciliation, "gateway", lambda: self.gateway)
            patch.setattr(reconciliation, "topic", lambda: self)
            yield self

    def ledger(self, operator: str | None = None) -> DynamoDBLedger:
        return DynamoDBLedger("transactions", "ledger", self.dynamodb, operator or "function:1")

    def clock(self) -> float:
        self.faults.next("clock", CLOCK_FAULTS)
        self.now += 0.001
        return self.now

    def announce(self, payment: Payment) -> None:
        self.notices.append({"transaction_id": payment.transaction_id, "status": payment.status})

    def pay(self, request: dict[str, Any], name: str = "1") -> Execution:
        tasks = {"${InvokeFunction}": self._invoke, "${SendMessage}": self._send, "${Publish}": self._publish}
        return Interpreter(definition(), tasks, self._sleep).run(request, name)

    def invoke(self, handler: Any, event: dict[str, Any]) -> Any:
        """One invocation; what Lambda reports of one that did not answer is raised."""
        try:
            return handler(event, None)
        except Crash:
            raise StatesError("Runtime.ExitError", "Runtime exited") from None
        except Exception as error:
            raise StatesError(type(error).__name__, str(error)) from error

    def reconcile(self, seconds: float = 2 * DAY) -> None:
        """Let time go by, with the schedule running; late effects of the gateway come in between."""
        end, step = self.now + seconds, 300.0
        while self.open_payments() and self.now < end:
            self.now += step
            self.gateway.let_late_effects_happen()
            with suppress(StatesError):  # the next run takes it up
                self.invoke(reconciliation.handler, {})
            # Nothing changes until the gateway forgets: no need to live through every five minutes of it.
            step = min(step * 2, 6 * 60 * 60)
        self.gateway.let_late_effects_happen()

    def payments(self) -> dict[str, Payment]:
        return {key: from_item(item) for key, item in self.dynamodb.payments.items()}

    def open_payments(self) -> list[Payment]:
        return [payment for payment in self.payments().values() if payment.status in OPEN]

    def check(self) -> None:
        """Charged at most once, and exactly once where the record says so; the ledger gives the status; none open."""
        for transaction_id, payment in self.payments().items():
            charges = self.gateway.moved("charge", transaction_id)
            refunds = self.gateway.moved("refund", transaction_id)
            charged = payment.status in (Status.COMPLETED, Status.REFUNDED)
            told_otherwise = payment.status is not Status.REVIEW and charged is not (charges > 0)
            FOUND["payments checked"] += 1
            FOUND["double charges"] += charges > 1
            FOUND["lost or stuck payments"] += payment.status in OPEN or told_otherwise
            assert charges <= 1, f"charged {charges} times"
            assert refunds <= charges, f"refunded {refunds} times"
            match payment.status:
                case Status.COMPLETED:
                    assert (charges, refunds) == (1, 0), f"COMPLETED, charged {charges}, refunded {refunds} times"
                case Status.REFUNDED:
                    assert (charges, refunds) == (1, 1), f"REFUNDED, charged {charges}, refunded {refunds} times"
                case Status.REJECTED | Status.DECLINED | Status.FAILED:
                    assert charges == 0, f"{payment.status}, and charged"
                case Status.REVIEW:
                    pass
                case _:
                    raise AssertionError(f"still {payment.status}")
            assert replayed(self.dynamodb, transaction_id) == payment.status, "the ledger says otherwise"

    def _invoke(self, arguments: dict[str, Any]) -> dict[str, Any]:
        handler = {
            "${ValidationFunctionArn}": validation.handler,
            "${ProcessingFunctionArn}": processing.handler,
        }[arguments["FunctionName"]]
        return {"StatusCode": 200, "Payload": self.invoke(handler, arguments["Payload"])}

    def _send(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.dead_letters.append(json.loads(arguments["MessageBody"]))
        return {"MessageId": "1"}

    def _publish(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.notices.append(json.loads(arguments["Message"]))
        return {"MessageId": "1"}

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


def replayed(dynamodb: FakeDynamoDB, transaction_id: str) -> str | None:
    """The status that the ledger's steps lead to; fails for a gap and for a step that the table does not have."""
    steps = sorted((s for t, s in dynamodb.steps if t == transaction_id))
    assert steps == list(range(1, len(steps) + 1)), "a gap in the ledger"
    status: str | None = None
    for sequence in steps:
        step = dynamodb.steps[transaction_id, sequence]
        assert step.get("from_status", {}).get("S") == status, "the ledger has a step from another status"
        assert Status(step["status"]["S"]) in TRANSITIONS[Status(status) if status else None], "a step the table lacks"
        status = step["status"]["S"]
    return status


def _holds(put: dict[str, Any], held: dict[str, Any] | None) -> bool:
    match put["ConditionExpression"]:
        case DynamoDBLedger.NOT_RECORDED:
            return held is None
        case DynamoDBLedger.UNCHANGED:
            values = put["ExpressionAttributeValues"]
            return held is not None and (held["status"], held["sequence"]) == (values[":status"], values[":sequence"])
    raise AssertionError(put["ConditionExpression"])


def _error(code: str, **more: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": 400}, **more}
    return ClientError(response, "operation")

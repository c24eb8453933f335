"""Explores whole lives of a payment: executions, reconciliation, operators and time, in every order, with faults.

A life is a path of choices: which actor does its next call, and what breaks there. An actor is deterministic, so what
it will do depends on the answers that its calls received, and on nothing else. That makes its position a value: its
place in the state machine (state, input, variables, failed attempts) and the answers of the invocation at hand. To take
a step, the actor runs again from its place, is given those answers, does its next call on the world, and is paused
before the one after. No thread is needed, and the same position in the same world is never explored twice: states are
told apart by a digest of the tables, the gateway, the topic, the queue, the clock, and all positions.

``explore`` takes every choice, breadth first: the first wrong life that it finds is a shortest one. ``wander`` takes
choices by chance, from a seed, and ``shrink`` makes of a wrong life that it finds a shortest one that is as wrong.

What is exact, and what is not:

- Actors are interleaved at each call of a table, the gateway, topic or queue. Reading the clock, a query of the index
  and the measurement of the backlog belong to the call before them: what they read is only where to look.
- The clock stands still between two calls, but for timeouts and the workflow's waits, which pass for everybody (so a
  wait of one is a slow call of the others), and for the actor ``Jump``. Each actor's clock differs by milliseconds, so
  that no two write the same. Nobody is idle for minutes in the midst of a function or an execution, so long jumps come
  between them, or after an execution was stopped.
- An actor takes part at every point of the others' lives, the end included. ``Late`` delivers what is on its way; what
  was not delivered by then arrives before time jumps by more than ``LATE_SECONDS``.
- A function whose execution is stopped runs to its end, as in Lambda.
"""

import functools
import itertools
import json
import random
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from adapters.dynamodb import DynamoDBLedger
from handlers import handling, reconciliation
from payments.ports import GATEWAY_SECONDS, Charge, NotCharged, Outcome, RefundOutcome, Unknown

from stacks.workflow.state_machine import INTEGRATION_TIMEOUT_SECONDS, PATIENT, THROTTLED
from tests.asl import Interpreter, StatesError
from tests.prove import world as worlds
from tests.prove.faults import Crash, Fault
from tests.prove.services import DAY, FakeGateway
from tests.prove.truth import Finding, Notice, findings, notice_of
from tests.prove.world import World
from tests.workflow import request

# No request is on its way for longer than that: the longest timeout of a call is the gateway's.
LATE_SECONDS = 61.0


class Directed(Enum):
    """What breaks beyond the faults of faults.py."""

    SAVED_ERROR = "answers 500 without effect, and the key replays that for a day"
    SAVED_ERROR_WITH_EFFECT = "answers 500 with effect, and the key replays that for a day"
    LATE = "time out, with an effect that comes later"
    REFUSED = "throttled until the retries are used up"
    SLOW = "throttled until the last retry, which is not"
    UNLISTED = "fails with an error that the state machine does not list"
    ANSWERS_LOST = "answers, each time, and the answers are lost until the retries are used up"


Trouble = Fault | Directed | None

# What may break at which call. Where two faults leave the same behind, one stands for both.
READ = (Fault.TIMEOUT, Fault.CRASH_BEFORE)
WRITE = (Fault.TIMEOUT_WITH_EFFECT, Fault.CRASH_AFTER, Fault.TIMEOUT)
MONEY = (
    *(Fault.TIMEOUT_WITH_EFFECT, Fault.CRASH_AFTER, Fault.TIMEOUT_LATE, Fault.CRASH_LATE, Fault.THROTTLED),
    *(Fault.TIMEOUT, Fault.CRASH_BEFORE, Directed.SAVED_ERROR, Directed.SAVED_ERROR_WITH_EFFECT),
)
TROUBLES: Mapping[str, tuple[Fault | Directed, ...]] = {
    "dynamodb.get_item": READ,
    "dynamodb.transact_write_items": WRITE,
    "gateway.charge": MONEY,
    "gateway.refund": MONEY,
    "gateway.lookup": (Fault.TIMEOUT_WITH_EFFECT, Fault.TIMEOUT, Fault.CRASH_AFTER),
    "sns.publish": WRITE,
    "sqs.send_message": WRITE,
    "workflow.publish": (Fault.TIMEOUT_WITH_EFFECT, Directed.LATE, Directed.REFUSED, Directed.SLOW, Directed.UNLISTED),
    "workflow.send_message": (Fault.TIMEOUT_WITH_EFFECT, Directed.LATE, Directed.REFUSED, Directed.UNLISTED),
}
OF_AN_INVOCATION = (Directed.REFUSED, Directed.SLOW, Directed.UNLISTED, Directed.ANSWERS_LOST)
# How often a throttled call is retried, of a function as of the topic and the queue.
THROTTLED_RETRIES: int = THROTTLED["MaxAttempts"]  # type: ignore[assignment]
assert PATIENT["MaxAttempts"] == THROTTLED_RETRIES
TIMEOUTS = frozenset({Fault.TIMEOUT, Fault.TIMEOUT_WITH_EFFECT, Fault.TIMEOUT_LATE, Directed.LATE})
# How long who calls them waits for an answer that does not come, in seconds.
WAITED = {"gateway": GATEWAY_SECONDS, "workflow": INTEGRATION_TIMEOUT_SECONDS}
# Belong to the call before them.
QUIET = frozenset({"clock", "dynamodb.query", "dynamodb.batch_get_item"})
START = "starts"


class Pause(BaseException):
    """The actor's next call is not to be done yet."""


class Stopped(BaseException):
    """The execution was stopped, and its function has run to its end."""


@dataclass(frozen=True)
class Position:
    """Where an actor is. ``pending`` is the call that it does next, empty when it has come to its end."""

    pending: str
    state: str = ""
    data: str = "null"
    variables: str = "{}"
    # Errors and causes of the attempts at this state so far.
    attempts: tuple[tuple[str, str], ...] = ()
    # What the calls of the invocation at hand came to.
    answers: tuple[tuple[str, bool, Any], ...] = ()
    begins_invocation: bool = False
    answers_lost: bool = False
    stopped: bool = False
    result: str = ""
    digest: int = 0

    def digested(self) -> "Position":
        place = (self.pending, self.state, self.data, self.variables, self.attempts, self.begins_invocation)
        return replace(self, digest=hash((*place, self.answers_lost, self.stopped, self.result, repr(self.answers))))


class SavingGateway(FakeGateway):
    """A gateway that saves an answer of 500 under its key, and repeats it for as long as it remembers the key.

    https://docs.stripe.com/api/idempotent_requests: "regardless of whether it succeeds or fails"
    What it did is found by listing, which a lookup does; that it did nothing is not proven before the key is forgotten.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._saved: dict[str, float] = {}

    def save_error(self, kind: str, charge: Charge) -> None:
        self._saved[f"{kind} {charge.idempotency_key}"] = self._clock()

    def _is_saved(self, kind: str, charge: Charge) -> bool:
        saved_at = self._saved.get(f"{kind} {charge.idempotency_key}")
        return saved_at is not None and self._clock() - saved_at <= DAY

    def _charge(self, charge: Charge) -> Outcome:
        return Unknown("saved error") if self._is_saved("charge", charge) else super()._charge(charge)

    def _lookup(self, charge: Charge) -> Outcome:
        if self._is_saved("charge", charge) and charge.idempotency_key not in self._answers:
            return Unknown("saved error, and nothing is listed")
        return super()._lookup(charge)

    def _refund(self, charge: Charge, reference: str) -> RefundOutcome:
        if self._is_saved("refund", charge) and not charge.key_expired:
            listed = self._refunds.get(f"{charge.idempotency_key}-refund")
            return listed or Unknown("saved error, and nothing is listed")
        return super()._refund(charge, reference)


class Seam:
    """Every call of an actor to the world: given its answer again, done, or paused at."""

    def __init__(self, stage: "Stage") -> None:
        self._stage = stage
        self.passing = True  # whoever calls is no actor: it is not paused

    def begin(self, position: Position, trouble: Trouble, offset: float) -> None:
        self._replayed = list(reversed(position.answers))
        self.answers: list[tuple[str, bool, Any]] = []
        self.trouble, self.offset = trouble, offset
        self.pending = ""
        self.is_done = position.pending == START  # to start is all that this step does
        self.passing = False

    def new_invocation(self) -> None:
        self.answers, self._replayed = [], []

    @property
    def begins_invocation(self) -> bool:
        """Whether nothing was called yet that others could notice."""
        return all(name in QUIET for name, _, _ in self.answers)

    def call(self, name: str, do: Callable[[], Any], late: Callable[[], Any] | None = None) -> Any:
        """``do``; or ``late``, which is to happen when nobody waits for it any more."""
        if self.passing:
            return do()
        if self._replayed:
            recorded, is_answer, value = self._replayed.pop()
            assert recorded == name, f"{name} is not what was called before: {recorded}"
            self.answers.append((name, is_answer, value))
        else:
            if name not in QUIET:
                if self.is_done:
                    self.pending = name
                    raise Pause
                self.is_done = True
                trouble, self.trouble = self.trouble, None
            else:
                trouble = None
            is_answer, value = self._stage.broken(name, do, trouble, late)
            self.answers.append((name, is_answer, value))
        if is_answer:
            return value
        raise value


class Observed:
    """A service whose calls pass the seam; everything else of it is as it is."""

    def __init__(self, service: Any, prefix: str, operations: tuple[str, ...], seam: Seam) -> None:
        self.service = service
        for operation in operations:
            setattr(self, operation, self._observed(getattr(service, operation), f"{prefix}.{operation}", seam))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.service, name)

    def _observed(self, operation: Callable[..., Any], name: str, seam: Seam) -> Callable[..., Any]:
        @functools.wraps(operation)
        def observed(*arguments: Any, **more: Any) -> Any:
            return seam.call(name, functools.partial(operation, *arguments, **more))

        return observed


class Stage(World):
    """A world that can be put back to how it was: ``now``, the services' contents, what is late, what was heard."""

    def __init__(self, behaviour: Callable[[Charge], Outcome | None]) -> None:
        super().__init__(behaviour=behaviour)
        self.seam = Seam(self)
        gateway = SavingGateway(self.faults, behaviour, lambda: self.now)
        self._services = (self.dynamodb, gateway, self.topic, self.queue)
        self._kept = [
            (service, name)
            for service in self._services
            for name, value in vars(service).items()
            if isinstance(value, dict | list | set | int | float)
        ]
        self.late: list[tuple[str, Callable[[], object]]] = []
        self.heard: list[Notice] = []
        tables = ("get_item", "query", "batch_get_item", "transact_write_items")
        observed: dict[str, Any] = {
            "dynamodb": Observed(self.dynamodb, "dynamodb", tables, self.seam),
            "gateway": Observed(gateway, "gateway", ("charge", "lookup", "refund"), self.seam),
            "queue": Observed(self.queue, "sqs", ("send_message",), self.seam),
            "topic": Observed(self.topic, "sns", (), self.seam),
        }
        observed["topic"].publish = self._publish
        vars(self).update(observed)
        self.gateway_itself, self._topic_itself = gateway, observed["topic"].service

    @contextmanager
    def installed(self) -> Iterator["Stage"]:
        """The handlers' ports are this stage's for the length of the block. Nothing is logged: it is run many times."""
        with super().installed():
            handling.log.disabled = True
            try:
                yield self
            finally:
                handling.log.disabled = False

    def clock(self) -> float:
        moment: float = self.seam.call("clock", lambda: self.now + (0.0 if self.seam.passing else self.seam.offset))
        return moment

    def ledger(self, operator: str | None = None) -> DynamoDBLedger:
        return DynamoDBLedger("transactions", "ledger", self.dynamodb, operator or "function:1")

    def _connected(self) -> Any:
        return self.gateway

    def _publish(self, **arguments: Any) -> None:
        self.seam.call("sns.publish", lambda: self._tell(arguments, lambda: self._topic_itself.publish(**arguments)))

    def publish_from_workflow(self, arguments: dict[str, Any]) -> dict[str, Any]:
        publish = functools.partial(self._topic_itself.publish_from_workflow, arguments)
        notice = None if self.seam.passing else notice_of(arguments, self)

        def late() -> None:
            # It was sent when it was sent.
            publish()
            self.heard += [notice] if notice else []

        self.seam.call("workflow.publish", lambda: self._tell(arguments, publish), late)
        return {"MessageId": "1"}

    def send_from_workflow(self, arguments: dict[str, Any]) -> dict[str, Any]:
        send = functools.partial(self.queue.send_from_workflow, arguments)
        self.seam.call("workflow.send_message", send, send)
        return {"MessageId": "1"}

    def _tell(self, arguments: dict[str, Any], publish: Callable[[], object]) -> None:
        """Publish, and keep what subscribers received, judged by how it is at this moment."""
        notice, before = notice_of(arguments, self), len(self.topic.notices)
        try:
            publish()
        finally:
            if notice and len(self.topic.notices) > before:
                self.heard.append(notice)

    def broken(
        self, name: str, do: Callable[[], Any], trouble: Trouble, late: Callable[[], Any] | None
    ) -> tuple[bool, Any]:
        """Whether the call answers, and what it answers or raises."""
        self.faults.calls.clear()
        if trouble in TIMEOUTS:
            self.now += next((seconds for service, seconds in WAITED.items() if name.startswith(service)), 0.0)
        self.faults.plan = {0: trouble} if isinstance(trouble, Fault) else {}
        try:
            if trouble is Directed.LATE and late is not None:
                self.late.append((name, late))
                return False, StatesError("States.Timeout")
            if trouble in (Directed.SAVED_ERROR, Directed.SAVED_ERROR_WITH_EFFECT):
                if trouble is Directed.SAVED_ERROR_WITH_EFFECT:
                    do()
                self.gateway_itself.save_error(name.removeprefix("gateway."), do.args[0])  # type: ignore[attr-defined]
                return True, Unknown("500")
            return True, do()
        except (Exception, Crash) as error:
            error.__traceback__ = None
            return False, error
        finally:
            self.faults.plan = {}

    def deliver(self) -> None:
        """What is on its way arrives."""
        self.faults.plan = {}
        self.gateway_itself.let_late_effects_happen()
        while self.late:
            self.late.pop(0)[1]()

    def pass_time(self, seconds: float) -> None:
        if seconds > LATE_SECONDS:
            self.deliver()
        self.now += seconds

    @property
    def is_something_late(self) -> bool:
        return bool(self.late or self.gateway_itself._late)

    def kept(self) -> "Kept":
        values = [_copied(getattr(service, name)) for service, name in self._kept]
        return Kept(self.now, tuple(self.late), tuple(self.heard), tuple(values))

    def put_back(self, kept: "Kept") -> None:
        self.now, self.late, self.heard = kept.now, list(kept.late), list(kept.heard)
        for (service, name), value in zip(self._kept, kept.values, strict=True):
            setattr(service, name, _copied(value))

    def live_on(self) -> None:
        """Nothing breaks any more, and the schedule runs until nothing is left to do."""
        self.seam.passing = True
        self.deliver()
        self.reconcile(3 * DAY)


class Kept:
    """A world as it was. What the services keep is replaced and never changed in place, so that it can be shared."""

    def __init__(self, now: float, late: tuple[Any, ...], heard: tuple[Notice, ...], values: tuple[Any, ...]) -> None:
        self.now, self.late, self.heard, self.values = now, late, heard, values
        contents = tuple(_digest_of(value) for value in values)
        self.digest = hash((now, tuple(name for name, _ in late), heard, contents))


def _is_under_way(position: Position) -> bool:
    """Whether a function runs, or an execution has begun and goes on: neither is idle for minutes."""
    has_begun = bool(position.state) and (position.state, position.begins_invocation, position.attempts) != (
        *("ValidatePayment", True, ()),
    )
    return bool(position.pending) and position.pending != START and (has_begun or not position.state)


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | list | set) else value


_DIGESTS: dict[int, tuple[Any, int]] = {}


def _digest_of(value: Any) -> int:
    match value:
        case dict():
            return hash(frozenset((key, _leaf(item)) for key, item in value.items()))
        case list():
            return hash(tuple(_leaf(item) for item in value))
        case set():
            return hash(frozenset(value))
    return hash(value)


def _leaf(value: Any) -> int:
    if isinstance(value, str | int | float | tuple):
        return hash(value)
    if callable(value):  # a late effect: what it does is what it was given
        given = [cell.cell_contents for cell in value.__closure__ or ()]
        return hash(repr([item for item in given if not isinstance(item, FakeGateway)]) + value.__qualname__)
    known = _DIGESTS.get(id(value))
    if known is None or known[0] is not value:
        known = _DIGESTS[id(value)] = (value, hash(repr(value)))
    return known[1]


class Actor(ABC):
    """Somebody who acts. ``first`` is where it begins; ``advance`` does its next call, and tells where it is then."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.offset = 0.0

    def first(self, _stage: Stage) -> Position:
        return Position(START).digested()

    def troubles(self, position: Position) -> tuple[Fault | Directed, ...]:
        return TROUBLES.get(position.pending, ())

    @abstractmethod
    def advance(self, stage: Stage, position: Position, trouble: Trouble) -> Position: ...


class Resumable(Interpreter):
    """The interpreter, begun at any state; it remembers the place at which the state at hand was entered."""

    def resume(self, name: str, data: Any, position: Position, entered: Callable[[str, str, str], None]) -> str:
        """How the execution ends."""
        execution = self._begin(data, name)
        state_name: str | None = position.state or self._definition["StartAt"]
        if position.state:
            data = json.loads(position.data)
        self._variables = json.loads(position.variables)
        is_first = bool(position.state)
        try:
            while state_name is not None:
                if not is_first:
                    entered(state_name, json.dumps(data), json.dumps(self._variables))
                is_first = False
                data, state_name = self._run_state(state_name, data, execution)
        except StatesError as error:
            return f"FAILED, {error.error}"
        return "SUCCEEDED"


class Execution(Actor):
    """An execution of the state machine for ``sent``."""

    def __init__(self, name: str, sent: dict[str, Any] | None = None) -> None:
        super().__init__(name)
        self.sent = request() if sent is None else sent

    def first(self, stage: Stage) -> Position:
        return self.advance(stage, Position(START), None)

    def troubles(self, position: Position) -> tuple[Fault | Directed, ...]:
        at_hand = TROUBLES.get(position.pending, ())
        return (*OF_AN_INVOCATION, *at_hand) if position.begins_invocation else at_hand

    def advance(self, stage: Stage, position: Position, trouble: Trouble) -> Position:
        return _Run(self, stage, position, trouble).result()


class _Run:
    """One step of an execution."""

    def __init__(self, execution: Execution, stage: Stage, position: Position, trouble: Trouble) -> None:
        self._execution, self._stage, self._at = execution, stage, position
        self._seam = stage.seam
        self._to_replay = list(reversed(position.attempts))
        self._attempts: list[tuple[str, str]] = []
        self._place = (position.state, position.data, position.variables)
        # Whether the invocation at hand is still the one that the position is in.
        self._is_at_hand = True
        # How many attempts fail before the function, the topic or the queue is reached.
        refusals: dict[Trouble, int] = {Directed.REFUSED: THROTTLED_RETRIES + 1, Directed.SLOW: THROTTLED_RETRIES}
        self._refusals = refusals.get(trouble, 0)
        self._unlisted = trouble is Directed.UNLISTED
        self._answers_lost = position.answers_lost or trouble is Directed.ANSWERS_LOST
        at_the_call = None if trouble in OF_AN_INVOCATION else trouble
        self._seam.begin(position, at_the_call, execution.offset)

    def result(self) -> Position:
        tasks = {
            "${InvokeFunction}": lambda arguments: self._attempt(lambda: self._stage._invoke(arguments), "Lambda"),
            "${SendMessage}": lambda arguments: self._attempt(lambda: self._stage.send_from_workflow(arguments), "SQS"),
            "${Publish}": lambda arguments: self._attempt(lambda: self._stage.publish_from_workflow(arguments), "SNS"),
        }
        interpreter = Resumable(worlds._deployed(), tasks, self._sleep)
        try:
            ended = interpreter.resume(self._execution.name, self._execution.sent, self._at, self._entered)
        except Pause:
            state, data, variables = self._place
            return Position(
                self._seam.pending,
                *(state, data, variables),
                tuple(self._attempts),
                tuple(self._seam.answers),
                self._seam.begins_invocation and not self._seam.pending.startswith("workflow."),
                self._answers_lost,
                self._at.stopped,
            ).digested()
        except Stopped:
            ended = "STOPPED"
        finally:
            self._seam.passing = True
        return Position("", result=ended).digested()

    def _entered(self, state: str, data: str, variables: str) -> None:
        self._place = (state, data, variables)
        self._attempts, self._to_replay = [], []
        self._refusals, self._unlisted, self._answers_lost = 0, False, False

    def _attempt(self, run: Callable[[], Any], service: str) -> Any:
        """One attempt at the state's task: as it came out before, or now."""
        if self._to_replay:
            self._is_replayed = True
            self._attempts.append(self._to_replay.pop())
            raise StatesError(*self._attempts[-1])
        self._is_replayed = False
        if not self._is_at_hand:
            self._seam.new_invocation()
        self._is_at_hand = False
        try:
            if self._refusals or self._unlisted:
                self._seam.new_invocation()
                self._seam.is_done = True
                if self._unlisted:
                    raise StatesError(f"{service}.AccessDeniedException")
                self._refusals -= 1
                raise StatesError(
                    "Lambda.TooManyRequestsException" if service == "Lambda" else f"{service}.ThrottledException"
                )
            answer = run()
            if self._answers_lost:
                raise StatesError("Lambda.SdkClientException", "the answer is lost")
        except StatesError as error:
            if self._at.stopped:
                raise Stopped from None
            self._attempts.append((error.error, error.cause))
            raise
        if self._at.stopped:
            raise Stopped
        return answer

    def _sleep(self, seconds: float) -> None:
        if not self._is_replayed:
            self._stage.pass_time(seconds)


class Call(Actor):
    """One invocation of a function; ``event`` is asked for when it begins."""

    def __init__(self, name: str, event: Callable[[Stage], dict[str, Any]], handler: Any = None) -> None:
        super().__init__(name)
        self._event, self._handler = event, handler

    def troubles(self, position: Position) -> tuple[Fault | Directed, ...]:
        return () if position.pending == START else super().troubles(position)

    def advance(self, stage: Stage, position: Position, trouble: Trouble) -> Position:
        stage.seam.begin(position, trouble, self.offset)
        try:
            event = stage.seam.call("clock", lambda: self._event(stage))
            answer = stage.invoke(self._handler or reconciliation.handler, event)
            return Position("", result=str(answer.get("refused", "done"))).digested()
        except StatesError as error:
            return Position("", result=error.error).digested()
        except Pause:
            return Position(stage.seam.pending, answers=tuple(stage.seam.answers)).digested()
        finally:
            stage.seam.passing = True


class Redrive(Execution):
    """An operator reopens the payment and has the request sent again, as ``python -m scripts.payments redrive``."""

    def __init__(self, name: str = "redrive", sent: dict[str, Any] | None = None) -> None:
        super().__init__(name, sent)
        event = {"action": "reopen", "transaction_id": self.sent["transaction_id"], "operator": "alice"}
        self._reopen = Call(name, lambda _: event | {"request": self.sent})

    def first(self, _stage: Stage) -> Position:
        return Position(START).digested()

    def troubles(self, position: Position) -> tuple[Fault | Directed, ...]:
        return super().troubles(position) if position.state else self._reopen.troubles(position)

    def advance(self, stage: Stage, position: Position, trouble: Trouble) -> Position:
        if position.state:
            return super().advance(stage, position, trouble)
        self._reopen.offset = self.offset
        reopened = self._reopen.advance(stage, position, trouble)
        return super().advance(stage, Position(START), None) if reopened.result == "done" else reopened


class Jump(Actor):
    """Time goes by. More of it than ``LATE_SECONDS`` only while no function runs, and no execution that will go on."""

    def __init__(self, seconds: float, name: str = "") -> None:
        super().__init__(name or f"time, {seconds:,.0f} s")
        self.seconds = seconds

    def advance(self, stage: Stage, _position: Position, _trouble: Trouble) -> Position:
        stage.pass_time(self.seconds)
        return Position("", result="done").digested()


class Late(Actor):
    """What is on its way arrives."""

    def __init__(self) -> None:
        super().__init__("the network")

    def advance(self, stage: Stage, _position: Position, _trouble: Trouble) -> Position:
        stage.deliver()
        return Position("", result="done").digested()


class Stop(Actor):
    """Somebody stops the execution ``stopped``, and nobody continues it."""

    def __init__(self, stopped: str) -> None:
        super().__init__(f"StopExecution of {stopped}")
        self.stopped = stopped

    def advance(self, _stage: Stage, _position: Position, _trouble: Trouble) -> Position:
        return Position("", result="done").digested()


def reconciliation_run(name: str = "reconciliation") -> Call:
    return Call(name, lambda _: {})


def refund(name: str = "operator, refund") -> Call:
    return Call(
        name, lambda _: {"action": "refund", "operator": "alice", "transaction_id": request()["transaction_id"]}
    )


def resolve(name: str = "operator, resolve") -> Call:
    """A person looks it up at the gateway, and tells the truth."""

    def event(stage: Stage) -> dict[str, Any]:
        transaction_id = request()["transaction_id"]
        common = {"action": "resolve", "operator": "alice", "transaction_id": transaction_id}
        moved = functools.partial(stage.gateway.moved, transaction_id=transaction_id)
        if moved("refund"):
            return common | {"status": "REFUNDED", "reference": f"refund-ref-payment-{transaction_id}"}
        if moved("charge"):
            return common | {"status": "COMPLETED", "reference": f"ref-payment-{transaction_id}"}
        return common | {"status": "FAILED"}

    return Call(name, event)


def another_request() -> dict[str, Any]:
    """Another request under the same transaction id."""
    return request(payment_amount=99.5)


def charges(_charge: Charge) -> Outcome | None:
    return None


def away(_charge: Charge) -> Outcome | None:
    return NotCharged("away")


@dataclass(frozen=True)
class Choice:
    """``actor`` does its next call, and ``trouble`` happens to it."""

    actor: int
    trouble: Trouble = None


@dataclass(frozen=True)
class Scenario:
    """Who takes part. ``preemptions`` bounds how often one is interrupted by another, if at all."""

    actors: tuple[Actor, ...]
    behaviour: Callable[[Charge], Outcome | None] = charges
    # How many things break in one life, and at whose calls; None is everybody's.
    troubles: int = 0
    troubled: frozenset[str] | None = None
    preemptions: int | None = None
    # Of these kinds alone, if any.
    only: frozenset[Fault | Directed] | None = None


@dataclass(frozen=True)
class State:
    kept: Kept
    positions: tuple[Position, ...]
    troubles: int
    current: int = -1
    preemptions: int = 0

    @property
    def digest(self) -> int:
        actors = tuple(position.digest for position in self.positions)
        return hash((self.kept.digest, actors, self.troubles, self.current, self.preemptions))


@dataclass
class Explored:
    """What an exploration came to. ``wrong`` has, by what is wrong, the shortest such life, printed."""

    states: int = 0
    steps: int = 0
    lives: int = 0
    checked: int = 0
    found: Counter[str] = field(default_factory=Counter)
    wrong: dict[Finding, str] = field(default_factory=dict)


class Explorer:
    """One scenario, set up. Use it inside ``installed``."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.stage = Stage(scenario.behaviour)
        self._steps: dict[tuple[int, int, int, Trouble], tuple[Kept, Position]] = {}
        self._judged: dict[int, tuple[list[Finding], str]] = {}
        for number, actor in enumerate(scenario.actors):
            actor.offset = number * 0.001

    def begin(self) -> State:
        positions = tuple(actor.first(self.stage) for actor in self.scenario.actors)
        preemptions = -1 if self.scenario.preemptions is None else self.scenario.preemptions
        return State(self.stage.kept(), positions, self.scenario.troubles, preemptions=preemptions)

    def choices(self, state: State) -> Iterator[Choice]:
        scenario = self.scenario
        for index, actor in enumerate(scenario.actors):
            if not self._is_next(state, index, actor):
                continue
            yield Choice(index)
            if state.troubles and (scenario.troubled is None or actor.name in scenario.troubled):
                for trouble in actor.troubles(state.positions[index]):
                    if scenario.only is None or trouble in scenario.only:
                        yield Choice(index, trouble)

    def _is_next(self, state: State, index: int, actor: Actor) -> bool:
        if not state.positions[index].pending:
            return False
        if isinstance(actor, Late) and not (state.kept.late or self._is_late(state)):
            return False
        if isinstance(actor, Jump) and actor.seconds > LATE_SECONDS and any(map(_is_under_way, state.positions)):
            return False
        interrupted = state.current not in (-1, index) and bool(state.positions[state.current].pending)
        return state.preemptions != 0 or not interrupted

    def _is_late(self, state: State) -> bool:
        self.stage.put_back(state.kept)
        return self.stage.is_something_late

    def take(self, state: State, choice: Choice) -> State:
        """The state after ``choice``; known steps are not taken again."""
        position = state.positions[choice.actor]
        key = (choice.actor, position.digest, state.kept.digest, choice.trouble)
        if key not in self._steps:
            self.stage.put_back(state.kept)
            actor = self.scenario.actors[choice.actor]
            after = actor.advance(self.stage, position, choice.trouble)
            self._steps[key] = (self.stage.kept(), after)
        kept, after = self._steps[key]
        positions = list(state.positions)
        positions[choice.actor] = after
        self._stop(choice, positions)
        bounded = self.scenario.preemptions is not None
        interrupts = bounded and state.current not in (-1, choice.actor) and state.positions[state.current].pending
        return State(
            kept,
            tuple(positions),
            state.troubles - (choice.trouble is not None),
            choice.actor if bounded and after.pending else -1,
            state.preemptions - bool(interrupts),
        )

    def _stop(self, choice: Choice, positions: list[Position]) -> None:
        """An execution that is stopped ends at once, or with the function that runs."""
        actor = self.scenario.actors[choice.actor]
        if not isinstance(actor, Stop):
            return
        for index, other in enumerate(self.scenario.actors):
            position = positions[index]
            if other.name == actor.stopped and position.pending:
                outside = position.begins_invocation or position.pending.startswith("workflow.")
                if outside or position.pending == START:
                    positions[index] = Position("", result="STOPPED").digested()
                else:
                    positions[index] = replace(position, stopped=True).digested()

    def judge(self, state: State) -> list[Finding]:
        """What is wrong when nothing breaks any more and the schedule has run."""
        return self._ended(state)[0]

    def _ended(self, state: State) -> tuple[list[Finding], str]:
        known = self._judged.get(state.kept.digest)
        if known is None:
            self.stage.put_back(state.kept)
            self.stage.live_on()
            known = list(findings(self.stage, self.stage.heard)), self._end()
            self._judged[state.kept.digest] = known
        return known

    def _end(self) -> str:
        """What is on record after a life."""
        statuses: dict[str, list[str]] = {}
        for (transaction_id, _), step in sorted(self.stage.dynamodb.steps.items()):
            statuses.setdefault(transaction_id, []).append(step["status"]["S"])
        lines = [f"  the ledger says of {key}: {' -> '.join(steps)}" for key, steps in statuses.items()]
        told = [f"{notice.outcome} ({notice.notice_id})" for notice in self.stage.heard]
        letters = [str(letter.get("error")) for letter in self.stage.queue.letters]
        lines.append(f"  subscribers heard: {', '.join(told) or 'nothing'}")
        lines.append(f"  money moved: {', '.join(kind for kind, _ in self.stage.gateway.movements) or 'never'}")
        lines.append(f"  dead letters: {', '.join(letters) or 'none'}")
        return "\n".join(lines)

    def run(self, choices: list[Choice]) -> tuple[list[Choice], State]:
        """The life of these choices, as far as they can be taken, and then without trouble to its end."""
        state, taken = self.begin_again(), []
        for choice in choices:
            if choice in set(self.choices(state)):
                state = self.take(state, choice)
                taken.append(choice)
        while quiet := [choice for choice in self.choices(state) if choice.trouble is None]:
            last = taken[-1].actor if taken else -1
            choice = next((choice for choice in quiet if choice.actor == last), quiet[0])
            state = self.take(state, choice)
            taken.append(choice)
        return taken, state

    @functools.cached_property
    def _beginning(self) -> State:
        return self.begin()

    def begin_again(self) -> State:
        return self._beginning

    def printed(self, choices: list[Choice], found: list[Finding]) -> str:
        """The life, step by step, and what is wrong with it."""
        state, lines, last = self.begin_again(), [], ""
        for number, choice in enumerate(choices):
            actor, before = self.scenario.actors[choice.actor], state.positions[choice.actor]
            heard, world_before, positions = len(state.kept.heard), state.kept.digest, state.positions
            state = self.take(state, choice)
            others = [pair for pair in zip(positions, state.positions, strict=True) if pair[0] is not before]
            is_idle = state.kept.digest == world_before and all(was is after for was, after in others)
            is_over = all(isinstance(self.scenario.actors[later.actor], Jump) for later in choices[number:])
            if (is_idle and before.pending == START and not state.positions[choice.actor].pending) or is_over:
                continue  # it came, and found nothing to do
            after = state.positions[choice.actor]
            place = f" [{before.state}]" if before.state else ""
            broken = f"  ! {choice.trouble.value}" if choice.trouble else ""
            new = [f"{notice.outcome} ({notice.notice_id})" for notice in state.kept.heard[heard:]]
            spoken = f"  -> subscribers hear {', '.join(new)}" if new else ""
            name = "" if actor.name == last else actor.name
            lines.append(f"  {name:<22} {before.pending}{place}{broken}{spoken}")
            if not after.pending and after.result != "done":
                lines.append(f"  {'':<22} ends: {after.result}")
            last = actor.name
        findings_ = self._ended(state)
        wrong = [f"  WRONG, {finding.kind}: {finding.text}" for finding in found]
        return "\n".join([*lines, "  and then nothing breaks, and the schedule runs:", findings_[1], *wrong])

    def shrink(self, choices: list[Choice], kind: str) -> list[Choice]:
        """A shortest life that is as wrong, as far as leaving out parts and faults leads there."""

        def size(life: list[Choice]) -> tuple[int, int, int]:
            troubles = sum(choice.trouble is not None for choice in life)
            return troubles, sum(a.actor != b.actor for a, b in itertools.pairwise(life)), len(life)

        def is_as_wrong(life: list[Choice]) -> list[Choice] | None:
            taken, state = self.run(life)
            if any(finding.kind == kind for finding in self.judge(state)) and size(taken) < size(best):
                return taken
            return None

        best = list(choices)
        improved = True
        while improved:
            improved = False
            for length in (16, 8, 4, 2, 1):
                place = 0
                while place < len(best):
                    parts = [[*best[:place], *best[place + length :]]]
                    # Later: those who are interrupted go on first.
                    parts.append([*best[:place], *best[place + length :], *best[place : place + length]])
                    if length == 1 and best[place].trouble:
                        parts.append([*best[:place], Choice(best[place].actor), *best[place + 1 :]])
                    shorter = next((life for part in parts if (life := is_as_wrong(part))), None)
                    if shorter:
                        best, improved = shorter, True
                    else:
                        place += 1
        return best

    def explore(self, at_most: int = 400_000) -> Explored:
        """Every life of the scenario; fails when there are more than ``at_most`` states."""
        explored = Explored()
        beginning = self.begin_again()
        # How each state was reached, so that a life can be told.
        reached: dict[int, tuple[int, Choice] | None] = {beginning.digest: None}
        waiting, ends = deque([beginning]), set()
        while waiting:
            state = waiting.popleft()
            explored.states += 1
            assert explored.states <= at_most, f"more than {at_most} states"
            is_end = True
            for choice in self.choices(state):
                is_end = False
                after = self.take(state, choice)
                digest = after.digest
                if digest not in reached:
                    reached[digest] = (state.digest, choice)
                    waiting.append(after)
            if is_end:
                explored.lives += 1
                ends.add(state.kept.digest)
                found = self.judge(state)
                count(found)
                explored.found.update(sorted({finding.kind for finding in found}))
                for finding in found:
                    if finding not in explored.wrong:
                        explored.wrong[finding] = self.printed(_path(reached, state.digest), found)
        explored.steps, explored.checked = len(self._steps), len(ends)
        return explored

    def wander(self, chance: random.Random, rate: float = 0.08) -> list[Choice]:
        """A life by chance: mostly the one who acts goes on, and mostly nothing breaks."""
        state = self.begin_again()
        life: list[Choice] = []
        while choices := list(self.choices(state)):
            last = life[-1].actor if life else -1
            stays = [choice for choice in choices if choice.actor == last]
            if stays and chance.random() < 0.75:
                choices = stays
            index = chance.choice(sorted({choice.actor for choice in choices}))
            troubles = [choice for choice in choices if choice.actor == index and choice.trouble]
            choice = chance.choice(troubles) if troubles and chance.random() < rate else Choice(index)
            state = self.take(state, choice)
            life.append(choice)
        return life

    def forget(self) -> None:
        """Steps that were taken in lives by chance are hardly met again."""
        self._steps.clear()
        self._judged.clear()
        _DIGESTS.clear()


class Life:
    """A directed life: whoever is named acts, as far as the test says. ``installed`` it once, and end it."""

    def __init__(self, scenario: Scenario) -> None:
        self.explorer = Explorer(replace(scenario, troubles=99))
        self._taken: list[Choice] = []

    def __enter__(self) -> "Life":
        self._installed = self.explorer.stage.installed()
        self._installed.__enter__()
        self._state = self.explorer.begin_again()
        return self

    def __exit__(self, *_: object) -> None:
        self._installed.__exit__(None, None, None)

    def act(self, name: str, *, before: str = "", until_state: str = "", trouble: Trouble = None) -> None:
        """``name`` acts once, with ``trouble``; or until its next call is ``before`` or in a state; or to its end.

        Fails when it never comes there.
        """
        index = next(n for n, actor in enumerate(self.explorer.scenario.actors) if actor.name == name)
        if trouble is not None:
            self._take(Choice(index, trouble))
            return
        while position := self._pending(index):
            if (before and position.pending == before) or (until_state and position.state == until_state):
                return
            self._take(Choice(index))
        awaited = before or until_state
        assert not awaited, f"{name} came to its end: {self._state.positions[index].result}"

    def result(self, name: str) -> str:
        index = next(n for n, actor in enumerate(self.explorer.scenario.actors) if actor.name == name)
        return self._state.positions[index].result

    @property
    def heard_at_last(self) -> list[str]:
        """The outcomes that subscribers received, once the life was ended."""
        return [notice.outcome for notice in self.explorer.stage.heard]

    def end(self) -> "Stage":
        """Nothing breaks any more; the world as it is then. Fails, and prints the life, if anything is wrong."""
        found = self.explorer.judge(self._state)
        count(found)
        assert not found, "\n" + self.told(found)
        self.explorer.stage.put_back(self._state.kept)
        self.explorer.stage.live_on()
        return self.explorer.stage

    def told(self, found: list[Finding]) -> str:
        return self.explorer.printed(self._taken, found)

    def _pending(self, index: int) -> Position | None:
        position = self._state.positions[index]
        return position if position.pending else None

    def _take(self, choice: Choice) -> None:
        self._state = self.explorer.take(self._state, choice)
        self._taken.append(choice)


def count(found: list[Finding]) -> None:
    """Add one life to the figures of the proof."""
    worlds.FOUND["lives checked"] += 1
    worlds.FOUND.update(sorted({finding.kind for finding in found}))


def _path(reached: dict[int, tuple[int, Choice] | None], digest: int) -> list[Choice]:
    path = []
    while step := reached[digest]:
        digest, choice = step
        path.append(choice)
    return path[::-1]

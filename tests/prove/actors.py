"""The actors of an explored life: executions, functions, operators, the network and time."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from handlers import reconciliation
from payments.ports import Charge, NotCharged, Outcome

from tests.asl import Interpreter, StatesError
from tests.prove.faults import Fault
from tests.prove.stage import Pause, Position, Stage, Stopped
from tests.prove.troubles import OF_AN_INVOCATION, START, THROTTLED_RETRIES, TROUBLES, Directed, Trouble
from tests.workflow import request


class Actor(ABC):
    """An actor starts at ``first_position``; ``take_step`` makes its next call and returns its new position."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.offset = 0.0

    def first_position(self, _stage: Stage) -> Position:
        return Position(START).with_digest()

    def list_troubles(self, position: Position) -> tuple[Fault | Directed, ...]:
        return TROUBLES.get(position.pending, ())

    @abstractmethod
    def take_step(self, stage: Stage, position: Position, trouble: Trouble) -> Position: ...


class Resumable(Interpreter):
    """An interpreter that can start at any state and reports the input and variables of each state it enters."""

    def run_from(self, name: str, data: Any, position: Position, entered: Callable[[str, str, str], None]) -> str:
        """Run the execution from a position and return how it ends."""
        self.begin_execution(data, name)
        state_name: str | None = position.state or self._definition["StartAt"]
        if position.state:
            data = json.loads(position.data)
        self.memory.variables = json.loads(position.variables)
        is_first = bool(position.state)
        try:
            while state_name is not None:
                if not is_first:
                    entered(state_name, json.dumps(data), json.dumps(self.memory.variables))
                is_first = False
                data, state_name = self.run_state(self._definition["States"], state_name, data)
        except StatesError as error:
            return f"FAILED, {error.error}"
        return "SUCCEEDED"


class Execution(Actor):
    """A run of an execution of the state machine for ``sent_request``; the execution has its name, or another one."""

    def __init__(self, name: str, sent_request: dict[str, Any] | None = None, *, execution_name: str = "") -> None:
        super().__init__(name)
        self.execution_name = execution_name or name
        self.sent_request = request() if sent_request is None else sent_request

    def first_position(self, stage: Stage) -> Position:
        return self.take_step(stage, Position(START), None)

    def list_troubles(self, position: Position) -> tuple[Fault | Directed, ...]:
        at_hand = TROUBLES.get(position.pending, ())
        return (*OF_AN_INVOCATION, *at_hand) if position.begins_invocation else at_hand

    def take_step(self, stage: Stage, position: Position, trouble: Trouble) -> Position:
        return _Run(self, stage, position, trouble).run_step()


# As Step Functions names the errors of a service: tests/service_models.py.
_THROTTLED = {
    "Lambda": "Lambda.TooManyRequestsException",
    "SNS": "SNS.AmazonSNSException",
    "SQS": "SQS.RequestThrottledException",
}


class _Run:
    """One step of an execution."""

    def __init__(self, execution: Execution, stage: Stage, position: Position, trouble: Trouble) -> None:
        self._execution, self._stage, self._at = execution, stage, position
        self._seam = stage.seam
        self._to_replay = list(reversed(position.attempts))
        self._attempts: list[tuple[str, str]] = []
        self._place = (position.state, position.data, position.variables)
        # Whether the next attempt continues the invocation in which the position is.
        self._continues_invocation = True
        # How many attempts fail before the function, the topic or the queue is reached.
        refusals: dict[Trouble, int] = {Directed.REFUSED: THROTTLED_RETRIES + 1, Directed.SLOW: THROTTLED_RETRIES}
        self._refusals = refusals.get(trouble, 0)
        self._unlisted = trouble is Directed.UNLISTED
        self._answers_lost = position.answers_lost or trouble is Directed.ANSWERS_LOST
        at_the_call = None if trouble in OF_AN_INVOCATION else trouble
        self._seam.begin(position, at_the_call, execution.offset)

    def run_step(self) -> Position:
        tasks = {
            "${InvokeFunction}": partial(self._run_attempt, "Lambda", self._stage._invoke_function),
            "${SendMessage}": partial(self._run_attempt, "SQS", self._stage.send_from_workflow),
            "${Publish}": partial(self._run_attempt, "SNS", self._stage.publish_from_workflow),
        }
        interpreter = Resumable(self._stage.definition, tasks, self._pass_time)
        try:
            self._stage.run_name = self._execution.name
            ended = interpreter.run_from(
                self._execution.execution_name, self._execution.sent_request, self._at, self._enter_state
            )
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
            ).with_digest()
        except Stopped:
            ended = "STOPPED"
        finally:
            self._seam.passing = True
        return Position("", result=ended).with_digest()

    def _enter_state(self, state: str, data: str, variables: str) -> None:
        self._place = (state, data, variables)
        self._attempts, self._to_replay = [], []
        self._refusals, self._unlisted, self._answers_lost = 0, False, False

    def _run_attempt(self, service: str, run_task: Callable[[Any], Any], arguments: Any) -> Any:
        """Make one attempt at the state's task, or repeat the error of an attempt that was made before."""
        if self._to_replay:
            self._is_replayed = True
            self._attempts.append(self._to_replay.pop())
            raise StatesError(*self._attempts[-1])
        self._is_replayed = False
        if not self._continues_invocation:
            self._seam.new_invocation()
        self._continues_invocation = False
        try:
            if self._refusals or self._unlisted:
                self._seam.new_invocation()
                self._seam.is_done = True
                if self._unlisted:
                    raise StatesError(f"{service}.AccessDeniedException")
                self._refusals -= 1
                raise StatesError(_THROTTLED[service])
            answer = run_task(arguments)
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

    def _pass_time(self, seconds: float) -> None:
        if not self._is_replayed:
            self._stage.pass_time(seconds)


class Call(Actor):
    """One invocation of a function; ``event`` builds its event when it begins."""

    def __init__(self, name: str, event: Callable[[Stage], dict[str, Any]], handler: Any = None) -> None:
        super().__init__(name)
        self._event, self._handler = event, handler

    def list_troubles(self, position: Position) -> tuple[Fault | Directed, ...]:
        return () if position.pending == START else super().list_troubles(position)

    def take_step(self, stage: Stage, position: Position, trouble: Trouble) -> Position:
        stage.seam.begin(position, trouble, self.offset)
        try:
            event = stage.seam.call("clock", lambda: self._event(stage))
            answer = stage.invoke_handler(self._handler or reconciliation.handler, event)
            return Position("", result=str(answer.get("refused", "done"))).with_digest()
        except StatesError as error:
            return Position("", result=error.error).with_digest()
        except Pause:
            return Position(stage.seam.pending, answers=tuple(stage.seam.answers)).with_digest()
        finally:
            stage.seam.passing = True


class Redrive(Execution):
    """An operator reopens the payment and starts an execution with the same request, as ``payments.sh redrive``."""

    def __init__(self, name: str = "redrive", sent_request: dict[str, Any] | None = None) -> None:
        super().__init__(name, sent_request)
        event = {"action": "reopen", "transaction_id": self.sent_request["transaction_id"], "operator": "alice"}
        self._reopen = Call(name, lambda _: event | {"request": self.sent_request})

    def first_position(self, _stage: Stage) -> Position:
        return Position(START).with_digest()

    def list_troubles(self, position: Position) -> tuple[Fault | Directed, ...]:
        return super().list_troubles(position) if position.state else self._reopen.list_troubles(position)

    def take_step(self, stage: Stage, position: Position, trouble: Trouble) -> Position:
        if position.state:
            return super().take_step(stage, position, trouble)
        self._reopen.offset = self.offset
        reopened = self._reopen.take_step(stage, position, trouble)
        return super().take_step(stage, Position(START), None) if reopened.result == "done" else reopened


class Jump(Actor):
    """Time passes; more than ``LATE_SECONDS`` only while neither a function nor a continuing execution runs."""

    def __init__(self, seconds: float, name: str = "") -> None:
        super().__init__(name or f"time, {seconds:,.0f} s")
        self.seconds = seconds

    def take_step(self, stage: Stage, _position: Position, _trouble: Trouble) -> Position:
        stage.pass_time(self.seconds)
        return Position("", result="done").with_digest()


class Late(Actor):
    """The network delivers the late effects."""

    def __init__(self) -> None:
        super().__init__("the network")

    def take_step(self, stage: Stage, _position: Position, _trouble: Trouble) -> Position:
        stage.deliver_late_effects()
        return Position("", result="done").with_digest()


class Stop(Actor):
    """Somebody stops an execution, and nobody redrives it."""

    def __init__(self, stopped: str) -> None:
        super().__init__(f"StopExecution of {stopped}")
        self.stopped = stopped

    def take_step(self, _stage: Stage, _position: Position, _trouble: Trouble) -> Position:
        return Position("", result="done").with_digest()


def schedule_run(name: str = "reconciliation") -> Call:
    return Call(name, lambda _: {})


def refund_call(name: str = "operator, refund") -> Call:
    event = {"action": "refund", "operator": "alice", "transaction_id": request()["transaction_id"]}
    return Call(name, lambda _: event)


def resolve_call(name: str = "operator, resolve") -> Call:
    """An operator resolves the payment as the gateway's records say."""

    def build_event(stage: Stage) -> dict[str, Any]:
        transaction_id = request()["transaction_id"]
        common = {"action": "resolve", "operator": "alice", "transaction_id": transaction_id}
        count_moves = partial(stage.gateway.count_moves, transaction_id=transaction_id)
        if count_moves("refund"):
            return common | {"status": "REFUNDED", "reference": f"refund-ref-payment-{transaction_id}"}
        if count_moves("charge"):
            return common | {"status": "COMPLETED", "reference": f"ref-payment-{transaction_id}"}
        return common | {"status": "FAILED"}

    return Call(name, build_event)


def another_request() -> dict[str, Any]:
    """A different request with the same transaction id."""
    return request(payment_amount=99.5)


def charges_all(_charge: Charge) -> Outcome | None:
    return None


def stays_away(_charge: Charge) -> Outcome | None:
    return NotCharged("away")

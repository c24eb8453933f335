"""A world whose state can be restored, and the seam through which actors call it."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from handlers import lambda_handler
from payments.ports import Charge, Outcome, RefundOutcome, Unknown

from tests.asl import StatesError
from tests.asl.functions import AddedFunctions
from tests.prove.faults import Crash, Fault
from tests.prove.services import DAY, FakeGateway
from tests.prove.troubles import LATE_SECONDS, QUIET, START, TIMEOUTS, WAITING_SECONDS, Directed, Trouble
from tests.prove.truth import Notice, judge_notice
from tests.prove.world import World


class Pause(BaseException):
    """The actor is paused before its next call."""


class Stopped(BaseException):
    """The execution was stopped, and its function has ended."""


@dataclass(frozen=True)
class Position:
    """Where an actor is. ``pending`` is its next call, or empty when the actor has ended."""

    pending: str
    state: str = ""
    data: str = "null"
    variables: str = "{}"
    # Errors and causes of the earlier attempts at this state.
    attempts: tuple[tuple[str, str], ...] = ()
    # The answers that the present invocation received.
    answers: tuple[tuple[str, bool, Any], ...] = ()
    begins_invocation: bool = False
    answers_lost: bool = False
    stopped: bool = False
    result: str = ""
    digest: int = 0

    def with_digest(self) -> "Position":
        place = (self.pending, self.state, self.data, self.variables, self.attempts, self.begins_invocation)
        return replace(self, digest=hash((*place, self.answers_lost, self.stopped, self.result, repr(self.answers))))


class SavingGateway(FakeGateway):
    """A gateway that saves an answer of 500 under its key, and repeats it for as long as it remembers the key.

    https://docs.stripe.com/api/idempotent_requests: "regardless of whether it succeeds or fails"
    A lookup lists what happened; that nothing happened is not proven before the key is forgotten.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._saved: dict[str, float] = {}

    def save_error(self, kind: str, charge: Charge) -> None:
        self._saved[f"{kind} {charge.idempotency_key}"] = self._clock()

    def _is_saved(self, kind: str, charge: Charge) -> bool:
        saved_at = self._saved.get(f"{kind} {charge.idempotency_key}")
        return saved_at is not None and self._clock() - saved_at <= DAY

    def _do_charge(self, charge: Charge) -> Outcome:
        return Unknown("saved error") if self._is_saved("charge", charge) else super()._do_charge(charge)

    def _do_lookup(self, charge: Charge) -> Outcome:
        if self._is_saved("charge", charge) and charge.idempotency_key not in self._answers:
            return Unknown("saved error, and nothing is listed")
        return super()._do_lookup(charge)

    def _do_refund(self, charge: Charge, reference: str) -> RefundOutcome:
        if self._is_saved("refund", charge) and not charge.key_expired:
            listed = self._refunds.get(f"{charge.idempotency_key}-refund")
            return listed or Unknown("saved error, and nothing is listed")
        return super()._do_refund(charge, reference)


class Seam:
    """Passes each call of an actor: it repeats a recorded answer, makes the call, or pauses the actor."""

    def __init__(self, stage: "Stage") -> None:
        self._stage = stage
        self.passing = True  # the caller is no actor, and is not paused

    def begin(self, position: Position, trouble: Trouble, offset: float) -> None:
        self._replayed = list(reversed(position.answers))
        self.answers: list[tuple[str, bool, Any]] = []
        self.trouble, self.offset = trouble, offset
        self.pending = ""
        self.is_done = position.pending == START  # this step only starts the actor
        self.passing = False

    def new_invocation(self) -> None:
        self.answers, self._replayed = [], []

    @property
    def begins_invocation(self) -> bool:
        """Whether the invocation has made no call yet that others could notice."""
        return all(name in QUIET for name, _, _ in self.answers)

    def call(self, name: str, do: Callable[[], Any], late: Callable[[], Any] | None = None) -> Any:
        """Return the answer of ``do``. With Directed.LATE, ``late`` happens later instead."""
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
            is_answer, value = self._stage.do_call(name, do, trouble, late)
            self.answers.append((name, is_answer, value))
        if is_answer:
            return value
        raise value


class Observed:
    """A service whose operations pass the seam."""

    def __init__(self, service: Any, prefix: str, operations: tuple[str, ...], seam: Seam) -> None:
        self.service = service
        for operation in operations:
            setattr(self, operation, self._wrap_operation(getattr(service, operation), f"{prefix}.{operation}", seam))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.service, name)

    def _wrap_operation(self, operation: Callable[..., Any], name: str, seam: Seam) -> Callable[..., Any]:
        @functools.wraps(operation)
        def pass_seam(*arguments: Any, **named_arguments: Any) -> Any:
            return seam.call(name, functools.partial(operation, *arguments, **named_arguments))

        return pass_seam


class Stage(World):
    """A world whose time, services, late effects and received notices can be restored."""

    def __init__(self, behaviour: Callable[[Charge], Outcome | None], *, is_express: bool = False) -> None:
        super().__init__(behaviour=behaviour, is_express=is_express)
        self.seam = Seam(self)
        # The actor that runs.
        self.run_name = ""
        gateway = SavingGateway(self.faults, behaviour, lambda: self.time)
        self._services = (self.dynamodb, gateway, self.topic, self.queue)
        self._restorable_fields = [
            (service, name)
            for service in self._services
            for name, value in vars(service).items()
            if isinstance(value, dict | list | set | int | float)
        ]
        self.late: list[tuple[str, Callable[[], object]]] = []
        tables = ("get_item", "query", "batch_get_item", "transact_write_items")
        observed: dict[str, Any] = {
            "dynamodb": Observed(self.dynamodb, "dynamodb", tables, self.seam),
            "gateway": Observed(gateway, "gateway", ("charge", "lookup", "refund"), self.seam),
            "queue": Observed(self.queue, "sqs", ("send_message",), self.seam),
            "topic": Observed(self.topic, "sns", (), self.seam),
        }
        observed["topic"].publish = self._publish_notice
        vars(self).update(observed)
        self.gateway_itself, self._topic_itself = gateway, observed["topic"].service

    @contextmanager
    def install_ports(self) -> Iterator["Stage"]:
        """Give the handlers this stage's ports until the block ends. They log nothing, because they run often.

        A run's id ends in the name of its actor, so that the same life is the same each time.
        """
        with super().install_ports(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(AddedFunctions, "new_uuid", lambda: self.run_name)
            lambda_handler.log.disabled = True
            try:
                yield self
            finally:
                lambda_handler.log.disabled = False

    def clock(self) -> float:
        moment: float = self.seam.call("clock", lambda: self.time + (0.0 if self.seam.passing else self.seam.offset))
        return moment

    def _connect_gateway(self) -> Any:
        return self.gateway

    def _publish_notice(self, **arguments: Any) -> None:
        self.seam.call("sns.publish", functools.partial(self._topic_itself.publish, **arguments))

    def publish_from_workflow(self, arguments: dict[str, Any]) -> dict[str, Any]:
        publish = functools.partial(self._topic_itself.publish_from_workflow, arguments)
        notice = None if self.seam.passing else judge_notice(arguments, self)

        def late() -> None:
            publish()
            if notice:  # it is judged by when it was sent
                self.received_notices[-1] = notice

        self.seam.call("workflow.publish", publish, late)
        return {"MessageId": "1"}

    def send_from_workflow(self, arguments: dict[str, Any]) -> dict[str, Any]:
        send = functools.partial(self.queue.send_from_workflow, arguments)
        self.seam.call("workflow.send_message", send, send)
        return {"MessageId": "1"}

    def do_call(
        self, name: str, do: Callable[[], Any], trouble: Trouble, late: Callable[[], Any] | None
    ) -> tuple[bool, Any]:
        """Return whether the call answers, and its answer or error."""
        self.faults.calls.clear()
        if trouble in TIMEOUTS:
            self.time += next(
                (seconds for service, seconds in WAITING_SECONDS.items() if name.startswith(service)), 0.0
            )
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

    def deliver_late_effects(self) -> None:
        """Let everything happen that is late."""
        self.faults.plan = {}
        self.gateway_itself.let_late_effects_happen()
        while self.late:
            self.late.pop(0)[1]()

    def pass_time(self, seconds: float) -> None:
        if seconds > LATE_SECONDS:
            self.deliver_late_effects()
        self.time += seconds

    @property
    def is_something_late(self) -> bool:
        return bool(self.late or self.gateway_itself._late)

    def take_snapshot(self) -> "Snapshot":
        values = [_copy_value(getattr(service, name)) for service, name in self._restorable_fields]
        return Snapshot(self.time, tuple(self.late), tuple(self.received_notices), tuple(values))

    def restore_snapshot(self, snapshot: "Snapshot") -> None:
        self.time, self.late = snapshot.time, list(snapshot.late)
        self.received_notices = list(snapshot.received_notices)
        for (service, name), value in zip(self._restorable_fields, snapshot.values, strict=True):
            setattr(service, name, _copy_value(value))

    def live_on(self) -> None:
        """Run the schedule, without faults, until nothing is left to do."""
        self.seam.passing = True
        self.deliver_late_effects()
        self.run_schedule(3 * DAY)


class Snapshot:
    """The state of a world. Services replace their values and never change them in place, so snapshots share them."""

    def __init__(
        self, time: float, late: tuple[Any, ...], received_notices: tuple[Notice, ...], values: tuple[Any, ...]
    ) -> None:
        self.time, self.late, self.received_notices, self.values = time, late, received_notices, values
        contents = tuple(_digest_of(value) for value in values)
        self.digest = hash((time, tuple(name for name, _ in late), received_notices, contents))


def _is_under_way(position: Position) -> bool:
    """Whether a function or an execution is running, which is never idle for minutes."""
    has_begun = bool(position.state) and (position.state, position.begins_invocation, position.attempts) != (
        *("ValidatePayment", True, ()),
    )
    return bool(position.pending) and position.pending != START and (has_begun or not position.state)


def _copy_value(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | list | set) else value


_DIGESTS: dict[int, tuple[Any, int]] = {}


def _digest_of(value: Any) -> int:
    match value:
        case dict():
            return hash(frozenset((key, _digest_item(item)) for key, item in value.items()))
        case list():
            return hash(tuple(_digest_item(item) for item in value))
        case set():
            return hash(frozenset(value))
    return hash(value)


def _digest_item(value: Any) -> int:
    if isinstance(value, str | int | float | tuple):
        return hash(value)
    if callable(value):  # a late effect is identified by its arguments
        closed_over = [cell.cell_contents for cell in value.__closure__ or ()]
        return hash(repr([item for item in closed_over if not isinstance(item, FakeGateway)]) + value.__qualname__)
    judgement = _DIGESTS.get(id(value))
    if judgement is None or judgement[0] is not value:
        judgement = _DIGESTS[id(value)] = (value, hash(repr(value)))
    return judgement[1]

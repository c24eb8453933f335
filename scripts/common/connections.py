"""Bounds how long a command waits for an endpoint that does not answer, and says on stderr that it waits.

The SDK alone waits a minute for each connection and each answer, repeats that, and prints nothing. Throttling is left
to the SDK, because a service that throttles does answer.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
"""

import math
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .requests import is_quick_read, is_repeatable
from .terminal import echo
from .threads import is_abandoned

if TYPE_CHECKING:
    from botocore.config import Config

# The keys under which the context of a request holds what this module notes there.
_CALL, _REPEATABLE = "payment_call", "payment_repeatable"
# Waits for messages: that is no slow answer.
_LONG_POLLS = ("ReceiveMessage",)
# Whoever follows an operation repeats this itself, and says meanwhile what is in progress.
_FOLLOWED = ("DescribeStackEvents",)


@dataclass(frozen=True)
class Patience:
    """Times in seconds. A command ends within 15, of which it needs about one itself."""

    connect: float = 2.5
    # For the first answer of a host. One that has answered before is slow, and not dead: a request that only reads is
    # repeated then, and any other one is waited for.
    first_answer: float = 11.0
    read: float = 12.0
    answer: float = 60.0
    # After these, something is said, and the same again after ``again``, so that no silence is longer than 15.
    silence: float = 3.0
    again: float = 9.0
    # All tries of a request together, and of one that only reads from a host that has answered before.
    total: float = 12.5
    total_read: float = 50.0
    # Between two tries.
    pauses: tuple[float, ...] = (0.5, 1.0, 2.0, 2.0, 2.0, 2.0)
    # A try that fails sooner, such as on a connection that the service has closed, is repeated without a word.
    unsaid: float = 1.0


@dataclass
class _Call:
    host: str
    started_at: float
    is_repeatable: bool
    # The longest time of its tries together.
    total: float
    has_ended: threading.Event = field(default_factory=threading.Event)


@dataclass
class Connections:
    """Watches the requests of clients. They may be used in several threads."""

    patience: Patience = field(default_factory=Patience)
    clock: Callable[[], float] = time.monotonic
    say: Callable[[str], None] = lambda line: echo(line, err=True)
    _answered_hosts: set[str] = field(default_factory=set)
    # When each line was said.
    _said_at: dict[str, float] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)
    # Whether the last call of each thread has ended.
    _thread: threading.local = field(default_factory=threading.local)

    def make_config(self, service: str) -> "Config":
        """Return the time limits of a client."""
        from botocore.config import Config

        # The time limit of the connection is that of the first body that is sent on it, too: that of an upload is long.
        connect = self.patience.first_answer if service == "s3" else self.patience.connect
        return Config(connect_timeout=connect, read_timeout=self.patience.first_answer)

    def watch(self, events: Any, service_id: str = "") -> None:
        """Follow the requests of a service's client, or of all clients of a session, by its events.

        A client copies the events of its session, so an event is followed once only.
        """
        # Of several pauses, the SDK takes the first, and that of a service comes before that of every service.
        needs_retry = f"needs-retry.{service_id}" if service_id else "needs-retry"
        for event, follow, register in (
            ("provide-client-params", _note_repeatable, events.register),
            ("before-call", self._begin, events.register),
            ("response-received", self._note_answer, events.register),
            (needs_retry, self._bound_tries, events.register_first),
            ("after-call", _end_call, events.register),
            ("after-call-error", _end_call, events.register),
        ):
            register(event, follow, unique_id=f"payment-connections-{event}")

    def _begin(self, model: Any, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        host = urlsplit(params["url"]).netloc
        if interrupted := getattr(self._thread, "has_ended", None):
            interrupted.set()  # Ctrl-C has ended it, of which there is no event
        has_answered, reads = host in self._answered_hosts, is_quick_read(model)
        is_repeated_here = has_answered and reads and model.name not in _FOLLOWED
        total = self.patience.total_read if is_repeated_here else self.patience.total
        context[_CALL] = call = _Call(host, self.clock(), context.get(_REPEATABLE, False), total)
        self._thread.has_ended = call.has_ended
        # Ctrl-C ends the last call of a thread, too: only its request holds it.
        weakref.finalize(call, call.has_ended.set)
        # Who calls a function that takes long has set a limit of its own.
        if context["client_config"].read_timeout != self.patience.first_answer:
            return
        if has_answered:
            # https://github.com/boto/botocore/blob/develop/botocore/httpsession.py: _get_request_timeout
            context["read_timeout"] = self.patience.read if reads else self.patience.answer
        if model.name not in _LONG_POLLS:
            arguments = (host, call.has_ended, threading.current_thread())
            threading.Thread(target=self._say_until_ended, args=arguments, daemon=True).start()

    def _say_until_ended(self, host: str, has_ended: threading.Event, caller: threading.Thread) -> None:
        while not has_ended.wait(self.patience.silence) and not is_abandoned(caller):
            self._say_once(f"waiting for {host}, which has not answered yet", after_any_line=True)

    def _note_answer(self, response_dict: dict[str, Any] | None, context: dict[str, Any], **_: Any) -> None:
        if response_dict is not None and (call := context.get(_CALL)):
            self._answered_hosts.add(call.host)

    def _bound_tries(
        self, attempts: int, caught_exception: Exception | None, request_dict: dict[str, Any], **_: Any
    ) -> float | None:
        """Return the pause before the next try after a failure of the connection; None leaves it to the SDK.

        Raises the failure if there must be no other try: the time is over, or the request may have been carried out,
        and repeating it could do that twice.
        """
        from botocore import exceptions

        call = request_dict["context"].get(_CALL)
        most_attempts = request_dict["context"]["client_config"].retries.get("total_max_attempts", math.inf)
        is_of_connection = isinstance(caught_exception, (exceptions.ConnectionError, exceptions.HTTPClientError))
        if call is None or not is_of_connection or attempts >= most_attempts:
            return None
        never_sent = (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError)
        is_safe = call.is_repeatable or isinstance(caught_exception, (*never_sent, exceptions.ProxyConnectionError))
        seconds = self.clock() - call.started_at
        pause = self.patience.pauses[attempts - 1] if attempts <= len(self.patience.pauses) else None
        # A refusal is no slow answer.
        total = call.total if isinstance(caught_exception, exceptions.ReadTimeoutError) else self.patience.total
        has_no_waiter = is_abandoned(threading.current_thread())
        if pause is None or not is_safe or has_no_waiter or seconds + pause + self.patience.connect > total:
            raise caught_exception  # type: ignore[misc] # it is one of the SDK's
        if seconds + pause >= self.patience.unsaid:
            self._say_once(f"connecting to {call.host}, try {attempts + 1}")
        return pause

    def _say_once(self, line: str, *, after_any_line: bool = False) -> None:
        """Say it, unless another thread or request has said so just now, or ``after_any_line``, anything at all."""
        now = self.clock()
        with self._lock:
            said_at = [-math.inf, *self._said_at.values()] if after_any_line else [self._said_at.get(line, -math.inf)]
            if now - max(said_at) < self.patience.again:
                return
            self._said_at[line] = now
        self.say(line)


def _note_repeatable(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
    context[_REPEATABLE] = is_repeatable(model, params)


def _end_call(context: dict[str, Any], **_: Any) -> None:
    if call := context.get(_CALL):
        call.has_ended.set()

"""HTTP requests to Stripe with a deadline for the whole exchange, from connecting to the last byte of the answer.

The timeouts of an HTTP library limit each wait on the socket, so an answer that arrives byte by byte exceeds them, and
name resolution has no timeout. So each request runs on its own thread. At the deadline the caller continues without it
and shuts down its connection, which ends the thread.
"""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from urllib.parse import urlsplit

import stripe

# For the connection, and again for the TLS handshake.
CONNECT_SECONDS = 2
# The longest that a request may take as a whole.
REQUEST_SECONDS = 10
# A connection that was idle for longer may have been closed unnoticed, because the execution environment is frozen
# between invocations (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
IDLE_SECONDS = 20

# The body, the status, and the headers, which the library looks up by names in any case.
Answer = tuple[bytes, int, HTTPMessage]


class Deadline:
    """The end of a call of the gateway. ``clock`` returns seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def seconds_left(self) -> float:
        return self._end - self._clock()


class Connections:
    """Connections to one address. They are kept for further requests, because customers wait for a handshake."""

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        self._host = url.netloc
        # The certificates that Stripe's library trusts.
        self._tls = ssl.create_default_context(cafile=stripe.ca_bundle_path) if url.scheme == "https" else None
        self._idle: list[tuple[HTTPConnection, float]] = []
        self._lock = threading.Lock()

    def take(self) -> HTTPConnection:
        """Return an idle connection that is still open, or else a new one that is not connected yet."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection, idle_since = self._idle.pop()
            if time.time() - idle_since < IDLE_SECONDS and not _is_closed_by_peer(connection):
                return connection
            connection.close()
        if self._tls is None:
            return HTTPConnection(self._host, timeout=CONNECT_SECONDS)
        return HTTPSConnection(self._host, timeout=CONNECT_SECONDS, context=self._tls)

    def give_back(self, connection: HTTPConnection) -> None:
        with self._lock:
            self._idle.append((connection, time.time()))


class DeadlineClient(stripe.HTTPClient):
    """The library's HTTP client for one call of the gateway. A request may take the time that is left of the call."""

    name = "deadline"

    def __init__(self, connections: Connections, deadline: Deadline) -> None:
        super().__init__()
        self._connections, self._deadline = connections, deadline

    def request(  # type: ignore[override] # The library's own clients have no ``_usage`` either.
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: str | bytes | None = None
    ) -> Answer:
        """Send a request and return the answer. Raises ``stripe.APIConnectionError`` if it is not complete in time."""
        seconds = min(REQUEST_SECONDS, self._deadline.seconds_left())
        if seconds <= 0:
            raise _build_lost_error("no time is left for the request")
        body = post_data.encode() if isinstance(post_data, str) else post_data
        exchange = _Exchange(self._connections, method, url, headers or {}, body, seconds)
        exchange.start()
        exchange.join(seconds)
        if exchange.is_alive():
            exchange.abandon()
            raise _build_lost_error("the time of the request is over")
        if exchange.answer is not None:
            return exchange.answer
        if isinstance(exchange.error, OSError | HTTPException):
            raise _build_lost_error(type(exchange.error).__name__) from exchange.error
        raise exchange.error or RuntimeError("a request ended with neither an answer nor an error")

    def close(self) -> None:
        """Do nothing: the connections are kept for further calls."""


class _Exchange(threading.Thread):
    """One request and its answer, on a thread."""

    def __init__(
        self,
        connections: Connections,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        seconds: float,
    ) -> None:
        super().__init__(name="stripe-request", daemon=True)
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self._connections = connections
        self._method, self._headers, self._body = method.upper(), dict(headers), body
        self._target = urlsplit(url)._replace(scheme="", netloc="").geturl()
        self._seconds = seconds
        # Guards the two fields below, so that a socket is shut down only while this exchange uses it.
        self._lock = threading.Lock()
        self._connection: HTTPConnection | None = None
        self._is_abandoned = False

    def run(self) -> None:
        connection, is_reusable = self._connections.take(), False
        try:
            if connection.sock is None:
                connection.connect()
            with self._lock:
                if self._is_abandoned:
                    return
                self._connection = connection
            connection.sock.settimeout(self._seconds)
            connection.request(self._method, self._target, self._body, self._headers)
            response = connection.getresponse()
            self.answer = response.read(), response.status, response.headers
            is_reusable = not response.will_close
        except Exception as error:
            self.error = error
        finally:
            with self._lock:
                self._connection = None
                is_reusable = is_reusable and not self._is_abandoned
            if is_reusable:
                self._connections.give_back(connection)
            else:
                connection.close()

    def abandon(self) -> None:
        """Stop sending and reading."""
        with self._lock:
            self._is_abandoned = True
            if self._connection is not None:
                # The socket may be closed already. The method of a TLS socket would remove the encryption first.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._connection.sock, socket.SHUT_RDWR)


def _is_closed_by_peer(connection: HTTPConnection) -> bool:
    """Whether there is something to read from an idle connection, which can only be its end."""
    return connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])


def _build_lost_error(reason: str) -> stripe.APIConnectionError:
    """Return the error that the library's own clients raise for a lost answer."""
    return stripe.APIConnectionError(reason)  # type: ignore[no-untyped-call]

"""HTTP to Stripe with an end: a request, from connecting to the last byte of its answer, takes no longer than it may.

The timeouts of an HTTP library hold for one wait on the socket each, so an answer that comes byte by byte outlasts them
all, and the resolution of a name has none. So each request runs on a thread of its own; when its time is over, the
caller goes on without it, and its connection is shut down, which ends the thread.
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

# To connect, and again to agree on TLS.
CONNECT_SECONDS = 2
# The longest that a request may take as a whole.
REQUEST_SECONDS = 10
# A connection that was idle for longer may have been closed unnoticed: the execution environment is frozen between two
# invocations (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
IDLE_SECONDS = 20

# What the library takes: the body, the status, and the headers, in which it looks names up in upper and lower case.
Answer = tuple[bytes, int, HTTPMessage]


class Deadline:
    """When a call of the gateway has to be over. ``clock`` gives seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def seconds_left(self) -> float:
        return self._end - self._clock()


class Connections:
    """Connections to one address, kept from one request to the next: a handshake is a customer's wait."""

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        self._host = url.netloc
        # With the certificates that the library trusts.
        self._tls = ssl.create_default_context(cafile=stripe.ca_bundle_path) if url.scheme == "https" else None
        self._idle: list[tuple[HTTPConnection, float]] = []
        self._lock = threading.Lock()

    def take(self) -> HTTPConnection:
        """An idle connection that still stands, else one that has yet to be connected."""
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
    """The library's HTTP client for one call of the gateway: every request gets what is left of the call's time."""

    name = "deadline"

    def __init__(self, connections: Connections, deadline: Deadline) -> None:
        super().__init__()
        self._connections, self._deadline = connections, deadline

    def request(  # type: ignore[override] # The library's own clients have no ``_usage`` either.
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: str | bytes | None = None
    ) -> Answer:
        """Raises ``stripe.APIConnectionError`` where no whole answer came in time."""
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
        """Nothing to close: the connections outlive the call."""


class _Exchange(threading.Thread):
    """One request and its answer."""

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
        # Guards the two below: a socket is shut down only while it is this exchange's.
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
        """Send nothing more, and read nothing more."""
        with self._lock:
            self._is_abandoned = True
            if self._connection is not None:
                # It may be closed already. And not by the method of a TLS socket, which takes the encryption off first.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._connection.sock, socket.SHUT_RDWR)


def _is_closed_by_peer(connection: HTTPConnection) -> bool:
    """An idle connection has nothing to read but its end."""
    return connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])


def _build_lost_error(reason: str) -> stripe.APIConnectionError:
    """The error that the library's own clients raise for an answer that did not come."""
    return stripe.APIConnectionError(reason)  # type: ignore[no-untyped-call]

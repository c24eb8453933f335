"""An HTTP server whose clients cannot make it start more than a fixed number of threads, or keep more connections open.

A connection gets a thread when its client has sent something. Python's ``ThreadingHTTPServer`` starts one for each
connection, and waits for each piece of a request anew: https://docs.python.org/3/library/socketserver.html
"""

import contextlib
import selectors
import socket
import threading
import time
from http.server import ThreadingHTTPServer
from typing import Any

from .feed import MOST_FOLLOWERS

# Each follower takes a thread as long as its page is open.
MOST_THREADS = MOST_FOLLOWERS + 12
# Connections whose client has sent nothing yet. The oldest is closed for one too many.
MOST_IDLE = 64
# For a client to send its whole request.
REQUEST_SECONDS = 10.0
POLL_SECONDS = 0.1


class BoundedServer(ThreadingHTTPServer):
    # `server_close` waits for the threads of requests.
    daemon_threads = False
    request_queue_size = MOST_IDLE

    def __init__(self, *arguments: Any) -> None:
        self._has_ended = threading.Event()
        self._free_threads = threading.Semaphore(MOST_THREADS)
        # The connections without a thread and their addresses, oldest first.
        self._idle: dict[socket.socket, Any] = {}
        # The times at which requests have to be read, which threads delete when they have read theirs.
        self._deadlines: dict[socket.socket, float] = {}
        super().__init__(*arguments)
        # A client may leave between the call of `select` and that of `accept`.
        self.socket.setblocking(False)

    def serve_until_end(self) -> None:
        """Answer requests until another thread calls ``end``; then close what no thread answers."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            while not self._has_ended.is_set():
                has_to_wait = False
                for key, _ in selector.select(POLL_SECONDS):
                    if key.fileobj is self.socket:
                        self._accept_connections(selector)
                    elif key.fileobj in self._idle and self._free_threads.acquire(blocking=False):
                        self._start_thread(selector, key.fileobj)
                    else:
                        has_to_wait = True
                self._close_overdue_connections(selector)
                if has_to_wait:
                    time.sleep(POLL_SECONDS / 5)
            for connection in list(self._idle):
                self._close_idle_connection(selector, connection)
            for connection in list(self._deadlines):
                _end_input(connection)

    def end(self) -> None:
        self._has_ended.set()

    def mark_as_read(self, connection: socket.socket) -> None:
        """Note that the request of this connection has been read, after which it may take as long as it needs."""
        self._deadlines.pop(connection, None)

    def _accept_connections(self, selector: selectors.BaseSelector) -> None:
        """Accept those that wait, at most as many as may be idle: nobody keeps the loop here."""
        for _ in range(MOST_IDLE):
            try:
                connection, address = self.get_request()
            except OSError:
                return
            if len(self._idle) >= MOST_IDLE:
                self._close_idle_connection(selector, next(iter(self._idle)))
            self._idle[connection] = address
            self._deadlines[connection] = time.monotonic() + REQUEST_SECONDS
            selector.register(connection, selectors.EVENT_READ)

    def _start_thread(self, selector: selectors.BaseSelector, connection: Any) -> None:
        selector.unregister(connection)
        self.process_request(connection, self._idle.pop(connection))

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.mark_as_read(request)
            self._free_threads.release()

    def _close_overdue_connections(self, selector: selectors.BaseSelector) -> None:
        for connection, deadline in list(self._deadlines.items()):
            if time.monotonic() < deadline:
                return  # they are in the order of their time
            self._deadlines.pop(connection, None)
            if connection in self._idle:
                self._close_idle_connection(selector, connection)
            else:
                _end_input(connection)

    def _close_idle_connection(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        selector.unregister(connection)
        del self._idle[connection]
        self._deadlines.pop(connection, None)
        self.shutdown_request(connection)


def _end_input(connection: socket.socket) -> None:
    """Let the thread that reads from the connection find its end."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)

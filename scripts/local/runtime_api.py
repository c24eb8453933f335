"""The runtime API of one invocation, from which Lambda's runtime client takes the event and to which it answers.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import queue
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PREFIX = "/2018-06-01/runtime"


@dataclass(frozen=True)
class Answer:
    """What the function returned, or the error that it reported, as JSON; ``seconds`` is how long it took."""

    payload: bytes
    is_error: bool
    seconds: float


class RuntimeApi:
    """Serves one event at ``address``, and puts what comes back into ``answers``."""

    def __init__(self, event: bytes, function_arn: str, timeout_seconds: float) -> None:
        self.answers: queue.Queue[Answer] = queue.Queue()
        self._event = event
        self._headers = {
            # The client crashes without a type.
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
            "Lambda-Runtime-Invoked-Function-Arn": function_arn,
        }
        self._timeout_seconds = timeout_seconds
        self._started_at = time.monotonic()
        self._is_taken = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_request_handler())
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    @contextmanager
    def serve(self) -> Iterator[None]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()

    def take_event(self) -> tuple[bytes, dict[str, str]] | None:
        """Return the event with its headers, or None if it has been taken."""
        if self._is_taken.is_set():
            return None
        self._is_taken.set()
        self._started_at = time.monotonic()
        deadline = round((time.time() + self._timeout_seconds) * 1000)
        return self._event, {**self._headers, "Lambda-Runtime-Deadline-Ms": str(deadline)}

    def put_answer(self, payload: bytes, is_error: bool) -> None:
        self.answers.put(Answer(payload, is_error, time.monotonic() - self._started_at))

    def _make_request_handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class RequestHandler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                event = api.take_event() if self.path == f"{_PREFIX}/invocation/next" else None
                if event is None:
                    # Nothing is sent until the process ends: Lambda, too, lets the client wait for the next event.
                    threading.Event().wait()
                    return
                payload, headers = event
                self.send_response(200)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def do_POST(self) -> None:
                payload = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()
                api.put_answer(payload, is_error=self.path.endswith("/error"))

            def log_message(self, *_: object) -> None:
                """Print nothing: the output is the function's log."""

        return RequestHandler

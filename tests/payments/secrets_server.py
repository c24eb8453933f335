"""A small Secrets Manager over real HTTP: one secret, and what goes wrong on the way to it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Secrets:
    """The state. A fault is ``drop``, ``slow``, or the status and code of an error."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.requests = 0
        self.faults: list[str | tuple[int, str]] = []


@contextmanager
def serving(secrets: Secrets) -> Iterator[str]:
    """The URL of a server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            secrets.requests += 1
            fault = secrets.faults.pop(0) if secrets.faults else (200, "")
            if fault == "drop":
                self.connection.close()
                return
            if fault == "slow":
                time.sleep(0.5)
            status, code = fault if isinstance(fault, tuple) else (200, "")
            answer = {"__type": code, "message": "MARKED"} if code else {"SecretString": secrets.text}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)

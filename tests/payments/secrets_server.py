"""A small Secrets Manager over real HTTP, with one secret and faults."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.payments import loopback


class Secrets:
    """The state of the server. A fault is ``drop``, ``slow``, or the status and code of an error."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.requests = 0
        self.faults: list[str | tuple[int, str]] = []


@contextmanager
def serve_secrets(secrets: Secrets) -> Iterator[str]:
    """Serve until the block ends, and yield the URL."""

    class Handler(loopback.JsonHandler):
        content_type = "application/x-amz-json-1.1"

        def do_POST(self) -> None:
            self.read_body()
            secrets.requests += 1
            fault = secrets.faults.pop(0) if secrets.faults else (200, "")
            if fault == "slow":
                time.sleep(0.5)
            status, code = fault if isinstance(fault, tuple) else (200, "")
            answer = {"__type": code, "message": "MARKED"} if code else {"SecretString": secrets.text}
            self.send_answer(None if fault == "drop" else (status, answer))

    with loopback.serve_handler(Handler) as url:
        yield url

"""JSON over real HTTP on a free port, for the small servers of these tests."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class JsonHandler(BaseHTTPRequestHandler):
    content_type = "application/json"

    def log_message(self, *_: Any) -> None:
        pass

    def read_body(self) -> str:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()

    def send_answer(self, answer: tuple[int, dict[str, Any]] | None) -> None:
        """Send a status and a JSON body, or drop the connection for None."""
        if answer is None:
            self.connection.close()
            return
        text = json.dumps(answer[1]).encode()
        self.send_response(answer[0])
        self.send_header("Content-Type", self.content_type)
        self.send_header("Content-Length", str(len(text)))
        # A client whose time is up has gone.
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(text)


@contextmanager
def serve_handler(handler: type[JsonHandler]) -> Iterator[str]:
    """Serve until the block ends, and yield the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)

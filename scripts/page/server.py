"""The HTTP server of the page, on loopback.

    GET  /                 the page; /page.css, /page.js
    GET  /events           server-sent events: ``hello`` once, then a ``snapshot`` whenever something has changed,
                           which is ``Source.take_snapshot``, ``{"problem": "..."}`` or ``{"waiting": "..."}``
    GET  /docs/runbook.md  and the documents beside it, as HTML
    GET  /payments/ID      a payment's story
    POST /pay              ``{"example": NAME}``, one of the simulator's
    POST /redrive          ``{"letter": ID}``

Answers are JSON; an error is ``{"problem": "one line"}``, also for what HTTP does not allow. Any user of this machine
may open the page, as they may call the AWS emulator. A foreign page in the same browser may not: the Host header tells
a name that somebody made to resolve to 127.0.0.1, the browser's Sec-Fetch-Site tells another origin, and actions need a
token that only this page has.
https://html.spec.whatwg.org/multipage/server-sent-events.html
https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
"""

import hmac
import json
import re
import secrets
import select
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from payments.money import Money

from scripts.common.errors import AWS_ERRORS, UserError, describe_error
from scripts.common.states import SHORT_NAMES
from scripts.local.examples import EXAMPLES
from scripts.operator.platform import Platform

from .connections import REQUEST_SECONDS, BoundedServer
from .documents import list_documents, render_document
from .feed import Feed, TooManyFollowers
from .snapshot import Source

HOST = "127.0.0.1"
LARGEST_BODY = 1024
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_HEADERS = {
    # Nothing from other origins, nothing inline, and no frame around the page.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Page(NamedTuple):
    url: str
    source: Source


class Refused(Exception):
    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Server(BoundedServer):
    def __init__(self, port: int, source: Source, feed: Feed) -> None:
        self.source, self.feed = source, feed
        self.token = secrets.token_urlsafe(32)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UserError(f"cannot listen on {HOST}:{port}: {error.strerror}; choose another port") from error

    def server_bind(self) -> None:
        # HTTPServer.server_bind would look up the name of this machine in the network.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        # A browser that closes its connection is not an error.
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    # For a client to send or receive a piece of it.
    timeout = REQUEST_SECONDS
    server_version, sys_version = "payments", ""
    _has_answered = False

    def do_GET(self) -> None:
        self.server.mark_as_read(self.connection)
        self._answer_request(self._route_get)

    def do_POST(self) -> None:
        self._answer_request(self._route_post)

    def _answer_request(self, route: Callable[[], None]) -> None:
        try:
            if self.headers.get("Host") not in self._list_hosts():
                raise Refused(HTTPStatus.FORBIDDEN, "unexpected Host header")
            route()
        except Refused as refusal:
            self._send_json(refusal.status, {"problem": str(refusal)})
        except (UserError, *AWS_ERRORS) as error:
            self._send_json(HTTPStatus.CONFLICT, {"problem": describe_error(error)})
        except (ConnectionError, TimeoutError):
            raise  # nobody is left to answer
        except Exception as error:
            # A defect: the answer reports it, unless it has begun.
            traceback.print_exc()
            if not self._has_answered:
                problem = f"{type(error).__name__}: the action failed; see the terminal for details"
                self._send_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"problem": problem})

    def _list_hosts(self) -> list[str]:
        return [f"{name}:{self.server.server_port}" for name in (HOST, "localhost")]

    def _route_get(self) -> None:
        if self.path in _FILES:
            name, kind = _FILES[self.path]
            text = (Path(__file__).parent / name).read_text(encoding="utf-8")
            values = {"token": self.server.token} | SHORT_NAMES
            self._send_text(HTTPStatus.OK, kind, re.sub(r"\{\{(\w+)\}\}", lambda name: values[name[1]], text))
            return
        if self.path in list_documents():
            self._send_text(HTTPStatus.OK, "text/html", render_document(self.path))
            return
        if self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refused(HTTPStatus.FORBIDDEN, "cross-site request refused")
        if self.path == "/events":
            self._send_events()
        elif self.path.startswith("/payments/"):
            story = self.server.source.read_story(unquote(self.path.removeprefix("/payments/")))
            self._send_json(HTTPStatus.OK, story)
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")

    def _route_post(self) -> None:
        if self.headers.get("Origin") not in [f"http://{host}" for host in self._list_hosts()]:
            raise Refused(HTTPStatus.FORBIDDEN, "the request comes from another page")
        if not hmac.compare_digest(self.headers.get("X-Token", "").encode(), self.server.token.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "this page belongs to a server that has stopped; reload it")
        body, source = self._read_body(), self.server.source
        if self.path == "/pay":
            example = next((example for example in EXAMPLES if example.name == body.get("example")), None)
            if example is None:
                raise Refused(HTTPStatus.BAD_REQUEST, "there is no such example")
            message = source.start_payment(example, f"PAGE-{secrets.token_hex(3)}")
        elif self.path == "/redrive":
            message = source.redrive_letter(str(body.get("letter")))
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "unknown action")
        self.server.feed.look_now()
        self._send_json(HTTPStatus.OK, {"message": message})

    def _read_body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > LARGEST_BODY:
            raise Refused(HTTPStatus.BAD_REQUEST, f"the body must have at most {LARGEST_BODY} bytes")
        text = self.rfile.read(int(length))
        self.server.mark_as_read(self.connection)
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
        return body

    def _send_events(self) -> None:
        amounts = [str(Money.parse(example.amount, example.currency)) for example in EXAMPLES]
        examples = [
            {"name": example.name, "what": example.description, "amount": amount}
            for example, amount in zip(EXAMPLES, amounts, strict=True)
        ]
        hello = {"token": self.server.token, "examples": examples}
        with closing(self.server.feed.follow_snapshots(self._has_client_left)) as snapshots:
            try:
                snapshot = next(snapshots, None)
            except TooManyFollowers as error:
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
            self._send_head(HTTPStatus.OK, "text/event-stream")
            # A browser that lost the connection tries again after a second.
            self._write_text(f"retry: 1000\nevent: hello\ndata: {json.dumps(hello)}\n\n")
            while snapshot is not None:
                self._write_text(f"event: snapshot\ndata: {snapshot}\n\n" if snapshot else ": still here\n\n")
                snapshot = next(snapshots, None)

    def _has_client_left(self) -> bool:
        """Whether the connection has ended: the client sends nothing, so anything to read is its end."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def send_error(self, code: int, *_texts: Any, **_more_texts: Any) -> None:
        """Answer what is not HTTP, or is no GET or POST, as any other error; ``http.server`` calls this."""
        status = HTTPStatus(code)
        self.close_connection = True
        self._send_json(status, {"problem": f"{status.phrase}: this page answers GET and POST"})

    def _send_json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._send_text(status, "application/json", json.dumps(value))

    def _send_text(self, status: HTTPStatus, kind: str, text: str) -> None:
        self._send_head(status, kind)
        if self.command != "HEAD":
            self._write_text(text)

    def _send_head(self, status: HTTPStatus, kind: str) -> None:
        self._has_answered = True
        # Without a version, which what is not HTTP does not have, there would be no headers.
        self.request_version = self.protocol_version
        self.send_response(status)
        for name, value in ({"Content-Type": f"{kind}; charset=utf-8"} | _HEADERS).items():
            self.send_header(name, value)
        self.end_headers()

    def _write_text(self, text: str) -> None:
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: the terminal shows the output of the command."""


@contextmanager
def serve_page(reach: Callable[[], Platform], port: int = 0) -> Iterator[Page]:
    """Serve the page of the platform that ``reach`` returns inside the ``with`` block; then end all threads.

    If ``reach`` raises ``UserError``, the page shows that and tries again. Port 0 is any free port. Raises
    ``UserError`` if the port is taken.
    """
    source = Source(reach)
    feed = Feed(source)
    server = _Server(port, source, feed)
    threads = [
        threading.Thread(target=feed.run_until_end, name="page-feed"),
        threading.Thread(target=server.serve_until_end, name="page-server"),
    ]
    for thread in threads:
        thread.start()
    try:
        yield Page(f"http://{HOST}:{server.server_port}/", source)
    finally:
        feed.end()
        server.end()
        for thread in threads:
            thread.join()
        server.server_close()


def wait_for_interrupt() -> None:
    """Wait until Ctrl-C raises ``KeyboardInterrupt``."""
    while True:
        time.sleep(3600)

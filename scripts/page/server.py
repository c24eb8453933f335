"""The page on loopback: who may ask, the events that keep it current, and the two things that it does.

    GET  /                 the page; /page.css, /page.js
    GET  /events           server-sent events: ``hello`` once, then a ``snapshot`` whenever something has changed,
                           which is ``Source.snapshot``, or ``{"problem": "..."}``, or ``{"waiting": "..."}``
    GET  /payments/ID      a payment's story
    POST /pay              ``{"example": NAME}``, one of the simulator's
    POST /redrive          ``{"letter": ID}``

Answers are JSON; an error is ``{"problem": "one line"}``. Whoever is on this machine may look: the AWS emulator answers
them as well. A page of somebody else's that is open in the same browser may not: a name that is made to lead to
127.0.0.1 is refused by its Host, a request from another origin by what the browser says of it, and what changes
something also asks for a token that only this page has.
https://html.spec.whatwg.org/multipage/server-sent-events.html
https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
"""

import hmac
import json
import secrets
import select
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from scripts.common.errors import AWS_ERRORS, UserError, describe_error
from scripts.local.examples import EXAMPLES
from scripts.operator.platform import Platform

from .snapshot import NotYet, Source, examples

HOST = "127.0.0.1"
# Between two looks at the platform; and a look may take no more than a third of the time, however much there is.
POLL_SECONDS = 0.5
RESTING = 2
HEARTBEAT_SECONDS = 5.0
# How long a client may take to send or receive.
PATIENCE_SECONDS = 10.0
MOST_CLIENTS = 20
LARGEST_BODY = 1024
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_HEADERS = {
    # Nothing from elsewhere, nothing that stands in the page itself, nobody around it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Page:
    url: str
    source: Source


class Refused(Exception):
    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Feed:
    """What the page shows now, read by one thread for all clients, and only while there is one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._changed = threading.Condition()
        self._shown = ""
        self._version = 0
        self._clients = 0
        self._ended = False
        self._again = threading.Event()

    def run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._clients or self._ended)
                if self._ended:
                    return
            self._again.clear()
            self._again.wait(max(POLL_SECONDS, RESTING * self._look()))

    def _look(self) -> float:
        """How many seconds the platform was busy with it; it is not while letters are waited for."""
        started = time.monotonic()
        took = 0.0
        try:
            self._show(self._source.snapshot())
            took = time.monotonic() - started
            if self._source.letters_changed():
                self._show(self._source.snapshot())
        except NotYet as error:
            self._show({"waiting": str(error)})
        except (UserError, *AWS_ERRORS) as error:
            self._source.forget()
            self._show({"problem": describe_error(error)})
        except Exception as error:
            # A defect of ours: the page says so, and looks again.
            traceback.print_exc()
            self._source.forget()
            self._show(
                {"problem": f"{type(error).__name__}: the page could not be rendered; see the terminal for details"}
            )
        return took

    def _show(self, snapshot: dict[str, Any]) -> None:
        shown = json.dumps(snapshot)
        with self._changed:
            if shown != self._shown:
                self._shown, self._version = shown, self._version + 1
                self._changed.notify_all()

    def look_now(self) -> None:
        self._again.set()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._again.set()

    def follow(self, has_gone: Callable[[], bool]) -> Generator[str, None, None]:
        """Each snapshot from now on, and an empty text now and then. Raises ``Refused`` for one client too many."""
        with self._changed:
            if self._clients >= MOST_CLIENTS:
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_CLIENTS} pages are open already")
            self._clients += 1
            if self._clients == 1:
                # Nobody looked since the last one left.
                self._shown = ""
            self._changed.notify_all()
        try:
            yield from self._snapshots(has_gone)
        finally:
            with self._changed:
                self._clients -= 1

    def _snapshots(self, has_gone: Callable[[], bool]) -> Iterator[str]:
        version, quiet_since = -1, time.monotonic()
        while True:
            with self._changed:
                if not self._ended and not (self._shown and self._version != version):
                    self._changed.wait(1.0)
                if self._ended or has_gone():
                    return
                shown = self._shown if self._version != version else ""
                version = self._version if shown else version
            if shown or time.monotonic() - quiet_since > HEARTBEAT_SECONDS:
                quiet_since = time.monotonic()
                yield shown


class _Server(ThreadingHTTPServer):
    # Their ends are waited for.
    daemon_threads = False

    def __init__(self, port: int, source: Source, feed: Feed) -> None:
        self.source, self.feed = source, feed
        self.token = secrets.token_urlsafe(32)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UserError(f"cannot listen on {HOST}:{port}: {error.strerror}; choose another port") from error

    def server_bind(self) -> None:
        # HTTPServer's asks the network for the name of this machine.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        # A browser that goes away is no error.
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE_SECONDS
    server_version, sys_version = "payments", ""
    _begun = False

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, how: Callable[[], None]) -> None:
        try:
            self._check_host()
            how()
        except Refused as refused:
            self._send_json(refused.status, {"problem": str(refused)})
        except (UserError, *AWS_ERRORS) as error:
            self._send_json(HTTPStatus.CONFLICT, {"problem": describe_error(error)})
        except (ConnectionError, TimeoutError):
            # The browser has gone away: there is nobody to answer.
            raise
        except Exception as error:
            # A defect of ours: the page says so, unless it is in the middle of an answer.
            traceback.print_exc()
            if not self._begun:
                problem = f"{type(error).__name__}: that could not be done; the terminal tells more"
                self._send_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"problem": problem})

    def _check_host(self) -> None:
        if self.headers.get("Host") not in self._hosts():
            raise Refused(HTTPStatus.FORBIDDEN, "unexpected Host header")

    def _hosts(self) -> tuple[str, ...]:
        return tuple(f"{name}:{self.server.server_port}" for name in (HOST, "localhost"))

    def _get(self) -> None:
        if self.path in _FILES:
            self._send_file(*_FILES[self.path])
            return
        if self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refused(HTTPStatus.FORBIDDEN, "cross-site request refused")
        if self.path == "/events":
            self._send_events()
        elif self.path.startswith("/payments/"):
            story = self.server.source.story(unquote(self.path.removeprefix("/payments/")))
            self._send_json(HTTPStatus.OK, story)
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")

    def _post(self) -> None:
        if self.headers.get("Origin") not in [f"http://{host}" for host in self._hosts()]:
            raise Refused(HTTPStatus.FORBIDDEN, "another page asks")
        if not hmac.compare_digest(self.headers.get("X-Token", "").encode(), self.server.token.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "this page belongs to a server that has stopped; reload it")
        asked, source = self._body(), self.server.source
        if self.path == "/pay":
            example = next((one for one in EXAMPLES if one.name == asked.get("example")), None)
            if example is None:
                raise Refused(HTTPStatus.BAD_REQUEST, "there is no such example")
            done = source.pay(example, f"PAGE-{secrets.token_hex(3)}")
        elif self.path == "/redrive":
            done = source.redrive(str(asked.get("letter")))
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "unknown action")
        self.server.feed.look_now()
        self._send_json(HTTPStatus.OK, {"said": done})

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > LARGEST_BODY:
            raise Refused(HTTPStatus.BAD_REQUEST, f"a body of at most {LARGEST_BODY} bytes is needed")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "an object in JSON is needed")
        return body

    def _send_events(self) -> None:
        hello = {"token": self.server.token, "examples": examples()}
        with closing(self.server.feed.follow(self._has_gone)) as events:
            shown = next(events, None)
            self._head(HTTPStatus.OK, "text/event-stream")
            # Whoever lost us asks again in a second.
            self._write(f"retry: 1000\nevent: hello\ndata: {json.dumps(hello)}\n\n")
            while shown is not None:
                self._write(f"event: snapshot\ndata: {shown}\n\n" if shown else ": still here\n\n")
                shown = next(events, None)

    def _has_gone(self) -> bool:
        """A client has nothing more to say: what is to be read is its end."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def _send_file(self, name: str, kind: str) -> None:
        text = (Path(__file__).parent / name).read_text(encoding="utf-8")
        self._send(HTTPStatus.OK, kind, text.replace("{{token}}", self.server.token))

    def _send_json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(value))

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        self._head(status, kind)
        self._write(text)

    def _head(self, status: HTTPStatus, kind: str) -> None:
        self._begun = True
        self.send_response(status)
        for name, value in ({"Content-Type": f"{kind}; charset=utf-8"} | _HEADERS).items():
            self.send_header(name, value)
        self.end_headers()

    def _write(self, text: str) -> None:
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """The terminal is for what the user does there."""


@contextmanager
def serving(reach: Callable[[], Platform], port: int = 0) -> Iterator[Page]:
    """The page of the platform that ``reach`` finds, for the length of a ``with`` block; all its threads end with it.

    ``reach`` may raise ``UserError``: then the page says so, and looks again. Raises ``UserError`` where the port
    is taken; 0 is a free one.
    """
    source = Source(reach)
    feed = Feed(source)
    server = _Server(port, source, feed)
    threads = [
        threading.Thread(target=feed.run, name="page-feed"),
        threading.Thread(target=partial(server.serve_forever, poll_interval=0.1), name="page-server"),
    ]
    for thread in threads:
        thread.start()
    try:
        yield Page(f"http://{HOST}:{server.server_port}/", source)
    finally:
        feed.end()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join()


def wait() -> None:
    """Until Ctrl-C."""
    while True:
        time.sleep(3600)

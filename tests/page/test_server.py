"""Who may use the page, what else its server sends, and that nothing of it outlives its command."""

import contextlib
import http.client
import json
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.common.errors import UserError
from scripts.common.states import SHORT_NAMES
from scripts.operator.platform import Platform
from scripts.page import connections, feed, server, snapshot
from scripts.page.server import Page, serve_page

LARGE_BODY = json.dumps({"example": "plain", "more": "x" * 1024})
PROBLEM = "the AWS emulator is not running"


def reach_nothing() -> Platform:
    raise UserError(PROBLEM)


class Client:
    def __init__(self, page: Page) -> None:
        self.host = page.url.split("/")[2]
        self.port = int(self.host.split(":")[1])

    def send_request(self, path: str, body: Any = None, **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
        """Send a GET, or a POST with ``body``; an underscore in a header's name is a hyphen."""
        connection = http.client.HTTPConnection(self.host, timeout=5)
        connection.request(
            "GET" if body is None else "POST",
            path,
            body if isinstance(body, str | None) else json.dumps(body),
            {name.replace("_", "-"): value for name, value in headers.items()},
        )
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text, response.headers

    def connect(self, text: str) -> socket.socket:
        """Connect and send this text, whatever it is."""
        connection = socket.create_connection((server.HOST, self.port), timeout=5)
        connection.sendall(text.encode())
        return connection

    def post_as_page(self, path: str, body: Any, **changes: str) -> tuple[int, str]:
        """Send what the page would send, but for ``changes`` of its headers; an empty header is left out."""
        headers = {"Origin": f"http://{self.host}", "X_Token": self.read_token()} | changes
        status, text, _ = self.send_request(path, body, **{name: value for name, value in headers.items() if value})
        return status, text

    def read_token(self) -> str:
        match = re.search(r'<meta name="token" content="([^"]+)">', self.send_request("/")[1])
        assert match
        return match[1]

    def open_events(self) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self.host, timeout=5)
        connection.request("GET", "/events")
        return connection, connection.getresponse()

    def read_events(self, count: int) -> list[str]:
        """Return the first lines of the events."""
        connection, response = self.open_events()
        with contextlib.closing(connection):
            return [response.readline().decode().strip() for _ in range(count)]


@pytest.fixture
def client() -> Iterator[Client]:
    with serve_page(reach_nothing) as page:
        yield Client(page)


def test_the_page_runs_its_own_files_and_nothing_else(client: Client) -> None:
    status, text, headers = client.send_request("/")
    assert status == 200
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    names = ("Cross-Origin-Resource-Policy", "Referrer-Policy", "X-Content-Type-Options", "Cache-Control")
    assert [headers[name] for name in names] == ["same-origin", "no-referrer", "nosniff", "no-store"]
    urls = [url for url in re.findall(r'(?:src|href)="([^"]+)"', text) if not url.startswith("data:image/svg+xml,")]
    assert urls == ["/page.css", "/page.js"]
    assert not re.search(r"<style|<script>| style=| on[a-z]+=", text)
    assert "{{" not in text
    assert all(f">{name}</text>" in text for name in SHORT_NAMES.values())
    files = (("/page.css", "text/css"), ("/page.js", "text/javascript"), ("/docs/runbook.md", "text/html"))
    for path, kind in files:
        status, _, headers = client.send_request(path)
        assert (status, headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")


HEADERS = (
    "Content-Security-Policy",
    "Cross-Origin-Resource-Policy",
    "Referrer-Policy",
    "X-Content-Type-Options",
    "Cache-Control",
)


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("PUT / HTTP/1.1", 501),
        ("OPTIONS / HTTP/1.1", 501),
        ("HEAD / HTTP/1.1", 501),
        ("TRACE / HTTP/1.1", 501),
        ("no HTTP at all", 400),
        ("x", 400),
        ("GET / HTTP/3.0", 505),
        ("GET /", 403),
        (f"GET /{'a' * 70_000} HTTP/1.1", 414),
        (f"GET / HTTP/1.1\r\nX: {'a' * 70_000}", 431),
        ("GET / HTTP/1.1\r\n" + "X: a\r\n" * 101, 431),
        ("GET / HTTP/1.1\r\nHost: example.com", 403),
        ("GET /none HTTP/1.1\r\nHost: localhost:{port}", 404),
        ("POST /pay HTTP/1.1\r\nHost: localhost:{port}", 403),
    ],
)
def test_every_error_has_the_headers_of_the_page(client: Client, request_text: str, status: int) -> None:
    page_headers = client.send_request("/")[2]
    connection = client.connect(f"{request_text.replace('{port}', str(client.port))}\r\n\r\n")
    with contextlib.closing(connection):
        answer = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    first_line, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first_line.split(" ")[:2] == ["HTTP/1.0", str(status)]
    assert {name: headers.get(name) for name in HEADERS} == {name: page_headers[name] for name in HEADERS}
    assert bool(body) is not request_text.startswith("HEAD")
    assert not body or json.loads(body)["problem"]


def count_open(sockets: list[socket.socket]) -> int:
    """Return how many connections the server has not closed."""
    count = 0
    for connection in sockets:
        connection.setblocking(False)
        try:
            while connection.recv(65_536):
                pass
        except BlockingIOError:
            count += 1
        except ConnectionError:
            pass
    return count


def wait_until(is_true: Callable[[], bool]) -> None:
    for _ in range(200):
        if is_true():
            return
        time.sleep(0.05)
    raise AssertionError("it does not become true")


# Connections without a request, and with the beginning of one; the threads of the server and of the feed count, too.
@pytest.mark.parametrize(("text", "most_threads", "most_open"), [("", 2, 64), ("GET / HTTP/1.1\r\nHost:", 34, 96)])
def test_many_idle_connections_are_bounded_and_the_page_still_answers(
    monkeypatch: pytest.MonkeyPatch, text: str, most_threads: int, most_open: int
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 600)
    before = threading.active_count()
    with serve_page(reach_nothing) as page, contextlib.ExitStack() as stack:
        client = Client(page)
        sockets = [stack.enter_context(client.connect(text)) for _ in range(300)]
        wait_until(lambda: count_open(sockets) <= most_open)
        assert threading.active_count() - before <= most_threads
        if not text:
            assert client.send_request("/")[0] == 200


@pytest.mark.parametrize("text", ["", "GET / HTTP/1.1\r\n", "POST /pay HTTP/1.1\r\nContent-Length: 9\r\n\r\n1"])
def test_a_request_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    before = threading.active_count()
    with serve_page(reach_nothing) as page, contextlib.ExitStack() as stack:
        client = Client(page)
        sockets = [stack.enter_context(client.connect(text)) for _ in range(connections.MOST_THREADS)]
        sender = sockets[0]
        for _ in range(10):  # each piece comes in time, and the request takes too long
            with contextlib.suppress(OSError):
                sender.sendall(b"X" if text else b"")
            time.sleep(0.05)
        wait_until(lambda: threading.active_count() - before == 2)
        wait_until(lambda: count_open(sockets) == 0)
        assert client.send_request("/")[0] == 200


def test_no_text_of_the_platform_becomes_markup() -> None:
    script = (Path(server.__file__).parent / "page.js").read_text()
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)


def test_no_other_machine_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses: list[str] = []
    activate = socketserver.TCPServer.server_activate

    def record_address(listening: socketserver.TCPServer) -> None:
        addresses.append(listening.socket.getsockname()[0])
        activate(listening)

    monkeypatch.setattr(socketserver.TCPServer, "server_activate", record_address)
    with serve_page(reach_nothing) as page:
        assert Client(page).send_request("/")[0] == 200
    assert addresses == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1.example.com:{port}", "127.0.0.1", "localhost:1", ""])
@pytest.mark.parametrize("path", ["/", "/events", "/payments/T-1"])
def test_another_host_name_than_localhost_is_refused(client: Client, host: str, path: str) -> None:
    assert client.send_request("/", Host=f"localhost:{client.port}")[0] == 200
    status, text, _ = client.send_request(path, Host=host.format(port=client.port))
    assert status == 403
    assert json.loads(text)["problem"]
    assert "token" not in text


@pytest.mark.parametrize("path", ["/pay", "/redrive"])
@pytest.mark.parametrize(
    "changes",
    [
        {"Origin": ""},
        {"Origin": "null"},
        {"Origin": "https://example.com"},
        {"Origin": "http://127.0.0.1:1"},
        {"X_Token": ""},
        {"X_Token": "guessed"},
        {"X_Token": "é"},
        {"Host": "example.com"},
    ],
)
def test_only_the_page_itself_can_act(client: Client, path: str, changes: dict[str, str]) -> None:
    body = {"example": "plain", "letter": "1"}
    assert client.post_as_page(path, body, **changes)[0] == 403
    # The same request from the page reaches the platform.
    assert client.post_as_page(path, body) == (409, json.dumps({"problem": PROBLEM}))


@pytest.mark.parametrize("path", ["/events", "/payments/T-1"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_for_another_page_is_refused(client: Client, path: str, site: str) -> None:
    assert client.send_request(path, Sec_Fetch_Site=site)[0] == 403


@pytest.mark.parametrize("body", ["", "no JSON", "[1]", '{"example": "none of these"}', '{"example": 1}', LARGE_BODY])
def test_an_invalid_body_is_refused(client: Client, body: str) -> None:
    status, text = client.post_as_page("/pay", body)
    assert status == 400
    assert json.loads(text)["problem"]


def test_other_paths_are_not_found(client: Client) -> None:
    for path in (
        "/server.py",
        "/../server.py",
        "/docs/../setup.cfg",
        "/docs/pictures/page.png",
        "/payments",
        "/page.html",
    ):
        assert client.send_request(path)[0] == 404
    assert client.post_as_page("/nothing", {})[0] == 404


def test_events_begin_with_a_greeting_and_report_problems(client: Client) -> None:
    connection, response = client.open_events()
    assert response.headers["Content-Type"].startswith("text/event-stream")
    connection.close()
    lines = client.read_events(6)
    assert lines[:2] == ["retry: 1000", "event: hello"]
    hello = json.loads(lines[2].removeprefix("data: "))
    assert hello["token"] == client.read_token()
    assert {"name": "yen", "what": "a currency without minor units", "amount": "12000 JPY"} in hello["examples"]
    assert lines[4:] == ["event: snapshot", f"data: {json.dumps({'problem': PROBLEM})}"]


def test_a_heartbeat_is_sent_while_nothing_changes(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr(feed, "HEARTBEAT_SECONDS", 0.5)
    assert client.read_events(8)[-1] == ": still here"


def test_a_client_too_many_is_refused_until_another_leaves(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr(feed, "MOST_FOLLOWERS", 2)
    followers = [client.open_events() for _ in range(2)]
    connection, response = client.open_events()
    assert (response.status, json.loads(response.read())) == (503, {"problem": "2 pages are open already"})
    connection.close()
    followers.pop()[0].close()
    for _ in range(50):
        connection, response = client.open_events()
        if response.status == 200:
            break
        time.sleep(0.1)
    assert response.status == 200


def test_one_thread_reads_for_all_followers_and_rests_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "POLL_SECONDS", 0.05)
    readers: list[str] = []

    class CountingSource(snapshot.Source):
        def take_snapshot(self) -> dict[str, Any]:
            readers.append(threading.current_thread().name)
            return {"same": True}

        def refresh_letters(self) -> bool:
            return False

    counted_feed = feed.Feed(CountingSource(reach_nothing))
    thread = threading.Thread(target=counted_feed.run_until_end, name="the feed")
    thread.start()
    time.sleep(0.2)
    assert readers == []
    followers = [counted_feed.follow_snapshots(lambda: False) for _ in range(3)]
    assert [next(follower) for follower in followers] == ['{"same": true}'] * 3
    time.sleep(0.3)
    assert set(readers) == {"the feed"}
    assert len(readers) < 10
    for follower in followers:
        follower.close()
    time.sleep(0.1)
    count = len(readers)
    time.sleep(0.3)
    assert len(readers) == count
    counted_feed.end()
    thread.join(timeout=2)
    assert not thread.is_alive()


def test_a_deployment_is_waited_for(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    def raise_not_deployed(_source: snapshot.Source) -> dict[str, Any]:
        raise snapshot.NotDeployedYet("not yet")

    monkeypatch.setattr(snapshot.Source, "take_snapshot", raise_not_deployed)
    assert client.read_events(6)[-1] == 'data: {"waiting": "not yet"}'


def test_a_bug_is_shown_and_does_not_end_the_feed(monkeypatch: pytest.MonkeyPatch, client: Client, capsys: Any) -> None:
    monkeypatch.setattr(snapshot.Source, "take_snapshot", lambda _: {}["nothing"])
    assert "KeyError: the page could not be rendered" in client.read_events(6)[-1]
    monkeypatch.undo()
    assert PROBLEM in "".join(client.read_events(9))
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_in_an_answer_is_reported(monkeypatch: pytest.MonkeyPatch, client: Client, capsys: Any) -> None:
    monkeypatch.setattr(snapshot.Source, "read_story", lambda *_: {}["nothing"])
    status, text, _ = client.send_request("/payments/T-1")
    assert (status, json.loads(text)) == (500, {"problem": "KeyError: the action failed; see the terminal for details"})
    assert "Traceback" in capsys.readouterr().err


def test_its_threads_end_while_pages_are_open() -> None:
    before = threading.enumerate()
    with serve_page(reach_nothing) as page:
        client = Client(page)
        followers = [client.open_events() for _ in range(3)]
        assert len(threading.enumerate()) == len(before) + 5
    assert threading.enumerate() == before
    for connection, response in followers:
        assert response.read()  # to its end
        connection.close()
    with pytest.raises(ConnectionRefusedError):
        client.send_request("/")


def test_a_taken_port_is_reported(client: Client) -> None:
    with (
        pytest.raises(UserError, match=rf"cannot listen on 127\.0\.0\.1:{client.port}"),
        serve_page(reach_nothing, client.port),
    ):
        pass

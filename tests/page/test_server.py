"""Who may ask for the page, what else it sends, and that nothing of it stays."""

import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.common.errors import UserError
from scripts.operator.platform import Platform
from scripts.page import server, snapshot
from scripts.page.server import Feed, Page, serving

LARGE = json.dumps({"example": "plain", "more": "x" * 1024})
BEFORE = "the AWS emulator is not running"


def nowhere() -> Platform:
    raise UserError(BEFORE)


@pytest.fixture
def page() -> Iterator[Page]:
    with serving(nowhere) as page:
        yield page


class Client:
    def __init__(self, page: Page) -> None:
        self.host = page.url.split("/")[2]
        self.port = int(self.host.split(":")[1])

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self.host, timeout=5)
        text = body if isinstance(body, str | None) else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, text, named)
        answer = connection.getresponse()
        told = answer.read().decode()
        connection.close()
        return answer.status, told, answer.headers

    def post(self, path: str, body: Any, **changes: str) -> tuple[int, str]:
        """As the page itself does, but for ``changes``."""
        headers = {"Origin": f"http://{self.host}", "X_Token": self.token()} | changes
        status, told, _ = self.ask(path, body, **{name: value for name, value in headers.items() if value})
        return status, told

    def token(self) -> str:
        found = re.search(r'<meta name="token" content="([^"]+)">', self.ask("/")[1])
        assert found
        return found[1]

    def events(self) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self.host, timeout=5)
        connection.request("GET", "/events")
        return connection, connection.getresponse()


@pytest.fixture
def client(page: Page) -> Client:
    return Client(page)


def test_the_page_runs_its_own_files_and_nothing_else(client: Client) -> None:
    status, text, headers = client.ask("/")
    assert status == 200
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    asked = [url for url in re.findall(r'(?:src|href)="([^"]+)"', text) if not url.startswith("data:image/svg+xml,")]
    assert asked == ["/page.css", "/page.js"]
    assert not re.search(r"<style|<script>| style=| on[a-z]+=", text)
    for path, kind in (("/page.css", "text/css"), ("/page.js", "text/javascript")):
        status, _, headers = client.ask(path)
        assert (status, headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")


def test_no_text_of_the_platform_becomes_markup() -> None:
    script = (Path(server.__file__).parent / "page.js").read_text()
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1.example.com:{port}", "127.0.0.1", "localhost:1", ""])
@pytest.mark.parametrize("path", ["/", "/events", "/payments/T-1"])
def test_it_answers_to_its_own_name_only(client: Client, host: str, path: str) -> None:
    status, told, _ = client.ask(path, Host=host.format(port=client.port))
    assert status == 403
    assert json.loads(told)["problem"]
    assert "token" not in told


def test_localhost_is_its_name_too(client: Client) -> None:
    assert client.ask("/", Host=f"localhost:{client.port}")[0] == 200


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
def test_who_is_not_the_page_changes_nothing(client: Client, path: str, changes: dict[str, str]) -> None:
    body = {"example": "plain", "letter": "1"}
    assert client.post(path, body, **changes)[0] == 403
    # The same from the page gets as far as the platform, which is not there.
    assert client.post(path, body) == (409, json.dumps({"problem": BEFORE}))


@pytest.mark.parametrize("path", ["/events", "/payments/T-1"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_browser_asks_for_another_page_is_refused(client: Client, path: str, site: str) -> None:
    assert client.ask(path, Sec_Fetch_Site=site)[0] == 403


@pytest.mark.parametrize("body", ["", "no JSON", "[1]", '{"example": "none of these"}', '{"example": 1}', LARGE])
def test_what_it_cannot_read_it_refuses(client: Client, body: str) -> None:
    status, told = client.post("/pay", body)
    assert status == 400
    assert json.loads(told)["problem"]


def test_nothing_else_is_there(client: Client) -> None:
    for path in ("/server.py", "/../server.py", "/payments", "/page.html"):
        assert client.ask(path)[0] == 404
    assert client.post("/nothing", {})[0] == 404


def test_events_begin_with_what_the_page_needs_and_tell_what_is_wrong(client: Client) -> None:
    connection, answer = client.events()
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    lines = [answer.readline().decode().strip() for _ in range(6)]
    assert lines[:2] == ["retry: 1000", "event: hello"]
    hello = json.loads(lines[2].removeprefix("data: "))
    assert hello["token"] == client.token()
    assert {"name": "yen", "what": "a currency without minor units", "amount": "12000 JPY"} in hello["examples"]
    assert lines[4:] == ["event: snapshot", f"data: {json.dumps({'problem': BEFORE})}"]
    connection.close()


def test_it_is_heard_when_nothing_happens(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr(server, "HEARTBEAT_SECONDS", 0.5)
    connection, answer = client.events()
    lines = [answer.readline() for _ in range(8)]
    assert lines[-1] == b": still here\n"
    connection.close()


def test_so_many_clients_and_no_more_until_one_leaves(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr(server, "MOST_CLIENTS", 2)
    there = [client.events() for _ in range(2)]
    connection, answer = client.events()
    assert (answer.status, json.loads(answer.read())) == (503, {"problem": "2 pages are open already"})
    connection.close()
    there.pop()[0].close()
    for _ in range(50):
        connection, answer = client.events()
        if answer.status == 200:
            break
        time.sleep(0.1)
    assert answer.status == 200


def test_one_looks_for_all_and_nobody_when_there_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "POLL_SECONDS", 0.05)
    looks: list[str] = []

    class Counting(snapshot.Source):
        def snapshot(self) -> dict[str, Any]:
            looks.append(threading.current_thread().name)
            return {"same": True}

        def letters_changed(self) -> bool:
            return False

    feed = Feed(Counting(nowhere))
    thread = threading.Thread(target=feed.run, name="the feed")
    thread.start()
    time.sleep(0.2)
    assert looks == []
    followers = [feed.follow(lambda: False) for _ in range(3)]
    assert [next(one) for one in followers] == ['{"same": true}'] * 3
    time.sleep(0.3)
    assert set(looks) == {"the feed"}
    assert len(looks) < 10
    for one in followers:
        one.close()
    time.sleep(0.1)
    seen = len(looks)
    time.sleep(0.3)
    assert len(looks) == seen
    feed.end()
    thread.join(timeout=2)
    assert not thread.is_alive()


def test_a_defect_is_told_and_does_not_end_it(monkeypatch: pytest.MonkeyPatch, client: Client, capsys: Any) -> None:
    monkeypatch.setattr(snapshot.Source, "snapshot", lambda _: {}["nothing"])
    connection, answer = client.events()
    told = [answer.readline().decode() for _ in range(6)][-1]
    assert "KeyError: the page could not be rendered" in told
    connection.close()
    monkeypatch.undo()
    connection, answer = client.events()
    assert BEFORE in "".join(answer.readline().decode() for _ in range(9))
    connection.close()
    assert "Traceback" in capsys.readouterr().err


def test_a_defect_is_an_answer_as_well(monkeypatch: pytest.MonkeyPatch, client: Client, capsys: Any) -> None:
    monkeypatch.setattr(snapshot.Source, "story", lambda *_: {}["nothing"])
    status, told, _ = client.ask("/payments/T-1")
    assert (status, json.loads(told)) == (500, {"problem": "KeyError: that could not be done; the terminal tells more"})
    assert "Traceback" in capsys.readouterr().err


def test_it_ends_with_everybody_still_there() -> None:
    before = threading.enumerate()
    with serving(nowhere) as page:
        client = Client(page)
        there = [client.events() for _ in range(3)]
        assert len(threading.enumerate()) == len(before) + 5
    assert threading.enumerate() == before
    for connection, answer in there:
        assert answer.read()  # to its end
        connection.close()
    with pytest.raises(ConnectionRefusedError):
        client.ask("/")


def test_a_port_that_is_taken_is_told(client: Client) -> None:
    with (
        pytest.raises(UserError, match=rf"cannot listen on 127\.0\.0\.1:{client.port}"),
        serving(nowhere, client.port),
    ):
        pass

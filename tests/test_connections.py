"""Commands at endpoints that refuse, reset, say nothing, or answer late. Sockets are real; the times are short."""

import contextlib
import gc
import re
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import boto3
import botocore.endpoint
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from scripts.common.connections import Connections, Patience
from scripts.common.errors import AWS_ERRORS, describe_error
from scripts.common.target import Target

QUICK = Patience(
    connect=0.2,
    first_answer=0.2,
    read=5.0,
    answer=5.0,
    silence=0.05,
    again=30.0,
    total=30.0,
    total_read=30.0,
    pauses=(0.01, 0.01, 0.01),
    unsaid=0.0,
)
# Nothing is said while a test that counts tries waits.
SILENT = replace(QUICK, silence=60.0)
ANSWER = b'{"QueueUrls": []}'


class Server:
    """Accepts connections, counts the requests, and does with each what the test says."""

    def __init__(self, handle: Callable[[socket.socket, int], None]) -> None:
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.requests = 0
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed at the end
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while read_request(connection):
                self.requests += 1
                self._handle(connection, self.requests)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or else it lives until accept returns
        self._listener.close()
        for connection in self._connections:
            connection.close()


def read_request(connection: socket.socket) -> bytes:
    """Return the head of a request after its body was read, too; empty if the client has gone."""
    head = b""
    while b"\r\n\r\n" not in head:
        if not (piece := connection.recv(65536)):
            return b""
        head += piece
    head, _, body = head.partition(b"\r\n\r\n")
    (length,) = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")] or [0]
    while len(body) < length:
        body += connection.recv(65536)
    return head


def answer(connection: socket.socket, _number: int = 0) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(ANSWER)}\r\n\r\n"
    connection.sendall(head.encode() + ANSWER)


def say_nothing(_connection: socket.socket, _number: int) -> None:
    """Keep the connection open."""


def reset(connection: socket.socket, _number: int) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextmanager
def run_server(handle: Callable[[socket.socket, int], None]) -> Iterator[Server]:
    server = Server(handle)
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield server
    finally:
        server.close()


def reach_host(
    host: str, patience: Patience = SILENT, clock: Callable[[], float] = time.monotonic
) -> tuple[Target, list[str]]:
    """Return a target with this endpoint, and the list to which is added what it says."""
    lines: list[str] = []
    session = boto3.Session("key", "secret", region_name="us-east-1")
    connections = Connections(patience, clock, lines.append)
    return Target(session, endpoint_url=f"http://{host}", connections=connections), lines


def refuse_connections() -> str:
    """Return the host and a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_refused_connection_is_tried_four_times_and_each_repetition_is_said() -> None:
    host = refuse_connections()
    target, lines = reach_host(host)
    with pytest.raises(EndpointConnectionError) as raised:
        target.client("sqs").list_queues()
    assert lines == [f"connecting to {host}, try {number}" for number in (2, 3, 4)]
    advice = "check the network connection, the region, and AWS_ENDPOINT_URL if it is set"
    assert describe_error(raised.value) == f'AWS: Could not connect to the endpoint URL: "http://{host}/"; {advice}'


def test_a_write_that_was_never_sent_is_repeated_as_well() -> None:
    host = refuse_connections()
    target, lines = reach_host(host)
    with pytest.raises(EndpointConnectionError):
        target.client("sqs").create_queue(QueueName="queue")
    assert len(lines) == 3


def test_the_tries_end_when_their_time_is_over() -> None:
    host, times = refuse_connections(), iter((0.0, 9.9, 9.9, 29.9, 29.9))
    target, lines = reach_host(host, clock=lambda: next(times))
    with pytest.raises(EndpointConnectionError):
        target.client("sqs").list_queues()
    assert lines == [f"connecting to {host}, try 2"]


def test_a_connection_that_cannot_be_opened_in_time_is_tried_again() -> None:
    # A backlog that is full: the kernel answers no more connections.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        address = listener.getsockname()
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        host = f"127.0.0.1:{address[1]}"
        target, lines = reach_host(host)
        with pytest.raises(ConnectTimeoutError, match=host):
            target.client("sqs").list_queues()
        assert lines == [f"connecting to {host}, try {number}" for number in (2, 3, 4)]


def test_a_read_that_is_reset_is_repeated() -> None:
    with run_server(lambda connection, number: (reset if number < 3 else answer)(connection, number)) as server:
        target, lines = reach_host(server.host)
        assert target.client("sqs").list_queues()["QueueUrls"] == []
        assert (server.requests, len(lines)) == (3, 2)


def test_a_write_whose_answer_is_lost_is_not_repeated() -> None:
    """It may have been carried out: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html has no token."""
    with run_server(reset) as server:
        target, lines = reach_host(server.host)
        with pytest.raises(ConnectionClosedError):
            target.client("sns").publish(TopicArn="arn:aws:sns:us-east-1:0:topic", Message="paid")
        assert (server.requests, lines) == (1, [])
        assert target.requests.describe_changes().startswith("already requested: sns:Publish")


def test_a_write_with_a_token_is_repeated() -> None:
    with run_server(reset) as server:
        target, _ = reach_host(server.host)
        with pytest.raises(ConnectionClosedError):
            target.client("cloudformation").delete_stack(StackName="stack", ClientRequestToken="delete-1")
        assert server.requests == 4


def test_a_host_that_accepts_and_says_nothing_is_waited_for_once() -> None:
    with run_server(say_nothing) as server:
        target, lines = reach_host(server.host, replace(QUICK, total=0.3))
        with pytest.raises(ReadTimeoutError) as raised:
            target.client("sqs").list_queues()
        assert (server.requests, lines) == (1, [f"waiting for {server.host}, which has not answered yet"])
        assert describe_error(raised.value).startswith(
            f'AWS: Read timeout on endpoint URL: "http://{server.host}/"; check'
        )


def test_a_host_that_has_answered_before_may_be_slow() -> None:
    """Beyond the time that the first answer may take."""

    def answer_late(connection: socket.socket, number: int) -> None:
        if number > 1:
            time.sleep(0.5)
        answer(connection)

    with run_server(answer_late) as server:
        target, lines = reach_host(server.host, QUICK)
        target.client("sqs").list_queues()
        lines.clear()
        assert target.client("sqs").list_queues()["QueueUrls"] == []
        assert server.requests == 2
        assert lines == [f"waiting for {server.host}, which has not answered yet"]


def test_a_read_from_a_host_that_has_answered_before_is_repeated_if_it_stalls() -> None:
    def stall_twice(connection: socket.socket, number: int) -> None:
        (say_nothing if number in (2, 3) else answer)(connection, number)

    with run_server(stall_twice) as server:
        target, lines = reach_host(server.host, replace(SILENT, read=0.2))
        target.client("sqs").list_queues()
        assert target.client("sqs").list_queues()["QueueUrls"] == []
        assert (server.requests, lines) == (4, [f"connecting to {server.host}, try {number}" for number in (2, 3)])


def test_the_events_of_a_stack_are_not_repeated_by_the_client_because_whoever_follows_it_does() -> None:
    with run_server(lambda connection, number: (answer if number == 1 else say_nothing)(connection, number)) as server:
        target, _ = reach_host(server.host, replace(SILENT, read=0.2, total=0.3))
        target.client("sqs").list_queues()
        with pytest.raises(ReadTimeoutError):
            target.client("cloudformation").describe_stack_events(StackName="stack")
        assert server.requests == 2


def test_a_long_wait_is_said_again_and_again() -> None:
    """A write whose answer takes long is not repeated: it may have been carried out."""
    lines_are_said = threading.Event()

    def answer_late(connection: socket.socket, number: int) -> None:
        assert number == 1 or lines_are_said.wait(30)
        answer(connection)

    with run_server(answer_late) as server:
        target, lines = reach_host(server.host, replace(QUICK, answer=30.0, again=0.0))
        target.client("sqs").list_queues()
        lines.clear()
        say = target.connections.say

        def say_and_count(line: str) -> None:
            say(line)
            if len(lines) == 3:
                lines_are_said.set()

        target.connections.say = say_and_count
        target.client("sqs").purge_queue(QueueUrl=f"http://{server.host}/queue")
        assert (server.requests, {*lines[:3]}) == (2, {f"waiting for {server.host}, which has not answered yet"})


def test_a_repeated_request_that_stalls_is_talked_about_as_any_other() -> None:
    lines_are_said = threading.Event()

    def reset_and_answer_late(connection: socket.socket, number: int) -> None:
        if number == 1:
            reset(connection, number)
        else:
            assert lines_are_said.wait(30)
            answer(connection)

    with run_server(reset_and_answer_late) as server:
        target, lines = reach_host(server.host, replace(QUICK, first_answer=40.0, again=0.0))
        say = target.connections.say

        def say_and_compare(line: str) -> None:
            say(line)
            if lines[0].endswith("try 2") and line.startswith("waiting for "):
                lines_are_said.set()

        target.connections.say = say_and_compare
        target.client("sqs").list_queues()
    waits = f"waiting for {server.host}, which has not answered yet"
    assert lines[:2] == [f"connecting to {server.host}, try 2", waits]


def test_refused_connections_are_tried_for_most_of_their_time_and_never_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two rounds, as whoever follows an operation makes them, by a clock that moves with the pauses only."""
    seconds = [0.0]

    def pause(length: float) -> None:
        seconds.append(seconds[-1] + length)

    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=pause))
    target, _ = reach_host(refuse_connections(), Patience(), clock=lambda: seconds[-1])
    said_at = [0.0]
    target.connections.say = lambda _: said_at.append(seconds[-1])
    for _ in range(2):
        begun_at = seconds[-1]
        with pytest.raises(EndpointConnectionError):
            target.client("cloudformation").describe_stack_events(StackName="stack")
        assert seconds[-1] - begun_at == 9.5
        pause(2.0)
    assert max(after - before for before, after in pairwise([*said_at, seconds[-1]])) < 15


def test_a_call_that_is_interrupted_is_not_talked_about_any_more() -> None:
    """Of Ctrl-C the SDK gives no event. A thread that went on would write into what another command prints."""
    with run_server(say_nothing) as server:
        target, lines = reach_host(server.host, replace(QUICK, first_answer=40.0, again=0.0))
        client = target.client("sqs")
        other_threads = set(threading.enumerate())
        say = target.connections.say

        def say_and_interrupt(line: str) -> None:
            say(line)
            if len(lines) == 1:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        target.connections.say = say_and_interrupt
        with pytest.raises(KeyboardInterrupt):
            client.list_queues()
        gc.collect()
        for thread in {*threading.enumerate()} - other_threads:
            if thread.name.endswith("(_say_until_ended)"):
                thread.join(10)
                assert not thread.is_alive()


def test_an_answer_in_time_is_not_talked_about() -> None:
    with run_server(answer) as server:
        target, lines = reach_host(server.host, QUICK)
        target.client("sqs").list_queues()
        time.sleep(2 * QUICK.silence)
        assert lines == []


def test_a_client_with_limits_of_its_own_keeps_them() -> None:
    """A function may run for minutes, and must not be called twice."""

    def answer_late(connection: socket.socket, _number: int) -> None:
        time.sleep(0.5)
        answer(connection)

    with run_server(answer_late) as server:
        target, lines = reach_host(server.host, QUICK)
        config = Config(read_timeout=5, retries={"total_max_attempts": 1})
        target.client("sqs", config).list_queues()
        assert (server.requests, lines) == (1, [])
    with pytest.raises(AWS_ERRORS):
        target.client("sqs", config).list_queues()
    assert lines == []


def test_throttling_is_left_to_the_sdk() -> None:
    def throttle(connection: socket.socket, number: int) -> None:
        if number > 1:
            answer(connection)
            return
        body = b'{"__type": "com.amazonaws.sqs#ThrottlingException", "message": "Rate exceeded"}'
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with run_server(throttle) as server:
        target, lines = reach_host(server.host)
        target.client("sqs").list_queues()
        assert (server.requests, lines) == (2, [])


@pytest.mark.parametrize(
    ("service", "content_type"),
    [
        *((service, "text/html; charset=utf-8") for service in ("cloudformation", "sqs")),
        ("sqs", "application/xhtml+xml"),
        *(("cloudformation", content_type) for content_type in ("Text/HTML", "application/xhtml+xml", "text/xml", "")),
    ],
)
@pytest.mark.parametrize("status", [200, 403])
def test_a_web_page_is_no_answer_of_aws(service: str, content_type: str, status: int) -> None:
    """As of a proxy, or behind a wrong AWS_ENDPOINT_URL: a page that is XML, too, has no element that the SDK reads."""
    page = b"<html><body><h1>It works!</h1></body></html>"

    def show_page(connection: socket.socket, _number: int) -> None:
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        head = f"HTTP/1.1 {status} Shown\r\n{kind}Content-Length: {len(page)}"
        connection.sendall(f"{head}\r\n\r\n".encode() + page)

    with run_server(show_page) as server:
        target, _ = reach_host(server.host)
        client = target.client(service)
        call = client.describe_stacks if service == "cloudformation" else client.list_queues
        with pytest.raises(AWS_ERRORS) as refused:
            call()
    expected = rf"AWS: the answer to \w+ is a web page \(HTTP {status}\), so it is not AWS's; check the proxy, and "
    assert re.match(expected, describe_error(refused.value))


@pytest.mark.parametrize(
    "body",
    [
        b"<ErrorResponse><Error><Code>ValidationError</Code></Error></ErrorResponse>",
        b"<?xml version='1.0'?><!-- a --><!-- b --><aws:ErrorResponse xmlns:aws='urn:a'/>",
        b"<UnknownOperationException/>",
        b"",
    ],
)
def test_an_error_in_xml_is_no_web_page(body: bytes) -> None:
    def refuse(connection: socket.socket, _number: int) -> None:
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    with run_server(refuse) as server:
        target, _ = reach_host(server.host)
        with pytest.raises(AWS_ERRORS) as refused:
            target.client("cloudformation").describe_stacks()
    assert "web page" not in describe_error(refused.value)


def test_the_same_line_is_not_said_by_every_thread() -> None:
    host = refuse_connections()
    target, lines = reach_host(host)
    client = target.client("sqs")

    def call_host() -> None:
        with contextlib.suppress(EndpointConnectionError):
            client.list_queues()

    threads = [threading.Thread(target=call_host) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(lines) == [f"connecting to {host}, try {number}" for number in (2, 3, 4)]

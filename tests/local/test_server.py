"""The AWS emulator: on loopback only, IAM enforced, and nothing left behind however it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from scripts.deployer.archive import zip_folder
from scripts.local import server
from scripts.local.runtime import RUNTIME
from tests.emitted import ROOT


def gone(found: server.Server) -> bool:
    """Whether its processes and its folder are; it may take a moment."""
    for _ in range(100):
        if not server._group_lives(found.pid):
            return not found.is_responding() and not Path(found.folder).exists()
        time.sleep(0.1)
    return False


def test_it_listens_on_loopback_only_and_leaves_nothing() -> None:
    with server.run_server() as running:
        listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        addresses = {row[1].split(":")[0] for row in listening if int(row[1].split(":")[1], 16) == running.port}
        assert addresses == {"0100007F"}
        assert Path(running.folder).exists()
    assert gone(running)
    assert not Path(running.folder).exists()


def test_a_stranger_may_do_nothing() -> None:
    with server.run_server() as running:
        stranger = boto3.client(
            "dynamodb",
            endpoint_url=running.url,
            region_name=server.REGION,
            aws_access_key_id="AKIAUNKNOWN",
            aws_secret_access_key="x",
        )
        with pytest.raises(ClientError):
            stranger.list_tables()


def test_it_ends_with_a_process_that_could_not_end_it() -> None:
    """Seen to fail without the watch on the owner: the server then stays for ever."""
    starter = subprocess.Popen(
        [sys.executable, "-c", "from scripts.local import server; import time\n"
         "s = server.start_server(keep=False); print(s.pid, s.port, s.folder, flush=True); time.sleep(100)"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert starter.stdout is not None
    pid, port, folder = starter.stdout.readline().split()
    started = server.Server(int(pid), int(port), folder)
    assert started.is_responding()
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    assert gone(started)


def test_a_server_that_does_not_start_tells_the_end_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(server, "_free_port", lambda: taken.getsockname()[1])
        monkeypatch.setattr(server.Server, "is_responding", lambda _: False)
        with pytest.raises(server.EmulatorError, match=r"does not start[\s\S]*already in use"):
            server.start_server(keep=False)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(server, "STATE", tmp_path / "server.json")
    return tmp_path / "server.json"


def test_what_was_left_by_a_server_that_is_gone_is_not_taken_for_one(state: Path) -> None:
    assert server.find_kept_server() is None
    state.write_text(json.dumps({"pid": 999_999, "port": 9, "folder": "/nowhere"}))
    assert server.find_kept_server() is None
    state.write_text("not json")
    assert server.find_kept_server() is None
    assert server.stop_kept_server() is None


@pytest.mark.parametrize(("name", "stays"), [("theirs", True), ("payment-platform-ours", False)])
def test_a_process_that_was_given_the_id_since_is_left_alone(
    name: str, stays: bool, state: Path, tmp_path: Path
) -> None:
    """Seen to fail when the id alone is looked at: the process was killed, and the folder removed."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / server.LOCK).touch()
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        state.write_text(json.dumps({"pid": stranger.pid, "port": 9, "folder": str(folder)}))
        assert server.stop_kept_server() is None
        assert stranger.poll() is None
        assert folder.exists() is stays
    finally:
        stranger.kill()


def test_two_commands_at_once_share_one_server(state: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        (first, _), (second, _) = pool.map(lambda _: server.find_or_start_server(), range(2))
    try:
        assert first == second
    finally:
        assert server.stop_kept_server() == first
    assert gone(first)


def test_a_kept_server_that_does_not_answer_is_named_and_can_be_ended(state: Path) -> None:
    kept, _ = server.find_or_start_server()
    os.kill(kept.pid, signal.SIGSTOP)
    try:
        with pytest.raises(server.EmulatorError, match="does not answer; `make local-stop` ends it"):
            server.find_kept_server()
    finally:
        assert server.stop_kept_server() == kept
    assert gone(kept)
    assert not state.exists()


def test_a_kept_server_is_found_without_any_other_program(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every machine has a `ps` that lists a session: a server was forgotten there while it ran."""
    kept, _ = server.find_or_start_server()
    try:
        with monkeypatch.context() as without:
            without.setenv("PATH", "")
            assert server.find_kept_server() == kept
    finally:
        assert server.stop_kept_server() == kept


def test_the_functions_of_a_server_that_was_killed_end_too(state: Path, tmp_path: Path) -> None:
    """So nobody has to look for them: the runtime client ends when there is nobody to give it work."""
    kept, _ = server.find_or_start_server()
    session = boto3.Session(region_name=server.REGION, **server.CREDENTIALS)
    (tmp_path / "index.py").write_text("def handler(event, context): pass")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    try:
        role = session.client("iam", endpoint_url=kept.url).create_role(
            RoleName="r", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
        )["Role"]["Arn"]
        functions = session.client("lambda", endpoint_url=kept.url)
        functions.create_function(
            FunctionName="f",
            Runtime="provided.al2023",
            Handler="index.handler",
            Role=role,
            Code={"ZipFile": zip_folder(tmp_path, RUNTIME.files)},
        )
        assert functions.invoke(FunctionName="f")["Payload"].read() == b"null"
        os.kill(kept.pid, signal.SIGKILL)
        os.waitpid(kept.pid, 0)
        assert server.stop_kept_server() is None
        assert gone(kept)
    finally:
        server.stop_server(kept)


def test_who_wants_a_server_for_themselves_waits_for_the_other_and_says_so(tmp_path: Path) -> None:
    """Two demonstrations at once: one failed on a stack that the other was making."""
    shared = server.Server(1, 1, str(tmp_path))
    told: list[str] = []

    def second() -> None:
        with shared.take_turn(lambda: told.append("waits")):
            told.append("begins")

    waiting = threading.Thread(target=second)
    with shared.take_turn(lambda: told.append("first waits")):
        waiting.start()
        while not told:
            time.sleep(0.01)
        told.append("first ends")
    waiting.join(timeout=60)
    assert told == ["waits", "first ends", "begins"]

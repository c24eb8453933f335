"""The emulator listens on loopback only, enforces IAM, and leaves nothing behind however it ends."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from scripts.common.errors import UserError
from scripts.deployer.archive import zip_folder
from scripts.local import server
from scripts.local.runtime import RUNTIME
from scripts.local.target import emulator_target
from tests.emitted import ROOT


def has_ended(emulator: server.Server) -> bool:
    """Whether its processes and its folder are gone, within ten seconds."""
    for _ in range(100):
        if not server._group_lives(emulator.pid):
            return not emulator.is_responding() and not Path(emulator.folder).exists()
        time.sleep(0.1)
    return False


def test_the_server_listens_on_loopback_only_and_leaves_nothing_behind() -> None:
    with server.run_server() as running:
        listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        addresses = {row[1].split(":")[0] for row in listening if int(row[1].split(":")[1], 16) == running.port}
        assert addresses == {"0100007F"}
        assert Path(running.folder).exists()
    assert has_ended(running)
    assert not Path(running.folder).exists()


def test_an_unknown_caller_is_denied_everything() -> None:
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


def test_the_server_ends_with_the_process_that_started_it() -> None:
    """It watches its owner, which is killed here and cannot stop it."""
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
    assert has_ended(started)


def test_a_server_that_does_not_start_shows_the_end_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setattr(server, "_free_port", lambda: listener.getsockname()[1])
        monkeypatch.setattr(server.Server, "is_responding", lambda _: False)
        with pytest.raises(server.EmulatorError, match=r"does not start[\s\S]*already in use"):
            server.start_server(keep=False)


@pytest.fixture
def state_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(server, "STATE", tmp_path / "server.json")
    return tmp_path / "server.json"


def test_the_state_file_of_a_server_that_has_ended_is_ignored(state_file: Path) -> None:
    assert server.find_kept_server() is None
    state_file.write_text(json.dumps({"pid": 999_999, "port": 9, "folder": "/nowhere"}))
    assert server.find_kept_server() is None
    state_file.write_text("not json")
    assert server.find_kept_server() is None
    assert server.stop_kept_server() is None


@pytest.mark.parametrize(("name", "stays"), [("of-another-program", True), ("payment-platform-ours", False)])
def test_a_process_that_was_given_the_id_since_is_left_alone(
    name: str, stays: bool, state_file: Path, tmp_path: Path
) -> None:
    """The lock in the folder identifies a server; a process id can belong to another program."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / server.LOCK).touch()
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        state_file.write_text(json.dumps({"pid": stranger.pid, "port": 9, "folder": str(folder)}))
        assert server.stop_kept_server() is None
        assert stranger.poll() is None
        assert folder.exists() is stays
    finally:
        stranger.kill()


def test_two_commands_at_once_share_one_server(state_file: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        (first, _), (second, _) = pool.map(lambda _: server.find_or_start_server(), range(2))
    try:
        assert first == second
    finally:
        assert server.stop_kept_server() == first
    assert has_ended(first)


def test_another_start_is_waited_for_with_a_word_and_not_for_ever(
    state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be in progress, or its command was stopped with Ctrl-Z."""
    running = server.Server(1, 2, "folder")
    monkeypatch.setattr(server, "find_kept_server", lambda: running)
    monkeypatch.setattr(server, "SILENCE_SECONDS", 0)
    lock, lines = state_file.with_suffix(".lock"), []
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("4711")
        held.flush()
        with monkeypatch.context() as impatient:
            impatient.setattr(server, "echo", lambda line, *, err: lines.append((line, err)))
            impatient.setattr(server, "LOCK_SECONDS", 0)
            with pytest.raises(server.EmulatorError, match=f"^process 4711 has kept {lock} locked for 0 seconds"):
                server.find_or_start_server()
        assert lines == [(f"waiting for process 4711, which starts the AWS emulator ({lock})", True)]
        monkeypatch.setattr(server, "echo", lambda *_, err: fcntl.flock(held, fcntl.LOCK_UN))  # noqa: ARG005
        assert server.find_or_start_server() == (running, False)
    assert lock.read_text() == str(os.getpid())


def test_an_emulator_that_was_killed_is_a_lost_place(tmp_path: Path) -> None:
    (tmp_path / server.LOCK).touch()
    target = emulator_target(server.Server(4711, 2, str(tmp_path)))
    with open(tmp_path / server.LOCK) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert target.find_loss() == ""
    assert target.find_loss().startswith(
        "the AWS emulator (pid 4711) has ended, and all that was deployed to it is gone"
    )


@pytest.mark.parametrize("obstacle", ["folder", "lock", "temporary folder"])
def test_a_place_that_cannot_be_written_is_named(
    obstacle: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a clone that is mounted read-only."""
    folder = tmp_path / "local"
    monkeypatch.setattr(server, "STATE", folder / "server.json")
    if obstacle == "folder":
        folder.touch()
    elif obstacle == "lock":
        (folder / "server.lock").mkdir(parents=True)
    else:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(server.EmulatorError, match=r"^the AWS emulator cannot be started: .* cannot be written: \w+"):
        server.find_or_start_server()


def test_a_server_that_runs_is_used_where_nothing_can_be_written(state_file: Path) -> None:
    emulator, _ = server.find_or_start_server()
    lock = state_file.with_suffix(".lock")
    try:
        lock.unlink()
        lock.mkdir()
        assert server.find_or_start_server() == (emulator, False)
        (Path(emulator.folder) / "turn").mkdir()
        with pytest.raises(server.EmulatorError, match="cannot be written"), emulator.take_turn(lambda: None):
            pass
    finally:
        assert server.stop_kept_server() == emulator


def test_a_server_that_cannot_be_noted_is_ended(state_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No later command could find it."""
    ended = []
    monkeypatch.setattr(server, "start_server", lambda **_: server.Server(1, 2, "folder"))
    monkeypatch.setattr(server, "stop_server", ended.append)
    state_file.mkdir()
    with pytest.raises(UserError, match=r"server\.json: not a regular file"):
        server.find_or_start_server()
    assert ended == [server.Server(1, 2, "folder")]


def test_a_kept_server_that_does_not_answer_is_named_and_can_be_ended(state_file: Path) -> None:
    emulator, _ = server.find_or_start_server()
    os.kill(emulator.pid, signal.SIGSTOP)
    try:
        with pytest.raises(server.EmulatorError, match="does not respond; stop it with `make local-stop`"):
            server.find_kept_server()
    finally:
        assert server.stop_kept_server() == emulator
    assert has_ended(emulator)
    assert not state_file.exists()


def test_a_kept_server_is_found_without_any_other_program(state_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs such as `ps` are not the same on every machine."""
    emulator, _ = server.find_or_start_server()
    try:
        with monkeypatch.context() as without:
            without.setenv("PATH", "")
            assert server.find_kept_server() == emulator
    finally:
        assert server.stop_kept_server() == emulator


def test_the_functions_of_a_server_that_was_killed_end_too(state_file: Path, tmp_path: Path) -> None:
    """The runtime client ends when its server no longer responds."""
    emulator, _ = server.find_or_start_server()
    session = boto3.Session(region_name=server.REGION, **server.CREDENTIALS)
    (tmp_path / "index.py").write_text("def handler(event, context): pass")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    try:
        role = session.client("iam", endpoint_url=emulator.url).create_role(
            RoleName="r", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
        )["Role"]["Arn"]
        functions = session.client("lambda", endpoint_url=emulator.url)
        functions.create_function(
            FunctionName="f",
            Runtime="provided.al2023",
            Handler="index.handler",
            Role=role,
            Code={"ZipFile": zip_folder(tmp_path, RUNTIME.files)},
        )
        assert functions.invoke(FunctionName="f")["Payload"].read() == b"null"
        os.kill(emulator.pid, signal.SIGKILL)
        os.waitpid(emulator.pid, 0)
        assert server.stop_kept_server() is None
        assert has_ended(emulator)
    finally:
        server.stop_server(emulator)


def test_a_command_waits_for_its_turn_and_says_so(tmp_path: Path) -> None:
    """Two demonstrations at once would create the same stack."""
    shared = server.Server(1, 1, str(tmp_path))
    events: list[str] = []

    def run_second() -> None:
        with shared.take_turn(lambda: events.append("waits")):
            events.append("begins")

    waiting = threading.Thread(target=run_second)
    with shared.take_turn(lambda: events.append("first waits")):
        waiting.start()
        while not events:
            time.sleep(0.01)
        events.append("first ends")
    waiting.join(timeout=60)
    assert events == ["waits", "first ends", "begins"]

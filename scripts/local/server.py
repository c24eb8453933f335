"""Starts the AWS emulator, finds the one that runs, stops it."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from scripts.common.errors import UserError
from scripts.common.files import write_file
from scripts.common.paths import ROOT
from scripts.common.suggestion import suggest_command
from scripts.common.terminal import echo

from . import runtime

STATE = ROOT / ".local" / "server.json"
REGION = "us-east-1"
# MiniStack's account and the credentials of its root user.
ACCOUNT = "000000000000"
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
START_SECONDS = 60
# How long a command waits for another one that starts the server, and after how many seconds it says so.
LOCK_SECONDS = START_SECONDS + 30
SILENCE_SECONDS = 3
_PREFIX = "payment-platform-"
# A file in the server's folder that its process holds locked.
LOCK = "lock"
MODULE = "scripts.local.emulator_process"
# The variable with the folder for recorder.py; whoever starts a server may set it.
RECORDED_CALLS = "RECORDED_CALLS"
# The variable by which a server shortens the periods of alarms.
ALARM_SCALE = "ALARM_SCALE"


class EmulatorError(UserError):
    """The AWS emulator does not start, or does not respond."""


@dataclass(frozen=True)
class Server:
    pid: int
    port: int
    folder: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        return Path(self.folder) / "ministack.log"

    @property
    def is_alive(self) -> bool:
        """Whether its process exists. Its lock tells this, because the system reuses process ids."""
        try:
            with open(Path(self.folder) / LOCK) as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            # The folder is gone or has no lock; a server that responds must still be found.
            return self.is_responding()
        return False

    @contextlib.contextmanager
    def take_turn(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Let one command at a time use the server; calls ``on_wait`` before it waits for another one."""
        try:
            file = open(Path(self.folder) / "turn", "w")  # noqa: SIM115 - closed below
        except OSError as error:
            raise EmulatorError(f"{self.folder}: the emulator's folder cannot be written: {error.strerror}") from error
        with file as turn:
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(turn, fcntl.LOCK_EX)
            yield

    def is_responding(self) -> bool:
        # Bypass any proxy: the server is on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/_ministack/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def isolate_from_user_configuration() -> None:
    """Hide the profiles, endpoints, credentials and retry settings of the user from the clients of this process."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def emulator_environment(url: str) -> dict[str, str]:
    """Return the environment in which a command, such as the AWS CLI, uses the server at ``url``."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return clean | describe_access(url)


def describe_access(url: str) -> dict[str, str]:
    """Return the variables by which the AWS CLI and boto3 find the server at ``url``, and nothing of the user's."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": CREDENTIALS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS["aws_secret_access_key"],
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def start_server(*, keep: bool, wait_scale: float = 1.0, alarm_scale: float = 1.0, module: str | None = None) -> Server:
    """Start a server on a free port of 127.0.0.1. Unless ``keep``, it ends with this process.

    ``wait_scale`` scales the waits between retries of the state machine, ``alarm_scale`` the periods of alarms.
    ``module`` is what the process runs, by default the emulator with its corrections.
    Raises ``EmulatorError`` if it does not start.
    """
    try:
        folder = tempfile.mkdtemp(prefix=_PREFIX)
    except OSError as error:
        raise EmulatorError(_describe_obstacle(error, "a temporary folder (see TMPDIR)")) from error
    runtime.link_packages(_runtime_folder(folder))
    port = _free_port()
    with open(Path(folder) / "ministack.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module or MODULE],
            cwd=ROOT,
            env=_server_environment(port, folder, keep, wait_scale, alarm_scale),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Its own process group: Ctrl-C does not reach it, and the functions end with it.
            start_new_session=True,
        )
    server = Server(process.pid, port, folder)
    deadline = time.monotonic() + START_SECONDS
    try:
        # If another server has taken the port, ours has exited.
        while not server.is_responding() or process.poll() is not None:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(server.log_path.read_text(errors="replace").splitlines()[-5:])
                raise EmulatorError(f"the AWS emulator does not start; the end of its log:\n{tail}")
            time.sleep(0.1)
    except BaseException:
        stop_server(server)
        raise
    return server


def stop_server(server: Server) -> None:
    """Stop the server and its functions, and remove its folder."""
    for sig, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, sig)
        deadline = time.monotonic() + seconds
        while _group_lives(server.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
    shutil.rmtree(server.folder, ignore_errors=True)


@contextlib.contextmanager
def run_server(*, wait_scale: float = 1.0, alarm_scale: float = 1.0, module: str | None = None) -> Iterator[Server]:
    """Run a server for the length of a ``with`` block."""
    server = start_server(keep=False, wait_scale=wait_scale, alarm_scale=alarm_scale, module=module)
    try:
        yield server
    finally:
        stop_server(server)


def find_kept_server() -> Server | None:
    """Return the server that a command left running, or None. Raises ``EmulatorError`` if it does not respond."""
    server = _read_state()
    if server is None:
        return None
    if not server.is_alive:
        forget_server(server)
        return None
    if not server.is_responding():
        raise EmulatorError(f"the AWS emulator (pid {server.pid}) does not respond; stop it with `make local-stop`")
    return server


def find_or_start_server() -> tuple[Server, bool]:
    """Return the kept server or a new one, and whether it is new; concurrent commands get the same server.

    Raises ``EmulatorError`` if no server can be started, or none can be noted for the next command, or another command
    does not end its own start.
    """
    with contextlib.ExitStack() as stack:
        try:
            STATE.parent.mkdir(exist_ok=True)
            _take_start_lock(stack.enter_context(open(STATE.with_suffix(".lock"), "a+")))
        except OSError as error:
            # Only a start needs the lock: a server that runs can be used from a clone that cannot be written.
            if (running := find_kept_server()) is not None:
                return running, False
            raise EmulatorError(_describe_obstacle(error, STATE.parent)) from error
        if (running := find_kept_server()) is not None:
            return running, False
        server = start_server(keep=True)
        try:
            write_file(STATE, json.dumps(asdict(server)).encode())
        except BaseException:
            # No later command would find it.
            stop_server(server)
            raise
        return server, True


def describe_absence() -> str:
    """Return that no server is running, and the next step."""
    return (
        f"the AWS emulator is not running, and nothing is deployed to local: `{suggest_command('deploy', 'local')}` "
        "starts it and deploys, `make demo KEEP=1` makes sample payments, too"
    )


def describe_loss(server: Server) -> str:
    """Return that a server has ended in the middle of a command, and the next step."""
    return (
        f"the AWS emulator (pid {server.pid}) has ended, and all that was deployed to it is gone; start it again and "
        f"deploy: `{suggest_command('deploy', 'local')}`"
    )


def stop_kept_server() -> Server | None:
    """Stop the kept server, even if it does not respond, and return it, or None if none was running."""
    server = _read_state()
    if server is None:
        return None
    was_alive = server.is_alive
    if was_alive:
        stop_server(server)
    forget_server(server)
    return server if was_alive else None


def forget_server(server: Server) -> None:
    """Remove the files of a server that has ended. Its functions end by themselves."""
    if Path(server.folder).name.startswith(_PREFIX):
        shutil.rmtree(server.folder, ignore_errors=True)
    # A state that stays names a server that no longer responds, which the next command does not take for a live one.
    with contextlib.suppress(OSError):
        STATE.unlink(missing_ok=True)


def _describe_obstacle(error: OSError, place: Path | str) -> str:
    return f"the AWS emulator cannot be started: {place} cannot be written: {error.strerror or error}"


def _take_start_lock(lock: IO[str]) -> None:
    """Lock the file, which then names this process. Raises ``EmulatorError`` if another command keeps it locked."""
    begun_at, has_said = time.monotonic(), False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            seconds = time.monotonic() - begun_at
        lock.seek(0)
        holder = f"process {lock.read().strip() or 'of unknown number'}"
        if seconds >= SILENCE_SECONDS and not has_said:
            echo(f"waiting for {holder}, which starts the AWS emulator ({lock.name})", err=True)
            has_said = True
        if seconds >= LOCK_SECONDS:
            raise EmulatorError(
                f"{holder} has kept {lock.name} locked for {LOCK_SECONDS} seconds, as a command that starts the AWS "
                "emulator does; end that process, and try again"
            )
        time.sleep(0.1)
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()


def _read_state() -> Server | None:
    try:
        return Server(**json.loads(STATE.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _server_environment(port: int, folder: str, keep: bool, wait_scale: float, alarm_scale: float) -> dict[str, str]:
    # Nothing else of the user's shell, such as a proxy or a profile, reaches the server or the functions.
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": folder,
        "TMPDIR": folder,
        "S3_DATA_DIR": f"{folder}/s3",
        "GATEWAY_PORT": str(port),
        # The default is every interface.
        "BIND_HOST": "127.0.0.1",
        "AUTH": "true",
        "MINISTACK_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "LOG_LEVEL": "INFO",
        "SFN_WAIT_SCALE": str(wait_scale),
        ALARM_SCALE: str(alarm_scale),
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": str(wait_scale),
        # The functions inherit it.
        "LAMBDA_RUNTIME_DIR": str(_runtime_folder(folder)),
    }
    if folder_of_calls := os.environ.get(RECORDED_CALLS):
        environment[RECORDED_CALLS] = folder_of_calls
    if not keep:
        environment["OWNER_PID"] = str(os.getpid())
    return environment


def _runtime_folder(folder: str) -> Path:
    return Path(folder) / "runtime"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _group_lives(group: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(group, os.WNOHANG)  # reap the child if it has ended
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True

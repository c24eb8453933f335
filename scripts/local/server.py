"""Start the AWS emulator, find it running, end it."""

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

from scripts.common.errors import UserError
from scripts.common.paths import ROOT

from . import runtime

STATE = ROOT / ".local" / "server.json"
REGION = "us-east-1"
# MiniStack's account, and the keys of its root user.
ACCOUNT = "000000000000"
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
START_SECONDS = 60
NOT_RUNNING = "the AWS emulator is not running; start it with `make demo KEEP=1`, or empty with scripts/deploy.sh local"
_PREFIX = "payment-platform-"
# In the server's folder; its process holds it for as long as it lives.
LOCK = "lock"
MODULE = "scripts.local.serve"
# In the environment of who starts a server: the folder to write down in which calls the platform's roles make.
RECORDED_CALLS = "RECORDED_CALLS"
# In the server's own: what a second of an alarm's periods takes here.
ALARM_SCALE = "ALARM_SCALE"


class EmulatorError(UserError):
    """The AWS emulator does not start, or does not answer."""


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
        """Whether its process does, whatever it is busy with. An id would not tell: it is given to others in time."""
        try:
            with open(Path(self.folder) / LOCK) as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            # Of an earlier release, or somebody tidied up: one that answers must not be lost.
            return self.is_responding()
        return False

    @contextlib.contextmanager
    def take_turn(self, say: Callable[[], None]) -> Iterator[None]:
        """Of those that ask for this, one at a time has the server; who has to wait for that ``say``s so."""
        with open(Path(self.folder) / "turn", "w") as turn:
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say()
                fcntl.flock(turn, fcntl.LOCK_EX)
            yield

    def is_responding(self) -> bool:
        # No proxy: it is this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/_ministack/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def isolate_from_user_configuration() -> None:
    """Let no profile, endpoint, credential or retry setting of the user's shell reach this process's clients."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def emulator_environment(url: str) -> dict[str, str]:
    """The environment in which a command, such as the AWS CLI, reaches the server and nothing of the user's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return clean | {
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": CREDENTIALS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS["aws_secret_access_key"],
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def start_server(*, keep: bool, wait_scale: float = 1.0, alarm_scale: float = 1.0) -> Server:
    """Start a server on a free port of 127.0.0.1. Unless ``keep``, it ends with this process at the latest.

    ``wait_scale`` scales the waits between retries of the state machine, ``alarm_scale`` the periods of alarms.
    Raises ``EmulatorError`` if it does not come up.
    """
    folder = tempfile.mkdtemp(prefix=_PREFIX)
    runtime.link_packages(_runtime_folder(folder))
    port = _free_port()
    with open(Path(folder) / "ministack.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            cwd=ROOT,
            env=_server_environment(port, folder, keep, wait_scale, alarm_scale),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A group of its own: Ctrl-C is for the command, and the functions end with the server.
            start_new_session=True,
        )
    server = Server(process.pid, port, folder)
    deadline = time.monotonic() + START_SECONDS
    try:
        # Another server may answer on the port, if it was taken in between: then ours has ended.
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
    """End the server and the functions it runs, and remove what they wrote."""
    for sig, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, sig)
        deadline = time.monotonic() + seconds
        while _group_lives(server.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
    shutil.rmtree(server.folder, ignore_errors=True)


@contextlib.contextmanager
def run_server(*, wait_scale: float = 1.0, alarm_scale: float = 1.0) -> Iterator[Server]:
    """A server for the length of a ``with`` block."""
    server = start_server(keep=False, wait_scale=wait_scale, alarm_scale=alarm_scale)
    try:
        yield server
    finally:
        stop_server(server)


def find_kept_server() -> Server | None:
    """The server that a command left running; one that has gone is cleared away."""
    server = _read_state()
    if server is None:
        return None
    if not server.is_alive:
        forget_server(server)
        return None
    if not server.is_responding():
        raise EmulatorError(f"the AWS emulator (pid {server.pid}) does not answer; `make local-stop` ends it")
    return server


def find_or_start_server() -> tuple[Server, bool]:
    """The server that is kept, or a new one that is; and whether it is new. Two commands at once get the same."""
    STATE.parent.mkdir(exist_ok=True)
    with open(STATE.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = find_kept_server()
        if found is not None:
            return found, False
        server = start_server(keep=True)
        STATE.write_text(json.dumps(asdict(server)))
        return server, True


def stop_kept_server() -> Server | None:
    """End the server that is kept, whether it answers or not; None if there is none."""
    server = _read_state()
    if server is None:
        return None
    lived = server.is_alive
    if lived:
        stop_server(server)
    forget_server(server)
    return server if lived else None


def forget_server(server: Server) -> None:
    """Clear away what a server that has ended left. Its functions end by themselves: nobody gives them work."""
    if Path(server.folder).name.startswith(_PREFIX):
        shutil.rmtree(server.folder, ignore_errors=True)
    STATE.unlink(missing_ok=True)


def _read_state() -> Server | None:
    try:
        return Server(**json.loads(STATE.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _server_environment(port: int, folder: str, keep: bool, wait_scale: float, alarm_scale: float) -> dict[str, str]:
    # Only what is named here: no proxy, profile or endpoint of the user's shell reaches the server or the functions.
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": folder,
        "TMPDIR": folder,
        "S3_DATA_DIR": f"{folder}/s3",
        "GATEWAY_PORT": str(port),
        # MiniStack binds every interface unless told otherwise.
        "BIND_HOST": "127.0.0.1",
        "AUTH": "true",
        "MINISTACK_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "LOG_LEVEL": "INFO",
        "SFN_WAIT_SCALE": str(wait_scale),
        ALARM_SCALE: str(alarm_scale),
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": str(wait_scale),
        # As on AWS; the functions inherit it.
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
        os.waitpid(group, os.WNOHANG)  # a child that has ended is no longer there
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True

"""The process of the emulator: MiniStack with the corrections. It ends with the process that owns it."""

import fcntl
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from ministack import app

from . import corrections, recorder, server

WATCH_SECONDS = 1.0


def main() -> None:
    # Not closed: the lock is held until this process ends.
    lock = open(Path(os.environ["TMPDIR"]) / server.LOCK, "w")  # noqa: SIM115
    fcntl.flock(lock, fcntl.LOCK_EX)
    corrections.apply_corrections()
    recorder.record_calls()
    owner = os.environ.get("OWNER_PID")
    if owner:
        threading.Thread(target=_end_with_owner, args=(int(owner),), daemon=True).start()
    sys.argv = ["ministack"]
    app.main()


def _end_with_owner(owner: int) -> None:
    """Kill this process group, including the functions, when the owner has ended."""
    while os.getppid() == owner:
        time.sleep(WATCH_SECONDS)
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    main()

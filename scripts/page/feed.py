"""The snapshots that the page follows: one thread reads the platform for all followers, while there are any."""

import json
import threading
import time
import traceback
from collections.abc import Callable, Generator
from typing import Any

from scripts.common.errors import AWS_ERRORS, UserError, describe_error

from .snapshot import NotDeployedYet, Source

# Seconds between two polls of the platform, which may take at most a third of the time.
POLL_SECONDS = 0.5
REST_FACTOR = 2
HEARTBEAT_SECONDS = 5.0
MOST_FOLLOWERS = 20


class TooManyFollowers(Exception):
    pass


class Feed:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._changed = threading.Condition()
        self._snapshot = ""
        self._version = 0
        self._followers = 0
        self._has_ended = False
        self._wake_up = threading.Event()

    def run_until_end(self) -> None:
        """Publish snapshots until another thread calls ``end``."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._followers or self._has_ended)
                if self._has_ended:
                    return
            self._wake_up.clear()
            self._wake_up.wait(max(POLL_SECONDS, REST_FACTOR * self._look()))

    def _look(self) -> float:
        """Publish a snapshot, and return for how many seconds the platform was busy with it."""
        started_at = time.monotonic()
        busy_seconds = 0.0
        try:
            self._publish(self._source.take_snapshot())
            busy_seconds = time.monotonic() - started_at
            # Waiting for letters does not keep the platform busy.
            if self._source.refresh_letters():
                self._publish(self._source.take_snapshot())
        except NotDeployedYet as error:
            self._publish({"waiting": str(error)})
        except (UserError, *AWS_ERRORS) as error:
            self._source.forget_platform()
            self._publish({"problem": describe_error(error)})
        except Exception as error:
            # A defect of the page: show it and try again.
            traceback.print_exc()
            self._source.forget_platform()
            self._publish(
                {"problem": f"{type(error).__name__}: the page could not be rendered; see the terminal for details"}
            )
        return busy_seconds

    def _publish(self, snapshot: dict[str, Any]) -> None:
        text = json.dumps(snapshot)
        with self._changed:
            if text != self._snapshot:
                self._snapshot, self._version = text, self._version + 1
                self._changed.notify_all()

    def look_now(self) -> None:
        self._wake_up.set()

    def end(self) -> None:
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()
        self._wake_up.set()

    def follow_snapshots(self, has_left: Callable[[], bool]) -> Generator[str, None, None]:
        """Yield snapshots as JSON, and empty texts as heartbeats, until the end or ``has_left()``.

        Raises ``TooManyFollowers``.
        """
        with self._changed:
            if self._followers >= MOST_FOLLOWERS:
                raise TooManyFollowers(f"{MOST_FOLLOWERS} pages are open already")
            self._followers += 1
            if self._followers == 1:
                # Out of date: nobody has looked since the last follower left.
                self._snapshot = ""
            self._changed.notify_all()
        version, quiet_since = -1, time.monotonic()
        try:
            while True:
                with self._changed:
                    if not self._has_ended and not (self._snapshot and self._version != version):
                        self._changed.wait(1.0)
                    if self._has_ended or has_left():
                        return
                    snapshot = self._snapshot if self._version != version else ""
                    version = self._version if snapshot else version
                if snapshot or time.monotonic() - quiet_since > HEARTBEAT_SECONDS:
                    quiet_since = time.monotonic()
                    yield snapshot
        finally:
            with self._changed:
                self._followers -= 1

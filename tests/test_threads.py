"""Calls side by side: their results, what begins after a failure, and what Ctrl-C leaves."""

import threading

import pytest

from scripts.common.threads import is_abandoned, map_in_threads

LONGEST_SECONDS = 30


def test_results_come_in_the_order_of_the_items() -> None:
    last_began = threading.Event()

    def multiply(left: int, right: int) -> int:
        # The first ends last.
        last_began.wait(LONGEST_SECONDS) if left == 0 else last_began.set() if left == 2 else None
        return left * right

    assert map_in_threads(multiply, range(3), [5, 6, 7]) == [0, 6, 14]
    assert map_in_threads(multiply, [], []) == []


def test_after_a_failure_no_other_call_begins_and_the_running_ones_end() -> None:
    has_failed, begun, ended = threading.Event(), [], []

    def call(number: int) -> None:
        begun.append(number)
        if number == 0:
            has_failed.set()
            raise ValueError("no")
        has_failed.wait(LONGEST_SECONDS)
        ended.append(number)

    with pytest.raises(ValueError, match="no"):
        map_in_threads(call, range(100), workers=2)
    assert ended == [number for number in begun if number]
    assert len(begun) < 100


def test_ctrl_c_waits_for_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    may_end, inner_threads, abandoned = threading.Event(), [], threading.Event()

    def call_inside(_: int) -> None:
        inner_threads.append(threading.current_thread())
        if len(inner_threads) == 2:
            interrupt.set()
        may_end.wait(LONGEST_SECONDS)
        if all(map(is_abandoned, inner_threads)):
            abandoned.set()

    interrupt = threading.Event()

    def join(thread: threading.Thread) -> None:
        if threading.current_thread() is threading.main_thread():
            interrupt.wait(LONGEST_SECONDS)
            raise KeyboardInterrupt
        may_end.wait(LONGEST_SECONDS)

    monkeypatch.setattr("threading.Thread.join", join)
    with pytest.raises(KeyboardInterrupt):
        map_in_threads(lambda _: map_in_threads(call_inside, range(2)), range(1))
    may_end.set()
    assert abandoned.wait(LONGEST_SECONDS)
    assert not is_abandoned(threading.main_thread())

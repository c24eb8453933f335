"""Runs calls side by side, in threads that an interrupted command does not wait for.

The executors of the standard library wait for their running calls when their block ends, and again when the interpreter
does. After Ctrl-C, a command would wait for a service that hangs.
https://docs.python.org/3/library/concurrent.futures.html#concurrent.futures.Executor.shutdown
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

WORKERS = 8
Result = TypeVar("Result")


class _Worker(threading.Thread):
    def __init__(self, target: Callable[[], None]) -> None:
        super().__init__(target=target, daemon=True)
        self.starter = threading.current_thread()
        self.is_abandoned = False


def is_abandoned(thread: threading.Thread) -> bool:
    """Whether Ctrl-C has ended what waited for the thread, or for the one that started it."""
    return isinstance(thread, _Worker) and (thread.is_abandoned or is_abandoned(thread.starter))


def map_in_threads(function: Callable[..., Result], *items: Iterable[Any], workers: int = WORKERS) -> list[Result]:
    """Return what ``map`` would, as a list. Raises the first exception.

    After an exception, no further call begins, and the running ones are waited for. After Ctrl-C, nothing is.
    """
    calls = list(zip(*items, strict=False))
    results: dict[int, Result] = {}
    failures: list[BaseException] = []
    # Only one thread gets an item of an iterator over a list.
    following = iter(list(enumerate(calls)))

    def work() -> None:
        for index, arguments in following:
            if failures or is_abandoned(threading.current_thread()):
                return
            try:
                results[index] = function(*arguments)
            except BaseException as error:
                failures.append(error)

    threads = [_Worker(work) for _ in calls[:workers]]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        for thread in threads:
            thread.is_abandoned = True
        raise
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(calls))]

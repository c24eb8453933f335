"""A deterministic scheduler: runs actors in every order in which their calls can fall.

Each actor is a thread that stops before every call it makes to the world. The scheduler lets one go on at a time; a run
is the list of its choices, and the next run differs from the last in its last choice that has an alternative left
(depth first), until there is none.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Actor = Callable[[], object]
PATIENCE_SECONDS = 10


@dataclass
class _Running:
    actor: Actor
    may_go_on: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    is_done: bool = False
    error: BaseException | None = None


class Scheduler:
    """One run of ``actors`` by ``choices``; ``options`` tells afterwards how many there were at each."""

    def __init__(self, choices: list[int]) -> None:
        self._choices = choices
        self._by_thread: dict[int, _Running] = {}
        self.options: list[int] = []

    def switch(self, _call: str) -> None:
        """Called by an actor before each of its calls: stop until chosen. Other threads pass."""
        running = self._by_thread.get(threading.get_ident())
        if running is not None:
            running.stopped.set()
            assert running.may_go_on.wait(PATIENCE_SECONDS), "the scheduler is gone"
            running.may_go_on.clear()

    def run_actors(self, actors: list[Actor]) -> None:
        runners = [_Running(actor) for actor in actors]
        threads = [threading.Thread(target=self._live, args=(running,), daemon=True) for running in runners]
        for thread, running in zip(threads, runners, strict=True):
            thread.start()  # up to its first call, and before the next one starts
            assert running.stopped.wait(PATIENCE_SECONDS)
        while alive := [running for running in runners if not running.is_done]:
            step = len(self.options)
            choice = self._choices[step] if step < len(self._choices) else 0
            self.options.append(len(alive))
            running = alive[choice]
            running.stopped.clear()
            running.may_go_on.set()
            assert running.stopped.wait(PATIENCE_SECONDS), "an actor does not come back"
        for thread, running in zip(threads, runners, strict=True):
            thread.join(PATIENCE_SECONDS)
            if running.error is not None:
                raise running.error

    def _live(self, running: _Running) -> None:
        self._by_thread[threading.get_ident()] = running
        try:
            running.actor()
        except BaseException as error:
            running.error = error
        finally:
            running.is_done = True
            running.stopped.set()


def every_order(race: Callable[[Scheduler], None], at_most: int) -> Iterator[list[int]]:
    """Run ``race`` in every order, and give the choices of each; fails if there are more than ``at_most``."""
    choices: list[int] = []
    for _ in range(at_most):
        scheduler = Scheduler(choices)
        race(scheduler)
        choices_taken = [*choices, *([0] * (len(scheduler.options) - len(choices)))]
        yield choices_taken
        while choices_taken and choices_taken[-1] + 1 >= scheduler.options[len(choices_taken) - 1]:
            choices_taken.pop()
        if not choices_taken:
            return
        choices = [*choices_taken[:-1], choices_taken[-1] + 1]
    raise AssertionError(f"more than {at_most} orders")

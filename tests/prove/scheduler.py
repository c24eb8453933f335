"""A deterministic scheduler that runs actors in every order in which their calls can occur.

Each actor has a thread that stops before every call it makes to the world. The scheduler resumes one at a time. A run
is the list of its choices; the next run differs from the last one in the last choice that has an alternative left
(depth first), until no alternative is left.
"""

import threading
from collections.abc import Callable, Iterator

Actor = Callable[[], object]


class _Runner(threading.Thread):
    """The thread of an actor, which runs only inside ``resume``."""

    def __init__(self, actor: Actor) -> None:
        super().__init__(daemon=True)
        self._actor = actor
        self._may_run, self._has_stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._error: BaseException | None = None
        self.is_done = False
        self.start()
        self.resume()  # up to the first call

    def run(self) -> None:
        self._may_run.acquire()
        try:
            self._actor()
        except BaseException as error:
            self._error = error
        self.is_done = True
        self._has_stopped.release()

    def resume(self) -> None:
        """Run the actor up to its next call or its end, and raise what it raised."""
        self._may_run.release()
        self._has_stopped.acquire()
        if self._error is not None:
            raise self._error

    def pause(self) -> None:
        self._has_stopped.release()
        self._may_run.acquire()


class Scheduler:
    """One run by ``choices``. Afterwards, ``options`` holds the number of actors that each choice was made from."""

    def __init__(self, choices: list[int]) -> None:
        self._choices = choices
        self.options: list[int] = []

    def switch(self, _call: str) -> None:
        """Pause the actor that is about to make a call. Threads that belong to no actor go on."""
        thread = threading.current_thread()
        if isinstance(thread, _Runner):
            thread.pause()

    def run_actors(self, actors: list[Actor]) -> None:
        runners = [_Runner(actor) for actor in actors]
        while alive := [runner for runner in runners if not runner.is_done]:
            step = len(self.options)
            self.options.append(len(alive))
            alive[self._choices[step] if step < len(self._choices) else 0].resume()


def every_order(race: Callable[[Scheduler], None], at_most: int) -> Iterator[list[int]]:
    """Run ``race`` in every order and yield the choices of each run; fail after ``at_most`` orders."""
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

"""A life that a test directs step by step, with the checks of an explored one."""

from dataclasses import replace

from tests.prove.explorer import Choice, Explorer, Scenario, count_life
from tests.prove.stage import Position, Stage
from tests.prove.troubles import Trouble


class Life:
    """A directed life: whoever is named acts, as far as the test says. ``installed`` it once, and end it."""

    def __init__(self, scenario: Scenario) -> None:
        self.explorer = Explorer(replace(scenario, troubles=99))
        self._choices_taken: list[Choice] = []

    def __enter__(self) -> "Life":
        self._installation = self.explorer.stage.install_ports()
        self._installation.__enter__()
        self._state = self.explorer.first_state
        return self

    def __exit__(self, *_: object) -> None:
        self._installation.__exit__(None, None, None)

    def let_act(self, name: str, *, before: str = "", until_state: str = "", trouble: Trouble = None) -> None:
        """``name`` acts once, with ``trouble``; or until its next call is ``before`` or in a state; or to its end.

        Fails when it never comes there.
        """
        index = next(n for n, actor in enumerate(self.explorer.scenario.actors) if actor.name == name)
        if trouble is not None:
            self._take_choice(Choice(index, trouble))
            return
        while position := self._read_pending(index):
            if (before and position.pending == before) or (until_state and position.state == until_state):
                return
            self._take_choice(Choice(index))
        awaited = before or until_state
        assert not awaited, f"{name} came to its end: {self._state.positions[index].result}"

    def result_of(self, name: str) -> str:
        index = next(n for n, actor in enumerate(self.explorer.scenario.actors) if actor.name == name)
        return self._state.positions[index].result

    @property
    def received_outcomes(self) -> list[str]:
        """The outcomes that subscribers received, once the life was ended."""
        return [notice.outcome for notice in self.explorer.stage.received_notices]

    def end_life(self) -> "Stage":
        """Nothing breaks any more; the world as it is then. Fails, and prints the life, if anything is wrong."""
        violations = self.explorer.judge_state(self._state)
        count_life(violations)
        assert not violations, "\n" + self.explorer.print_life(self._choices_taken, violations)
        self.explorer.stage.restore_snapshot(self._state.snapshot)
        self.explorer.stage.live_on()
        return self.explorer.stage

    def _read_pending(self, index: int) -> Position | None:
        position = self._state.positions[index]
        return position if position.pending else None

    def _take_choice(self, choice: Choice) -> None:
        self._state = self.explorer.take_choice(self._state, choice)
        self._choices_taken.append(choice)

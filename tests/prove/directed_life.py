"""A life that a test directs step by step, and that is judged like an explored one."""

from contextlib import ExitStack
from dataclasses import replace

from tests.prove.explorer import Choice, Explorer, Scenario, count_life
from tests.prove.stage import Stage
from tests.prove.troubles import Trouble


class Life:
    """A directed life. Enter it as a context manager, let its actors act, and call ``end_life``."""

    def __init__(self, scenario: Scenario) -> None:
        self.explorer = Explorer(replace(scenario, troubles=99))
        self._choices_taken: list[Choice] = []
        self._installation = ExitStack()

    def __enter__(self) -> "Life":
        self._installation.enter_context(self.explorer.stage.install_ports())
        self._state = self.explorer.first_state
        return self

    def __exit__(self, *_: object) -> None:
        self._installation.close()

    def let_act(self, name: str, *, before: str = "", until_state: str = "", trouble: Trouble = None) -> None:
        """Let an actor take one step with ``trouble``; or steps until it reaches a call or a state; or all its steps.

        Fails if the actor never reaches the call that is to come next (``before``) or the state (``until_state``).
        """
        index = self._index_of(name)
        if trouble is not None:
            self._take_choice(Choice(index, trouble))
            return
        while (position := self._state.positions[index]).pending:
            if (before and position.pending == before) or (until_state and position.state == until_state):
                return
            self._take_choice(Choice(index))
        awaited = before or until_state
        assert not awaited, f"{name} ended without {awaited}: {position.result}"

    def result_of(self, name: str) -> str:
        return self._state.positions[self._index_of(name)].result

    @property
    def received_outcomes(self) -> list[str]:
        """The outcomes that subscribers received, after ``end_life``."""
        return [notice.outcome for notice in self.explorer.stage.received_notices]

    def end_life(self) -> Stage:
        """Let everything run on without faults and return the world; fail, with the life, if anything is wrong."""
        violations = self.explorer.judge_state(self._state)
        count_life(violations)
        assert not violations, "\n" + self.explorer.print_life(self._choices_taken, violations)
        self.explorer.stage.restore_snapshot(self._state.snapshot)
        self.explorer.stage.live_on()
        return self.explorer.stage

    def _index_of(self, name: str) -> int:
        return [actor.name for actor in self.explorer.scenario.actors].index(name)

    def _take_choice(self, choice: Choice) -> None:
        self._state = self.explorer.take_choice(self._state, choice)
        self._choices_taken.append(choice)

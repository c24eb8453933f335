"""Explores whole lives of a payment: executions, reconciliation, operators and time, in every order, with faults.

A life is a path of choices: which actor does its next call, and what breaks there. An actor is deterministic, so what
it will do depends only on the answers that its calls received. Its position is therefore a value: its
place in the state machine (state, input, variables, failed attempts) and the answers of the invocation at hand. To take
a step, the actor runs again from its place, is given those answers, does its next call on the world, and is paused
before the one after. No thread is needed, and the same position in the same world is never explored twice: states are
told apart by a digest of the tables, the gateway, the topic, the queue, the clock, and all positions.

``explore_lives`` takes every choice, breadth first, so the first wrong life that it finds is a shortest one.
``take_random_life`` takes random choices from a seed, and ``shrink_life`` shortens a wrong life while it stays wrong.

What is exact and what is simplified:

- Actors are interleaved at each call of a table, the gateway, topic or queue. Reading the clock, a query of the index
  and the measurement of the backlog belong to the call before them: what they read is only where to look.
- The clock stands still between two calls, but for timeouts and the workflow's waits, which pass for everybody (so a
  wait of one is a slow call of the others), and for the actor ``Jump``. Each actor's clock differs by milliseconds, so
  that no two write the same. Nobody is idle for minutes in the midst of a function or an execution, so long jumps come
  between them, or after an execution was stopped.
- An actor takes part at every point of the others' lives, the end included. ``Late`` delivers what is on its way; what
  has not arrived by then arrives before time jumps by more than ``LATE_SECONDS``.
- A function whose execution is stopped runs to its end, as in Lambda.
"""

import functools
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from payments.ports import Charge, Outcome

from tests.prove import world as worlds
from tests.prove.actors import Actor, Jump, Late, Stop, charges_all
from tests.prove.faults import Fault
from tests.prove.stage import _DIGESTS, Position, Snapshot, Stage, _is_under_way
from tests.prove.troubles import LATE_SECONDS, START, Directed, Trouble
from tests.prove.truth import Finding, find_repetitions, find_violations


@dataclass(frozen=True)
class Choice:
    """The actor of this index makes its next call, with this trouble."""

    actor: int
    trouble: Trouble = None


@dataclass(frozen=True)
class Scenario:
    """The actors of a life. ``preemptions`` limits how often they interrupt each other; None is no limit."""

    actors: tuple[Actor, ...]
    behaviour: Callable[[Charge], Outcome | None] = charges_all
    # How many troubles a life has, and at whose calls; None is at all.
    troubles: int = 0
    troubled: frozenset[str] | None = None
    preemptions: int | None = None
    # The only troubles to inject, unless None.
    only: frozenset[Fault | Directed] | None = None
    # Whether the executions are those of the Express workflow.
    is_express: bool = False
    # Whether a notice or a dead letter that is sent twice is wrong, even if it has the same id.
    announces_once: bool = False
    # What happened before the life begins.
    prepare: Callable[[Stage], None] = lambda _: None


@dataclass(frozen=True)
class State:
    snapshot: Snapshot
    positions: tuple[Position, ...]
    troubles: int
    current: int = -1
    preemptions: int = 0

    @property
    def digest(self) -> int:
        actors = tuple(position.digest for position in self.positions)
        return hash((self.snapshot.digest, actors, self.troubles, self.current, self.preemptions))


@dataclass
class Exploration:
    """The result of an exploration. ``wrong`` has the shortest wrong life, as text, for each finding."""

    states: int = 0
    steps: int = 0
    lives: int = 0
    checked: int = 0
    finding_counts: Counter[str] = field(default_factory=Counter)
    wrong: dict[Finding, str] = field(default_factory=dict)


class Explorer:
    """Explores one scenario. Use it inside ``stage.install_ports()``."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.stage = Stage(scenario.behaviour, is_express=scenario.is_express)
        self._steps: dict[tuple[int, int, int, Trouble], tuple[Snapshot, Position]] = {}
        self._judged: dict[int, tuple[list[Finding], str]] = {}
        for number, actor in enumerate(scenario.actors):
            actor.offset = number * 0.001

    @functools.cached_property
    def first_state(self) -> State:
        self.scenario.prepare(self.stage)
        positions = tuple(actor.first_position(self.stage) for actor in self.scenario.actors)
        preemptions = -1 if self.scenario.preemptions is None else self.scenario.preemptions
        return State(self.stage.take_snapshot(), positions, self.scenario.troubles, preemptions=preemptions)

    def list_choices(self, state: State) -> Iterator[Choice]:
        scenario = self.scenario
        for index, actor in enumerate(scenario.actors):
            if not self._is_next(state, index, actor):
                continue
            yield Choice(index)
            if state.troubles and (scenario.troubled is None or actor.name in scenario.troubled):
                for trouble in actor.list_troubles(state.positions[index]):
                    if scenario.only is None or trouble in scenario.only:
                        yield Choice(index, trouble)

    def _is_next(self, state: State, index: int, actor: Actor) -> bool:
        if not state.positions[index].pending:
            return False
        if isinstance(actor, Late) and not (state.snapshot.late or self._is_late(state)):
            return False
        if isinstance(actor, Jump) and actor.seconds > LATE_SECONDS and any(map(_is_under_way, state.positions)):
            return False
        interrupted = state.current not in (-1, index) and bool(state.positions[state.current].pending)
        return state.preemptions != 0 or not interrupted

    def _is_late(self, state: State) -> bool:
        self.stage.restore_snapshot(state.snapshot)
        return self.stage.is_something_late

    def take_choice(self, state: State, choice: Choice) -> State:
        """Return the state after a choice. Steps are cached."""
        position = state.positions[choice.actor]
        key = (choice.actor, position.digest, state.snapshot.digest, choice.trouble)
        if key not in self._steps:
            self.stage.restore_snapshot(state.snapshot)
            actor = self.scenario.actors[choice.actor]
            after = actor.take_step(self.stage, position, choice.trouble)
            self._steps[key] = (self.stage.take_snapshot(), after)
        snapshot, after = self._steps[key]
        positions = list(state.positions)
        positions[choice.actor] = after
        self._stop_execution(choice, positions)
        bounded = self.scenario.preemptions is not None
        interrupts = bounded and state.current not in (-1, choice.actor) and state.positions[state.current].pending
        return State(
            snapshot,
            tuple(positions),
            state.troubles - (choice.trouble is not None),
            choice.actor if bounded and after.pending else -1,
            state.preemptions - bool(interrupts),
        )

    def _stop_execution(self, choice: Choice, positions: list[Position]) -> None:
        """Let a stopped execution end at once, or with the function that it runs."""
        actor = self.scenario.actors[choice.actor]
        if not isinstance(actor, Stop):
            return
        for index, stopped_actor in enumerate(self.scenario.actors):
            position = positions[index]
            if stopped_actor.name == actor.stopped and position.pending:
                outside = position.begins_invocation or position.pending.startswith("workflow.")
                if outside or position.pending == START:
                    positions[index] = Position("", result="STOPPED").with_digest()
                else:
                    positions[index] = replace(position, stopped=True).with_digest()

    def judge_state(self, state: State) -> list[Finding]:
        """Return what is wrong after the schedule has run without further trouble."""
        return self._judge_end(state)[0]

    def _judge_end(self, state: State) -> tuple[list[Finding], str]:
        judgement = self._judged.get(state.snapshot.digest)
        if judgement is None:
            self.stage.restore_snapshot(state.snapshot)
            self.stage.live_on()
            findings = list(find_violations(self.stage, self.stage.received_notices))
            if self.scenario.announces_once:
                findings += find_repetitions(self.stage, self.stage.received_notices)
            judgement = findings, self._describe_end()
            self._judged[state.snapshot.digest] = judgement
        return judgement

    def _describe_end(self) -> str:
        """Describe the ledger, the notices, the money and the dead letters after a life."""
        statuses: dict[str, list[str]] = {}
        for (transaction_id, _), step in sorted(self.stage.dynamodb.steps.items()):
            statuses.setdefault(transaction_id, []).append(step["status"]["S"])
        lines = [f"  the ledger says of {key}: {' -> '.join(steps)}" for key, steps in statuses.items()]
        outcomes = [f"{notice.outcome} ({notice.notice_id})" for notice in self.stage.received_notices]
        letters = [str(letter.get("error")) for letter in self.stage.queue.letters]
        lines.append(f"  subscribers heard: {', '.join(outcomes) or 'nothing'}")
        lines.append(f"  money moved: {', '.join(kind for kind, _ in self.stage.gateway.movements) or 'never'}")
        lines.append(f"  dead letters: {', '.join(letters) or 'none'}")
        return "\n".join(lines)

    def take_life(self, choices: list[Choice]) -> tuple[list[Choice], State]:
        """Take those of the choices that are possible, and then go on without trouble to the end."""
        state, choices_taken = self.first_state, []
        for choice in choices:
            if choice in set(self.list_choices(state)):
                state = self.take_choice(state, choice)
                choices_taken.append(choice)
        while quiet := [choice for choice in self.list_choices(state) if choice.trouble is None]:
            last = choices_taken[-1].actor if choices_taken else -1
            choice = next((choice for choice in quiet if choice.actor == last), quiet[0])
            state = self.take_choice(state, choice)
            choices_taken.append(choice)
        return choices_taken, state

    def print_life(self, choices: list[Choice], violations: list[Finding]) -> str:
        """Return the life, step by step, and what is wrong with it."""
        state, lines, last = self.first_state, [], -1
        for number, choice in enumerate(choices):
            before, state = state, self.take_choice(state, choice)
            is_over = all(isinstance(self.scenario.actors[next_choice.actor], Jump) for next_choice in choices[number:])
            if not is_over and not self._has_no_effect(before, state, choice.actor):
                lines += self._print_step(before, state, choice, is_named=choice.actor != last)
                last = choice.actor
        wrong = [f"  WRONG, {finding.kind}: {finding.text}" for finding in violations]
        end = self._judge_end(state)[1]
        return "\n".join([*lines, "  and then nothing breaks, and the schedule runs:", end, *wrong])

    @staticmethod
    def _has_no_effect(before: State, after: State, actor: int) -> bool:
        """Whether the actor started and ended without doing anything."""
        indexes = range(len(before.positions))
        moved = [index for index in indexes if index != actor and before.positions[index] is not after.positions[index]]
        is_idle = before.snapshot.digest == after.snapshot.digest and not moved
        return is_idle and before.positions[actor].pending == START and not after.positions[actor].pending

    def _print_step(self, before: State, after: State, choice: Choice, *, is_named: bool) -> list[str]:
        position, reached = before.positions[choice.actor], after.positions[choice.actor]
        place = f" [{position.state}]" if position.state else ""
        broken = f"  ! {choice.trouble.value}" if choice.trouble else ""
        notices = after.snapshot.received_notices[len(before.snapshot.received_notices) :]
        outcomes = ", ".join(f"{notice.outcome} ({notice.notice_id})" for notice in notices)
        hearing = f"  -> subscribers hear {outcomes}" if notices else ""
        name = self.scenario.actors[choice.actor].name if is_named else ""
        lines = [f"  {name:<22} {position.pending}{place}{broken}{hearing}"]
        if not reached.pending and reached.result != "done":
            lines.append(f"  {'':<22} ends: {reached.result}")
        return lines

    def shrink_life(self, choices: list[Choice], kind: str) -> list[Choice]:
        """Shorten a life by leaving out parts and troubles while it has a finding of this kind."""

        def size(life: list[Choice]) -> tuple[int, int, int]:
            troubles = sum(choice.trouble is not None for choice in life)
            return troubles, sum(before.actor != after.actor for before, after in itertools.pairwise(life)), len(life)

        def is_as_wrong(life: list[Choice]) -> list[Choice] | None:
            choices_taken, state = self.take_life(life)
            if any(finding.kind == kind for finding in self.judge_state(state)) and size(choices_taken) < size(best):
                return choices_taken
            return None

        best = list(choices)
        improved = True
        while improved:
            improved = False
            for length in (16, 8, 4, 2, 1):
                place = 0
                while place < len(best):
                    parts = [[*best[:place], *best[place + length :]]]
                    # Instead of leaving the part out, move it to the end.
                    parts.append([*best[:place], *best[place + length :], *best[place : place + length]])
                    if length == 1 and best[place].trouble:
                        parts.append([*best[:place], Choice(best[place].actor), *best[place + 1 :]])
                    shorter = next((life for part in parts if (life := is_as_wrong(part))), None)
                    if shorter:
                        best, improved = shorter, True
                    else:
                        place += 1
        return best

    def explore_lives(self, at_most: int = 400_000) -> Exploration:
        """Explore every life of the scenario; fail after ``at_most`` states."""
        explored = Exploration()
        beginning = self.first_state
        # How each state was reached, to print a life.
        reached: dict[int, tuple[int, Choice] | None] = {beginning.digest: None}
        waiting, ends = deque([beginning]), set()
        while waiting:
            state = waiting.popleft()
            explored.states += 1
            assert explored.states <= at_most, f"more than {at_most} states"
            is_end = True
            for choice in self.list_choices(state):
                is_end = False
                after = self.take_choice(state, choice)
                digest = after.digest
                if digest not in reached:
                    reached[digest] = (state.digest, choice)
                    waiting.append(after)
            if is_end:
                explored.lives += 1
                ends.add(state.snapshot.digest)
                violations = self.judge_state(state)
                count_life(violations)
                explored.finding_counts.update(sorted({finding.kind for finding in violations}))
                for finding in violations:
                    if finding not in explored.wrong:
                        explored.wrong[finding] = self.print_life(_trace_life(reached, state.digest), violations)
        explored.steps, explored.checked = len(self._steps), len(ends)
        return explored

    def take_random_life(self, chance: random.Random, rate: float = 0.08) -> list[Choice]:
        """Return random choices: mostly the same actor goes on, and mostly without trouble."""
        state = self.first_state
        life: list[Choice] = []
        while choices := list(self.list_choices(state)):
            last = life[-1].actor if life else -1
            stays = [choice for choice in choices if choice.actor == last]
            if stays and chance.random() < 0.75:
                choices = stays
            index = chance.choice(sorted({choice.actor for choice in choices}))
            troubles = [choice for choice in choices if choice.actor == index and choice.trouble]
            choice = chance.choice(troubles) if troubles and chance.random() < rate else Choice(index)
            state = self.take_choice(state, choice)
            life.append(choice)
        return life

    def forget_steps(self) -> None:
        """Clear the caches, since random lives rarely repeat a step."""
        self._steps.clear()
        self._judged.clear()
        _DIGESTS.clear()


def count_life(violations: list[Finding]) -> None:
    """Add one life to the figures of the proof."""
    worlds.FIGURES["lives checked"] += 1
    worlds.FIGURES.update(sorted({finding.kind for finding in violations}))


def _trace_life(reached: dict[int, tuple[int, Choice] | None], digest: int) -> list[Choice]:
    path = []
    while step := reached[digest]:
        digest, choice = step
        path.append(choice)
    return path[::-1]

"""A run undoes its changes, however it ends."""

import signal
from collections.abc import Iterator

import pytest

from scripts.common.command import INTERRUPTS
from scripts.verify.cleanup import Cleanup
from scripts.verify.results import Stopped


@pytest.fixture(params=INTERRUPTS)
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """An interrupt that is not ignored, whoever runs the tests."""
    handler = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, handler)


def test_an_interrupt_while_changes_are_undone_leaves_nothing_undone(number: signal.Signals) -> None:
    cleanup, undone, lines = Cleanup(), [], []
    cleanup.report = lines.append
    cleanup.add_step("delete the queue", lambda: undone.append("queue"))

    def delete_dead_letters() -> None:
        signal.raise_signal(number)
        undone.append("dead letters")

    cleanup.add_step("delete the dead letters", delete_dead_letters)
    with cleanup.undo_at_end():
        pass
    assert undone == ["dead letters", "queue"]
    assert "still undoing the changes; please wait" in lines
    # Afterwards it interrupts again.
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_after_an_interrupt_no_other_comes_between_it_and_its_message(number: signal.Signals) -> None:
    cleanup = Cleanup()
    with pytest.raises(KeyboardInterrupt), cleanup.undo_at_end():
        signal.raise_signal(number)
    signal.raise_signal(number)


def test_nothing_is_changed_once_changes_are_undone() -> None:
    cleanup = Cleanup()
    cleanup.undo_all()
    with pytest.raises(Stopped):
        cleanup.make_change("delete the queue", pytest.fail, str)


def test_a_defect_in_one_step_leaves_the_others_undone() -> None:
    cleanup, undone = Cleanup(), []
    cleanup.add_step("first", lambda: undone.append("first"))
    cleanup.add_step("second", lambda: undone.append(str(1 / 0)))
    with pytest.raises(ZeroDivisionError), cleanup.undo_at_end():
        pass
    assert (undone, cleanup.problems) == (["first"], ["second: division by zero"])

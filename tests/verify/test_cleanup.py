"""A run undoes its changes, however it ends."""

import os
import signal

import pytest

from scripts.verify.cleanup import Cleanup


def test_a_second_ctrl_c_leaves_nothing_undone() -> None:
    """The second Ctrl-C interrupts the undoing of the latest step."""
    cleanup, undone, lines = Cleanup(), [], []
    cleanup.report = lines.append
    cleanup.add_step("delete the queue", lambda: undone.append("queue"))

    def delete_dead_letters() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        undone.append("dead letters")

    cleanup.add_step("delete the dead letters", delete_dead_letters)
    cleanup.undo_all()
    assert undone == ["dead letters", "queue"]
    assert "still undoing the changes; please wait" in lines
    # Afterwards Ctrl-C interrupts again.
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)

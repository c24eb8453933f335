"""What a run undoes, however it ends."""

import os
import signal

import pytest

from scripts.verify.cleanup import Cleanup


def test_a_second_ctrl_c_leaves_nothing_undone() -> None:
    """It comes while the last step that was added is undone, which takes a while."""
    cleanup, undone, lines = Cleanup(), [], []
    cleanup.say = lines.append
    cleanup.add("delete the queue", lambda: undone.append("queue"))

    def delete_dead_letters() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        undone.append("dead letters")

    cleanup.add("delete the dead letters", delete_dead_letters)
    cleanup.run()
    assert undone == ["dead letters", "queue"]
    assert "still undoing; it ends by itself" in lines
    # From then on Ctrl-C is what it was.
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)

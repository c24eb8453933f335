"""An error in the background of a test is noticed."""

import threading

import pytest

from tests.ops.conftest import BackgroundLoop


@pytest.fixture
def failing_loop() -> tuple[BackgroundLoop, threading.Event]:
    """Return a loop that fails, and an event that is set when it has failed."""
    has_failed = threading.Event()

    def fail_once() -> None:
        has_failed.set()
        raise OSError("nobody listens")

    return BackgroundLoop(fail_once, 0), has_failed


def test_its_error_is_raised_at_the_end_of_the_block(failing_loop: tuple[BackgroundLoop, threading.Event]) -> None:
    loop, has_failed = failing_loop
    with pytest.raises(OSError, match="nobody listens"), loop:
        has_failed.wait()


def test_an_error_of_the_block_takes_precedence_with_a_note(
    failing_loop: tuple[BackgroundLoop, threading.Event],
) -> None:
    loop, has_failed = failing_loop
    with pytest.raises(AssertionError, match="of the block") as raised, loop:
        assert not has_failed.wait(), "of the block"
    assert "nobody listens" in raised.value.__notes__[0]

"""What is done in the background of a test does not fail unnoticed."""

import threading

import pytest

from tests.ops.conftest import Repeated


@pytest.fixture
def failing() -> tuple[Repeated, threading.Event]:
    """Tells when it has failed."""
    tried = threading.Event()

    def fail() -> None:
        tried.set()
        raise OSError("nobody listens")

    return Repeated(fail, 0), tried


def test_its_error_is_raised_when_the_block_ends(failing: tuple[Repeated, threading.Event]) -> None:
    repeated, tried = failing
    with pytest.raises(OSError, match="nobody listens"), repeated:
        tried.wait()


def test_an_error_of_the_block_goes_first_and_tells_of_it(failing: tuple[Repeated, threading.Event]) -> None:
    repeated, tried = failing
    with pytest.raises(AssertionError, match="of the block") as raised, repeated:
        assert not tried.wait(), "of the block"
    assert "nobody listens" in raised.value.__notes__[0]

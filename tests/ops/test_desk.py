"""What is said at the desk is read without waiting for what does not come."""

import os
from collections.abc import Iterator
from io import RawIOBase

import pytest

from tests.ops.desk import read_until


@pytest.fixture
def pipe() -> Iterator[tuple[int, RawIOBase]]:
    """Where it is read, and whoever speaks, who has said something."""
    output, speaker = os.pipe()
    with open(output, "rb", 0), open(speaker, "wb", 0) as speaking:
        speaking.write(b"one, two")
        yield output, speaking


def test_it_is_read_until_it_is_said(pipe: tuple[int, RawIOBase]) -> None:
    assert read_until(pipe[0], ["one", "two"]) == b"one, two"


def test_a_silent_command_is_waited_for_so_long_and_no_longer(pipe: tuple[int, RawIOBase]) -> None:
    assert read_until(pipe[0], ["three"], seconds=0.1) == b"one, two"


@pytest.mark.timeout(30)
def test_a_command_that_has_ended_is_not_waited_for(pipe: tuple[int, RawIOBase]) -> None:
    output, speaking = pipe
    speaking.close()
    assert read_until(output, ["three"], seconds=3600) == b"one, two"

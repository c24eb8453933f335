"""The output of a command is read without waiting for output that does not come."""

import os
from collections.abc import Iterator
from io import RawIOBase

import pytest

from tests.ops.desk import read_output_until


@pytest.fixture
def pipe() -> Iterator[tuple[int, RawIOBase]]:
    """Return both ends of a pipe that has some output."""
    output, write_end = os.pipe()
    with open(output, "rb", 0), open(write_end, "wb", 0) as writer:
        writer.write(b"one, two")
        yield output, writer


def test_output_is_read_up_to_the_texts(pipe: tuple[int, RawIOBase]) -> None:
    assert read_output_until(pipe[0], ["one", "two"]) == b"one, two"


def test_a_silent_command_is_waited_for_until_the_time_is_over(pipe: tuple[int, RawIOBase]) -> None:
    assert read_output_until(pipe[0], ["three"], seconds=0.1) == b"one, two"


@pytest.mark.timeout(30)
def test_a_command_that_has_ended_is_not_waited_for(pipe: tuple[int, RawIOBase]) -> None:
    output, writer = pipe
    writer.close()
    assert read_output_until(output, ["three"], seconds=3600) == b"one, two"

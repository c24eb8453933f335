"""Makes the commands that messages suggest, so that a reader can paste them into a shell as they are."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# The options of the running command that lead to its settings and its account, as they were given. A process runs one
# command, whose messages come from several threads.
_given_options: tuple[str, ...] = ()


@contextmanager
def repeat_options(options: Sequence[str]) -> Iterator[None]:
    """Let each suggested command have these options as well: without them it would work on another environment."""
    global _given_options
    previous, _given_options = _given_options, tuple(options)
    try:
        yield
    finally:
        _given_options = previous


def suggest_command(script: str, *arguments: str) -> str:
    """Return the command line ``scripts/SCRIPT.sh ARGUMENTS``, quoted for a POSIX shell, with the repeated options."""
    return shlex.join((f"scripts/{script}.sh", *arguments, *_given_options))

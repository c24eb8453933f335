"""Makes the commands that messages suggest, so that a reader can paste them into a shell as they are."""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# The options of the running command that lead to its settings and its account, as they were given. A process runs one
# command, whose messages come from several threads.
_given_options: tuple[str, ...] = ()
# The Region that the settings prescribe, which the AWS CLI does not know.
_pinned_region = ""
# The service and the operation of a command of the AWS CLI, apart from those that only look at its configuration.
_AWS_COMMAND = re.compile(r"\baws (?!configure )[a-z0-9]+ [a-z][a-z0-9-]+")
# The same with its arguments, up to where a sentence goes on.
_WHOLE_AWS_COMMAND = re.compile(f"{_AWS_COMMAND.pattern}[^`,;]*")
# The commands that this process has suggested, for `find_suggestions`.
_suggested: set[str] = set()


@contextmanager
def repeat_options(options: Sequence[str]) -> Iterator[None]:
    """Let each suggested command have these options as well: without them it would work on another environment."""
    global _given_options, _pinned_region
    previous, _given_options = _given_options, tuple(options)
    try:
        yield
    finally:
        _given_options, _pinned_region = previous, ""


def pin_region(region: str) -> None:
    """Let each suggested command of the AWS CLI name this Region, if the running command was given no other."""
    global _pinned_region
    _pinned_region = region


def suggest_command(script: str, *arguments: str) -> str:
    """Return the command line ``scripts/SCRIPT.sh ARGUMENTS``, quoted for a POSIX shell, with the repeated options."""
    return _remember(shlex.join((f"scripts/{script}.sh", *arguments, *_given_options)))


def suggest_payments_command(environment: str, *arguments: str) -> str:
    """Return the command line of ``scripts/payments.sh``, which takes the environment as an option."""
    return suggest_command("payments", "--env", environment, *arguments)


def complete_aws_commands(text: str) -> str:
    """Return a text in which each command of the AWS CLI has the ``--region`` and ``--profile`` of the running command.

    https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-options.html
    """
    options = dict(zip(_given_options[::2], _given_options[1::2], strict=True))
    values = {"--region": options.get("--region") or _pinned_region, "--profile": options.get("--profile")}
    words = [word for option, value in values.items() if value and option not in text for word in (option, value)]
    added = f" {shlex.join(words)}" if words else ""
    completed = _AWS_COMMAND.sub(lambda command: command[0] + added, text)
    for command in _WHOLE_AWS_COMMAND.findall(completed):
        _remember(command.rstrip())
    return completed


def find_suggestions(text: str) -> list[tuple[int, int]]:
    """Return the start and the end of each command in a text that a message suggests, in their order.

    A command that is broken into lines could not be pasted into a shell.
    """
    spans: list[tuple[int, int]] = []
    for command in sorted((command for command in _suggested if command in text), key=len, reverse=True):
        for match in re.finditer(re.escape(command) + r"(?!\S*\w)", text):
            if not any(start < match.end() and match.start() < end for start, end in spans):
                spans.append(match.span())
    return sorted(spans)


def _remember(command: str) -> str:
    _suggested.add(command)
    return command

"""How commands end: what went wrong as one line on stderr, and the exit code.

1: it failed, in a way that was to be expected. 130: Ctrl-C, or SIGTERM, or the terminal was closed. Any other failure
is a defect of ours, with its traceback. What a wrong argument ends with is the command's own.
"""

import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import click

from stacks.settings import SettingsError

from .errors import AWS_ERRORS, UserError, describe_aws_error

HELP = {"help_option_names": ["-h", "--help"]}


class Interrupted(Exception):
    """Ctrl-C, with what to say of it."""


@contextmanager
def report_errors(
    name: str,
    *,
    debug: bool = False,
    interrupt_message: str = "",
    broken_pipe_message: str = "",
    describe_aws: Callable[[Exception], str] = describe_aws_error,
) -> Iterator[None]:
    """End the process with one line that begins with ``name``; with ``debug`` the traceback comes before it.

    ``interrupted`` is what to say of Ctrl-C, ``unread`` of a pipe that nobody reads any more, if anything; ``of_aws``
    puts an error of AWS's into words.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a sign shows another.
            stream.reconfigure(errors="replace")
    for one in (signal.SIGTERM, signal.SIGHUP):
        # `nohup` starts a command that is to outlive its terminal.
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, _raise_interrupt)
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as error:
        _print_traceback(debug)
        what = str(error) or interrupt_message
        exit_with_error(name, f"interrupted; {what}" if what else "interrupted", 130)
    except BrokenPipeError:
        # Nor is what is still to be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if broken_pipe_message:
            exit_with_error(name, broken_pipe_message)
        sys.exit(1)
    except (UserError, SettingsError) as error:
        _print_traceback(debug)
        exit_with_error(name, str(error))
    except AWS_ERRORS as error:
        _print_traceback(debug)
        exit_with_error(name, describe_aws(error))


def exit_with_error(name: str, message: str, code: int = 1) -> NoReturn:
    with suppress(OSError):  # nor does a terminal that is gone show it
        click.echo(f"{name}: {message}", err=True)
    sys.exit(code)


def _print_traceback(debug: bool) -> None:
    if debug:
        traceback.print_exc()


def _raise_interrupt(_signal: int, _frame: FrameType | None) -> None:
    # A terminal that closes may say so twice; what is tidied up because of the first is not to be interrupted.
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt

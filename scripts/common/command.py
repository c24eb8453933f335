"""How commands end: errors as one line on stderr, and the exit code.

The exit code is 1 for an expected error, 3 if an operation continues that is no longer watched, 130 for Ctrl-C, SIGTERM
or a closed terminal, and 141 for a command that only reads and whose output nobody reads any more. Any other exception
is a defect and keeps its traceback. The exit code for wrong arguments is the command's own.
"""

import errno
import gc
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from stacks.settings import SettingsError

from .errors import OutputError, UserError, describe_error, is_aws_error
from .streams import find_lost_output, prepare_streams
from .terminal import echo

HELP = {"help_option_names": ["-h", "--help"]}
# click's "(Did you mean one of ...?)" behind a sentence.
_QUESTION_AT_END = re.compile(r"\((Did you mean [^()]*\?)\)$")
# 128 and the number of SIGPIPE, which Windows does not have.
UNREAD = 141
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
INTERRUPTS = (signal.SIGINT, *_SIGNALS)


class Interrupted(Exception):
    """Ctrl-C, with the message to print."""


@contextmanager
def report_errors(
    name: str,
    *,
    debug: bool = False,
    interrupt_message: str = "",
    describe_end: Callable[[Exception], str] = describe_error,
    show_error: Callable[[str], object] = str,
) -> Iterator[None]:
    """End the process on an error with one line that begins with ``name``; ``debug`` prints the traceback before it.

    ``interrupt_message`` is printed on Ctrl-C, and ``describe_end`` describes an error. ``show_error`` is called with
    the message, too, for programs that read standard output.
    """

    def end(message: str, code: int = 1) -> NoReturn:
        ignore_interrupts()  # of another one, only one of the two readers would learn
        _print_error(name, message)
        # Last, because a reader that has stalled would hold it up.
        with suppress(OSError):  # nobody may read the output any more
            show_error(message)
        exit_with_error(name, "", code)

    prepare_streams()
    for number in _SIGNALS:
        # `nohup` ignores SIGHUP, so that the command outlives its terminal.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise_interrupt)
    try:
        yield
        # From here on, it is done.
        ignore_interrupts()
        sys.stdout.flush()
        if loss := find_lost_output():
            exit_with_error(name, f"done, but {loss}; the rest of it stands above, on standard error")
    except (KeyboardInterrupt, Interrupted) as error:
        _print_traceback(debug)
        message = str(error) or interrupt_message
        end(f"interrupted; {message}" if message else "interrupted", 130)
    except (UserError, SettingsError) as error:
        _print_traceback(debug)
        end(describe_end(error), getattr(error, "exit_code", UserError.exit_code))
    except Exception as error:
        if is_aws_error(error):
            _print_traceback(debug)
        elif not isinstance(error, OutputError):
            raise
        end(describe_end(error))
    finally:
        ignore_interrupts()


@contextmanager
def end_silently_if_unread() -> Iterator[None]:
    """End the process without a message if nobody reads its output any more, as with ``| head``.

    For commands that only read: they end as other tools do, with the exit code that a shell gives to SIGPIPE.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OutputError as error:
        if error.errno != errno.EPIPE:
            raise
        exit_with_error("", "", UNREAD)


def ignore_interrupts() -> None:
    """Ignore Ctrl-C, SIGTERM and a closed terminal from now on: the result is reported, and is the exit code's, too.

    Without this, an interrupt while the interpreter ends would be the result of a command that has succeeded.
    """
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)


class UsageErrorInOneLine(click.UsageError):
    """Wrong arguments, shown as one line like any other error, instead of click's paragraphs."""

    def __init__(self, error: click.UsageError, exit_code: int) -> None:
        message = " ".join(error.format_message().split())
        super().__init__(_QUESTION_AT_END.sub(r"\1", message), error.ctx)
        self.exit_code = exit_code  # type: ignore[misc] # click reads the attribute of the instance

    def __str__(self) -> str:
        if self.ctx is None:
            return self.message
        guide = f"{self.ctx.command_path} --help"
        # click may end with a question: "Did you mean ...?"
        return (
            f"{self.message} See {guide}" if self.message.endswith("?") else f"{self.message.rstrip('.')}; see {guide}"
        )

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click's signature, and it gives none
        script = self.ctx.find_root().info_name if self.ctx else ""
        echo(f"{Path(script or '').stem}: {self}", err=True)


class GuardedCommand(click.Command):
    """A command whose help and usage errors, too, are one line, even if they cannot be written."""

    usage_exit_code = click.UsageError.exit_code
    _asks_help = False

    def main(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        # Modules, templates and plans stay until a command ends: to look for garbage seldom saves a tenth of its CPU.
        # https://docs.python.org/3/library/gc.html#gc.set_threshold
        gc.set_threshold(50_000, 20, 20)
        prepare_streams()
        self._asks_help = bool(set(HELP["help_option_names"]) & set(sys.argv if args is None else args))
        return super().main(args, *others, **options)

    def report_usage_error(self, message: str) -> None:
        """Report wrong arguments to programs that read standard output, before the line on standard error."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        script = parent.find_root().info_name if parent else info_name
        context = self.context_class(self, info_name=info_name, parent=parent)
        with self._end_on_unwritable_output(script), self._shorten_usage_error(context):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with self._end_on_unwritable_output(ctx.find_root().info_name), self._shorten_usage_error(ctx):
            _check_working_folder()
            return super().invoke(ctx)

    @contextmanager
    def _end_on_unwritable_output(self, script: str | None) -> Iterator[None]:
        try:
            with end_silently_if_unread() if self._asks_help else nullcontext():
                yield
        except OutputError as error:
            exit_with_error(Path(script or "").stem, describe_error(error))

    @contextmanager
    def _shorten_usage_error(self, context: click.Context) -> Iterator[None]:
        try:
            yield
        except click.UsageError as error:
            # Without any argument, the help is the answer.
            if isinstance(error, (UsageErrorInOneLine, NoArgsIsHelpError)):
                raise
            # click's parser names no context for an option without its value.
            error.ctx = error.ctx or context
            shortened = UsageErrorInOneLine(error, self.usage_exit_code)
            with suppress(OSError):
                self.report_usage_error(str(shortened))
            raise shortened from None


def _check_working_folder() -> None:
    """Raise ``click.UsageError`` if the working folder is deleted: nothing could be found or written from there."""
    try:
        os.getcwd()
    except OSError as error:
        raise click.UsageError(f"the working folder cannot be used ({error.strerror}); change to another one") from None


def _print_error(name: str, message: str) -> None:
    with suppress(OSError):  # the terminal may be closed
        echo(f"{name}: {message}", err=True)


def exit_with_error(name: str, message: str, code: int = 1) -> NoReturn:
    if message:
        _print_error(name, message)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # The interpreter flushes the rest when it exits, and would change the exit code; discard it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _print_traceback(debug: bool) -> None:
    if debug:
        traceback.print_exc()


def resume_interrupts() -> None:
    """Let the next SIGTERM or closed terminal interrupt a command again that has gone on after the first."""
    for number in _SIGNALS:
        if signal.getsignal(number) is _pass_over:
            signal.signal(number, _raise_interrupt)


def _raise_interrupt(_signal: int, _frame: FrameType | None) -> None:
    # A closing terminal may send a second signal, which must not interrupt the cleanup after the first.
    for number in _SIGNALS:
        if signal.getsignal(number) is _raise_interrupt:
            signal.signal(number, _pass_over)
    raise KeyboardInterrupt


def _pass_over(_signal: int, _frame: FrameType | None) -> None:
    """Let a signal pass; unlike an ignored one, it is not the caller who wants that."""

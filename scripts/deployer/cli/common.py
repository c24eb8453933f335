"""What the commands share: their options, and how an error ends them."""

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.common import command
from scripts.common.errors import OutputError, StillRunning, UserError, describe_error, is_aws_error, raise_both
from scripts.common.paths import ROOT
from scripts.common.requests import EXECUTION, NO_STACK, NOTHING
from scripts.common.suggestion import repeat_options, suggest_command
from scripts.common.terminal import echo
from stacks import settings

if TYPE_CHECKING:
    from rich.console import Console

    from scripts.common.target import Target

HELP = command.HELP


class ExitsWith1(command.GuardedCommand):
    """A command whose usage errors exit with 1, because 2 means that a plan has changes."""

    usage_exit_code = 1
    _is_for_program = False

    def main(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        self._is_for_program = "--json" in (sys.argv if args is None else args) and self._can_print_json()
        return super().main(args, *others, **options)

    def _can_print_json(self) -> bool:
        return any("--json" in parameter.opts for parameter in self.params)

    def report_usage_error(self, message: str) -> None:
        if self._is_for_program:
            self._print_json_error(message)

    def _print_json_error(self, message: str) -> None:
        print_json_error(message)


def print_json_error(message: str) -> None:
    """Print what stands in place of the document of a command with ``--json`` that ends with an error."""
    echo(json.dumps({"error": message}, indent=2))


@dataclass(frozen=True)
class CommonOptions:
    environment: str
    profile: str | None
    region: str | None
    settings_file: Path
    debug: bool
    # The targets that the command has reached.
    _targets: "list[Target]" = field(default_factory=list, repr=False, compare=False)

    def list_given_options(self) -> list[str]:
        """Return the options that lead a command to the same settings, account and Region as this one."""
        return list_given_options(self.settings_file, self.region, self.profile)

    def reach_target(self, *, announce_start_on: "Console | None" = None) -> "Target":
        """Return the target of the environment; see ``reach_environment``."""
        from scripts.local.choose_target import reach_environment

        target = reach_environment(
            self.environment,
            self.profile,
            self.region,
            settings_file=self.settings_file,
            announce_start_on=announce_start_on,
        )
        self._targets.append(target)
        return target

    @contextmanager
    def report_errors(
        self, name: str, interrupted: str, *, show_error: Callable[[str], object] = str
    ) -> Iterator[None]:
        """End the command on an error as ``command.report_errors`` does."""
        with (
            command.report_errors(
                name,
                debug=self.debug,
                interrupt_message=interrupted,
                describe_end=self.describe_end,
                show_error=show_error,
            ),
            self.report_continuation(),
        ):
            yield

    def describe_end(self, error: Exception) -> str:
        """Return the message of an error that ends the command.

        After an error of AWS, or if the output cannot be written, it says what has been changed, too.
        So does one that explains an error of AWS, or a refused change set, and any after a change set was executed,
        unless it names the changes itself.
        """
        changes = "; ".join(target.requests.describe_changes() for target in self._targets) or NOTHING
        message = self._correct_fate(describe_error(error), changes)
        has_executed = any(target.requests.has_requested(EXECUTION) for target in self._targets)
        is_explained = has_executed or (bool(self._targets) and _explains_refusal(error))
        names_changes = isinstance(error, UserError) and error.names_changes
        is_unfinished = isinstance(error, StillRunning) or changes in message
        # Of an earlier step, this one knows nothing.
        is_unfinished |= not has_executed and "nothing was" in message
        ends_early = isinstance(error, OutputError) or is_aws_error(error)
        if (ends_early and changes not in message) or (is_explained and not is_unfinished and not names_changes):
            return f"{message}; {changes}"
        return message

    def _correct_fate(self, message: str, changes: str) -> str:
        """Return the message with ``changes`` for "nothing": a step that fails knows nothing of the earlier ones."""
        if any(target.requests.has_executed for target in self._targets):
            from scripts.deployer.change_set import NOT_EXECUTED

            message = message.replace(NOT_EXECUTED, changes)
        if any(target.requests.may_have_changed_stacks for target in self._targets):
            message = message.replace(NOTHING, changes).replace(NO_STACK, changes)
        return message

    def describe_interrupt(self) -> str:
        """Return what an interrupted command has changed, or may have; empty if that is nothing."""
        changed = [target.requests for target in self._targets if target.requests.may_have_changed_stacks]
        changes = "; ".join(requests.describe_changes() for requests in changed)
        return f"interrupted; {changes}; see {suggest_command('status', self.environment)}" if changes else ""

    @contextmanager
    def report_continuation(self) -> Iterator[None]:
        """Raise ``StillRunning`` for what ends the command while it watches an operation, which continues."""
        try:
            yield
        except (KeyboardInterrupt, OutputError):
            for target in self._targets:
                with target.watch.report_continuation():
                    raise
            raise

    @contextmanager
    def explain_interrupt(self) -> Iterator[None]:
        """Raise ``UserError`` for an interrupt after the first request that has changed a stack, or may have.

        It is ``StillRunning`` if an operation may continue.
        """
        try:
            with self.report_continuation():
                yield
        except KeyboardInterrupt as error:
            if message := self.describe_interrupt():
                raise (StillRunning if self.may_have_begun_operation else UserError)(message) from error
            raise

    @property
    def may_have_begun_operation(self) -> bool:
        """Whether an operation may continue that an interrupted command does not report itself."""
        return any(target.requests.may_have_begun_operation for target in self._targets)

    @property
    def record(self) -> Path:
        """The file that keeps the templates of the last deployment from this machine."""
        return Path(os.environ.get("DEPLOYED_FOLDER", ROOT / ".deployed")) / f"{self.environment}.json"


def list_given_options(settings_file: Path, region: str | None, profile: str | None) -> list[str]:
    """Return those of the options that were given, with their values."""
    given_file = "" if settings_file == settings.ENVIRONMENTS_FILE else str(settings_file)
    options = {"--settings": given_file, "--region": region, "--profile": profile}
    return [text for option, value in options.items() if value for text in (option, value)]


@contextmanager
def keep_result(result: str, *, goes_on: bool = False) -> Iterator[None]:
    """Add ``result`` to whatever ends the command while it shows that; an empty one, of no change, is not added.

    ``goes_on`` is whether an operation continues.
    """
    try:
        yield
    except (KeyboardInterrupt, OutputError) as error:
        if not result:
            raise
        try:
            raise_both(error, result, goes_on=goes_on)
        except UserError as interrupted:
            interrupted.names_changes = True
            raise


def is_expected(error: BaseException) -> bool:
    """Whether a command reports the error, instead of failing with a traceback."""
    expected = (UserError, settings.SettingsError, OutputError, KeyboardInterrupt)
    return isinstance(error, expected) or is_aws_error(error)


def _explains_refusal(error: BaseException) -> bool:
    from scripts.deployer.change_set import RefusedChangeSet

    is_caused = is_aws_error(error.__cause__) or isinstance(error.__cause__, KeyboardInterrupt)
    return is_caused or isinstance(error, RefusedChangeSet)


settings_option = click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path),
    default=settings.ENVIRONMENTS_FILE,
    help="The settings file.  [default: stacks/environments.toml]",
)


def common_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every command has; ``function`` receives them as its first argument."""

    @functools.wraps(function)
    def call_with_options(
        *, environment: str, profile: str | None, region: str | None, settings_file: Path, debug: bool, **options: Any
    ) -> None:
        common = CommonOptions(environment, profile, region, settings_file, debug)
        with repeat_options(common.list_given_options()):
            function(common, **options)

    for option in (
        click.option("--debug", is_flag=True, help="Show a traceback when something fails."),
        settings_option,
        click.option("--region", help="The region; the profile's by default."),
        click.option("--profile", help="A profile of the AWS configuration."),
        click.argument("environment"),
    ):
        call_with_options = option(call_with_options)
    return call_with_options

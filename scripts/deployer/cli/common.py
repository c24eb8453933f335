"""What the commands share: their options, and how an error ends them."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.common import command
from scripts.common.errors import StillRunning, UnwritableOutput, describe_error, is_aws_error
from scripts.common.paths import ROOT
from scripts.common.requests import NO_STACK, NOTHING
from stacks import settings

if TYPE_CHECKING:
    from rich.console import Console

    from scripts.common.target import Target

HELP = command.HELP


@contextmanager
def _exit_with_1() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        error.exit_code = 1  # type: ignore[misc] # click reads the attribute of the instance
        raise


class ExitsWith1(command.GuardedCommand):
    """A command whose usage errors exit with 1, because 2 means that a plan has changes."""

    @_exit_with_1()
    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        return super().make_context(*arguments, **options)

    @_exit_with_1()
    def invoke(self, context: click.Context) -> Any:
        return super().invoke(context)


@dataclass(frozen=True)
class CommonOptions:
    environment: str
    profile: str | None
    region: str | None
    settings_file: Path
    debug: bool
    # The targets that the command has reached.
    _targets: "list[Target]" = field(default_factory=list, repr=False, compare=False)

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

    def report_errors(self, name: str, interrupted: str) -> AbstractContextManager[None]:
        return command.report_errors(
            name, debug=self.debug, interrupt_message=interrupted, describe_end=self.describe_end
        )

    def describe_end(self, error: BaseException) -> str:
        """Return the message of an error that ends the command.

        After an error of AWS, or if the output cannot be written, it says what has been changed, too.
        An error that explains one of AWS, or a refused change set, says so only if no stack was changed.
        """
        message = describe_error(error)
        changes = "; ".join(target.requests.describe_changes() for target in self._targets) or NOTHING
        is_explained = bool(self._targets) and _explains_refusal(error)
        is_unfinished = (
            isinstance(error, StillRunning) or changes not in (NOTHING, NO_STACK) or "nothing was" in message
        )
        ends_early = isinstance(error, UnwritableOutput) or is_aws_error(error)
        if ends_early or (is_explained and not is_unfinished):
            return f"{message}; {changes}"
        return message

    def describe_interrupt(self) -> str:
        """Return what an interrupted command has changed, or may have; empty if that is nothing."""
        changed = [target.requests for target in self._targets if target.requests.may_have_changed_stacks]
        changes = "; ".join(requests.describe_changes() for requests in changed)
        return f"interrupted; {changes}; see scripts/status.sh {self.environment}" if changes else ""

    @property
    def may_have_begun_operation(self) -> bool:
        """Whether an operation may continue that an interrupted command does not report itself."""
        return any(target.requests.may_have_begun_operation for target in self._targets)

    @property
    def record(self) -> Path:
        """The file that keeps the templates of the last deployment from this machine."""
        return Path(os.environ.get("DEPLOYED_FOLDER", ROOT / ".deployed")) / f"{self.environment}.json"


def _explains_refusal(error: BaseException) -> bool:
    from scripts.deployer.change_set import RefusedChangeSet

    is_caused = is_aws_error(error.__cause__) or isinstance(error.__cause__, KeyboardInterrupt)
    return is_caused or isinstance(error, RefusedChangeSet)


def common_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every command has; ``function`` receives them as its first argument."""

    @functools.wraps(function)
    def call_with_options(
        *, environment: str, profile: str | None, region: str | None, settings_file: Path, debug: bool, **options: Any
    ) -> None:
        function(CommonOptions(environment, profile, region, settings_file, debug), **options)

    for option in (
        click.option("--debug", is_flag=True, help="Show a traceback when something fails."),
        click.option(
            "--settings",
            "settings_file",
            type=click.Path(path_type=Path),
            default=settings.ENVIRONMENTS_FILE,
            help="The settings file.  [default: stacks/environments.toml]",
        ),
        click.option("--region", help="The region; the profile's by default."),
        click.option("--profile", help="A profile of the AWS configuration."),
        click.argument("environment"),
    ):
        call_with_options = option(call_with_options)
    return call_with_options

"""scripts/deploy.sh: a sub-command for each way to deploy, and to control a deployment in progress.

``deploy`` is the default. It has each other sub-command as a hidden option, an alias: ``dev --apply FILE`` is ``apply
dev FILE``. The sub-command may also follow the environment: ``dev apply FILE``. aliases.py does both. Messages and
documents name the sub-command first.
"""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.common.command import end_silently_if_unread, exit_with_error, ignore_interrupts
from scripts.common.errors import StillRunning, UserError
from scripts.common.streams import outlast_output
from scripts.common.suggestion import suggest_command
from scripts.common.terminal import create_console
from scripts.deployer.deployment_options import Deployed, DeploymentOptions, Rollout, stack_name
from stacks import settings
from stacks.settings import SettingsError

from .aliases import EXECUTION, FILE, CommandGroup, DeployCommand
from .common import HELP, CommonOptions, common_options, keep_result
from .confirmation import confirm_deployment

if TYPE_CHECKING:
    from rich.console import Console

    from scripts.deployer.report.reporter import Reporter
    from scripts.deployer.session import Session

_NOTHING_DONE = "no changes; nothing was done"


@click.group(
    cls=CommandGroup,
    context_settings=HELP,
    options_metavar="[COMMAND]",
    subcommand_metavar="[OPTIONS] ENVIRONMENT [FILE]",
)
def main() -> None:
    """Deploy the payment platform to ENVIRONMENT through a change set.

    ENVIRONMENT is a table in the settings file; `local` is deployed to an AWS emulator on this machine, which is
    started if it is not running. Without a command, `deploy` is run.

    \b
      scripts/deploy.sh dev
      scripts/deploy.sh plan dev --out plan.json
      scripts/deploy.sh apply dev plan.json
      scripts/deploy.sh plan --help

    The command may also follow the environment (`dev plan`), or be an option (`dev --plan`).
    """


_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
_destroys = click.option(
    "--destroys",
    multiple=True,
    metavar="NAME",
    help="Confirm that data of resource NAME may be lost; required with --yes. Repeatable.",
)
_wait = click.option("--wait", is_flag=True, help="Wait for a deployment that is running.")
_adopt = click.option("--adopt", is_flag=True, help="Take over a stack that another tool created from these templates.")
_revert_drift = click.option(
    "--revert-drift",
    is_flag=True,
    help="Compare with the actual resources, and revert what was changed outside CloudFormation.",
)
_express = click.option(
    "--express", is_flag=True, help="Do not wait until resources are ready; for environments whose settings allow it."
)
_keep_failed = click.option(
    "--keep-failed", is_flag=True, help="If a resource fails, keep what succeeded instead of rolling back."
)
_skip_validation = click.option(
    "--skip-validation", is_flag=True, help="Leave out CloudFormation's checks before the deployment."
)


def _execution_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of how the change set is executed; ``function`` receives them as a dictionary, ``execution``."""

    @functools.wraps(function)
    def call_with_execution(*arguments: Any, **options: Any) -> None:
        execution = {name: options.pop(name) for name in EXECUTION}
        function(*arguments, execution=execution, **options)

    return _revert_drift(_express(_keep_failed(_skip_validation(call_with_execution))))


_full = click.option(
    "--full",
    is_flag=True,
    help="List the resources of created stacks and what they grant, every difference, and long values as a whole.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, one object per line.")


@main.command()
@common_options
@click.option("--out", type=FILE, metavar="FILE", help="Save the plan in FILE, for `apply`.")
@click.option("--offline", is_flag=True, help="Compare templates only, without access to AWS.")
@click.option("--against", metavar="REVISION", help="Compare with a git revision, offline.")
@_execution_options
@_wait
@_adopt
@_full
@_json
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown, for a comment on a pull request.")
@click.option("--import", "imports_existing", is_flag=True, help="Plan an import; see `import`.")
def plan(
    common: CommonOptions,
    execution: dict[str, bool],
    out: Path | None,
    offline: bool,
    against: str | None,
    wait: bool,
    adopt: bool,
    full: bool,
    as_json: bool,
    as_markdown: bool,
    imports_existing: bool,
) -> None:
    """Show what a deployment would change.

    Exit code 0: no changes, 2: changes, 1: error.
    """
    if against == "":
        raise click.UsageError("--against has no revision to compare with")
    offline = offline or bool(against)
    if as_json and as_markdown:
        raise click.UsageError("--json cannot be combined with --markdown")
    if out and offline:
        raise click.UsageError("--out cannot be combined with --offline")
    _check_execution(execution, offline=offline, imports_existing=imports_existing)
    with (
        _open_reporter(common, as_json, as_markdown=as_markdown, full=full) as (report, console),
        # A plan that is not saved only reads.
        nullcontext() if out else end_silently_if_unread(),
    ):
        options = _read_options(
            common,
            offline=offline,
            only_plan=True,
            out=out,
            wait=wait,
            adopt=adopt,
            imports_existing=imports_existing,
            **execution,
        )
        # An offline plan has none of the options that are checked.
        if not offline:
            from scripts.deployer.execution_options import check_options
            from scripts.local.choose_target import check_supported

            check_options(options)
            check_supported(options.environment, "import" if imports_existing else "")
        if out:
            from scripts.deployer.saved_plan import check_destination

            check_destination(out)
        if offline:
            from scripts.deployer.offline import plan_offline

            obstacle = settings.describe_missing_generation(options.environment, common.settings_file)
            planned = plan_offline(options, against, report, obstacle=obstacle, region=common.region or "")
        else:
            from scripts.deployer.deploy import deploy as deploy_platform
            from scripts.deployer.session import Session

            planned = deploy_platform(Session(options, common.reach_target(announce_start_on=console), report))
        _end_plan(options, report, planned)


def _check_execution(execution: dict[str, bool], *, offline: bool, imports_existing: bool) -> None:
    """Fail for options of the execution that a plan without AWS or an import cannot have."""
    selected = ", ".join(f"--{name.replace('_', '-')}" for name, is_set in execution.items() if is_set)
    if selected and offline:
        raise click.UsageError(f"{selected} cannot be combined with --offline")
    if imports_existing and (offline or selected):
        raise click.UsageError(f"--import cannot be combined with {selected or '--offline'}")


@main.command()
@common_options
@click.argument("file", type=FILE)
@_yes
@_destroys
@_adopt
@_json
def apply(common: CommonOptions, file: Path, yes: bool, destroys: tuple[str, ...], adopt: bool, as_json: bool) -> None:
    """Execute exactly the plan saved in FILE."""
    command_options: dict[str, Any] = {"destroys": destroys, "adopt": adopt}
    with _open_session(common, as_json, yes, file=file, starts_emulator=False, **command_options) as session:
        from scripts.deployer.apply import apply_plan

        _end_deployment(session, apply_plan(session, file))


@main.command()
@common_options
@click.argument("file", type=FILE)
@_json
def discard(common: CommonOptions, file: Path, as_json: bool) -> None:
    """Delete the plan saved in FILE, and its change sets.

    If the file is lost, FILE may be the name of a change set of the plan, as `status.sh` lists it.
    """
    from scripts.deployer.abandoned import is_change_set_name

    name = str(file) if is_change_set_name(str(file)) and not file.exists() else ""
    with _open_session(common, as_json, file=None if name else file, starts_emulator=False) as session:
        from scripts.deployer.apply import describe_file, discard_change_set, discard_plan

        outlast_output("deploy")
        if name:
            plan = discard_change_set(session, name)
            description, names, have_existed, fate_of_file = str(plan), plan.stack_names, True, ""
        else:
            names, have_existed, is_deleted = discard_plan(session, file)
            description = f"the saved plan in {file}"
            fate_of_file = "" if is_deleted else f"; {describe_file(file, is_deleted)}"
        change_sets = f"with its change sets of {' and '.join(names)}"
        fate = change_sets if have_existed else "its change sets did not exist any more"
        message = f"{description} has been deleted{', ' if have_existed else '; '}{fate}{fate_of_file}"
        # The platform, if the plan was to change both stacks.
        with keep_result(message):
            session.report.show_result("discarded", stack_name=names[-1], outputs={}, message=message)


@main.command("import")
@common_options
@_yes
@_destroys
@_wait
@_adopt
@_full
@_json
def import_existing(
    common: CommonOptions, yes: bool, destroys: tuple[str, ...], wait: bool, adopt: bool, full: bool, as_json: bool
) -> None:
    """Deploy, and take in tables, vaults and logs that exist.

    A deletion retains them; their names are then taken, so that `deploy` refuses to create them. `plan --import` shows
    what this does.
    """
    command_options: dict[str, Any] = {"destroys": destroys, "wait": wait, "adopt": adopt, "imports_existing": True}
    with _open_session(common, as_json, yes, full=full, command="import", **command_options) as session:
        from scripts.deployer.deploy import deploy as deploy_platform

        _end_deployment(session, deploy_platform(session))


@main.command("refactor")
@common_options
@click.option(
    "--move",
    "moves",
    multiple=True,
    metavar="FROM=TO",
    help="Move FROM to TO, such as Data/Old=Data/New; by default, what a plan finds. Repeatable.",
)
@_yes
@_json
def move_resources(common: CommonOptions, moves: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Move or rename resources without replacing them."""
    with _open_session(common, as_json, yes, command="refactor") as session:
        from scripts.deployer.refactor import refactor_stacks

        options = session.options
        if refactor_stacks(session, moves):
            command = suggest_command("deploy", options.environment)
            result, message = "refactored", f"moved; now deploy the templates: {command}"
        else:
            result, message = "no changes", "no resource can be moved; nothing was done"
        with keep_result(message if result == "refactored" else ""):
            session.report.show_result(result, stack_name=options.stack_name, outputs={}, message=message)


@main.command("code-only")
@common_options
@_json
def put_code_only(common: CommonOptions, as_json: bool) -> None:
    """Put the code in lambda/ into the functions at once.

    Nothing is deployed or asked. For environments whose settings allow it; the next deployment takes it back.
    """
    with _open_session(common, as_json, starts_emulator=False, code_only=True) as session:
        from scripts.deployer.code_only import update_code

        outlast_output("deploy")
        updated, name = update_code(session), session.options.stack_name
        result, message = ("code updated", updated.message) if updated.changed else ("no changes", _NOTHING_DONE)
        with keep_result(message if updated.changed else ""):
            session.report.show_result(result, stack_name=name, outputs={}, message=message)


@main.command()
@common_options
@_json
def follow(common: CommonOptions, as_json: bool) -> None:
    """Watch the deployment in progress from its beginning."""
    with _open_session(common, as_json, starts_emulator=False) as session:
        from scripts.deployer.rollback import follow_operation

        _end_operation(session, follow_operation(session))


@main.command()
@common_options
@_json
def cancel(common: CommonOptions, as_json: bool) -> None:
    """Cancel the update in progress and roll it back."""
    with _open_session(common, as_json, starts_emulator=False) as session:
        from scripts.deployer.rollback import cancel_update

        outlast_output("deploy")
        _end_operation(session, cancel_update(session))


@main.command("continue-rollback")
@common_options
@click.option("--skip", multiple=True, metavar="STACK/RESOURCE", help="Skip this resource and leave it as it is.")
@_json
def continue_rollback(common: CommonOptions, skip: tuple[str, ...], as_json: bool) -> None:
    """Continue a rollback that failed."""
    with _open_session(common, as_json, starts_emulator=False) as session:
        from scripts.deployer import rollback

        outlast_output("deploy")
        _end_operation(session, rollback.continue_rollback(session, skip))


@main.command("rollback")
@common_options
@_yes
@_destroys
@_json
def roll_back(common: CommonOptions, yes: bool, destroys: tuple[str, ...], as_json: bool) -> None:
    """Roll back what a failed deployment has kept."""
    with _open_session(common, as_json, yes, starts_emulator=False, destroys=destroys) as session:
        from scripts.deployer.rollback import roll_back_failure

        _end_operation(session, roll_back_failure(session))


# Declared last, because it has the options of the others.
@main.command(cls=DeployCommand, group=main)
@common_options
@_yes
@_destroys
@_execution_options
@_wait
@_adopt
@_full
@_json
def deploy(
    common: CommonOptions,
    execution: dict[str, bool],
    yes: bool,
    destroys: tuple[str, ...],
    wait: bool,
    adopt: bool,
    full: bool,
    as_json: bool,
) -> None:
    """Show the plan, ask for confirmation, and deploy."""
    options: dict[str, Any] = {"destroys": destroys, "wait": wait, "adopt": adopt, **execution}
    with _open_session(common, as_json, yes, full=full, **options) as session:
        from scripts.deployer.deploy import deploy as deploy_platform

        _end_deployment(session, deploy_platform(session))


@contextmanager
def _open_reporter(
    common: CommonOptions, as_json: bool, *, as_markdown: bool = False, full: bool = False
) -> "Iterator[tuple[Reporter, Console]]":
    """Yield the reporter, and the console for everything else; report a deployment that fails."""
    from scripts.deployer.failure import DeploymentFailed

    notes = create_console(stderr=True)
    report: Reporter
    if as_json:
        from scripts.deployer.report.json_reporter import JsonReporter

        report = JsonReporter(sys.stdout)
    else:
        from scripts.deployer.report.console_reporter import ConsoleReporter

        # A file or a CI log cannot be resized: as wide as the tables need.
        console = create_console(width=None if sys.stdout.isatty() else 140)
        report = ConsoleReporter(console, as_markdown=as_markdown, full=full)
        # Output for programs goes to stdout alone.
        notes = notes if as_markdown else console
    name = stack_name(common.environment)
    with common.report_errors("deploy", f"{name} was not changed", show_error=partial(report.show_error, name)):
        try:
            with common.explain_interrupt():
                yield report, notes
        except DeploymentFailed as failed:
            # Nobody may read the output any more, or wait until it is shown.
            with suppress(OSError, KeyboardInterrupt):
                report.show_failure(failed.failure)
            raise


@contextmanager
def _open_session(
    common: CommonOptions,
    as_json: bool,
    yes: bool = False,
    *,
    full: bool = False,
    command: str = "",
    file: Path | None = None,
    starts_emulator: bool = True,
    **command_options: Any,
) -> "Iterator[Session]":
    """Check all that can be checked without AWS or the emulator, and yield the session on the target."""
    with _open_reporter(common, as_json, full=full) as (report, console):
        options = _read_options(common, **command_options)
        from scripts.deployer.execution_options import check_options
        from scripts.deployer.session import Session
        from scripts.local.choose_target import check_emulator, check_supported

        check_options(options)
        check_supported(options.environment, command)
        if file:
            from scripts.deployer.apply import check_environment

            check_environment(file, options.environment)
            # A new emulator has no change set to execute or to delete.
            check_emulator(options.environment, f"the change sets of {file} have gone with it; delete the file")
        target = common.reach_target(announce_start_on=console if starts_emulator else None)
        yield Session(options, target, report, partial(confirm_deployment, yes, options.destroys))


def _read_options(common: CommonOptions, *, offline: bool = False, **command_options: Any) -> DeploymentOptions:
    environment, settings_file = common.environment, common.settings_file
    if environment in main.commands:
        raise UserError(f"an environment cannot be called {environment}: that is a command of scripts/deploy.sh")
    try:
        values = settings.load(environment, settings_file)
    except settings.UnknownEnvironment as error:
        _, command = main.find_nearest_command(environment)
        if not command:
            raise
        raise UserError(f"{error}; or did you mean the command {command}?") from error
    options = DeploymentOptions(
        environment,
        values,
        settings.load_bootstrap(settings_file),
        Rollout(**settings.load_rollout(environment, settings_file)),
        record=common.record,
        **command_options,
    )
    obstacle = settings.describe_missing_generation(environment, settings_file)
    if obstacle and not offline:
        raise SettingsError(obstacle)
    return options


def _end_operation(session: "Session", status: str) -> None:
    name, message = session.options.stack_name, f"ended {status}"
    with keep_result(f"{name} {message}"):
        session.report.show_result("ended", stack_name=name, outputs={}, message=message)


def _end_deployment(session: "Session", deployed: Deployed) -> None:
    result, message = ("deployed", deployed.message) if deployed.changed else ("no changes", _NOTHING_DONE)
    name, artifacts = session.options.stack_name, deployed.artifacts
    command = "" if deployed.have_outputs_changed else suggest_command("outputs", session.options.environment)
    ended = "; ".join([f"{name}: {message or result}", *([artifacts.message] if artifacts else [])])
    goes_on = artifacts is not None and artifacts.result == "continues"
    with keep_result(ended if deployed.changed else "", goes_on=goes_on):
        session.report.show_result(
            result,
            stack_name=name,
            outputs=deployed.outputs,
            message=message,
            artifacts=artifacts,
            outputs_command=command,
        )
    ignore_interrupts()
    if artifacts is not None and goes_on:
        # No error, which would be another result.
        exit_with_error("deploy", f"{name} is deployed; {artifacts.message}", StillRunning.exit_code)


def _end_plan(options: DeploymentOptions, report: "Reporter", planned: Deployed) -> None:
    """Report the result, and exit with 2 if there are changes."""
    if not planned.changed:
        message = planned.message or "no changes"
        report.show_result("no changes", stack_name=options.stack_name, outputs={}, message=message)
        sys.exit(0)
    message = planned.message or "nothing was changed"
    if options.out and not planned.message:
        from scripts.deployer.saved_plan import list_plan_commands

        apply_command, discard_command = list_plan_commands(options.environment, options.out)
        message = f"the plan is saved; run {apply_command}, or {discard_command}"
    with keep_result(message if options.out else ""):
        report.show_result("planned", stack_name=options.stack_name, outputs={}, message=message)
    sys.exit(2)


if __name__ == "__main__":
    main(prog_name="scripts/deploy.sh")

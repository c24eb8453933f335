"""scripts/deploy.sh"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console

from scripts.common.errors import UserError
from scripts.common.target import Target
from scripts.deployer import rollback, rollout
from scripts.deployer.apply import apply, discard
from scripts.deployer.deploy import deploy
from scripts.deployer.failure import DeploymentFailed
from scripts.deployer.offline import plan_offline
from scripts.deployer.order import Confirm, Deployed, Order, stack_name
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.report.json_reporter import JsonReporter
from scripts.deployer.report.reporter import Reporter
from scripts.local.reach import reach_environment
from stacks import settings

from . import common

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=common.Command, context_settings=common.HELP)
@common.everywhere
@click.option("--yes", "-y", is_flag=True, help="Deploy without asking.")
@click.option(
    "--plan", "only_plan", is_flag=True, help="Only show the plan; exit code 0: no changes, 2: changes, 1: error."
)
@click.option("--out", type=_FILE, metavar="FILE", help="With --plan: save the plan for a later --apply.")
@click.option("--apply", "apply_file", type=_FILE, metavar="FILE", help="Execute exactly the plan saved in FILE.")
@click.option("--discard", "discard_file", type=_FILE, metavar="FILE", help="Delete a saved plan and its change set.")
@click.option("--offline", is_flag=True, help="With --plan: compare templates only, without access to AWS.")
@click.option("--against", metavar="REVISION", help="With --offline: compare with a git revision.")
@click.option(
    "--destroys",
    multiple=True,
    metavar="NAME",
    help="Confirm that resource NAME may be deleted or replaced with its data; required with --yes. Repeatable.",
)
@click.option("--wait", is_flag=True, help="Wait for a deployment that is running.")
@click.option("--adopt", is_flag=True, help="Take over a stack that another tool created from these templates.")
@click.option("--follow", "follows", is_flag=True, help="Watch the deployment in progress.")
@click.option("--cancel", is_flag=True, help="Cancel the update that is running.")
@click.option("--continue-rollback", is_flag=True, help="Continue a rollback that failed.")
@click.option(
    "--skip",
    multiple=True,
    metavar="STACK/RESOURCE",
    help="With --continue-rollback: skip this resource and leave it as it is.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, one object per line.")
@click.option(
    "--markdown",
    "as_markdown",
    is_flag=True,
    help="With --plan: print the plan as Markdown for a pull-request comment.",
)
def main(
    environment: str,
    profile: str | None,
    region: str | None,
    settings_file: Path,
    debug: bool,
    yes: bool,
    only_plan: bool,
    out: Path | None,
    apply_file: Path | None,
    discard_file: Path | None,
    offline: bool,
    against: str | None,
    destroys: tuple[str, ...],
    wait: bool,
    adopt: bool,
    follows: bool,
    cancel: bool,
    continue_rollback: bool,
    skip: tuple[str, ...],
    as_json: bool,
    as_markdown: bool,
) -> None:
    """Deploy the payment platform to ENVIRONMENT through a change set.

    ENVIRONMENT is a table in the settings file; `local` is deployed to an AWS emulator on this machine, which is
    started if it is not running.
    """
    modes = {
        "--plan": only_plan,
        "--apply": apply_file,
        "--discard": discard_file,
        "--follow": follows,
        "--cancel": cancel,
        "--continue-rollback": continue_rollback,
    }
    _check_usage(
        modes,
        needs={
            "--out": (out, "--plan"),
            "--offline": (offline, "--plan"),
            "--markdown": (as_markdown, "--plan"),
            "--against": (against, "--offline"),
            "--skip": (skip, "--continue-rollback"),
        },
        given={"--offline": offline},
        never_together=(("--json", as_json, "--markdown", as_markdown), ("--out", out, "--offline", offline)),
    )
    report, console = _listeners(as_json, as_markdown)
    with common.report_errors("deploy", debug, f"{stack_name(environment)} was not changed"):
        order = Order(
            environment,
            settings.load(environment, settings_file),
            settings.load_bootstrap(settings_file),
            rollout.load(environment, settings_file),
            only_plan=only_plan,
            out=out,
            record=common.record_of(environment),
            destroys=destroys,
            wait=wait,
            adopt=adopt,
        )
        if offline:
            _planned(plan_offline(order, against, report), order, report)
        starts = not (follows or cancel or continue_rollback)
        target = reach_environment(environment, profile, region, announce_start_on=console if starts else None)
        confirm = _confirmation(yes, destroys)
        try:
            if follows or cancel or continue_rollback:
                _watched(order, target, report, cancel=cancel, goes_on=continue_rollback, skip=skip)
            elif discard_file:
                discard(order, discard_file, target)
                report.show_result(
                    "discarded", stack_name=order.stack_name, outputs={}, message="the saved plan has been deleted"
                )
            elif apply_file:
                _deployed(apply(order, apply_file, target, report, confirm), order, report)
            elif only_plan:
                _planned(deploy(order, target, report, confirm).changed, order, report)
            else:
                _deployed(deploy(order, target, report, confirm), order, report)
        except DeploymentFailed as failed:
            report.show_failure(failed.failure)
            raise


def _listeners(as_json: bool, as_markdown: bool) -> tuple[Reporter, Console]:
    """Who is told, and where else to print; what is for programs goes to stdout alone."""
    aside = Console(highlight=False, stderr=True)
    if as_json:
        return JsonReporter(sys.stdout), aside
    console = Console(highlight=False)
    if not sys.stdout.isatty():
        # Nobody resizes a file, or the log of a CI: as wide as tables need.
        console = Console(highlight=False, width=140)
    return ConsoleReporter(console, as_markdown=as_markdown), aside if as_markdown else console


def _check_usage(
    modes: Mapping[str, object],
    needs: Mapping[str, tuple[object, str]],
    given: Mapping[str, object],
    never_together: Sequence[tuple[str, object, str, object]],
) -> None:
    chosen = [name for name, value in modes.items() if value]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)}: use only one of these")
    for name, (value, needed) in needs.items():
        if value and needed not in chosen and not given.get(needed):
            raise click.UsageError(f"{name} requires {needed}")
    for name, value, other, other_value in never_together:
        if value and other_value:
            raise click.UsageError(f"{name} cannot be combined with {other}")


def _deployed(done: Deployed, order: Order, report: Reporter) -> None:
    if done.changed:
        report.show_result("deployed", stack_name=order.stack_name, outputs=done.outputs)
    else:
        message = "no changes; nothing was done"
        report.show_result("no changes", stack_name=order.stack_name, outputs=done.outputs, message=message)


def _planned(changes: bool, order: Order, report: Reporter) -> None:
    """Ends the command."""
    if not changes:
        report.show_result("no changes", stack_name=order.stack_name, outputs={}, message="no changes")
        sys.exit(0)
    message = "nothing was changed"
    if order.out:
        apply = f"scripts/deploy.sh {order.environment} --apply {order.out}"
        message = f"the plan is saved; run {apply}, or --discard {order.out}"
    report.show_result("planned", stack_name=order.stack_name, outputs={}, message=message)
    sys.exit(2)


def _watched(
    order: Order, target: Target, report: Reporter, *, cancel: bool, goes_on: bool, skip: tuple[str, ...]
) -> None:
    name = order.stack_name
    if cancel:
        status = rollback.cancel(order.environment, name, target, report)
    elif goes_on:
        status = rollback.go_on(order.environment, name, skip, target, report)
    else:
        status = rollback.follow(order.environment, name, target, report)
    report.show_result("ended", stack_name=name, outputs={}, message=f"ended {status}")


def _confirmation(yes: bool, destroys: Sequence[str]) -> Confirm:
    """What holds data goes only by its name: given, or typed. ``yes`` says nothing about it."""

    def confirm(question: str, lost: Sequence[str]) -> bool:
        unnamed = [name for name in dict.fromkeys(lost) if name not in destroys]
        if unnamed and yes:
            flags = " ".join(f"--destroys {name}" for name in unnamed)
            raise UserError(f"--yes does not cover data loss; to confirm it, add {flags}")
        if not all(
            common.typed(f"Type {name} to confirm that it may be deleted or replaced", name) for name in unnamed
        ):
            return False
        return yes or common.agreed(question)

    return confirm


if __name__ == "__main__":
    main(prog_name="scripts/deploy.sh")

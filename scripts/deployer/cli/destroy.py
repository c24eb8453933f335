"""scripts/destroy.sh"""

import sys
from contextlib import suppress
from functools import partial

import click

from scripts.common.paths import TEMPLATES
from scripts.common.suggestion import suggest_command
from scripts.common.terminal import create_console
from scripts.deployer.deployment_options import stack_name
from stacks import settings

from .common import HELP, CommonOptions, ExitsWith1, common_options, keep_result
from .confirmation import confirm_deletion


@click.command(cls=ExitsWith1, context_settings=HELP)
@common_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation; requires --destroys with each name.")
@click.option(
    "--destroys",
    multiple=True,
    metavar="NAME",
    help="Confirm that the stack or the retained resource NAME may be deleted. Repeatable.",
)
@click.option(
    "--purge",
    is_flag=True,
    help="Also delete what stacks of ENVIRONMENT have retained: tables, queues, log groups, backups, keys.",
)
@click.option("--unprotect", is_flag=True, help="Disable termination protection first.")
def main(common: CommonOptions, yes: bool, destroys: tuple[str, ...], purge: bool, unprotect: bool) -> None:
    """Delete ENVIRONMENT's stack. Lists first what is lost and what is retained outside the stack.

    With --purge, what is retained is deleted, too, each resource after its name was confirmed; also when the stack has
    been deleted before.
    """
    environment = common.environment
    name = stack_name(environment)
    with common.report_errors("destroy", f"{name} was not deleted"), common.explain_interrupt():
        parameters = settings.load(environment, common.settings_file)
        from scripts.deployer.destroy import DeletionOptions, destroy
        from scripts.deployer.failure import DeploymentFailed
        from scripts.deployer.purge.search import Purge
        from scripts.deployer.report.console_reporter import ConsoleReporter

        report = ConsoleReporter(create_console(width=None if sys.stdout.isatty() else 140))
        target = common.reach_target()
        options = DeletionOptions(
            environment,
            name,
            unprotect,
            common.record,
            Purge(environment, parameters, TEMPLATES) if purge else None,
            destroys,
        )
        try:
            deletion = destroy(options, target, report, partial(confirm_deletion, yes, destroys))
        except DeploymentFailed as failed:
            # Nobody may read the output any more, or wait until it is shown.
            with suppress(OSError, KeyboardInterrupt):
                report.show_failure(failed.failure)
            raise
        message, again = deletion.message, suggest_command("destroy", environment, "--purge")
        if deletion.retained:
            message += f"; delete them for good with {again}"
        elif deletion.had_stack and not purge:
            # A stack whose creation has failed has no template that tells.
            message += (
                f"; {suggest_command('status', environment)} says whether anything was retained outside the stack"
            )
        elif not purge:
            message += f"; if an earlier stack has retained resources, {again} lists and deletes them"
        has_deleted = deletion.had_stack or deletion.purged
        result = "deleted" if has_deleted else "not deployed"
        with keep_result(f"{name}: {message}" if has_deleted or deletion.tidied else ""):
            report.show_result(result, stack_name=name, outputs={}, message=message)


if __name__ == "__main__":
    main(prog_name="scripts/destroy.sh")

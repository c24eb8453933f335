"""scripts/destroy.sh"""

from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console

from scripts.common.errors import UserError
from scripts.common.paths import TEMPLATES
from scripts.deployer.destroy import Destruction, destroy
from scripts.deployer.failure import DeploymentFailed
from scripts.deployer.order import stack_name
from scripts.deployer.purge.search import Purge
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.local.reach import reach_environment
from stacks import settings

from . import common


@click.command(cls=common.Command, context_settings=common.HELP)
@common.everywhere
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
def main(
    environment: str,
    profile: str | None,
    region: str | None,
    settings_file: Path,
    debug: bool,
    yes: bool,
    destroys: tuple[str, ...],
    purge: bool,
    unprotect: bool,
) -> None:
    """Delete ENVIRONMENT's stack. Lists first what is lost and what is retained outside the stack.

    With --purge, what is retained is deleted, too, each resource after its name was confirmed; also when the stack has
    been deleted before.
    """
    name = stack_name(environment)
    with common.report_errors("destroy", debug, f"{name} was not deleted"):
        parameters = settings.load(environment, settings_file)
        console = Console(highlight=False)
        report = ConsoleReporter(console)
        target = reach_environment(environment, profile, region)

        def confirm(questions: Mapping[str, str]) -> bool:
            unnamed = {lost: question for lost, question in questions.items() if lost not in destroys}
            if unnamed and yes:
                flags = " ".join(f"--destroys {lost}" for lost in unnamed)
                raise UserError(f"--yes does not cover data loss; to confirm it, add {flags}")
            for lost, question in unnamed.items():
                if not common.typed(f"{question} Type {lost} to confirm", lost):
                    return False
            return yes or bool(unnamed) or common.agreed(f"Delete {', '.join(questions)}?")

        asked = Destruction(
            environment,
            name,
            unprotect,
            common.record_of(environment),
            Purge(environment, parameters, TEMPLATES) if purge else None,
            destroys,
        )
        try:
            gone = destroy(asked, target, report, confirm)
        except DeploymentFailed as failed:
            report.show_failure(failed.failure)
            raise
        report.show_result("deleted" if gone else "is not deployed", stack_name=name, outputs={})


if __name__ == "__main__":
    main(prog_name="scripts/destroy.sh")

"""scripts/destroy.sh"""

from pathlib import Path

import click
from rich.console import Console

from scripts.deployer.destroy import Destruction, destroy
from scripts.deployer.errors import DeployError
from scripts.deployer.failure import DeploymentFailed
from scripts.deployer.order import stack_name
from scripts.deployer.report.people import People
from stacks import settings

from . import common


@click.command(cls=common.Command, context_settings=common.HELP)
@common.everywhere
@click.option(
    "--yes", "-y", is_flag=True, help="Do not ask for confirmation; requires --destroys with the stack's name."
)
@click.option("--destroys", metavar="NAME", help="Confirm that the stack NAME and everything in it may be deleted.")
@click.option("--unprotect", is_flag=True, help="Disable termination protection first.")
def main(
    environment: str,
    profile: str | None,
    region: str | None,
    settings_file: Path,
    debug: bool,
    yes: bool,
    destroys: str | None,
    unprotect: bool,
) -> None:
    """Delete ENVIRONMENT's stack. Lists first what is lost and what is retained outside the stack."""
    name = stack_name(environment)
    with common.one_line_errors("destroy", debug, f"{name} was not deleted"):
        settings.load(environment, settings_file)
        if destroys and destroys != name:
            raise DeployError(f"--destroys {destroys}: the stack is {name}")
        console = Console(highlight=False)
        report = People(console)
        target = common.reach(environment, profile, region, console, start=False)

        def confirm(question: str, stack: str) -> bool:
            if destroys == stack:
                return yes or common.agreed(question)
            if yes:
                raise DeployError(f"--yes does not cover data loss; to confirm it, add --destroys {stack}")
            return common.typed(f"{question} Type {stack} to confirm", stack)

        asked = Destruction(environment, name, unprotect, common.record_of(environment))
        try:
            gone = destroy(asked, target, report, confirm)
        except DeploymentFailed as failed:
            report.failed(failed.failure)
            raise
        report.ended("deleted" if gone else "is not deployed", stack_name=name, outputs={})


if __name__ == "__main__":
    main(prog_name="scripts/destroy.sh")

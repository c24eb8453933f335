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


@click.command(context_settings=common.HELP)
@common.everywhere
@click.option("--yes", "-y", is_flag=True, help="Without asking; needs --destroys with the stack's name.")
@click.option("--destroys", metavar="NAME", help="The stack NAME may go with all that it holds.")
@click.option("--unprotect", is_flag=True, help="Take termination protection off.")
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
    """Take ENVIRONMENT's stack down. What is lost, and what stays outside it, is said first."""
    name = stack_name(environment)
    with common.one_line_errors("destroy", debug, f"{name} was not taken down"):
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
                raise DeployError(f"--yes does not cover what is lost; if it may go, add --destroys {stack}")
            return common.typed(f"{question} Type {stack} to let it go", stack)

        asked = Destruction(environment, name, unprotect, common.record_of(environment))
        try:
            gone = destroy(asked, target, report, confirm)
        except DeploymentFailed as failed:
            report.failed(failed.failure)
            raise
        report.ended("taken down" if gone else "is not deployed", stack_name=name, outputs={})


if __name__ == "__main__":
    main(prog_name="scripts/destroy.sh")

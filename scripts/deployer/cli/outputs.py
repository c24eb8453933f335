"""scripts/outputs.sh"""

import json
import re
import shlex

import click

from scripts.common.command import end_silently_if_unread
from scripts.common.errors import UserError
from scripts.common.suggestion import suggest_command
from scripts.common.terminal import create_console, echo
from stacks import settings

from .common import HELP, CommonOptions, ExitsWith1, common_options


@click.command(cls=ExitsWith1, context_settings=HELP)
@common_options
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "env", "json"]),
    default="table",
    show_default=True,
    help="The env format can be sourced by a shell.",
)
@click.argument("names", nargs=-1)
def main(common: CommonOptions, shape: str, names: tuple[str, ...]) -> None:
    """Print the outputs of ENVIRONMENT's stack, or only those in NAMES.

    With one name and the table format, prints only the value.
    """
    with common.report_errors("outputs", "nothing was changed"), end_silently_if_unread():
        settings.load(common.environment, common.settings_file)
        from scripts.deployer.report import plan_text
        from scripts.deployer.stack import describe_environment

        target = common.reach_target()
        stack = describe_environment(target.client("cloudformation"), common.environment)
        for name in names:
            if name not in stack.outputs:
                raise UserError(
                    f"{stack.name} has no output {name}; see {suggest_command('outputs', common.environment)}"
                )
        values = {name: stack.outputs[name] for name in names or sorted(stack.outputs)}
        if shape == "json":
            echo(json.dumps(values, indent=2))
        elif shape == "env":
            for name, value in values.items():
                echo(f"export {as_variable(name)}={shlex.quote(value)}")
        elif len(names) == 1:
            echo(values[names[0]])
        else:
            plan_text.print_outputs(create_console(), values)


def as_variable(name: str) -> str:
    """Return ``SNS_TOPIC_ARN`` for ``SnsTopicArn``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


if __name__ == "__main__":
    main(prog_name="scripts/outputs.sh")

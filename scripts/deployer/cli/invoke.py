"""scripts/invoke.sh"""

import json
from typing import IO

import click

from scripts.common import command
from scripts.common.errors import UserError
from scripts.common.terminal import echo
from stacks import names
from stacks.settings import LOCAL

from .common import HELP, ExitsWith1

FUNCTION_NAMES = tuple(function.purpose for function in names.FUNCTIONS)


@click.command(cls=ExitsWith1, context_settings=HELP)
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.argument("function", type=click.Choice(FUNCTION_NAMES), metavar="FUNCTION")
@click.argument("event_file", type=click.File("rb"), metavar="EVENT")
def main(function: str, event_file: IO[bytes], debug: bool) -> None:
    """Run FUNCTION as it is in lambda/ with the event in the file EVENT, or - for standard input.

    FUNCTION is a module of lambda/handlers, such as validation. It runs in Lambda's runtime client, with the variables
    of the function that is deployed to local, and changes the tables of local. It may do everything there: only a
    deployment shows whether the rights of its role suffice. Nothing is deployed.

    Prints the answer to standard output; the log and the duration go to standard error. The exit code is 1 if the
    function fails.
    """
    with command.report_errors("invoke", debug=debug, interrupt_message="nothing was changed"):
        event = read_event(event_file)
        from scripts.local.choose_target import reach_environment
        from scripts.local.invoke import invoke_function

        target = reach_environment(LOCAL, None, None)
        try:
            answer = invoke_function(target, function, event)
            echo(json.dumps(json.loads(answer.payload), indent=2, ensure_ascii=False))
            echo(f"{function} took {answer.seconds * 1000:.0f} ms", err=True)
        except KeyboardInterrupt:
            raise UserError("interrupted; what the function has written stays") from None
        if answer.is_error:
            raise UserError(f"{function} failed, as the answer says")


def read_event(file: IO[bytes]) -> bytes:
    """Return the JSON of the file. Raises ``UserError`` if it cannot be read, or is not JSON."""
    try:
        content = file.read()
        json.loads(content)
    except OSError as error:
        raise UserError(f"{file.name}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file.name}: not JSON: {error}") from None
    return content


if __name__ == "__main__":
    main(prog_name="scripts/invoke.sh")

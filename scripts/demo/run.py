"""The steps of the demonstration: deploy, run payments, show their outcomes."""

import getpass
import json
import sys
import textwrap
import time
import uuid
from contextlib import nullcontext
from dataclasses import replace

import click
from rich.console import Console

from scripts.common import command
from scripts.common.errors import UserError
from scripts.common.target import Target
from scripts.common.terminal import create_console
from scripts.deployer.deploy import deploy
from scripts.deployer.deployment_options import DeploymentOptions
from scripts.deployer.session import Session
from scripts.local import server
from scripts.local.examples import EXAMPLES, REPLAYED
from scripts.local.runtime import describe_interpreter
from scripts.local.target import emulator_target
from scripts.operator import dead_letter_queue, records
from scripts.operator.executions import parse_object
from scripts.operator.platform import Platform
from scripts.page.server import Page, serve_page, wait_for_interrupt
from stacks import names, settings

from . import subscriber, summary
from .payer import run_payments
from .quiet import Quiet

ENVIRONMENT = "local"


@click.command(cls=command.GuardedCommand, context_settings=command.HELP)
@click.option(
    "--keep",
    is_flag=True,
    help="Leave the emulator running and print commands to explore it; on a terminal, also keep the page until Ctrl-C.",
)
@click.option("--express", is_flag=True, help="Send the payments through the Express workflow.")
def main(keep: bool, express: bool) -> None:
    """Deploy the platform to an AWS emulator on this machine and run sample payments.

    While it runs, a web page on 127.0.0.1 shows the payments in progress; its address is printed first.
    """
    server.isolate_from_user_configuration()
    # A file has no width of its own.
    console = create_console(width=None if sys.stdout.isatty() else 100)
    interrupt_message = "stop the AWS emulator with `make local-stop`" if keep else "the AWS emulator has been stopped"
    with (
        command.report_errors("demo", interrupt_message=interrupt_message),
        nullcontext(server.find_or_start_server()[0]) if keep else server.run_server() as emulator,
    ):
        target = emulator_target(emulator)
        platform = Platform(ENVIRONMENT, target, getpass.getuser())
        # Copies, because a platform keeps the outputs that it has read.
        with serve_page(lambda: replace(platform)) as page:
            console.print(f"[bold]{page.url}[/] shows the run live until this command ends", soft_wrap=True)
            # Two at once would deploy the same stacks, and receive each other's notifications.
            with emulator.take_turn(lambda: console.print("waiting for the end of another demonstration on it")):
                run_demonstration(platform, console, page, **({"WorkflowType": "express"} if express else {}))
            if keep:
                _print_next_steps(platform, console, express=express)
            if keep and sys.stdout.isatty():
                _keep_page_until_interrupt(page, console)


def run_demonstration(platform: Platform, console: Console, page: Page, **changes: str) -> None:
    """Deploy, run payments, and show their outcomes; the dead letters stay in the queue. ``page`` leaves those alone.

    ``changes`` are parameters that differ from the settings. Raises ``UserError`` if the deployment fails or a payment
    does not end.
    """
    console.rule("Deploying the same templates with the same deployer to a local AWS emulator")
    if notice := describe_interpreter():
        console.print(notice)
    target, sqs = platform.target, platform.client("sqs")
    topic_arn = f"arn:aws:sns:{server.REGION}:{server.ACCOUNT}:{_name_in_environment(names.TOPIC)}"
    queue_url, queue_arn = subscriber.create_queue(sqs, topic_arn)
    subscription = {"NotificationProtocol": "sqs", "NotificationEndpoint": queue_arn}
    parameters = settings.load(ENVIRONMENT) | subscription | changes
    _deploy_quietly(target, parameters, console)
    # Asynchronously: one alarm stays in ALARM until reconciliation has run once.
    platform.client("lambda").invoke(
        FunctionName=_name_in_environment(names.RECONCILIATION.name),
        Qualifier=names.LIVE,
        InvocationType="Event",
        Payload=json.dumps({"action": "reconcile"}),
    )

    console.rule("Running payments")
    run = f"DEMO-{uuid.uuid4().hex[:4]}"
    executions = run_payments(platform, EXAMPLES, run, console)
    replayed = replace(REPLAYED, description="the first payment, sent again")
    executions += run_payments(platform, [replayed], run, console)

    with page.source.reserve_letters():
        letters = dead_letter_queue.read_letters(platform)
    # A server that was running already may hold dead letters of others, and notifications of alarms.
    letters = [letter for letter in letters if letter.transaction_id.startswith(run)]
    messages = [parse_object(str(message.get("Message"))) for message in subscriber.receive_objects(sqs, queue_url)]
    notifications = [message for message in messages if str(message.get("transaction_id")).startswith(run)]
    payments = records.read_payments(platform, (execution.transaction_id for _, execution in executions))

    console.rule("Payment outcomes")
    console.print()
    console.print(summary.make_table(executions, payments, letters, notifications, console.width))
    console.print()
    console.print(summary.summarize_run(executions, letters, notifications))


def _keep_page_until_interrupt(page: Page, console: Console) -> None:
    message = f"[bold]{page.url}[/] shows the payments live until Ctrl-C; `make page` reopens it"
    console.print(message, soft_wrap=True)
    try:
        wait_for_interrupt()
    except KeyboardInterrupt:
        console.print("\nthe page is closed; the AWS emulator is still running, stop it with `make local-stop`")


def _deploy_quietly(target: Target, parameters: dict[str, str], console: Console) -> None:
    """Deploy and print one line, or the whole report if the deployment fails."""
    report = Quiet()
    options = DeploymentOptions(ENVIRONMENT, parameters, settings.load_bootstrap(), wait=True)
    started_at = time.monotonic()
    try:
        with console.status("validate, package, change set, execute"):
            deployed = deploy(Session(options, target, report, confirm=lambda *_: True))
    except UserError as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        console.print(report.text)
        raise
    counts = f"{report.created_resources} resources, {len(deployed.outputs)} outputs"
    summary_line = f"deployed {options.stack_name}: {counts}, {time.monotonic() - started_at:.0f} s"
    console.print(summary_line if deployed.changed else f"{options.stack_name} is deployed already")


def _print_next_steps(platform: Platform, console: Console, *, express: bool) -> None:
    console.rule("The emulator is still running")
    machine = platform.outputs["StepFunctionsStateMachineArn"]
    for line in list_next_steps(platform.target.endpoint_url or "", machine, express=express):
        console.print(line, soft_wrap=True, markup=False)


def list_next_steps(endpoint_url: str, machine: str, *, express: bool) -> list[str]:
    """Return commands that can be copied from a terminal of 80 columns: each line ends where a shell accepts it."""
    logs = _name_in_environment(names.PROCESSING.log_group)
    differences = "the demo's own subscription" + (" and the Express workflow" if express else "")
    return [
        "# also show, tail, start, dlq list; see --help:",
        "scripts/payments.sh --env local list",
        *textwrap.wrap(
            f"would remove {differences}, and nothing else:", 80, initial_indent="# ", subsequent_indent="# "
        ),
        "scripts/deploy.sh plan local",
        "make local-stop    # stops the emulator",
        "",
        "# with the AWS CLI:",
        f"export AWS_ENDPOINT_URL={endpoint_url} AWS_DEFAULT_REGION={server.REGION}",
        "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test",
        "aws stepfunctions list-state-machines",
        f"aws dynamodb scan --table-name {_name_in_environment(names.TABLE)}",
        "aws logs filter-log-events --query 'events[].message' \\",
        f"  --log-group-name {logs}",
        "aws stepfunctions start-execution --state-machine-arn \\",
        f"  {machine} \\",
        *f"  --input '{json.dumps(EXAMPLES[0].request('MINE'), indent=2)}'".splitlines(),
    ]


def _name_in_environment(name: str) -> str:
    return names.in_environment(name, ENVIRONMENT)

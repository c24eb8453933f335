"""Deploy, pay, follow, tell."""

import getpass
import json
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import click
from rich.console import Console

from scripts.common import command
from scripts.common.errors import UserError
from scripts.common.target import Target
from scripts.deployer.deploy import deploy
from scripts.deployer.order import Order
from scripts.local import server, target
from scripts.local.examples import EXAMPLES, REPLAYED, Example
from scripts.local.runtime import describe_interpreter
from scripts.operator import dead_letter_queue, records
from scripts.operator.dead_letters import parsed
from scripts.operator.platform import Platform
from scripts.page.server import Page, serving, wait
from stacks import names, settings

from . import subscriber, summary
from .payer import Payer
from .quiet import Quiet

ENVIRONMENT = "local"


@click.command(context_settings=command.HELP)
@click.option(
    "--keep",
    is_flag=True,
    help="Leave the emulator running and print commands to explore it; on a terminal, also keep the page until Ctrl-C.",
)
def main(keep: bool) -> None:
    """Deploy the platform to an AWS emulator on this machine and run sample payments.

    While it runs, a web page on 127.0.0.1 shows the payments in progress; its address is printed first.
    """
    server.isolate_from_user_configuration()
    console = Console(highlight=False)
    if not sys.stdout.isatty():
        # Nobody resizes a file: as wide as the rules look well.
        console = Console(highlight=False, width=100)
    interrupted = "stop the AWS emulator with `make local-stop`" if keep else "the AWS emulator has been stopped"
    with command.report_errors("demo", interrupt_message=interrupted):
        if keep:
            embedded, _ = server.find_or_start_server()
            platform = target.emulator_target(embedded)
            with _page(platform, console) as page:
                # Two at once would deploy the same stacks, and take each other's notices.
                with embedded.take_turn(lambda: console.print("waiting for the end of another demonstration on it")):
                    demonstrate(platform, console, page)
                _how_to_look_around(platform, console)
                if sys.stdout.isatty():
                    _until_ctrl_c(page, console)
        else:
            with server.run_server() as embedded, _page(target.emulator_target(embedded), console) as page:
                demonstrate(target.emulator_target(embedded), console, page)


def demonstrate(platform: Target, console: Console, page: Page | None = None) -> None:
    """Deploy, pay and tell; the dead letters stay, to be looked at. ``page`` leaves them alone meanwhile.

    Raises ``UserError`` when the deployment fails or a payment does not end.
    """
    console.rule("Deploying the same templates with the same deployer to a local AWS emulator")
    if notice := describe_interpreter():
        console.print(notice)
    sqs = platform.client("sqs")
    topic_arn = f"arn:aws:sns:{server.REGION}:{server.ACCOUNT}:{_named(names.TOPIC)}"
    queue, queue_arn = subscriber.create(sqs, topic_arn)
    parameters = settings.load(ENVIRONMENT) | {"NotificationProtocol": "sqs", "NotificationEndpoint": queue_arn}
    outputs = _deploy_quietly(platform, parameters, console)
    _reconcile_for_the_first_time(platform)

    console.rule("Running payments")
    run = f"DEMO-{uuid.uuid4().hex[:4]}"
    pay = Payer(platform.client("stepfunctions"), outputs["StepFunctionsStateMachineArn"], console)
    stories = pay.follow([(example, pay.start(example.request(run))) for example in EXAMPLES])
    again = Example(REPLAYED.name, "the first payment, sent again", REPLAYED.amount)
    stories += pay.follow([(again, pay.start(REPLAYED.request(run)))])

    operated = Platform(ENVIRONMENT, platform, getpass.getuser())
    with page.source.letters_left_alone() if page else nullcontext():
        letters = dead_letter_queue.read(operated)
    # A server that was running already may hold somebody's own.
    letters = [letter for letter in letters if letter.transaction_id.startswith(run)]
    told = [parsed(str(notice.get("Message"))) for notice in subscriber.collect(sqs, queue)]
    # Alarms ring at the same topic.
    notices = [notice for notice in told if str(notice.get("transaction_id")).startswith(run)]
    payments = records.several(operated, (story.transaction_id for _, story in stories))
    console.rule("Payment outcomes")
    console.print()
    console.print(summary.table(stories, payments, letters, notices, console.width))
    console.print()
    console.print(summary.line(stories, letters, notices))


@contextmanager
def _page(platform: Target, console: Console) -> Iterator[Page]:
    """The page of what is about to be deployed, and its address on the console."""
    with serving(lambda: Platform(ENVIRONMENT, platform, getpass.getuser())) as page:
        console.print(f"[bold]{page.url}[/] shows the run live until this command ends", soft_wrap=True)
        yield page


def _until_ctrl_c(page: Page, console: Console) -> None:
    there = f"[bold]{page.url}[/] shows the payments live until Ctrl-C; `make page` reopens it"
    console.print(there, soft_wrap=True)
    try:
        wait()
    except KeyboardInterrupt:
        console.print("\nthe page is closed; the AWS emulator is still running, stop it with `make local-stop`")


def _deploy_quietly(platform: Target, parameters: dict[str, str], console: Console) -> dict[str, str]:
    """The deployment in a line; all that was said of it when it fails."""
    report = Quiet()
    order = Order(ENVIRONMENT, parameters, settings.load_bootstrap(), wait=True)
    started = time.monotonic()
    try:
        with console.status("validate, package, change set, execute"):
            deployed = deploy(order, platform, report, confirm=lambda *_: True)
    except UserError as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        console.print(report.said)
        raise
    if not deployed.changed:
        console.print(f"{order.stack_name} is deployed already")
        return deployed.outputs
    console.print(
        f"deployed {order.stack_name}: {report.made} resources, {len(deployed.outputs)} outputs, "
        f"{time.monotonic() - started:.0f} s"
    )
    return deployed.outputs


def _reconcile_for_the_first_time(platform: Target) -> None:
    """As its schedule does every five minutes: until it has, an alarm says that it has not. Nobody waits for it."""
    platform.client("lambda").invoke(
        FunctionName=_named(names.RECONCILIATION_FUNCTION),
        Qualifier=names.LIVE,
        InvocationType="Event",
        Payload=json.dumps({"action": "reconcile"}),
    )


def _how_to_look_around(platform: Target, console: Console) -> None:
    console.rule("The emulator is still running")
    machine = f"arn:aws:states:{server.REGION}:{server.ACCOUNT}:stateMachine:{_named(names.WORKFLOW)}"
    logs = _named(names.PROCESSING_LOG_GROUP)
    for line in (
        "scripts/payments.sh --env local list    # also show, tail, start, dlq list; see --help",
        "scripts/deploy.sh local --plan    # would remove the demo's own subscription, and nothing else",
        "make local-stop    # stops the emulator",
        "",
        "# with the AWS CLI:",
        f"export AWS_ENDPOINT_URL={platform.endpoint_url} AWS_DEFAULT_REGION={server.REGION}",
        "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test",
        "aws stepfunctions list-state-machines",
        f"aws dynamodb scan --table-name {_named(names.TABLE)}",
        f"aws logs filter-log-events --log-group-name {logs} --query 'events[].message'",
        f"aws stepfunctions start-execution --state-machine-arn {machine} "
        f"--input '{json.dumps(EXAMPLES[0].request('MINE'))}'",
    ):
        console.print(line, soft_wrap=True, markup=False)


def _named(name: str) -> str:
    return names.in_environment(name, ENVIRONMENT)

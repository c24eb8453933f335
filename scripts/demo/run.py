"""Deploy, pay, follow, tell."""

import getpass
import io
import json
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scripts import commands
from scripts.deployer.deploy import deploy
from scripts.deployer.errors import DeployError
from scripts.deployer.order import Order
from scripts.deployer.report.people import People
from scripts.deployer.target import Target
from scripts.local import server, target
from scripts.local.examples import EXAMPLES, REPLAYED, Example
from scripts.page.server import Page, serving, wait
from scripts.payments import dead_letters
from scripts.payments.dead_letters import Letter
from scripts.payments.environment import Platform
from scripts.payments.executions import Execution, read
from stacks import names, settings

from . import subscriber
from .subscriber import collect, parsed

ENVIRONMENT = "local"
LONGEST_SECONDS = 180


@click.command(context_settings=commands.HELP)
@click.option(
    "--keep",
    is_flag=True,
    help="Leave the embedded AWS running and say how to look around; on a terminal the page stays, too, until Ctrl-C.",
)
def main(keep: bool) -> None:
    """Deploy the platform to an AWS embedded on this machine and pay.

    While that runs, a page on 127.0.0.1 shows the payments as they flow; its address is said first.
    """
    server.forget_the_users_aws()
    console = Console(highlight=False)
    if not sys.stdout.isatty():
        # Nobody resizes a file: as wide as the table needs.
        console = Console(highlight=False, width=100)
    interrupted = "`make local-stop` ends the embedded AWS" if keep else "the embedded AWS has ended"
    with commands.one_line_errors("demo", interrupted=interrupted):
        if keep:
            platform = target.running()
            with _page(platform, console) as page:
                demonstrate(platform, console, page)
                _how_to_look_around(platform, console)
                if sys.stdout.isatty():
                    _until_ctrl_c(page, console)
        else:
            with server.running() as embedded, _page(target.of(embedded), console) as page:
                demonstrate(target.of(embedded), console, page)


def demonstrate(platform: Target, console: Console, page: Page | None = None) -> None:
    """Deploy, pay and tell; the dead letters stay, to be looked at. ``page`` leaves them alone meanwhile.

    Raises ``DeployError`` when the deployment fails or a payment does not end.
    """
    console.rule("Deploying the same templates, through the same deployer, to an embedded AWS")
    sqs = platform.client("sqs")
    topic_arn = f"arn:aws:sns:{server.REGION}:{server.ACCOUNT}:sns-payment-notifications-{ENVIRONMENT}"
    notices, notices_arn = subscriber.create(sqs, topic_arn)
    parameters = settings.load(ENVIRONMENT) | {"NotificationProtocol": "sqs", "NotificationEndpoint": notices_arn}
    outputs = _deploy_quietly(platform, parameters, console)
    _reconcile_for_the_first_time(platform)

    console.rule("Paying")
    run = f"DEMO-{uuid.uuid4().hex[:4]}"
    pay = _Payer(platform.client("stepfunctions"), outputs["StepFunctionsStateMachineArn"], console)
    sent = [(example, pay.start(example.request(run))) for example in EXAMPLES]
    stories = pay.follow(sent)
    again = (Example(REPLAYED.name, "the first one, sent again", REPLAYED.amount), pay.start(REPLAYED.request(run)))
    stories += pay.follow([again])

    with page.source.letters_left_alone() if page else nullcontext():
        letters = dead_letters.read(Platform(ENVIRONMENT, platform, getpass.getuser()))
    # A server that was running already may hold somebody's own.
    letters = [letter for letter in letters if letter.transaction_id.startswith(run)]
    told = [parsed(notice.get("Message")) for notice in collect(sqs, notices)]
    # Alarms ring at the same topic.
    published = [notice for notice in told if str(notice.get("transaction_id")).startswith(run)]
    table = platform.client("dynamodb")
    console.rule("What became of each payment")
    console.print(_summary(stories, table, outputs["DynamodbTableName"], letters, published, console.width))
    charges = {story.output["gateway_reference"] for _, story in stories if story.output.get("gateway_reference")}
    console.print(
        f"{len(stories)} executions of {len(EXAMPLES)} payments: {len(charges)} charges, "
        f"{len(letters)} dead letters, {len(published)} notices."
    )


@contextmanager
def _page(platform: Target, console: Console) -> Iterator[Page]:
    """The page of what is about to be deployed, and its address on the console."""
    with serving(lambda: Platform(ENVIRONMENT, platform, getpass.getuser())) as page:
        console.print(f"[bold]{page.url}[/] shows it live, as long as this runs", soft_wrap=True)
        yield page


def _until_ctrl_c(page: Page, console: Console) -> None:
    there = f"[bold]{page.url}[/] shows payments as they flow, until Ctrl-C; `make page` shows them again"
    console.print(there, soft_wrap=True)
    try:
        wait()
    except KeyboardInterrupt:
        console.print("\nthe page has ended; the embedded AWS runs on, `make local-stop` ends it")


def _reconcile_for_the_first_time(platform: Target) -> None:
    """As its schedule does every five minutes: until it has, an alarm says that it has not. Nobody waits for it."""
    platform.client("lambda").invoke(
        FunctionName=names.in_environment(names.RECONCILIATION_FUNCTION, ENVIRONMENT),
        Qualifier=names.LIVE,
        InvocationType="Event",
        Payload=json.dumps({"action": "reconcile"}),
    )


def _deploy_quietly(platform: Target, parameters: dict[str, str], console: Console) -> dict[str, str]:
    """The deployment in a few lines; every line of it when it fails."""
    transcript = Console(file=io.StringIO(), width=100)
    order = Order(ENVIRONMENT, parameters, settings.load_bootstrap())
    started = time.monotonic()
    try:
        with console.status("validate, package, change set, execute"):
            deployed = deploy(order, platform, People(transcript), confirm=lambda *_: True)
    except DeployError as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        console.print(transcript.file.getvalue())  # type: ignore[attr-defined]
        raise
    if not deployed.changed:
        console.print(f"payment-platform-{ENVIRONMENT} is deployed already")
        return deployed.outputs
    lines = transcript.file.getvalue().splitlines()  # type: ignore[attr-defined]
    made = [line for line in lines if "CREATE_COMPLETE" in line and "AWS::CloudFormation::Stack" not in line]
    console.print(
        f"deployed payment-platform-{ENVIRONMENT}: {len(made)} resources, {len(deployed.outputs)} outputs, "
        f"{time.monotonic() - started:.0f} s"
    )
    return deployed.outputs


class _Payer:
    """Starts executions and follows them until they have ended."""

    def __init__(self, stepfunctions: Any, state_machine_arn: str, console: Console) -> None:
        self._stepfunctions = stepfunctions
        self._state_machine_arn = state_machine_arn
        self._console = console

    def start(self, request: dict[str, Any]) -> str:
        started = self._stepfunctions.start_execution(
            stateMachineArn=self._state_machine_arn,
            name=f"{request['transaction_id']}-{uuid.uuid4().hex[:6]}",
            input=json.dumps(request),
        )
        return str(started["executionArn"])

    def follow(self, sent: list[tuple[Example, str]]) -> list[tuple[Example, Execution]]:
        deadline = time.monotonic() + LONGEST_SECONDS
        stories = [(example, Execution(arn)) for example, arn in sent]
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            while True:
                stories = [
                    (example, story if story.ended else read(self._stepfunctions, story.execution_arn))
                    for example, story in stories
                ]
                live.update(_progress(stories), refresh=True)
                if all(story.ended for _, story in stories):
                    return stories
                if time.monotonic() > deadline:
                    raise DeployError(f"payments are still running after {LONGEST_SECONDS} s")
                time.sleep(0.3)


def _progress(stories: list[tuple[Example, Execution]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for example, story in stories:
        doing = Text(story.path.split("→")[-1], style="dim")
        table.add_row(example.what, _execution(story), doing if not story.ended else Text())
    return table


def _summary(
    stories: list[tuple[Example, Execution]],
    dynamodb: Any,
    table_name: str,
    letters: list[Letter],
    notices: list[dict[str, Any]],
    width: int,
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, row_styles=["", "on grey11"])
    # A path is folded between two states rather than cut where the terminal is narrow.
    narrow = width < 96
    table.add_column("Payment, and its path through the states", no_wrap=not narrow, overflow="fold")
    table.add_column("Tries", justify="right", no_wrap=True)
    table.add_column("Final state", no_wrap=True)
    table.add_column("Secs", justify="right", no_wrap=True)
    table.add_column("Told", no_wrap=True)
    for example, story in stories:
        transaction_id = _transaction_id(story)
        item = dynamodb.get_item(TableName=table_name, Key={"transaction_id": {"S": transaction_id}})["Item"]
        told: dict[str, list[str]] = {"DLQ": [letter.execution_arn for letter in letters]}
        told |= {"subscribers": [str(notice.get("execution_arn")) for notice in notices]}
        went = [name for name, executions in told.items() if story.execution_arn in executions]
        table.add_row(
            f"{example.what}\n[dim]{story.path.replace('→', ' →') if narrow else story.path}[/]",
            str(story.tries["ProcessPayment"]),
            _final(item["status"]["S"], story),
            f"{story.seconds:.1f}",
            "\n".join(went) or "nobody",
        )
    return table


def _transaction_id(story: Execution) -> str:
    # The execution is named after the transaction, with six characters that make it unique.
    return story.execution_arn.rsplit(":", 1)[1].rsplit("-", 1)[0]


def _final(status: str, story: Execution) -> Text:
    """The payment's own state, and under it why the execution failed."""
    text = Text(status, style={"COMPLETED": "green", "FAILED": "red", "UNKNOWN": "red"}.get(status, "yellow"))
    return text.append(f"\n{story.error}", style="dim") if story.error else text


def _execution(story: Execution) -> Text:
    text = f"{story.status}: {story.error}" if story.error else story.status
    return Text(text, style={"SUCCEEDED": "green", "RUNNING": "yellow"}.get(story.status, "red"))


def _how_to_look_around(platform: Target, console: Console) -> None:
    console.rule("It is still running")
    aws = f"aws --endpoint-url {platform.endpoint_url} --region {server.REGION}"
    console.print("export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test", soft_wrap=True)
    console.print(f"{aws} stepfunctions list-state-machines", soft_wrap=True)
    console.print(f"{aws} dynamodb scan --table-name dynamodb-transactions-{ENVIRONMENT}", soft_wrap=True)
    logs = f"/aws/lambda/lambda-payment-processing-{ENVIRONMENT}"
    console.print(f"{aws} logs filter-log-events --log-group-name {logs} --query 'events[].message'", soft_wrap=True)
    machine = f"arn:aws:states:{server.REGION}:{server.ACCOUNT}:stateMachine:sfn-payment-workflow-{ENVIRONMENT}"
    request = json.dumps(EXAMPLES[0].request("MINE"))
    console.print(
        f"{aws} stepfunctions start-execution --state-machine-arn {machine} --input '{request}'", soft_wrap=True
    )
    console.print(
        "scripts/payments.sh --env local list    # and show, tail, start, dlq list; --help tells", soft_wrap=True
    )
    console.print("make local-stop    # ends it", soft_wrap=True)

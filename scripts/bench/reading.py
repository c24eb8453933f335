"""What the operators' lists take with many payments.

``python -m scripts.bench.reading COUNT`` records COUNT generated payments on the emulator, of which one in a thousand
failed and a hundred are open. It prints the calls and the CPU time of each list: both are those of the command, while
the emulator's answers take longer than those of AWS. It also prints the size of a payment and of an open one, from
which docs/scale.md calculates what AWS reads.
"""

import io
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from adapters.stored_items import to_item
from payments.money import Money
from payments.payment import Payment, Status
from rich.console import Console

from scripts.capacity.units import size_item
from scripts.deployer.deploy import deploy
from scripts.deployer.deployment_options import DeploymentOptions
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.session import Session
from scripts.local import server, target
from scripts.operator import dead_letter_queue, payment_lists, story
from scripts.operator.platform import Platform
from scripts.operator.statuses import Selection
from stacks import settings

OPEN_PAYMENTS = 100
PUTS_PER_CALL = 25


def measure_reading(count: int) -> Iterator[str]:
    """Yield a line for each list."""
    with server.run_server() as emulator:
        place = target.emulator_target(emulator)
        options = DeploymentOptions("local", settings.load("local"), settings.load_bootstrap())
        deploy(Session(options, place, ConsoleReporter(Console(file=io.StringIO())), confirm=lambda *_: True))
        platform = Platform("local", place, "bench")
        _record_payments(platform, count)
        actions: dict[str, Callable[[], Any]] = {
            "list": lambda: payment_lists.list_recent_payments(platform),
            "list --failed": lambda: payment_lists.list_recent_payments(platform, selection=Selection.FAILED),
            "list --open": lambda: payment_lists.list_recent_payments(platform, selection=Selection.OPEN),
            "list --unknown": lambda: payment_lists.list_recent_payments(platform, selection=Selection.UNKNOWN),
            "show": lambda: story.read_story(platform, f"T-{count - 1}"),
            "dlq list": lambda: _list_letters(platform),
            "erase --customer": lambda: payment_lists.list_ids_of_customer(platform, "CUST-7"),
        }
        calls: Counter[str] = Counter()
        for service in ("dynamodb", "stepfunctions", "logs", "sqs"):
            platform.client(service).meta.events.register(
                "before-call", lambda model, **_: calls.update({model.name: 1})
            )
        yield f"with {count:,} payments of {size_item(_make_item(0, count))} bytes"
        for name, act in actions.items():
            calls.clear()
            started = time.process_time()
            act()
            spent = time.process_time() - started
            listed = ", ".join(f"{number} {operation}" for operation, number in sorted(calls.items()))
            yield f"{name:<18} {spent:5.2f} s of CPU; {listed}"


def _list_letters(platform: Platform) -> None:
    with dead_letter_queue.hold_letters(platform):
        pass


def _record_payments(platform: Platform, count: int) -> None:
    dynamodb, table = platform.client("dynamodb"), platform.outputs["DynamodbTableName"]
    puts: list[Any] = []
    for number in range(count):
        puts.append({"PutRequest": {"Item": _make_item(number, count)}})
        if len(puts) == PUTS_PER_CALL or number == count - 1:
            dynamodb.batch_write_item(RequestItems={table: puts})
            puts = []


def _make_item(number: int, count: int) -> dict[str, Any]:
    status = Status.COMPLETED
    if number % 1_000 == 0:
        status = Status.FAILED
    if number >= count - OPEN_PAYMENTS:
        status = Status.UNKNOWN
    at = time.time() - 10 * (count - number)
    payment = Payment(
        transaction_id=f"T-{number}",
        status=status,
        sequence=3,
        fingerprint="f" * 64,
        salt="0" * 32,
        execution=f"arn:aws:states:eu-central-1:123456789012:execution:sfn-payment-workflow-local:T-{number}",
        created_at=at,
        updated_at=at,
        since=at,
        amount=Money(15_000, "USD"),
        payment_method="credit_card",
        customer_id=f"CUST-{number % 10_000}",
        attempt=1,
        first_claimed_at=at,
        gateway_reference=f"ch_{number:024}" if status is Status.COMPLETED else None,
        idempotency_key_closed=status is Status.FAILED,
    )
    return to_item(payment, open_shards=8)


if __name__ == "__main__":
    for line in measure_reading(int(sys.argv[1])):
        print(line, flush=True)

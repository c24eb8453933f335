"""The operator's commands show and start payments on the deployed platform."""

import csv
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from payments.payment import Status

from scripts.local import choose_target
from scripts.operator import cli, payment_lists, records
from scripts.operator.batch import Batch
from scripts.operator.cli import common, logs
from scripts.operator.json_output import to_json
from scripts.operator.payment_requests import read_arguments
from scripts.operator.platform import Platform as Operated
from scripts.operator.story import read_story
from scripts.operator.tail import follow_lines
from tests.e2e.conftest import Platform
from tests.e2e.situations import HOUR, put_abandoned_payment

pytestmark = pytest.mark.e2e


@pytest.fixture
def operated(platform: Platform) -> Operated:
    return Operated("local", platform.target, "alice")


@pytest.fixture
def run(operated: Operated, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr(common, "reach_platform", lambda *_: operated)
    return lambda *arguments: CliRunner().invoke(cli.main, ["--env", "local", *arguments])


def test_the_story_of_a_payment_that_needed_retries(platform: Platform, operated: Operated, run) -> None:
    request, execution = platform.pay(payment_amount=150.02, customer_id="CUST-MARKED")
    transaction_id = request["transaction_id"]
    for _ in range(50):
        story = read_story(operated, transaction_id)
        # A function's log lines arrive a moment after its answer.
        if any("payment finished" in entry.summary for entry in story.timeline):
            break
        time.sleep(0.1)
    payment = story.payment
    assert (payment.status, payment.amount, payment.attempts) == ("COMPLETED", "150.02 USD", 3)
    assert payment.gateway_reference.startswith("sim_")
    assert (story.notifications, story.executions) == ((), (execution.execution_arn,))
    times = [entry.at for entry in story.timeline]
    assert times == sorted(times)
    summaries = defaultdict(list)
    for entry in story.timeline:
        summaries[entry.source].append(entry.summary)
    failed = "Process failed: GatewayUnavailable"
    # Lambda's runtime logs each error again.
    failed_attempt = ["gateway answered: NotCharged", "GatewayUnavailable"]
    assert summaries == {
        "validation": ["payment validated: PENDING"],
        "ledger": [
            *("PENDING", "PENDING → PROCESSING, attempt 1", "PROCESSING → PENDING", "PENDING → PROCESSING, attempt 2"),
            *("PROCESSING → PENDING", "PENDING → PROCESSING, attempt 3", "PROCESSING → COMPLETED"),
        ],
        "workflow": [
            *("started", "Validate", "Process", failed),
            *("Process, run 2", failed, "Process, run 3", "succeeded"),
        ],
        "processing": [*failed_attempt * 2, "gateway answered: Charged", "payment finished: COMPLETED"],
    }
    text = run("show", transaction_id).output
    assert "not charged: gateway temporarily unavailable" in text
    printed_json = run("show", transaction_id, "--json").output
    assert json.loads(printed_json) == json.loads(json.dumps(to_json(story)))
    # Neither the customer, nor the input of the execution, nor a hash of it.
    assert payment.fingerprint not in printed_json
    assert "CUST" not in text + printed_json


def test_the_story_of_a_failure_that_was_redriven(platform: Platform, operated: Operated, run) -> None:
    request, first = platform.pay(payment_amount=150.03)
    transaction_id = request["transaction_id"]
    story = read_story(operated, transaction_id)
    assert story.notifications == ("subscribers: FAILED", "the dead-letter queue")
    notices = [entry.summary for entry in story.timeline if entry.source == "notice"]
    recorded = "recorded: subscribers notified of FAILED, dead letter sent"
    assert notices == ["dead letter sent", "subscribers notified", recorded]
    (letter,) = json.loads(run("dlq", "list", "--json").output)
    assert letter["letter_id"] in [entry.detail for entry in story.timeline]
    second = run("dlq", "redrive", transaction_id).stdout.split("started ")[1].strip()
    platform.follow(second)
    story = read_story(operated, transaction_id)
    assert story.executions == (first.execution_arn, second)
    assert "by alice" in [entry.detail for entry in story.timeline if entry.summary == "FAILED → PENDING"]
    # An execution that wrote nothing is found by its name, unless its input is of another payment.
    stepfunctions, machine = platform.client("stepfunctions"), platform.outputs["StepFunctionsStateMachineArn"]
    for number, changes in enumerate(({"payment_amount": 9}, {"transaction_id": f"{transaction_id}-1"})):
        name = f"{transaction_id}-1{number}"
        arn = stepfunctions.start_execution(stateMachineArn=machine, name=name, input=json.dumps(request | changes))
        platform.follow(arn["executionArn"])
    story = read_story(operated, transaction_id)
    assert [arn.rsplit(":")[-1] for arn in story.executions[2:]] == [f"{transaction_id}-10"]


def test_lists_select_payments_by_status_and_time(platform: Platform, operated: Operated, run) -> None:
    start = time.time()
    failed = platform.pay(payment_amount=150.05)[0]["transaction_id"]
    declined = platform.pay(payment_amount=150.01)[0]["transaction_id"]
    unknown = put_abandoned_payment(platform, Status.UNKNOWN, 6, HOUR / 6)
    pending = put_abandoned_payment(platform, Status.PENDING, 0, 2 * HOUR)

    def list_ids(*options: str) -> list[str]:
        return [payment["transaction_id"] for payment in json.loads(run("list", *options, "--json").output)]

    assert {unknown, pending} <= set(list_ids("--open"))
    assert not {failed, declined} & set(list_ids("--open"))
    for options in (("--open", "--since", "1h"), ("--unknown",)):
        assert {unknown, pending} & set(list_ids(*options)) == {unknown}
    assert list_ids("--failed", "--limit", "1") == [failed]
    recent = payment_lists.list_recent_payments(operated, since=start)
    assert [payment.transaction_id for payment in recent] == [declined, failed]
    table = run("list", "--open").output
    assert [text for text in (unknown, "150.06 USD") if text not in table] == []
    # Reconciliation prints what it settled, and what it could not.
    output = run("reconcile").output
    assert f"{pending}: PENDING → FAILED\n" in output
    assert f"{unknown}: still UNKNOWN\n" in output
    assert run("reconcile").output == "nothing is overdue\n"


def test_a_file_is_sent_once_and_its_outcomes_are_printed(operated: Operated, run, tmp_path: Path) -> None:
    mark = f"F-{time.time_ns()}"
    rows = [f"{mark}:{cents},150.0{cents},credit_card,CUST-1\n" for cents in (0, 1)]
    file = tmp_path / "payments.csv"
    file.write_text("transaction_id,payment_amount,payment_method,customer_id\n" + "".join(rows))
    result = run("start", "--file", str(file), "--json")
    assert result.exit_code == 0, result.output
    results = json.loads(result.output)
    assert [(result["status"], result["is_newly_sent"]) for result in results] == [
        ("COMPLETED", True),
        ("DECLINED", True),
    ]
    again = run("start", "--file", str(file))
    assert again.exit_code == 0
    assert again.output.count("had its outcome before") == 2
    assert "2 payments, 0 newly sent: 1 COMPLETED, 1 DECLINED" in again.output
    assert len(read_story(operated, f"{mark}:0").executions) == 1
    # A conflict and a failed payment both fail the command, and the rest is sent.
    rows = [f"{mark}:0,151,credit_card,CUST-1\n", f"{mark}:5,150.05,credit_card,CUST-1\n"]
    file.write_text("transaction_id,payment_amount,payment_method,customer_id\n" + "".join(rows))
    mixed = run("start", "--file", str(file))
    assert mixed.exit_code == 1
    assert "the id is already used by another request, which is COMPLETED" in mixed.output
    assert "1 newly sent: 1 CONFLICT, 1 FAILED" in mixed.output
    # One invalid line stops the whole file.
    file.write_text(file.read_text().replace(f"{mark}:5", f"{mark}:6") + f"{mark}:7,1,cash,CUST-1\n")
    bad = run("start", "--file", str(file))
    assert (bad.exit_code, bad.output.count("\n")) == (2, 1)
    assert bad.output.startswith(f"payments: nothing was sent: {file}:4: payment_method must be one of")
    assert records.read_payments(operated, [f"{mark}:6"]) == {}


def test_the_results_of_a_file_are_written_to_another(run, tmp_path: Path) -> None:
    file, mark = tmp_path / "payments.csv", f"R:{time.time_ns()}"
    header = "transaction_id,payment_amount,payment_method,customer_id\n"
    file.write_text(f"{header}{mark}:0,150.01,credit_card,CUST-1\n{mark}:1,150.03,credit_card,CUST-1\n")
    results = tmp_path / "results.csv"
    answer = run("start", "--file", str(file), "--results", str(results), "--json")
    statuses = {"DECLINED": 1, "FAILED": 1}
    summary = {"payments": 2, "newly_sent": 2, "failed": 1, "statuses": statuses, "results": str(results)}
    assert (answer.exit_code, json.loads(answer.output)) == (1, summary)
    with results.open() as table:
        rows = {row["transaction_id"]: row["status"] for row in csv.DictReader(table)}
    assert rows == {f"{mark}:0": "DECLINED", f"{mark}:1": "FAILED"}


@pytest.mark.parametrize(("amount", "status"), [("80.07", "SENT"), ("80.08", "CONFLICT")])
def test_an_id_that_is_on_its_way_is_not_started_again(operated: Operated, amount: str, status: str) -> None:
    """This applies to the same request and to another one."""
    transaction_id = f"S:{time.time_ns()}"
    batches = [
        Batch(operated, [read_arguments(transaction_id, value, "credit_card", "CUST-1", None)])
        for value in ("80.07", amount)
    ]
    (first,), (second,) = (list(batch.send_requests()) for batch in batches)
    assert (first.status, first.is_newly_sent) == ("SENT", True)
    assert (second.status, second.is_newly_sent, second.execution) == (status, False, first.execution)
    assert second.comment.startswith(
        "already sent" if status == "SENT" else "the id is already used by another request"
    )
    assert [result.status for result in batches[0].wait_for_outcomes()] == ["COMPLETED"]
    assert [result.status for result in batches[1].wait_for_outcomes()] == ["COMPLETED"] * (status == "SENT")
    assert len(read_story(operated, transaction_id).executions) == 1


def test_ctrl_c_prints_the_progress(operated: Operated, run, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_interrupt(_batch: Batch):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(Batch, "_look", raise_interrupt)
    arguments = ["--amount", "150", "--method", "credit_card", "--customer", "C"]
    answer = run("start", f"S-{time.time_ns()}", *arguments)
    assert answer.exit_code == 3
    assert answer.stderr.startswith("payments: interrupted; 1 of 1 were sent; it is safe to run the same command again")
    assert "1 SENT" in answer.stdout


def test_tail_yields_payments_as_they_change(platform: Platform, operated: Operated) -> None:
    start = time.time()
    looks = iter(range(50))

    def wait_briefly(_seconds: float) -> None:
        assert next(looks, None) is not None, "no lines arrive"
        time.sleep(0.1)

    lines = follow_lines(operated, start, pause=wait_briefly)
    request, _ = platform.pay(payment_amount=150.01)
    lines_of_payment = (line for line in lines if line.transaction_id == request["transaction_id"])
    summaries = ["payment validated: PENDING", "gateway answered: Declined", "payment finished: DECLINED"]
    assert [next(lines_of_payment).summary for _ in summaries] == summaries


def test_every_line_of_a_function_is_printed(
    platform: Platform, operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose_target, "reach_environment", lambda *_, **__: operated.target)
    request, _ = platform.pay(payment_amount=150.01)
    for _ in range(50):
        result = CliRunner().invoke(logs.main, ["local", "processing", "--json"])
        assert (result.exit_code, result.stderr) == (0, "")
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        transaction_id = request["transaction_id"]
        messages = [line["message"] for line in lines if line["fields"].get("transaction_id") == transaction_id]
        # A function's log lines arrive a moment after its answer.
        if "payment finished" in messages:
            break
        time.sleep(0.1)
    else:
        pytest.fail("no line arrives")
    assert {line["source"] for line in lines} == {"processing"}
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert "transaction_id" in CliRunner().invoke(logs.main, ["local"]).stdout

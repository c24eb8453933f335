"""How lines are laid out: where they wrap, and that none ends in spaces."""

import io
import itertools
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich import box
from rich.table import Table
from rich.text import Text

from scripts.common.suggestion import complete_aws_commands, suggest_command, suggest_payments_command
from scripts.common.templates import STACK
from scripts.common.terminal import create_console
from scripts.deployer.cli.status import _print_status
from scripts.deployer.failure import Event, Failure
from scripts.deployer.finding import Finding, Verdict
from scripts.deployer.plan.model import Change, Plan, StackChanges, StatementChange
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.report.findings import print_findings
from scripts.deployer.report.hanging import find_breaks, print_hanging, print_warning
from scripts.deployer.report.plan_text import print_failure, print_plan
from scripts.deployer.status import Drift, StackStatus, Status
from scripts.verify.report import show_results
from scripts.verify.results import Check
from scripts.verify.results import Status as CheckStatus
from tests.deployer.conftest import GOLDEN

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/dynamodb-payment-ledger-staging/index/open-payments"
# The golden files of a terminal, and its columns.
TERMINALS = {"plan_import_80.txt": 80, "plan_revert_drift_80.txt": 80, "preflight_80.txt": 80, "terminal.txt": 100}


def print_on_terminal(print_lines, columns: int = 80) -> list[str]:
    stream = io.StringIO()
    print_lines(create_console(file=stream, width=columns, force_terminal=True, color_system=None))
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda path: path.name)
def test_no_line_ends_in_a_space_or_exceeds_the_terminal(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    # The last part is the message on the standard error, which the terminal itself wraps.
    assert max(map(len, lines)) <= TERMINALS.get(path.name, 10_000)


def test_every_golden_file_of_a_terminal_is_measured() -> None:
    assert {path.name for path in GOLDEN.glob("*_80.txt")} <= set(TERMINALS)


def test_a_table_is_not_filled_up_with_spaces() -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Name")
    table.add_column("A long heading")
    table.add_row(Text("a name\nof two lines", style="red"), "short")
    lines = print_on_terminal(lambda console: console.print(table))
    assert [line for line in lines if line != line.rstrip()] == []
    assert lines[-1] == "of two lines"


@pytest.mark.parametrize(
    ("text", "first", "others", "lines"),
    [
        ("one two three", 8, 6, ["one two ", "three"]),
        ("no break", 8, 8, ["no break"]),
        # A name that fits on a line is never broken, nor a longer one but after a separator.
        ("a sentence about payment-platform-local", 25, 22, ["a sentence about ", "payment-platform-local"]),
        ("on arn:aws:sqs:eu-west-1:123456789012:queue", 40, 38, ["on arn:aws:sqs:eu-west-1:123456789012:", "queue"]),
        # Nor does a short word stand alone before a name that would fit on the next line.
        ("on arn:aws:sqs:eu-west-1:123456789012:queue", 42, 40, ["on arn:aws:sqs:eu-west-1:123456789012:", "queue"]),
        ("a-name-without-any-end", 10, 10, ["a-name-", "without-", "any-end"]),
        ("x" * 25, 10, 10, ["x" * 10, "x" * 10, "x" * 5]),
        ("  indented words", 12, 10, ["  indented ", "words"]),
    ],
)
def test_lines_break_between_words_and_names_at_separators(
    text: str, first: int, others: int, lines: list[str]
) -> None:
    offsets = [0, *find_breaks(text, first, others), len(text)]
    assert [text[start:end] for start, end in itertools.pairwise(offsets)] == lines


@pytest.mark.parametrize("columns", [20, 40, 80])
@pytest.mark.parametrize("text", [ARN, f"on {ARN}", f"{ARN} and {ARN}", "支払い" * 30, "a " * 50])
def test_no_line_is_longer_than_the_terminal_and_nothing_is_lost(columns: int, text: str) -> None:
    lines = print_on_terminal(lambda console: print_hanging(console, Text(text)), columns)
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)
    assert all(Text(line).cell_len <= columns for line in lines)


@pytest.mark.parametrize("columns", [50, 60, 80])
def test_no_command_that_a_message_suggests_is_broken_by_a_line_break(columns: int) -> None:
    """As it could not be pasted into a shell; what is longer than the terminal, the terminal itself wraps."""
    commands = [
        suggest_command("deploy", "continue-rollback", "staging", "--skip", "Data/DeadLetters"),
        suggest_command("destroy", "staging", "--purge"),
        complete_aws_commands("aws sqs delete-queue --queue-url $(aws sqs get-queue-url --queue-name payment-dlq-dev)"),
        suggest_payments_command("staging", "dlq", "list"),
    ]
    text = (
        f"first {commands[0]}, and then ({commands[1]}); or delete it: {commands[2]}; see what is left: {commands[3]}"
    )

    def print_lines(console) -> None:
        print_hanging(console, Text(text))
        print_warning(console, text, "red")
        ConsoleReporter(console).announce_step("Left behind:", text)
        print_findings(console, [Finding("names", Verdict.FAILURE, text, text)])
        at = datetime(2026, 1, 1, tzinfo=UTC)
        cause = Event("1", at, "arn", "Data/Queue", "AWS::SQS::Queue", "CREATE_FAILED", text, "")
        print_failure(console, Failure("stack", "ROLLBACK_COMPLETE", cause, next_step=text))

    output = "\n".join(print_on_terminal(print_lines, columns))
    assert [output.count(command) for command in commands] == [7] * len(commands)
    sentence = [line for line in output.splitlines() if not any(command in line for command in commands)]
    assert max(map(len, sentence), default=0) <= columns


def test_a_table_of_checks_lists_the_commands_that_its_cells_break() -> None:
    command = suggest_command("deploy", "staging", "--wait")
    check = Check(
        "stacks", "Every stack is up to date", CheckStatus.FAILED, f"Data is not, so deploy with {command}", 0.1
    )
    lines = print_on_terminal(lambda console: show_results(console, [check, check], []))
    assert [line for line in lines if line.startswith("→")] == [f"→ {command}"]


def test_what_is_wrapped_stands_to_the_right() -> None:
    words = "each of these words " * 8

    def print_lines(console) -> None:
        print_warning(console, words, "red")
        ConsoleReporter(console).announce_step("Retained:", words)
        ConsoleReporter(console).announce_step("  Data/Table", words)

    lines = print_on_terminal(print_lines)
    assert [re.match(r"(! |Retained: |  Data/Table |\s+)", line)[0] for line in lines] == [
        *("! ", "  ", "  "),
        *("Retained: ", "  ", "  "),
        *("  Data/Table ", "    ", "    "),
    ]


STATEMENT = StatementChange(
    True,
    "Policy",
    "managed policy",
    "Allow",
    ("dynamodb:GetItem",),
    ARN,
    '{"StringEquals": {"aws:a": "x", "aws:b": ["y", "z"]}, "Bool": {"aws:c": "true"}}',
)


def test_a_statement_names_what_it_is_on_in_the_same_line_and_joins_its_conditions() -> None:
    plan = Plan(StackChanges("s", (Change("Modify", "Policy", "AWS::IAM::ManagedPolicy"),)), (STATEMENT,))
    lines = print_on_terminal(lambda console: print_plan(console, plan))
    assert lines[lines.index("Policy changes") + 1 :] == [
        "+ Policy managed policy Allow",
        "    dynamodb:GetItem",
        "    on arn:aws:dynamodb:eu-west-1:123456789012:table/",
        "      dynamodb-payment-ledger-staging/index/open-payments",
        "    if StringEquals aws:a x",
        "    and if StringEquals aws:b y or z",
        "    and if Bool aws:c true",
    ]


def test_a_plan_that_only_adds_counts_the_statements_of_each_resource_but_those_of_a_warning() -> None:
    changes = tuple(Change("Add", name, "AWS::IAM::ManagedPolicy") for name in ("Boundary", "Open", "Single"))
    holders = [*["Boundary"] * 9, *["Open"] * 2, "Single"]
    statements = tuple(
        StatementChange(True, holder, "managed policy", "Allow", ("s3:Get*",), f"r{number}")
        for number, holder in enumerate(holders)
    )
    plan = Plan(StackChanges("s", changes), statements, ("Open (managed policy) allows every action on r9",))
    lines = print_on_terminal(lambda console: print_plan(console, plan))
    assert lines[0] == "! Open (managed policy) allows every action on r9"
    assert lines[3:6] == [
        "├── + Boundary AWS::IAM::ManagedPolicy 9 policy statements",
        "├── + Open AWS::IAM::ManagedPolicy",
        "└── + Single AWS::IAM::ManagedPolicy 1 policy statement",
    ]
    assert [line for line in lines if line.startswith("+ ")] == ["+ Open managed policy Allow"] * 2
    assert lines[-1] == "--full lists what 10 policy statements grant."
    full = print_on_terminal(lambda console: print_plan(console, plan, full=True))
    assert len([line for line in full if line.startswith("+ ")]) == 12
    # A resource that changes may not be overlooked among what is added.
    changed = Plan(StackChanges("s", (*changes, Change("Modify", "Role", "AWS::IAM::Role"))), statements)
    assert len([line for line in print_on_terminal(lambda c: print_plan(c, changed)) if line.startswith("+ ")]) == 12


def test_what_a_deletion_retains_is_counted_and_not_listed_as_deleted() -> None:
    below = (
        Change("Remove", "Table", "AWS::DynamoDB::Table", policy_action="Retain"),
        Change("Remove", "Queue", "AWS::SQS::Queue"),
    )
    nested = Change("Remove", "Data", STACK, nested=StackChanges("Data", below))
    other = Change(
        "Remove", "Rest", STACK, nested=StackChanges("Rest", (Change("Remove", "Topic", "AWS::SNS::Topic"),))
    )
    plan = Plan(StackChanges("s", (nested, other)))
    assert print_on_terminal(lambda console: print_plan(console, plan, lists_retained=False)) == [
        "! Data/Queue (AWS::SQS::Queue) is deleted: its messages will be lost",
        "Plan: 0 to add, 0 to change, 2 to destroy, 1 to retain outside the stack.",
        "s",
        "├── - Data AWS::CloudFormation::Stack (all but what is retained)",
        "│   └── - Queue AWS::SQS::Queue",
        "└── - Rest AWS::CloudFormation::Stack (and everything in it)",
        "    └── - Topic AWS::SNS::Topic",
    ]
    listed = print_on_terminal(lambda console: print_plan(console, plan))
    assert any("Table AWS::DynamoDB::Table (retained)" in line for line in listed)


def test_the_status_fits_into_80_columns_and_names_the_time_of_the_drift_check_once() -> None:
    moments = ("2026-01-01T09:00:01", "2026-01-01T09:00:30", "2026-01-01T09:01:00")
    stacks = tuple(
        StackStatus(path, path or "payment-platform-staging", "UPDATE_COMPLETE", moments[0], "IN_SYNC", moment)
        for path, moment in zip(("", "Data", "Security"), moments, strict=True)
    )
    drift = Drift("Data/Transactions", "AWS::DynamoDB::Table", "MODIFIED", ("Tags/0/Value", "BillingMode/Of/The/Table"))
    status = Status(stacks, (drift,), {})
    assert print_on_terminal(lambda console: _print_status(console, status, "staging")) == [
        "Stack                      Status            Last changed       Drift",
        "───────────────────────────────────────────────────────────────────────",
        "payment-platform-staging   UPDATE_COMPLETE   2026-01-01 09:00   in sync",
        "  Data                     UPDATE_COMPLETE   2026-01-01 09:00   in sync",
        "  Security                 UPDATE_COMPLETE   2026-01-01 09:00   in sync",
        "! Data/Transactions (AWS::DynamoDB::Table) is modified: Tags/0/Value,",
        "  BillingMode/Of/The/Table",
        "no alarms",
        "drift was detected 2026-01-01 09:00 to 2026-01-01 09:01",
    ]


def test_a_status_too_wide_for_a_table_is_a_line_for_each_stack() -> None:
    state = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"
    stack = StackStatus("", "payment-platform-staging", state, "2026-01-01T09:00:00", "NOT_CHECKED")
    lines = print_on_terminal(lambda console: _print_status(console, Status((stack,), (), {}), "staging"))
    assert lines[0] == f"payment-platform-staging  {state}"
    assert lines[1] == "    changed 2026-01-01 09:00, drift: not checked"
    assert lines[-1] == "drift has not been checked; run scripts/status.sh staging --drift"

"""`start` accepts a valid file as a whole, and describes each mistake of an invalid one in a line with its place."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.operator import cli, payment_files
from scripts.operator.payment_files import InvalidRequest
from scripts.operator.payment_requests import check_file, read_arguments

HEADER = "transaction_id,payment_amount,payment_method,customer_id\n"
GOOD = "T-1,150.00,credit_card,C-1\n"


def write_file(folder: Path, content: str | bytes, name: str = "payments.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_the_same_payment_is_the_same_text_wherever_it_is_read_from(tmp_path: Path) -> None:
    fields = {"transaction_id": "T-1", "payment_method": "credit_card", "customer_id": "C-1"}
    read_requests = [
        read_arguments("T-1", "150.00", "credit_card", "C-1", None),
        read_arguments("T-1", "1.5e2", "credit_card", "C-1", "USD"),
        *check_file(write_file(tmp_path, HEADER + GOOD)),
        *check_file(write_file(tmp_path, "\ufeff" + HEADER.strip() + ",currency\r\n\r\n" + GOOD.strip() + ",\r\n")),
        *check_file(write_file(tmp_path, json.dumps(fields | {"payment_amount": 150}), "a.json")),
        *check_file(write_file(tmp_path, json.dumps([fields | {"payment_amount": 150.0}], indent=2), "b.json")),
    ]
    assert len(read_requests) == 6
    assert len(set(read_requests)) == 1
    assert json.loads(read_requests[0].body)["payment_amount"] == 150


@pytest.mark.parametrize("amount", ["0.29", "1.15", "8.41", "9999999999999.99"])
def test_an_amount_arrives_as_it_was_written(amount: str) -> None:
    assert f'"payment_amount": {amount},' in read_arguments("T", amount, "credit_card", "C", None).body


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ("", "must be a number"),
        ("1_000", "must be a number"),
        ("NaN", "must be a number"),
        ("١٢", "must be a number"),
        ("1,50", "has a comma; write a decimal point"),
        ("1.005", "more decimal places than its currency has"),
        ("1e999999999", "too large or too small"),
        # Beyond the sixteenth digit, amounts share their binary floats.
        ("90071992547409.91", "more digits than can be sent exactly"),
        ("90071992547410", "too large"),
    ],
)
def test_an_inexact_amount_is_refused(amount: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_arguments("T", amount, "credit_card", "C", None)


PAYMENT = '{"transaction_id": "T-1", "payment_amount": 1, "payment_method": "credit_card", "customer_id": "C"}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "payments.csv: contains no payments"),
        (HEADER, "payments.csv: contains no payments"),
        ("transaction_id;payment_amount\n", "payments.csv:1: missing columns payment_method, customer_id; "),
        (HEADER.replace(",customer_id", "") + GOOD, "payments.csv:1: missing column customer_id"),
        (HEADER.strip() + ",cvv\n", "payments.csv:1: column 5 is unknown"),
        (HEADER.strip() + ",customer_id\n", "payments.csv:1: column 5 is customer_id, like column 4"),
        (HEADER + GOOD + "T-2,1\n", "payments.csv:3: 2 columns, and the header has 4; fill in each cell"),
        (HEADER + GOOD + "\n" + GOOD, "payments.csv:4: transaction_id is already in line 2"),
        (HEADER + GOOD + "T-2,x,credit_card,C\n", "payments.csv:3: payment_amount must be a number"),
        (HEADER + GOOD + "T-2,0,credit_card,C\n", "payments.csv:3: payment_amount must be more than 0"),
        (HEADER + GOOD + "T-2,-1,credit_card,C\n", "payments.csv:3: payment_amount must be more than 0"),
        (HEADER + GOOD + "T-2,1,cheque,C\n", "payments.csv:3: payment_method must be one of"),
        (HEADER + "4111111111111111,1,credit_card,C\n", "payments.csv:2: transaction_id must have"),
        (HEADER + '"T-1\n', "payments.csv:2: not CSV"),
        ((HEADER + GOOD).encode() + b"T-2,1,credit_card,Jos\xe9\n", "payments.csv:3: customer_id must have"),
        ((HEADER + GOOD).encode("utf-16"), "payments.csv: is UTF-16, as spreadsheets save Unicode Text; in"),
        ("", "a.json: contains no payments"),
        ("[]", "a.json: contains no payments"),
        ("[\n\n nonsense]", "a.json:3: not JSON"),
        (f"[{PAYMENT},\n]", "a.json:2: not JSON: a comma before the end"),
        (f"[{PAYMENT}\n{PAYMENT}]", "a.json:2: not JSON: a comma or the end"),
        (f"[{PAYMENT}", "a.json:1: not JSON: a comma or the end"),
        (f"{PAYMENT}\n{PAYMENT}", "a.json:2: not JSON: unexpected content after the end"),
        (f"[{PAYMENT},\n{PAYMENT}]", "a.json:2: transaction_id is already in line 1"),
        (f"[{PAYMENT},\n7]", "a.json:2: not an object"),
        (
            f"[{PAYMENT},\n" + PAYMENT.replace("T-1", "T-2").replace(": 1", ": NaN") + "]",
            "a.json:2: payment_amount must be finite",
        ),
        (PAYMENT.replace(": 1", ': "1"'), "a.json:1: payment_amount must be a number"),
        (PAYMENT.replace(": 1", ": " + "1" * 5000), "a.json:1: payment_amount is too large"),
        (PAYMENT.replace(": 1", ': 1, "payment_amount": 2'), "a.json:1: an object has the same field twice"),
        ("[" * 100_000, "a.json:1: not JSON: nested too deeply"),
        (f"[{PAYMENT}, {PAYMENT}]", "a.json:1: transaction_id is already in line 1"),
        (b"PK\3\4\0\0", "payments.csv: is not a text file; in a spreadsheet, save it as CSV UTF-8"),
        (PAYMENT.replace('"C"', "1.5"), "a.json:1: customer_id must have"),
        (PAYMENT.replace('"C"', '"C", "currency": 1.5'), "a.json:1: currency must be"),
        (PAYMENT.replace('"C"', '"C", "cvv": [1.5]'), "a.json:1: 1 unknown field"),
        (PAYMENT.replace(": 1", ": 1e400"), "a.json:1: payment_amount is too large or too small"),
        (PAYMENT.replace(": 1", ": 1e" + "9" * 30), "a.json:1: payment_amount must be a number"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    name = message.partition(":")[0]
    with pytest.raises(InvalidRequest) as error:
        check_file(write_file(tmp_path, content, name))
    assert str(error.value).startswith(f"{tmp_path}/{message}")
    assert "\n" not in str(error.value)
    # A value may be a card number in the wrong column.
    assert "4111" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "mistakes"),
    [
        ({"payment_amount": 0, "currency": "dollars"}, {"payment_amount": 10, "currency": 13}),
        ({"transaction_id": "T-1"}, {"transaction_id": 9}),
        # What stands in a value is no field.
        ({"transaction_id": 'x "payment_amount": 1', "payment_amount": 0}, {"transaction_id": 9, "payment_amount": 10}),
        # What is missing has no line.
        ({"customer_id": None}, {"customer_id": 8}),
        # An object may have fields of the same names.
        ({"transaction_id": {"payment_amount": 1}, "payment_amount": 0}, {"transaction_id": 8, "payment_amount": 8}),
    ],
)
def test_a_mistake_in_json_has_the_line_of_its_field(
    tmp_path: Path, changes: dict[str, Any], mistakes: dict[str, int]
) -> None:
    fields = {"transaction_id": "T-1", "payment_amount": 1, "payment_method": "credit_card", "customer_id": "C"}
    second = {**fields, "transaction_id": "T-2", **changes}
    payments = [fields, {name: value for name, value in second.items() if value is not None}]
    path = write_file(tmp_path, json.dumps(payments, indent=2), "a.json")
    with pytest.raises(InvalidRequest) as error:
        check_file(path)
    lines = [line.removeprefix(f"{path}:") for line in str(error.value).splitlines() if str(path) in line]
    assert {rule.split()[1]: int(rule.partition(":")[0]) for rule in lines} == mistakes


def test_too_much_json_and_a_file_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="JSON of more than 5 MiB; send it in several files, or as CSV"):
        check_file(write_file(tmp_path, b"[" + b" " * payment_files.LARGEST_JSON_BYTES, "a.json"))
    with pytest.raises(InvalidRequest, match="No such file"):
        check_file(tmp_path / "none.csv")


def test_a_file_that_changes_after_it_was_checked_is_not_sent(tmp_path: Path) -> None:
    path = write_file(tmp_path, HEADER + GOOD)
    requests = check_file(path)
    assert len(list(requests)) == 1
    write_file(tmp_path, HEADER + GOOD.replace("150", "1500"))
    with pytest.raises(InvalidRequest, match="has changed since it was checked; run the same command again"):
        list(requests)


COLUMNS = ("transaction_id", "payment_amount", "payment_method", "customer_id", "currency")
CURRENCIES = ("EUR", "USD")
# None of these is valid in its column. Some have a separator, a quote or a line end, which a table has to quote.
WRONG_CELLS = {
    "transaction_id": ["=T-1", "1E+15", "4111111111111111", "a b", "", "a,b", 'a"b', "a\nb"],
    "payment_amount": ["x", "1.500,00", "1,500.00", "1 500", "0", "", "1e99", "1;5"],
    "payment_method": ["cheque", "Credit_Card", "", "credit_card;"],
    "customer_id": ["José", "", "C 1", '"', "a\r\nb"],
    "currency": ["usd", "GBP", "XYZ", "€", "U\tD"],
}


@st.composite
def draw_rows(draw: st.DrawFn) -> list[dict[str, str]]:
    ids = draw(st.lists(st.from_regex(r"[A-Z][0-9]{1,5}", fullmatch=True), min_size=1, max_size=6, unique=True))
    cells = {
        "payment_amount": st.decimals(1, 9999, places=2).map(str),
        "payment_method": st.sampled_from(["credit_card", "debit_card"]),
        "customer_id": st.from_regex(r"C[0-9]{1,4}", fullmatch=True),
        "currency": st.sampled_from(["", *CURRENCIES]),
    }
    return [{"transaction_id": name} | draw(st.fixed_dictionaries(cells)) for name in ids]


@st.composite
def draw_formats(draw: st.DrawFn) -> dict[str, str | int]:
    """Draw how a spreadsheet may write a table."""
    return {
        "delimiter": draw(st.sampled_from([",", ";", "\t"])),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n", "\r"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    }


def write_table(
    rows: list[dict[str, str]], columns: list[str], mark: str = "", **form: str | int
) -> tuple[str, list[int]]:
    """Return the text of the table, and the line in which each row begins."""
    file, lines = io.StringIO(newline=""), []
    writer = csv.DictWriter(file, columns, **form)  # type: ignore[arg-type] # a dictionary has one type of values
    # Spreadsheets quote every line break; Python's writer leaves those that end no row of its own as they are.
    quoting_writer = csv.DictWriter(file, columns, **form | {"quoting": csv.QUOTE_ALL})  # type: ignore[arg-type]
    writer.writeheader()
    for row in rows:
        # Every line end in a table counts, also one within a cell.
        lines.append(len(file.getvalue().splitlines()) + 1)
        has_line_break = any(set(cell) & {"\r", "\n"} for cell in row.values())
        (quoting_writer if has_line_break else writer).writerow(row)
    return mark + file.getvalue(), lines


@settings(deadline=None)
@given(rows=draw_rows(), form=draw_formats(), mark=st.sampled_from(["", "\ufeff"]), columns=st.permutations(COLUMNS))
def test_a_table_is_read_the_same_however_a_spreadsheet_writes_it(
    rows: list[dict[str, str]],
    form: dict[str, str | int],
    mark: str,
    columns: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    text, _ = write_table(rows, columns, mark, **form)
    read_requests = check_file(write_file(folder, text), CURRENCIES)
    arguments = [[row[column] for column in COLUMNS[:-1]] + [row["currency"] or None] for row in rows]
    assert list(read_requests) == [read_arguments(*values) for values in arguments]  # type: ignore[arg-type]


@settings(deadline=None)
@given(rows=draw_rows(), form=draw_formats(), columns=st.permutations(COLUMNS), data=st.data())
def test_each_wrong_cell_is_reported_with_its_line_and_column_and_without_its_value(
    rows: list[dict[str, str]],
    form: dict[str, str | int],
    columns: list[str],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    wrong_cells = set()
    for number, row in enumerate(rows):
        for column in data.draw(st.sets(st.sampled_from(COLUMNS), min_size=1, max_size=3)):
            row[column] = data.draw(st.sampled_from(WRONG_CELLS[column]))
            wrong_cells.add((number, column))
    text, lines = write_table(rows, columns, **form)
    path = write_file(tmp_path_factory.mktemp("tables"), text)
    with pytest.raises(InvalidRequest) as error:
        check_file(path, CURRENCIES)
    places = [line.removeprefix(f"{path}:").split(" ")[:2] for line in str(error.value).splitlines() if ": " in line]
    assert sorted(places) == sorted([f"{lines[number]}:", column] for number, column in wrong_cells)


def test_many_mistakes_are_counted_and_not_all_shown(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as error:
        check_file(write_file(tmp_path, HEADER + "T-1,1,cheque,\n" * 700))
    first_line, *lines, last_line = str(error.value).splitlines()
    # Two rules in each row, and the repeated id in each but the first.
    assert (first_line, len(lines), last_line) == ("2,099 mistakes", payment_files.MOST_MISTAKES, "and 2,079 more")


def test_a_row_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    rows = ['"T-1"x,1,credit_card,C', "T-2,1,credit_card", "T-3,1,cheque,C", GOOD]
    with pytest.raises(InvalidRequest) as error:
        check_file(write_file(tmp_path, HEADER + "\n".join(rows)))
    numbers = [
        line.removeprefix(f"{tmp_path}/payments.csv:").split(":")[0] for line in str(error.value).splitlines()[1:]
    ]
    assert numbers == ["2", "3", "4"]


def test_empty_cells_beyond_the_header_are_left_out(tmp_path: Path) -> None:
    text = HEADER.strip() + ",,\n" + GOOD.strip() + ",,\n" + ",,,,,\n"
    assert check_file(write_file(tmp_path, text)).count == 1


def run_start(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.main, ["start", "--env", "local", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ([], "20.50 EUR in 2 payments\n150.00 USD in 1 payment\n"),
        (
            ["--json"],
            json.dumps([{"amount": "20.50 EUR", "payments": 2}, {"amount": "150.00 USD", "payments": 1}], indent=2)
            + "\n",
        ),
    ],
)
def test_a_dry_run_prints_sums_and_reaches_nothing(
    options: list[str], printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_to_reach(*_: object) -> None:
        raise AssertionError("a dry run reaches nothing")

    monkeypatch.setattr(cli.common, "reach_platform", refuse_to_reach)
    rows = "T-1,150,credit_card,C,\nT-2,20,credit_card,C,EUR\nT-3,.5,credit_card,C,EUR\n"
    path = write_file(tmp_path, HEADER.strip() + ",currency\n" + rows)
    code, output, errors = run_start("--file", str(path), "--dry-run", *options)
    assert (code, output) == (0, printed)
    assert options or errors == "all are valid; nothing was sent\n"


def test_a_currency_that_the_environment_does_not_accept_is_refused_before_anything_is_sent() -> None:
    arguments = ("T-1", "--amount", "1", "--method", "credit_card", "--customer", "C", "--currency", "XYZ")
    code, _, errors = run_start(*arguments)
    message = "currency must be one of maximum_amounts in the settings: EUR, JPY, USD"
    assert (code, errors) == (2, f"payments: nothing was sent: the payment: {message}\n")

"""The file of results: it is complete up to the last result, and replaces nothing but a file of results."""

import os
from pathlib import Path

import pytest

from scripts.common.errors import UserError
from scripts.operator.batch import Result
from scripts.operator.result_files import open_results

HEADER = "transaction_id,status,comment,amount,execution,is_newly_sent,failed\n"
COMPLETED = Result(
    "T-1", "COMPLETED", 'a "comment", of a gateway', "150.00 USD", "arn:1", is_newly_sent=True, is_final=True
)
LINE = 'T-1,COMPLETED,"a ""comment"", of a gateway",150.00 USD,arn:1,True,False\n'


def test_each_result_is_in_the_file_as_soon_as_it_is_added(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    with open_results(path) as results:
        results.add_result(COMPLETED)
        assert path.read_text() == HEADER + LINE
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_results_of_an_earlier_run_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    for _ in range(2):
        with open_results(path) as results:
            results.add_result(COMPLETED)
    assert path.read_text() == HEADER + LINE


def test_the_results_of_an_earlier_run_stay_until_there_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(HEADER + LINE)
    with pytest.raises(UserError, match="expired"), open_results(path):
        raise UserError("the credentials have expired")
    assert path.read_text() == HEADER + LINE


@pytest.mark.parametrize("content", ["transaction_id,payment_amount\n", "x"])
def test_another_file_is_not_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "payments.csv"
    path.write_text(content)
    with pytest.raises(UserError, match="is no file of results, so it is not replaced"), open_results(path):
        pass
    assert path.read_text() == content


def test_a_device_is_not_written_and_a_full_disk_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a regular file"), open_results(Path("/dev/null")):
        pass
    with open_results(tmp_path / "results.csv") as results:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, results.fileno())
        os.close(full)
        with pytest.raises(UserError, match="cannot be written: No space left on device"):
            results.add_result(COMPLETED)

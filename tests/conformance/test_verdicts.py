"""The table reports a disagreement that is not listed, and a listed case that agrees."""

import pytest

from tests.conformance.__main__ import print_table
from tests.conformance.verdicts import Verdict, summarize_verdicts

AGREES, DIFFERS = Verdict("a wait", ()), Verdict("a choice", ("the status is FAILED; ours is SUCCEEDED",))


def test_a_listed_disagreement_is_counted_and_no_fault() -> None:
    summary = summarize_verdicts([AGREES, DIFFERS], {"a choice": "not known yet"})
    assert (summary.agreeing, summary.total, summary.listed, summary.faults) == (1, 2, 1, ())


@pytest.mark.parametrize(
    ("listed", "fault"),
    [
        ({}, "a choice: the status is FAILED; ours is SUCCEEDED"),
        ({"a choice": "not known yet", "a wait": "not known yet"}, "a wait: listed as a disagreement, but it agrees"),
        ({"a choice": "not known yet", "a map": "gone"}, "a map: listed as a disagreement, but there is no such case"),
    ],
    ids=["not-listed", "agrees-by-now", "no-such-case"],
)
def test_what_is_not_as_listed_is_a_fault(listed: dict[str, str], fault: str) -> None:
    assert summarize_verdicts([AGREES, DIFFERS], listed).faults == (fault,)


def test_the_table_has_a_row_for_each_kind_and_fails_with_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_table([("executions", "the interpreter", lambda: [AGREES])]) == 0
    assert print_table([("executions", "the interpreter", lambda: [AGREES, DIFFERS])]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "the interpreter     1 of    1 agree, 0 known to disagree",
        "the interpreter     1 of    2 agree, 0 known to disagree",
        "not as listed: a choice: the status is FAILED; ours is SUCCEEDED",
    ]

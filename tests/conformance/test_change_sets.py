"""Each recorded change set is compared and shown as AWS listed and executed it, unless it is a known disagreement."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from scripts.common.templates import Tree
from scripts.deployer.plan.model import Change, PropertyChange, StackChanges
from scripts.deployer.planning import compare_trees
from tests.conformance.change_sets import (
    NAME,
    PSEUDO,
    RecordedChangeSet,
    find_differences_of_rows,
    find_hidden_changes,
    find_missing_dangers,
    find_other_values,
    judge_comparisons,
    judge_plans,
    load_change_sets,
    read_answer,
)
from tests.conformance.verdicts import Verdict, load_disagreements, summarize_verdicts

_TABLE = "AWS::DynamoDB::Table"


@pytest.mark.parametrize(("kind", "judge"), [("comparisons", judge_comparisons), ("plans", judge_plans)])
def test_no_change_set_differs_but_those_that_are_listed(kind: str, judge: Callable[[], Iterable[Verdict]]) -> None:
    summary = summarize_verdicts(judge(), load_disagreements(kind))
    assert summary.faults == ()
    assert summary.total > 60


def test_every_change_set_has_a_name_of_its_own() -> None:
    names = [recorded.name for recorded in load_change_sets()]
    assert len(names) == len(set(names))


def _make_row(
    action: str, name: str, kind: str, details: Sequence[dict[str, Any]] = (), **fields: str
) -> dict[str, Any]:
    row = {"Action": action, "LogicalResourceId": name, "ResourceType": kind, "Details": list(details), **fields}
    return row | {"Scope": ["Properties"] if details else []}


def test_another_action_replacement_or_value_and_a_loss_without_a_name_are_differences() -> None:
    target = {"Name": "TableName", "Path": "/Properties/TableName", "BeforeValue": "a", "AfterValue": "b"}
    policy = {"Replacement": "True", "PolicyAction": "ReplaceAndDelete"}
    rows = [
        _make_row("Modify", "Ledger", _TABLE, [{"Target": {**target, "RequiresRecreation": "Always"}}], **policy),
        _make_row("Add", "Alerts", "AWS::SNS::Topic", Replacement="True"),
    ]
    recorded = RecordedChangeSet("a replaced table", {"with_values": rows, "without_values": []})
    name = PropertyChange("TableName", "a", "b", "Always")
    table = Change("Modify", "Ledger", _TABLE, "True", (name,), "ReplaceAndDelete")
    topic = Change("Add", "Alerts", "AWS::SNS::Topic")
    assert list(find_differences_of_rows(recorded, StackChanges("s", (table, topic)), "read")) == []
    row = ("Modify", _TABLE, "True", "ReplaceAndDelete")
    for other, difference in (
        (replace(table, replacement="False"), f"Ledger is {row}; ours is read as {(*row[:2], 'False', row[3])}"),
        (replace(table, action="Add"), f"Ledger is {row}; ours is read as {('Add', *row[1:])}"),
        (replace(table, policy_action=""), f"Ledger is {row}; ours is read as {(*row[:3], '')}"),
        (replace(table, logical_id="Book"), "Ledger is Modify; ours is not read"),
        (replace(table, properties=()), "Ledger/TableName is ('a', 'b', 'Always'); ours is read as None"),
        (
            replace(table, properties=(replace(name, recreation="Never"),)),
            "Ledger/TableName is ('a', 'b', 'Always'); ours is read as ('a', 'b', 'Never')",
        ),
    ):
        assert list(find_differences_of_rows(recorded, StackChanges("s", (other, topic)), "read")) == [difference]
    assert list(find_missing_dangers(recorded, {"Ledger"})) == []
    assert list(find_missing_dangers(recorded, ())) == ["Ledger loses its data on AWS; ours names no loss"]


def test_another_value_is_a_difference_where_both_are_known() -> None:
    target = {"Name": "DisplayName", "BeforeValue": "a", "AfterValue": "{{changeSet:KNOWN_AFTER_APPLY}}"}
    details = [{"Target": {**target, "RequiresRecreation": "Never"}}]
    row = _make_row("Modify", "Alerts", "AWS::SNS::Topic", details, Replacement="False")
    recorded = RecordedChangeSet("a topic", {"with_values": [row], "without_values": []})
    for before, differences in (("a", []), ("${Title}", []), ("b", ["Alerts/DisplayName is a; ours is b"])):
        change = Change("Modify", "Alerts", "AWS::SNS::Topic", properties=(PropertyChange("DisplayName", before, "c"),))
        assert list(find_other_values(recorded, StackChanges("s", (change,)))) == differences


def test_a_change_that_is_hidden_is_a_difference() -> None:
    recorded, hidden = next(
        (recorded, name)
        for recorded in load_change_sets()
        for name in recorded.list_rows()
        if name not in {row["LogicalResourceId"] for row in recorded.fields["with_values"]}
    )
    all_changes = {name: Change(row.action, name, "T") for name, row in recorded.list_rows().items()}
    assert list(find_hidden_changes(recorded, all_changes)) == []
    del all_changes[hidden]
    assert list(find_hidden_changes(recorded, all_changes)) == [
        f"{hidden} is Modify on AWS; ours is said not to change"
    ]


def test_what_AWS_adds_or_removes_is_shown_although_the_comparison_lacks_it() -> None:
    count = 0
    for recorded in load_change_sets():
        new = Tree(recorded.fields["after"]), recorded.fields.get("parameters_after", {})
        plan = compare_trees(NAME, new, new, PSEUDO).make_plan(read_answer(recorded), ())
        shown = {change.logical_id: change.action for change in plan.stack.changes if not change.is_spurious}
        listed = {name: row.action for name, row in recorded.list_rows().items() if row.action in ("Add", "Remove")}
        assert {name: shown.get(name) for name in listed} == listed, recorded.name
        count += len(listed)
    assert count > 20


def _spoil_details(recorded: RecordedChangeSet, spoil: Callable[[list[Any], int], None]) -> Iterator[RecordedChangeSet]:
    """Yield the recording once for each detail that both answers have, spoilt in the answer with values."""
    complete = {
        (row["LogicalResourceId"], detail["Target"]["Name"])
        for row in recorded.fields["without_values"]
        for detail in row["Details"]
    }
    for position, row in enumerate(recorded.fields["with_values"]):
        for number, detail in enumerate(row["Details"]):
            if (row["LogicalResourceId"], detail["Target"]["Name"]) in complete:
                rows = deepcopy(recorded.fields["with_values"])
                spoil(rows[position]["Details"], number)
                yield replace(recorded, fields={**recorded.fields, "with_values": rows})


def _forget_detail(details: list[Any], number: int) -> None:
    del details[number]


def _call_harmless(details: list[Any], number: int) -> None:
    details[number]["Target"]["RequiresRecreation"] = "Never"


@pytest.mark.parametrize("spoil", [_forget_detail, _call_harmless])
def test_the_answer_without_values_counts_where_the_other_says_less(spoil: Callable[[list[Any], int], None]) -> None:
    """A resource that it omits is recorded (8 of them); a detail or a recreation that it omits is not."""
    count = 0
    for recorded in load_change_sets():
        rows = recorded.list_rows()
        for spoilt in _spoil_details(recorded, spoil):
            read = {
                change.logical_id: {prop.name: prop.recreation for prop in change.properties}
                for change in read_answer(spoilt).changes
            }
            assert read == {
                name: {path: values[2] for path, values in row.properties.items()} for name, row in rows.items()
            }, recorded.name
            count += 1
    assert count > 60

"""Each recorded change set is compared and shown as AWS listed and executed it, unless it is a known disagreement."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from scripts.deployer.plan.model import Change, PropertyChange, StackChanges
from tests.conformance.change_sets import (
    RecordedChangeSet,
    find_differences_of_rows,
    find_hidden_changes,
    find_missing_dangers,
    judge_comparisons,
    judge_plans,
    load_change_sets,
)
from tests.conformance.verdicts import Verdict, load_disagreements, summarize_verdicts


@pytest.mark.parametrize(("kind", "judge"), [("comparisons", judge_comparisons), ("plans", judge_plans)])
def test_no_change_set_differs_but_those_that_are_listed(kind: str, judge: Callable[[], Iterable[Verdict]]) -> None:
    summary = summarize_verdicts(judge(), load_disagreements(kind))
    assert summary.faults == ()
    assert summary.total > 60


def test_every_change_set_has_a_name_of_its_own() -> None:
    names = [recorded.name for recorded in load_change_sets()]
    assert len(names) == len(set(names))


def test_another_action_replacement_or_value_and_a_loss_without_a_name_are_differences() -> None:
    fields = {
        "listed": {"Ledger": "Modify with replacement", "Alerts": "Add"},
        "after": {"Resources": {"Ledger": {"Type": "AWS::DynamoDB::Table"}, "Alerts": {"Type": "AWS::SNS::Topic"}}},
        "values": {"Ledger": {"TableName": ["a", "b"]}},
    }
    recorded = RecordedChangeSet("a replaced table", fields)
    name = PropertyChange("TableName", "a", "b", "Always")
    table, topic = Change("Modify", "Ledger", "T", "True", (name,)), Change("Add", "Alerts", "T")
    assert list(find_differences_of_rows(recorded, StackChanges("s", (table, topic)), "read")) == []
    for other, difference in (
        (replace(table, replacement="False"), "Ledger is ('Modify', 'True'); ours is read as ('Modify', 'False')"),
        (replace(table, action="Add"), "Ledger is ('Modify', 'True'); ours is read as ('Add', 'True')"),
        (replace(table, properties=()), "Ledger/TableName is a → b; ours is read as None"),
    ):
        assert list(find_differences_of_rows(recorded, StackChanges("s", (other, topic)), "read")) == [difference]
    assert list(find_missing_dangers(recorded, {"Ledger"})) == []
    assert list(find_missing_dangers(recorded, ())) == ["Ledger loses its data on AWS; ours names no loss"]


def test_a_change_that_is_hidden_is_a_difference() -> None:
    recorded = next(recorded for recorded in load_change_sets() if "omitted_with_values" in recorded.fields)
    all_changes = {name: Change(action, name, "T") for name, (action, _) in recorded.list_rows().items()}
    assert list(find_hidden_changes(recorded, all_changes)) == []
    (hidden, *_) = recorded.fields["omitted_with_values"]
    del all_changes[hidden]
    assert list(find_hidden_changes(recorded, all_changes)) == [
        f"{hidden} is Modify on AWS; ours is said not to change"
    ]

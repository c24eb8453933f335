"""Each recorded change set is compared and shown as AWS listed and executed it, unless it is a known disagreement."""

from collections.abc import Callable, Iterable

import pytest

from scripts.deployer.plan.model import Change
from tests.conformance.change_sets import find_hidden_changes, judge_comparisons, judge_plans, load_change_sets
from tests.conformance.verdicts import Verdict, load_disagreements, summarize_verdicts


@pytest.mark.parametrize(("kind", "judge"), [("comparisons", judge_comparisons), ("plans", judge_plans)])
def test_no_change_set_differs_but_those_that_are_listed(kind: str, judge: Callable[[], Iterable[Verdict]]) -> None:
    summary = summarize_verdicts(judge(), load_disagreements(kind))
    assert summary.faults == ()
    assert summary.total > 60


def test_every_change_set_has_a_name_of_its_own() -> None:
    names = [recorded.name for recorded in load_change_sets()]
    assert len(names) == len(set(names))


def test_a_change_that_is_hidden_is_a_difference() -> None:
    recorded = next(recorded for recorded in load_change_sets() if "omitted_with_values" in recorded.fields)
    all_changes = {name: Change(action, name, "T") for name, (action, _) in recorded.list_rows().items()}
    assert list(find_hidden_changes(recorded, all_changes)) == []
    (hidden, *_) = recorded.fields["omitted_with_values"]
    del all_changes[hidden]
    assert list(find_hidden_changes(recorded, all_changes)) == [
        f"{hidden} is Modify on AWS; ours is said not to change"
    ]

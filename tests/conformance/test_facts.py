"""Each fact about AWS holds where we rely on it, unless it is a known disagreement."""

import pytest

from tests.conformance.double_facts import ON_INTERPRETER, ON_PLAN
from tests.conformance.emulator_facts import ON_EMULATOR
from tests.conformance.facts import Fact, judge_facts, load_facts
from tests.conformance.verdicts import load_disagreements, summarize_verdicts
from tests.prove.world import load_definition

FACTS = list(load_facts())
PLACES = {"interpreter": ON_INTERPRETER, "plan": ON_PLAN, "emulator": ON_EMULATOR}


def test_no_fact_differs_but_those_that_are_listed() -> None:
    summary = summarize_verdicts(judge_facts(), load_disagreements("facts"))
    assert summary.faults == ()
    assert summary.total == sum(len(fact.places) for fact in FACTS)


def test_every_fact_is_checked_or_says_why_not_and_every_check_has_a_fact() -> None:
    assert len({fact.name for fact in FACTS}) == len(FACTS) == 20
    for fact in FACTS:
        assert bool(fact.places) is not bool(fact.unused), fact.name
    for place, checks in PLACES.items():
        assert set(checks) == {fact.name for fact in FACTS if place in fact.places}


def test_another_value_a_missing_one_and_one_too_many_are_differences() -> None:
    fact = Fact("a charge", ("interpreter",), {"error": "CardDeclined", "count": 1}, "")
    assert fact.compare_with("interpreter", {"error": "CardDeclined", "count": 1}).is_agreement
    for observed, difference in (
        ({"error": "CardDeclined", "count": True}, "count is 1; ours is true"),
        ({"count": 1}, 'error is "CardDeclined"; ours is null'),
        ({"error": "CardDeclined", "count": 1, "cause": ""}, 'cause is null; ours is ""'),
    ):
        assert fact.compare_with("interpreter", observed).differences == (difference,)


@pytest.mark.parametrize("resource", ["${Publish}", "${SendMessage}"])
def test_the_workflow_treats_every_error_of_a_topic_and_a_queue_alike(resource: str) -> None:
    """The emulator gives these errors other names."""
    tasks = [state for state in load_definition()["States"].values() if state.get("Resource") == resource]
    handlers = [handler for task in tasks for handler in (*task["Retry"], *task["Catch"])]
    assert handlers
    assert all(handler["ErrorEquals"] == ["States.ALL"] for handler in handlers)

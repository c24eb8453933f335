"""The limit on a request counts characters as JSONata 2 does, in every language."""

import json
from typing import Any

import pytest

from stacks.workflow.state_machine import MAXIMUM_REQUEST_CHARACTERS
from tests.asl import LIMIT_BYTES
from tests.payments.test_workflow_any_input import nest_lists
from tests.workflow import END_STATES, Workflow, request

REFUSED = "States.QueryEvaluationError"


def build_request(characters: int, character: str) -> dict[str, Any]:
    """Return a request whose JSON, without white space, has this number of characters."""
    data = request(payment_amount=150, customer_id="")
    size = len(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
    return data | {"customer_id": character * (characters - size)}


@pytest.mark.parametrize("character", ["a", "é", "日", "💳"])
def test_the_longest_accepted_request_is_as_long_in_every_language(workflow: Workflow, character: str) -> None:
    accepted = workflow.pay(build_request(MAXIMUM_REQUEST_CHARACTERS, character))
    assert accepted.error != REFUSED
    refused = workflow.pay(build_request(MAXIMUM_REQUEST_CHARACTERS + 1, character), name="2")
    assert (refused.path[-1], refused.error) == ("PaymentFailed", REFUSED)
    assert workflow.dead_letters[-1]["error"] == REFUSED


@pytest.mark.parametrize("character", ["💳", "\u0001"])
def test_an_accepted_request_is_far_below_the_limit_that_ends_an_execution(workflow: Workflow, character: str) -> None:
    """In UTF-8 a character has up to four bytes; one that JSON escapes is counted as it is written."""
    widest = build_request(MAXIMUM_REQUEST_CHARACTERS, character)
    assert len(json.dumps(widest, ensure_ascii=False).encode()) < LIMIT_BYTES / 2
    assert workflow.pay(widest).path[-1] in END_STATES


@pytest.mark.parametrize("amount", [10**30, 10**300, 1e-300, -0.0, 0.1 + 0.2])
def test_a_number_is_measured_as_it_is_printed(workflow: Workflow, amount: float) -> None:
    assert workflow.pay(request(payment_amount=amount)).error != REFUSED


def test_a_number_too_large_for_a_double_is_refused(workflow: Workflow) -> None:
    """JSON allows it; JavaScript reads it as infinity, which $string refuses."""
    execution = workflow.pay(request(payment_amount=10**400))
    assert (execution.path[-1], execution.error) == ("PaymentFailed", REFUSED)


def test_a_deep_request_is_measured(workflow: Workflow) -> None:
    assert workflow.pay(request() | {"more": nest_lists(900)}).path[-1] in END_STATES

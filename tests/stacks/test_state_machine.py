"""The graph of the state machine, which cfn-lint does not check, and its error names, limits and patterns."""

import inspect
import json
from typing import Any

import pytest
from payments import errors
from payments.charge import LEASE_SECONDS
from payments.notification import NOTIFIER_SECONDS
from payments.payment import SETTLED
from payments.request import CARD_NUMBER, TRANSACTION_ID
from payments.status import UNSUCCESSFUL

from scripts.common.states import SHORT_NAMES
from stacks.compute.stack import RECONCILIATION_TIMEOUT_SECONDS, TIMEOUT_SECONDS
from stacks.workflow import errors as workflow_errors
from stacks.workflow import state_machine
from stacks.workflow.state_machine import define_states, longest_execution_seconds
from tests.emitted import load_template
from tests.stacks.test_states_language import list_targets
from tests.stacks.test_workflow_errors import RETRIED
from tests.workflow import END_STATES, Workflow, request

EMITTED: dict[str, Any] = load_template("workflow")["Resources"]["PaymentWorkflow"]["Properties"]
DEFINITION: dict[str, Any] = EMITTED["Definition"]
STATES: dict[str, Any] = DEFINITION["States"]
AWS_ERRORS = {*RETRIED, "States.ALL"}


def test_the_template_holds_this_definition() -> None:
    """The tests of the workflow run the definition that is emitted."""
    assert json.loads(json.dumps(DEFINITION)) == define_states()


def test_every_substitution_is_given_and_used() -> None:
    text = json.dumps(DEFINITION)
    for name in EMITTED["DefinitionSubstitutions"]:
        assert f"${{{name}}}" in text
    assert text.count("${") == sum(text.count(f"${{{name}}}") for name in EMITTED["DefinitionSubstitutions"])


def test_every_state_has_a_short_name() -> None:
    assert set(SHORT_NAMES) == set(STATES)


def test_every_state_is_reachable() -> None:
    assert list_reachable(DEFINITION["StartAt"]) == set(STATES)


def test_every_path_ends_in_an_end_state() -> None:
    ends = {name for name, state in STATES.items() if state["Type"] in ("Succeed", "Fail")}
    assert ends == END_STATES
    assert all(list_targets(STATES[name]) for name in set(STATES) - ends)

    for name in STATES:
        for target in list_targets(STATES[name]):
            assert name not in list_reachable(target), "a cycle"


@pytest.mark.parametrize("name", [name for name, state in STATES.items() if state["Type"] == "Task"])
def test_every_task_catches_all_errors_into_the_next_step(name: str) -> None:
    catchers = STATES[name].get("Catch")
    assert catchers, "a failure here would be lost"
    assert catchers[-1]["ErrorEquals"] == ["States.ALL"]
    expected = {
        "RecordFailure": "SendToDeadLetterQueue",
        "SendToDeadLetterQueue": "NotifyFailure",
        "NotifyFailure": "RecordNotice",
        "RecordNotice": "PaymentFailed",
        "NotifyUnsuccessful": "RecordUnsuccessful",
        "RecordUnsuccessful": "PaymentUnsuccessful",
    }.get(name, "RecordFailure")
    assert [catcher["Next"] for catcher in catchers] == [expected]


def test_a_failed_payment_can_only_end_as_a_failed_execution() -> None:
    """Before its failure is recorded, the payment may turn out to have another outcome."""
    assert list_reachable("SendToDeadLetterQueue") & END_STATES == {"PaymentFailed"}


def test_an_outcome_leads_to_the_same_end_whether_an_answer_was_lost_or_not() -> None:
    choices = STATES["PaymentOutcome"]["Choices"]
    assert STATES["FailureOutcome"]["Choices"][: len(choices)] == choices


def test_the_statuses_of_outcomes_are_those_of_the_functions() -> None:
    assert set(state_machine.UNSUCCESSFUL) == UNSUCCESSFUL
    assert set(state_machine.COMPLETED) == SETTLED - UNSUCCESSFUL


def test_a_claim_of_a_notice_outlasts_the_sending() -> None:
    """It covers each path from a claim to the last attempt at sending, with every attempt at its full timeout."""
    paths = [
        ("RecordFailure", ["SendToDeadLetterQueue", "NotifyFailure"]),
        ("ProcessPayment", ["NotifyUnsuccessful"]),
        ("RecordFailure", ["NotifyUnsuccessful"]),
    ]
    for claiming, sending in paths:
        # The workflow uses the answer of the last attempt, which has renewed the claim.
        longest = STATES[claiming]["TimeoutSeconds"] + longest_execution_seconds({n: STATES[n] for n in sending})
        assert longest < NOTIFIER_SECONDS, (claiming, sending)
    assert RECONCILIATION_TIMEOUT_SECONDS < NOTIFIER_SECONDS  # reconciliation's run


def test_every_error_name_is_a_class_in_the_code_or_awss_own() -> None:
    code_errors = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
    for state in STATES.values():
        for field in [*state.get("Retry", []), *state.get("Catch", [])]:
            assert set(field["ErrorEquals"]) <= code_errors | AWS_ERRORS


def test_every_error_of_the_code_is_listed_as_retried_or_final() -> None:
    """A new error class must be added to one of the two lists."""
    retried = {name for r in STATES["ProcessPayment"]["Retry"] for name in r["ErrorEquals"]} - AWS_ERRORS
    final = {
        "PaymentError", "MalformedRequest", "IdempotencyConflict", "PaymentNotRecorded", "LedgerRefused",
        "PaymentGivenUp", "ReviewNeeded", "NotAllowed", "NoticeNotSent", "InternalError",
    }  # fmt: skip
    assert retried | final == {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
    assert not retried & final
    says_retried = {name for name, error in inspect.getmembers(errors, inspect.isclass) if "Retried" in error.__doc__}
    assert says_retried == retried, "the docstrings in errors.py"


def test_each_timeout_exceeds_what_it_waits_for() -> None:
    for state in STATES.values():
        if state["Type"] == "Task" and state["Arguments"].get("FunctionName"):
            assert state["TimeoutSeconds"] > TIMEOUT_SECONDS
    assert DEFINITION["TimeoutSeconds"] > longest_execution_seconds(STATES)


def test_the_longest_execution_is_as_calculated_by_hand() -> None:
    """Two tasks of functions, three that record and three integrations, with each attempt and wait at its longest."""
    throttled = 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60
    in_progress, transient, crashed, not_ready = 5 * 20, 2 + 4 + 8, 2, 10 + 20 + 40 + 60 + 60
    patient = 2 + 4 + 8 + 16 + 32 + 60 + 60 + 60
    function = (1 + 8 + 5 + 3 + 1 + 5) * 310 + throttled + in_progress + transient + crashed + not_ready
    record = (1 + 8 + 8 + 1 + 5) * 310 + throttled + patient + crashed + not_ready
    integration = (1 + 8) * 30 + patient
    assert longest_execution_seconds(STATES) == 2 * function + 3 * record + 3 * integration


def test_the_retriers_have_these_waits_and_attempts() -> None:
    names = {tuple(r["ErrorEquals"]): (r["IntervalSeconds"], r["MaxAttempts"], r["BackoffRate"])
             for r in STATES["ProcessPayment"]["Retry"]}  # fmt: skip
    assert names == {
        workflow_errors.THROTTLED: (1, 8, 2),
        ("PaymentInProgress",): (20, 5, 1),
        (
            "GatewayUnavailable", "ChargeOutcomeUnknown", "LedgerUnavailable", "PaymentChanged",
            *workflow_errors.TRANSIENT,
        ): (2, 3, 2),
        workflow_errors.CRASHED: (2, 1, 1),
        workflow_errors.NOT_READY: (10, 5, 2),
    }  # fmt: skip
    assert STATES["ValidatePayment"]["Retry"] == STATES["ProcessPayment"]["Retry"]


def test_ids_have_the_same_patterns_as_in_the_functions() -> None:
    assert TRANSACTION_ID.pattern == state_machine.TRANSACTION_ID
    assert CARD_NUMBER.pattern == state_machine.CARD_NUMBER


def test_waiting_for_another_attempt_outlasts_its_lease() -> None:
    (waits,) = (r for r in STATES["ProcessPayment"]["Retry"] if r["ErrorEquals"] == ["PaymentInProgress"])
    assert waits["IntervalSeconds"] * waits["MaxAttempts"] > LEASE_SECONDS


def test_a_completed_payment_costs_four_transitions() -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        execution = Workflow().install(monkeypatch).pay(request())
    assert execution.path == ["ValidatePayment", "ProcessPayment", "PaymentOutcome", "PaymentComplete"]


def list_reachable(name: str) -> set[str]:
    """Return a state and all that may follow it."""
    reachable = {name}
    while targets := {target for state in reachable for target in list_targets(STATES[state])} - reachable:
        reachable |= targets
    return reachable

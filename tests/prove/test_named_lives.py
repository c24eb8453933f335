"""Lives that went wrong once, each by its name."""

import pytest

from tests.prove.explorer import Directed, Execution, Jump, Life, Scenario, Stop, Trouble, reconciliation_run
from tests.prove.services import DAY
from tests.prove.test_explored_lives import declines

A_AND_B = Scenario((Execution("a"), Execution("b")))
WAYS_TO_FAIL = pytest.mark.parametrize("trouble", [Directed.REFUSED, Directed.UNLISTED], ids=lambda way: way.name)


@WAYS_TO_FAIL
@pytest.mark.parametrize("place", ["before the failure is recorded", "before the notice", "after the notice"])
def test_one_fails_twice_while_the_same_request_charges(trouble: Trouble, place: str) -> None:
    """``a`` can neither process nor record its failure; whoever heard anything of the payment hears COMPLETED."""
    with Life(A_AND_B) as life:
        life.act("a", until_state="ProcessPayment")
        life.act("a", trouble=trouble)
        if place == "before the failure is recorded":
            life.act("b")
        life.act("a", trouble=trouble)
        if place == "before the notice":
            life.act("b")
        life.act("a")
        life.act("b")
        stage = life.end()
        assert stage.gateway.moved("charge", "TXN-TEST-001") == 1


@WAYS_TO_FAIL
def test_one_fails_before_anything_is_recorded_and_the_request_is_sent_again(trouble: Trouble) -> None:
    with Life(A_AND_B) as life:
        life.act("a", trouble=trouble)
        life.act("a")
        life.act("b")
        life.end()


@WAYS_TO_FAIL
@pytest.mark.parametrize("goes_on", ["before the notice", "after the notice"])
def test_another_records_it_a_moment_after_nothing_was_recorded(trouble: Trouble, goes_on: str) -> None:
    with Life(A_AND_B) as life:
        life.act("a", trouble=trouble)
        life.act("a", before="workflow.send_message")
        life.act("b", until_state="ProcessPayment")
        if goes_on == "before the notice":
            life.act("b")
        life.act("a")
        life.act("b")
        life.end()


@WAYS_TO_FAIL
def test_a_failure_before_anything_is_recorded_states_nothing_of_the_payment(trouble: Trouble) -> None:
    with Life(Scenario((Execution("a"),))) as life:
        life.act("a", trouble=trouble)
        life.act("a")
        life.end()


@pytest.mark.parametrize("function_runs", [True, False], ids=["in the function", "before the notice"])
@pytest.mark.parametrize("is_sent_again", [False, True], ids=["", "sent again"])
@pytest.mark.parametrize("is_a_day_later", [False, True], ids=["", "a day later"])
def test_a_decline_whose_execution_is_stopped(function_runs: bool, is_sent_again: bool, is_a_day_later: bool) -> None:
    """Subscribers hear of it, by whoever comes next."""
    actors = (Execution("a"), Execution("b"), Stop("a"), reconciliation_run(), Jump(DAY))
    with Life(Scenario(actors, declines)) as life:
        life.act("a", before="gateway.charge" if function_runs else "workflow.publish")
        life.act("StopExecution of a")
        life.act("a")
        assert life.result("a") == "STOPPED"
        if is_a_day_later:
            life.act(f"time, {DAY:,} s")
        if is_sent_again:
            life.act("b")
        life.act("reconciliation")
        life.end()
        assert life.heard_at_last == ["DECLINED"]


def test_a_charged_payment_whose_answers_are_lost() -> None:
    """No notice of a failure, no dead letter, and no failed execution."""
    with Life(Scenario((Execution("a"),))) as life:
        life.act("a", until_state="ProcessPayment")
        life.act("a", trouble=Directed.ANSWERS_LOST)
        life.act("a")
        stage = life.end()
        assert stage.queue.letters == []
        assert set(life.heard_at_last) <= {"COMPLETED"}
        assert life.result("a") == "SUCCEEDED"

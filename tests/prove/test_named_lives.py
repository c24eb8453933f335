"""Lives that went wrong once, each by its name."""

import pytest

from tests.prove.actors import Execution, Jump, Stop, schedule_run
from tests.prove.directed_life import Life
from tests.prove.explorer import Scenario
from tests.prove.services import DAY
from tests.prove.test_explored_lives import declines_all
from tests.prove.troubles import Directed, Trouble

A_AND_B = Scenario((Execution("a"), Execution("b")))
WAYS_TO_FAIL = pytest.mark.parametrize("trouble", [Directed.REFUSED, Directed.UNLISTED], ids=lambda way: way.name)


@WAYS_TO_FAIL
@pytest.mark.parametrize("place", ["before the failure is recorded", "before the notice", "after the notice"])
def test_one_fails_twice_while_the_same_request_charges(trouble: Trouble, place: str) -> None:
    """``a`` can neither process nor record its failure; whoever heard anything of the payment hears COMPLETED."""
    with Life(A_AND_B) as life:
        life.let_act("a", until_state="ProcessPayment")
        life.let_act("a", trouble=trouble)
        if place == "before the failure is recorded":
            life.let_act("b")
        life.let_act("a", trouble=trouble)
        if place == "before the notice":
            life.let_act("b")
        life.let_act("a")
        life.let_act("b")
        stage = life.end_life()
        assert stage.gateway.count_moves("charge", "TXN-TEST-001") == 1


@WAYS_TO_FAIL
def test_one_fails_before_anything_is_recorded_and_the_request_is_sent_again(trouble: Trouble) -> None:
    with Life(A_AND_B) as life:
        life.let_act("a", trouble=trouble)
        life.let_act("a")
        life.let_act("b")
        life.end_life()


@WAYS_TO_FAIL
@pytest.mark.parametrize("goes_on", ["before the notice", "after the notice"])
def test_another_records_it_a_moment_after_nothing_was_recorded(trouble: Trouble, goes_on: str) -> None:
    with Life(A_AND_B) as life:
        life.let_act("a", trouble=trouble)
        life.let_act("a", before="workflow.send_message")
        life.let_act("b", until_state="ProcessPayment")
        if goes_on == "before the notice":
            life.let_act("b")
        life.let_act("a")
        life.let_act("b")
        life.end_life()


@WAYS_TO_FAIL
def test_a_failure_before_anything_is_recorded_states_nothing_of_the_payment(trouble: Trouble) -> None:
    with Life(Scenario((Execution("a"),))) as life:
        life.let_act("a", trouble=trouble)
        life.let_act("a")
        life.end_life()


@pytest.mark.parametrize("function_runs", [True, False], ids=["in the function", "before the notice"])
@pytest.mark.parametrize("is_sent_again", [False, True], ids=["", "sent again"])
@pytest.mark.parametrize("is_a_day_later", [False, True], ids=["", "a day later"])
def test_a_decline_whose_execution_is_stopped(function_runs: bool, is_sent_again: bool, is_a_day_later: bool) -> None:
    """Subscribers hear of it, by whoever comes next."""
    actors = (Execution("a"), Execution("b"), Stop("a"), schedule_run(), Jump(DAY))
    with Life(Scenario(actors, declines_all)) as life:
        life.let_act("a", before="gateway.charge" if function_runs else "workflow.publish")
        life.let_act("StopExecution of a")
        life.let_act("a")
        assert life.result_of("a") == "STOPPED"
        if is_a_day_later:
            life.let_act(f"time, {DAY:,} s")
        if is_sent_again:
            life.let_act("b")
        life.let_act("reconciliation")
        life.end_life()
        assert life.received_outcomes == ["DECLINED"]


def test_a_charged_payment_whose_answers_are_lost() -> None:
    """No notice of a failure, no dead letter, and no failed execution."""
    with Life(Scenario((Execution("a"),))) as life:
        life.let_act("a", until_state="ProcessPayment")
        life.let_act("a", trouble=Directed.ANSWERS_LOST)
        life.let_act("a")
        stage = life.end_life()
        assert stage.queue.letters == []
        assert set(life.received_outcomes) <= {"COMPLETED"}
        assert life.result_of("a") == "SUCCEEDED"

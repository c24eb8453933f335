"""Lives that went wrong once, as regression tests."""

import pytest

from tests.prove.actors import Execution, Jump, Stop, schedule_run
from tests.prove.directed_life import Life
from tests.prove.explorer import Scenario
from tests.prove.services import DAY
from tests.prove.test_explored_lives import declines_all
from tests.prove.troubles import Directed, Trouble

A_AND_B = Scenario((Execution("a"), Execution("b")))
FAILURES = pytest.mark.parametrize("trouble", [Directed.REFUSED, Directed.UNLISTED], ids=lambda trouble: trouble.name)


@FAILURES
@pytest.mark.parametrize("place", ["before the failure is recorded", "before the notice", "after the notice"])
def test_an_execution_fails_twice_while_another_charges_the_same_request(trouble: Trouble, place: str) -> None:
    """``a`` can neither process the payment nor record its failure; subscribers finally hear COMPLETED."""
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


@FAILURES
@pytest.mark.parametrize("moment", ["before the notice", "after the notice"])
def test_an_execution_records_the_payment_just_after_another_found_nothing(trouble: Trouble, moment: str) -> None:
    with Life(A_AND_B) as life:
        life.let_act("a", trouble=trouble)
        life.let_act("a", before="workflow.send_message")
        life.let_act("b", until_state="ProcessPayment")
        if moment == "before the notice":
            life.let_act("b")
        life.let_act("a")
        life.let_act("b")
        life.end_life()


@pytest.mark.parametrize("function_runs", [True, False], ids=["in the function", "before the notice"])
@pytest.mark.parametrize("is_sent_again", [False, True], ids=["", "sent again"])
@pytest.mark.parametrize("is_a_day_later", [False, True], ids=["", "a day later"])
def test_a_decline_is_announced_once_though_its_execution_is_stopped(
    function_runs: bool, is_sent_again: bool, is_a_day_later: bool
) -> None:
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


def test_a_charged_payment_whose_answers_are_lost_is_no_failure() -> None:
    with Life(Scenario((Execution("a"),))) as life:
        life.let_act("a", until_state="ProcessPayment")
        life.let_act("a", trouble=Directed.ANSWERS_LOST)
        life.let_act("a")
        stage = life.end_life()
        assert stage.queue.letters == []
        assert set(life.received_outcomes) <= {"COMPLETED"}
        assert life.result_of("a") == "SUCCEEDED"

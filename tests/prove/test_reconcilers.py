"""Two whole runs of reconciliation at once, over the same payments that an outage left open.

Each run lists, settles and announces all payments, and measures what stays open. The explorer takes the calls of both
in every order, alone and with every fault of troubles.py at every call; of two payments, in every order with one or two
interruptions. Without a fault, each notice has to be sent once.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from handlers import processing, reconciliation, validation

from tests.asl import StatesError
from tests.prove.actors import Jump, Redrive, schedule_run
from tests.prove.explorer import Explorer, Scenario
from tests.prove.faults import Fault
from tests.prove.services import DAY
from tests.prove.stage import Stage
from tests.prove.test_explored_lives import claim_over, declines_all, never_answers
from tests.prove.test_races import HOUR
from tests.workflow import request

EXECUTION = {"id": "execution that died", "started_at": "2026-01-01T00:00:00.000Z"}
OUTAGE = "an outage"

Leave = Callable[[Stage, str], None]


def invoke(stage: Stage, handler: Any, event: dict[str, Any], call: str, fault: Fault | None) -> None:
    """Invoke a handler whose first ``call`` has this fault. Its caller has died, so nobody tries it again."""

    def plan_fault(name: str) -> None:
        if name == call and fault is not None and not stage.faults.plan:
            stage.faults.plan = {len(stage.faults.calls): fault}

    stage.faults.switch = plan_fault
    with suppress(StatesError):
        stage.invoke_handler(handler, event)
    stage.faults.switch, stage.faults.plan = lambda _: None, {}


def leave_payment(stage: Stage, transaction_id: str, call: str = OUTAGE, fault: Fault | None = None) -> None:
    """Record a payment, and charge it unless the ``fault`` of a ``call`` prevents that."""
    event = {"request": request(transaction_id=transaction_id), "execution": EXECUTION}
    record_id = stage.invoke_handler(validation.handler, event)["record_id"]
    event = {"action": "process", "transaction_id": transaction_id, "record_id": record_id, "execution": EXECUTION}
    invoke(stage, processing.handler, event, call, fault)


def leave_refund(stage: Stage, transaction_id: str) -> None:
    leave_payment(stage, transaction_id)
    event = {"action": "refund", "transaction_id": transaction_id, "operator": "alice"}
    invoke(stage, reconciliation.handler, event, "gateway.refund", Fault.TIMEOUT_WITH_EFFECT)


def leave_failure(stage: Stage, transaction_id: str, call: str) -> None:
    """Leave a payment that a run has settled and then crashed at ``call``."""
    leave_payment(stage, transaction_id, "gateway.charge", Fault.CRASH_BEFORE)
    stage.pass_time(HOUR)
    invoke(stage, reconciliation.handler, {}, call, Fault.CRASH_AFTER)


at_the_charge = partial(leave_payment, call="gateway.charge")
# How an outage may leave a payment, and the status that the payment then has.
LEFT: dict[str, tuple[Leave, str]] = {
    "not claimed": (partial(leave_payment, call="dynamodb.get_item", fault=Fault.CRASH_BEFORE), "PENDING"),
    "crashed, charged": (partial(at_the_charge, fault=Fault.CRASH_AFTER), "PROCESSING"),
    "crashed, not charged": (partial(at_the_charge, fault=Fault.CRASH_BEFORE), "PROCESSING"),
    "refused": (partial(at_the_charge, fault=Fault.THROTTLED), "PENDING"),
    "no answer, charged": (partial(at_the_charge, fault=Fault.TIMEOUT_WITH_EFFECT), "UNKNOWN"),
    "no answer, not charged": (partial(at_the_charge, fault=Fault.TIMEOUT), "UNKNOWN"),
    "refund without an answer": (leave_refund, "REFUNDING"),
    "announced by a run that crashed": (partial(leave_failure, call="sns.publish"), "FAILED"),
    "without the dead letter of a run that crashed": (partial(leave_failure, call="sqs.send_message"), "FAILED"),
}


def leave(*names: str) -> Callable[[Stage], None]:
    """Return a function that leaves a payment of each kind, and lets an hour pass, which makes it overdue."""

    def prepare(stage: Stage) -> None:
        for number, name in enumerate(names):
            leave_kind, status = LEFT[name]
            leave_kind(stage, f"TXN-{number}")
            assert stage.read_payments()[f"TXN-{number}"].status == status
        stage.pass_time(HOUR)

    return prepare


def leave_customer_due(stage: Stage) -> None:
    """Leave a payment that was not charged, whose customer is due to be erased."""
    os.environ["CUSTOMER_DATA_DAYS"] = "14"  # restored with the stage's ports
    leave("crashed, not charged")(stage)
    stage.live_on()
    stage.pass_time(15 * DAY)
    assert stage.read_payments()["TXN-0"].is_erasable


RUNS = (schedule_run("first run"), schedule_run("second run"))
# After a crash nobody knows whether the notice was sent, so it is sent again.
SENT_AGAIN = {"announced by a run that crashed", "without the dead letter of a run that crashed"}
hours_pass = partial(Jump, 2 * HOUR, "time, two hours")
SCENARIOS = {
    **{
        f"{name}, every order": Scenario(RUNS, prepare=leave(name), announces_once=name not in SENT_AGAIN)
        for name in LEFT
    },
    **{f"{name}, one fault": Scenario(RUNS, troubles=1, prepare=leave(name)) for name in LEFT},
    "declined, one fault": Scenario(RUNS, declines_all, troubles=1, prepare=leave("no answer, charged")),
    "silent, every order": Scenario(
        (*RUNS, hours_pass()), never_answers, prepare=leave("no answer, charged"), announces_once=True
    ),
    "refused, settled and closed": Scenario(
        (*RUNS, hours_pass(), schedule_run("third run"), schedule_run("fourth run")),
        **{"preemptions": 1, "prepare": leave("refused"), "announces_once": True},
    ),
    "two payments, one fault": Scenario(
        RUNS, troubles=1, preemptions=1, prepare=leave("crashed, charged", "no answer, not charged")
    ),
    "two payments, two interruptions": Scenario(
        RUNS, preemptions=2, prepare=leave("crashed, charged", "refused"), announces_once=True
    ),
    "two payments, and a third run": Scenario(
        (*RUNS, claim_over(), schedule_run("third run")),
        **{"preemptions": 1, "prepare": leave("crashed, not charged", "not claimed"), "announces_once": True},
    ),
    "a customer is due, one fault": Scenario(RUNS, troubles=1, prepare=leave_customer_due),
    "a customer is due, redriven": Scenario(
        (*RUNS, Redrive(sent_request=request(transaction_id="TXN-0"))), preemptions=2, prepare=leave_customer_due
    ),
    "two faults": Scenario(RUNS, troubles=2, preemptions=2, prepare=leave("crashed, not charged")),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_life_of_two_reconcilers_ends_wrong(name: str, record_figure: Any) -> None:
    explorer = Explorer(SCENARIOS[name])
    with explorer.stage.install_ports():
        explored = explorer.explore_lives()
    print(f"\ntwo reconcilers, {name}: {explored.states} states, {explored.lives} ends")
    record_figure("states of two reconcilers explored", explored.states)
    record_figure("ends of two reconcilers explored", explored.lives)
    lives = list(explored.wrong.items())
    assert not lives, f"{name}: {dict(explored.finding_counts)}" + "".join(
        f"\n\n{finding.kind}: {finding.text}\n{life}" for finding, life in lives[:3]
    )

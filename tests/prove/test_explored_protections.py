"""Plants defects one at a time: the explorer then finds more violations of a kind than without the defect."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from payments import failure, notification
from payments.payment import OPEN
from payments.ports import Charge, NotRefunded, RefundOutcome

from stacks.workflow.state_machine import EXPRESS, define_states
from tests.prove import test_explored_lives as lives
from tests.prove import test_protections as protections
from tests.prove import test_reconcilers as reconcilers
from tests.prove import truth
from tests.prove.actors import Execution, Late, schedule_run
from tests.prove.explorer import Explorer, Scenario
from tests.prove.faults import Fault
from tests.prove.stage import SavingGateway
from tests.prove.troubles import Directed

Plant = Callable[[pytest.MonkeyPatch], None]


def trust_a_saved_error_of_a_refund(patch: pytest.MonkeyPatch) -> None:
    really = SavingGateway._do_refund

    def trust(self: SavingGateway, charge: Charge, reference: str) -> RefundOutcome:
        return NotRefunded("saved error") if self._is_saved("refund", charge) else really(self, charge, reference)

    patch.setattr(SavingGateway, "_do_refund", trust)


def announce_for_another_without_a_record(patch: pytest.MonkeyPatch) -> None:
    """An execution announces a payment that another execution holds, and does not record that."""
    really = failure.record_failure

    def announce(transaction_id: str, *, execution: str, ledger: Any, **arguments: Any) -> failure.Failure:
        payment = ledger.find_payment(transaction_id)
        if payment is not None and payment.execution != execution and payment.status in OPEN:
            return failure.Failure(payment, is_announced=True)
        return really(transaction_id, execution=execution, ledger=ledger, **arguments)

    patch.setattr("handlers.processing.record_failure", announce)


def ignore_claims_of_notices(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(notification.Notification, "is_claimed", lambda *_: False)


def know_executions_by_their_id(patch: pytest.MonkeyPatch) -> None:
    """Both runs of an execution that is restarted hold the same claim."""
    definition = define_states(replace(EXPRESS, identifies_runs=False))
    patch.setattr("tests.prove.world.load_definition", lambda *_: definition)


ONE_EXECUTION = Scenario((Execution("a"),), troubles=1)
LATE = Scenario((Execution("a"), Late()), troubles=1, only=frozenset({Fault.TIMEOUT_LATE}))
SAVED = replace(lives.SCENARIOS["refunded, saved errors"], troubles=1, preemptions=0)
NOT_NOTIFIED = Scenario(
    (Execution("a"), lives.a_day(), schedule_run()),
    lives.never_answers,
    troubles=1,
    troubled=frozenset({"reconciliation"}),
    preemptions=0,
)
SENT_TWICE = replace(lives.SCENARIOS["two executions, one fault"], only=frozenset({Directed.REFUSED}))

RESTARTED = replace(lives.SCENARIOS["Express, restarted, away"], preemptions=1)

PLANTED: dict[Plant, tuple[Scenario, str]] = {
    protections.use_a_key_per_attempt: (ONE_EXECUTION, truth.DOUBLE),
    protections.trust_a_lookup_that_is_not_final: (LATE, truth.LOST_OR_STUCK),
    trust_a_saved_error_of_a_refund: (SAVED, truth.LOST_OR_STUCK),
    protections.confirm_before_sending: (NOT_NOTIFIED, truth.LAST_DIFFERS),
    announce_for_another_without_a_record: (SENT_TWICE, truth.LAST_DIFFERS),
    know_executions_by_their_id: (RESTARTED, truth.NOT_NOTIFIED),
    ignore_claims_of_notices: (lives.SCENARIOS["redriven"], truth.UNTRUE),
    protections.drop_all_conditions: (reconcilers.SCENARIOS["crashed, not charged, every order"], truth.NOT_NOTIFIED),
}


def count_findings(scenario: Scenario) -> Counter[str]:
    explorer = Explorer(scenario)
    with explorer.stage.install_ports():
        return explorer.explore_lives().finding_counts


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_defect_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch, record_figure: Any) -> None:
    scenario, kind = PLANTED[plant]
    baseline = count_findings(scenario)
    plant(monkeypatch)
    counts = count_findings(scenario)
    print(f"\nplanted, {plant.__name__}: {dict(counts)}; baseline: {dict(baseline)}")
    assert counts[kind] > baseline[kind]
    record_figure("defects planted, each found by exploring", 1)

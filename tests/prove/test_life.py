"""A stateful property test: random steps in payments' lives, with what must hold after each step and at the end.

Payments run in both workflows, as while an environment changes from one to the other.
"""

from collections import Counter
from contextlib import suppress
from typing import Any

from handlers import processing, reconciliation
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from payments.payment import TRANSITIONS, Status
from payments.ports import Charge, Declined, NotCharged, Outcome

from tests.asl import StatesError
from tests.prove.faults import GATEWAY_FAULTS, Fault
from tests.prove.services import SILENCE
from tests.prove.world import World, load_definition
from tests.workflow import request

STEPS: Counter[str] = Counter()
# The final statuses of the payments.
ENDS: Counter[str] = Counter()
IDS = st.sampled_from(["T-1", "T-2", "T-3"])
BEHAVIOURS = st.sampled_from(["", "away for long", "", "declined", "away", "silent"])
FAULTS = sorted(GATEWAY_FAULTS, key=lambda fault: fault.name)


class Life(RuleBasedStateMachine):
    """Payments are started, repeated, interrupted, reconciled, refunded and reopened while time passes."""

    @initialize(behaviours=st.fixed_dictionaries(dict.fromkeys(("T-1", "T-2", "T-3"), BEHAVIOURS)))
    def begin(self, behaviours: dict[str, str]) -> None:
        def behave(charge: Charge) -> Outcome | None:
            match behaviours.get(charge.transaction_id):
                case "declined":
                    return Declined("insufficient_funds")
                case "away" if charge.attempt % 3:
                    return NotCharged("away")
                case "away for long" if charge.attempt % 6:
                    return NotCharged("away")
                case "silent":
                    return SILENCE
            return None

        self.world = World(behaviour=behave)
        self.installation = self.world.install_ports()
        self.installation.__enter__()
        self.runs = 0
        self.sent_request: list[dict[str, Any]] = []

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.faults.plan.clear()
        self.world.faults.outage = None
        self.world.run_schedule()
        ENDS.update(str(payment.status) for payment in self.world.read_payments().values())
        try:
            self.world.check_payments()
        finally:
            self.installation.__exit__(None, None, None)

    @rule(transaction_id=IDS, amount=st.sampled_from([150.0, 150.0, 150.0, 99.5, -1]), is_express=st.booleans())
    def run_payment(self, transaction_id: str, amount: float, is_express: bool) -> None:
        self.pay_again(request(transaction_id=transaction_id, payment_amount=amount), is_express=is_express)

    def pay_again(self, sent_request: dict[str, Any], *, is_express: bool = False) -> None:
        """Run an execution of one of the two workflows. Those of Express all have the same name."""
        self.runs += 1
        STEPS["pay, Express" if is_express else "pay"] += 1
        self.sent_request.append(sent_request)
        name = sent_request["transaction_id"] if is_express else str(self.runs)
        self.world.run_payment(sent_request, name, load_definition(is_express))

    @rule(transaction_id=IDS)
    def process_once(self, transaction_id: str) -> None:
        """Invoke the function alone, like a retry whose execution has ended."""
        payment = self.world.read_payments().get(transaction_id)
        if payment:
            event = {"action": "process", "transaction_id": transaction_id, "record_id": payment.record_id}
            self._invoke_function(processing.handler, event | {"execution": {"id": payment.execution}})

    @rule(transaction_id=IDS)
    def refund(self, transaction_id: str) -> None:
        self._operate("refund", transaction_id)

    @rule(transaction_id=IDS)
    def redrive(self, transaction_id: str) -> None:
        """Redrive with the request of the failed execution, as the operator's command does."""
        sent_request = [request for request in self.sent_request if request["transaction_id"] == transaction_id]
        for last_request in sent_request[-1:]:
            if self._operate("reopen", transaction_id, request=last_request):
                self.pay_again(last_request)

    @rule(transaction_id=IDS)
    def resolve(self, transaction_id: str) -> None:
        """Resolve the payment as the gateway's records say."""
        if self.world.gateway.count_moves("charge", transaction_id):
            reference = f"ref-payment-{transaction_id}"
            self._operate("resolve", transaction_id, status="COMPLETED", reference=reference)
        else:
            self._operate("resolve", transaction_id, status="FAILED")

    @rule()
    def run_schedule(self) -> None:
        self._invoke_function(reconciliation.handler, {})

    @rule(seconds=st.sampled_from([1, 61, 301, 901, 40_000]))
    def time_passes(self, seconds: int) -> None:
        STEPS["time"] += 1
        self.world.time += seconds

    @rule()
    def late_effects(self) -> None:
        STEPS["late"] += 1
        self.world.gateway.let_late_effects_happen()

    @rule(ahead=st.integers(0, 12), fault=st.sampled_from(FAULTS))
    def something_will_break(self, ahead: int, fault: Fault) -> None:
        STEPS["fault"] += 1
        self.world.faults.plan[len(self.world.faults.calls) + ahead] = fault

    @rule(service=st.sampled_from(["", "workflow", "sns", "sqs", "dynamodb"]))
    def an_outage_begins_or_ends(self, service: str) -> None:
        STEPS["outage"] += 1
        self.world.faults.outage = (service, 0) if service else None

    @invariant()
    def no_step_is_wrong(self) -> None:
        if not hasattr(self, "world"):
            return
        for transaction_id, payment in self.world.read_payments().items():
            charges = self.world.gateway.count_moves("charge", transaction_id)
            assert charges <= 1
            assert self.world.gateway.count_moves("refund", transaction_id) <= charges
            if payment.status in (Status.COMPLETED, Status.REFUNDING, Status.REFUNDED):
                assert charges == 1
            if payment.status in (Status.REJECTED, Status.DECLINED, Status.FAILED):
                assert charges == 0
        for (transaction_id, sequence), step in self.world.dynamodb.steps.items():
            before = self.world.dynamodb.steps.get((transaction_id, sequence - 1))
            if before and before["status"] == step["status"] and "note" in step:
                continue  # a note: the status stays
            assert Status(step["status"]["S"]) in TRANSITIONS[Status(before["status"]["S"]) if before else None]

    def _operate(self, action: str, transaction_id: str, **fields: Any) -> bool:
        event = {"action": action, "transaction_id": transaction_id, "operator": "alice", **fields}
        return self._invoke_function(reconciliation.handler, event)

    def _invoke_function(self, handler: object, event: dict[str, Any]) -> bool:
        """Return whether the handler answered. Errors are ignored: they only have to be harmless."""
        STEPS[str(event.get("action", "reconcile"))] += 1
        with suppress(StatesError):
            self.world.invoke_handler(handler, event)
            return True
        return False


def test_no_random_step_leaves_anything_wrong(record_figure: Any) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    STEPS.clear()
    ENDS.clear()
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=150,
            # Each run takes the same lives.
            derandomize=True,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"\nlife steps: {sum(STEPS.values())} {dict(STEPS)}; ended {dict(ENDS)}")
    record_figure("random steps run", sum(STEPS.values()))
    assert sum(STEPS.values()) > 3000
    # Every final status occurred.
    assert set(ENDS) == {"REJECTED", "COMPLETED", "DECLINED", "FAILED", "REVIEW", "REFUNDED"}

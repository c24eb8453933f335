"""What a simulation takes from the platform is what the platform does: the definition, the core and the handlers.

The workflow runs in memory with the real definition and the real handlers; the simulation of the same payment has to
wait as long, call the gateway as often, enter as many states, and end with the same status.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payments.notification import NOTIFIER_SECONDS, Notification
from payments.payment import Payment as RealPayment
from payments.payment import Status
from payments.ports import Charge, NotCharged, Outcome, Unknown

from scripts.capacity.limits import load_limits
from scripts.simulation.assumptions import Assumptions
from scripts.simulation.figures import End, Result
from scripts.simulation.payment import Payment
from scripts.simulation.retriers import Retriers
from scripts.simulation.rules import Rules, read_rules, read_schedule_seconds
from scripts.simulation.scenario import REFUSE, TIMEOUT, Scenario
from scripts.simulation.simulate import simulate
from stacks import settings
from stacks.workflow.reconciliation import define_reconciliation
from stacks.workflow.state_machine import define_states
from tests.asl.errors import StatesError
from tests.asl.handlers import Handlers
from tests.asl.memory import Visit
from tests.emitted import ROOT, load_template
from tests.fakes import ScriptedGateway
from tests.workflow import Workflow, request

WORKERS = define_reconciliation()["States"]["ReconcileShares"]["ItemProcessor"]
STATES: dict[str, Any] = define_states()["States"] | WORKERS["States"]
ERRORS = sorted(
    {error for state in STATES.values() for retrier in state.get("Retry", []) for error in retrier["ErrorEquals"]}
)
# A payment takes no time but its waits.
INSTANT = Assumptions(
    validation_seconds=0, processing_seconds=0, service_seconds=0, gateway_seconds=0, refusal_seconds=0,
    timeout_seconds=0, charged_share=1,
)  # fmt: skip
STATUS_OF_END = {End.AT_ONCE: "COMPLETED", End.LATE: "COMPLETED", End.FAILED: "FAILED"}


RECONCILIATION = {"ReconciliationWorkers": "5", "GatewayRequestsPerSecond": "70"}


class NoChance:
    """Draws the longest wait, as the interpreter of the tests waits."""

    def uniform(self, _low: float, high: float) -> float:
        return high


@pytest.fixture
def workflow(monkeypatch: pytest.MonkeyPatch) -> Workflow:
    return Workflow().install(monkeypatch)


def simulate_payment(rules: Rules, outage_seconds: float, mode: str, **changes: float) -> Result:
    scenario = Scenario(
        per_second=1, arrivals=(0.0,), outage_seconds=outage_seconds, mode=mode, lead_seconds=0, after_seconds=0,
        assumptions=replace(INSTANT, **changes),
    )  # fmt: skip
    return simulate(scenario, rules)


@pytest.mark.parametrize("state", [name for name, state in STATES.items() if "Retry" in state])
@pytest.mark.parametrize("error", [*ERRORS, "Some.OtherError"])
def test_a_state_is_retried_as_its_definition_says(state: str, error: str, rules: Rules) -> None:
    handlers = Handlers(Visit(state, STATES[state], {}, 1), False)
    retriers, attempts = rules.retriers[state], dict[int, int]()
    for _ in range(12):
        expected = handlers.plan_retry(StatesError(error, ""))
        assert retriers.plan_wait(error, attempts, NoChance()) == expected  # type: ignore[arg-type]


def test_the_jitter_of_a_retrier_is_between_none_and_its_wait() -> None:
    waits: list[tuple[float, float]] = []

    class Recorded:
        def uniform(self, low: float, high: float) -> float:
            waits.append((low, high))
            return low

    retriers = Retriers(STATES["ProcessPayment"]["Retry"])
    assert retriers.plan_wait("Lambda.TooManyRequestsException", {}, Recorded()) == 0  # type: ignore[arg-type]
    assert retriers.plan_wait("GatewayUnavailable", {}, Recorded()) == 2  # type: ignore[arg-type]
    assert waits == [(0, 1)]


@pytest.mark.parametrize("refused", range(6))
@pytest.mark.parametrize("mode", [REFUSE, TIMEOUT])
@pytest.mark.parametrize("is_charged", [True, False])
def test_a_payment_in_an_outage_lives_as_in_memory(
    mode: str, refused: int, is_charged: bool, workflow: Workflow, rules: Rules
) -> None:
    """The outage ends after so many calls of the gateway."""
    gateway = ScriptedGateway()

    def lose_answer(charge: Charge) -> Outcome:
        if is_charged:
            gateway.really_charge(charge)
        return Unknown("no answer")

    script: list[Any] = [NotCharged("away") if mode == REFUSE else Unknown("no answer")] * refused
    if mode == TIMEOUT and refused:
        script[0] = lose_answer
    gateway.script, workflow.gateway = script, gateway
    waits: list[float] = []
    execution = workflow.pay(request(), sleep=waits.append)
    # Between the last call that is refused and the next.
    attempts = [sum(waits[:count]) for count in range(len(waits) + 1)]
    end_of_outage = attempts[refused - 1] + 0.1 if 0 < refused <= len(attempts) else attempts[-1] * bool(refused) + 0.1
    result = simulate_payment(rules, end_of_outage if refused else 0, mode, charged_share=float(is_charged))
    status = workflow.ledger.payments["TXN-TEST-001"].status
    calls = len(gateway.calls)
    assert (
        sum(result.gateway_calls[kind] for kind in ("charge", "lookup") if kind in result.gateway_calls)
        - (status is Status.UNKNOWN)
        == calls
    )
    assert result.transitions == len(execution.path) + len(waits)
    (end,) = result.ends
    if status is Status.UNKNOWN:
        # Reconciliation settles it, by one call.
        assert end == (End.RECONCILED if is_charged else End.ABANDONED)
    else:
        assert STATUS_OF_END[End(end)] == status
        assert result.open_seconds == pytest.approx(max(0, sum(waits) - result.outage_seconds), abs=0.1)


STATUSES = st.sampled_from([Status.PENDING, Status.PROCESSING, Status.UNKNOWN, Status.FAILED, Status.COMPLETED])


@given(
    status=STATUSES,
    since=st.floats(0, 10_000),
    waited=st.floats(0, 10_000),
    is_claimed=st.booleans(),
    key_closed=st.booleans(),
    notice_at=st.none() | st.floats(0, 5000),
    at=st.floats(0, 30_000),
)
def test_a_payment_is_overdue_when_the_platform_takes_it_up(
    status: Status, since: float, waited: float, is_claimed: bool, key_closed: bool, notice_at: float | None, at: float
) -> None:
    """A notice is due only after a failure; the notifier has claimed it."""
    updated_at = since + waited
    notice_until = None if notice_at is None or status is not Status.FAILED else notice_at + NOTIFIER_SECONDS
    payment = Payment(1, 0, since)
    payment.status, payment.since, payment.updated_at = str(status), since, updated_at
    payment.first_claimed_at = since if is_claimed else None
    payment.key_closed, payment.notice_until = key_closed, notice_until
    real = RealPayment(
        transaction_id="T-1",
        status=status,
        sequence=1,
        fingerprint="f",
        execution="e",
        created_at=since,
        updated_at=updated_at,
        since=since,
        first_claimed_at=payment.first_claimed_at,
        idempotency_key_closed=key_closed,
        notification=Notification(is_due=notice_until is not None, notifier_until=notice_until),
    )
    assert payment.overdue_at == real.overdue_at
    assert payment.needs_closing == real.needs_closing


def test_the_schedule_is_read_from_the_template() -> None:
    templates = [load_template(name) for name in ("compute", "workflow", "monitoring")]
    rules = [
        rule for template in templates for rule in template["Resources"].values() if rule["Type"] == "AWS::Events::Rule"
    ]
    schedules = {rule["Properties"].get("ScheduleExpression") for rule in rules} - {None}
    assert schedules == {f"rate({read_schedule_seconds() / 60:g} minutes)"}


def test_a_schedule_in_hours_is_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "compute.yaml").write_text("    ScheduleExpression: rate(1 hour)\n")
    assert read_schedule_seconds(tmp_path) == 3600


def test_the_settings_of_the_environment_apply() -> None:
    rules = read_rules(settings.load("dev") | {"ReservedConcurrency": "50", "OpenShards": "16"} | RECONCILIATION)
    assert (rules.reserved_concurrency, rules.shards) == (50, 16)
    assert (rules.workers, rules.gateway_per_second) == (5, 70)
    assert read_rules(settings.load("dev"), workers=4).workers == 4


def test_the_quotas_are_those_of_the_capacity_command() -> None:
    limits, assumptions = load_limits("us-east-1").rows, Assumptions()
    starts, transitions = limits["step_functions_starts"], limits["step_functions_transitions"]
    assert (starts.burst, starts.default) == (assumptions.start_bucket, assumptions.starts_per_second)
    assert (transitions.burst, transitions.default) == (
        assumptions.transition_bucket,
        assumptions.transitions_per_second,
    )
    assert limits["lambda_concurrency"].default == assumptions.concurrency


def test_a_call_without_an_answer_lasts_as_long_as_a_request_to_stripe() -> None:
    source = (ROOT / "lambda" / "adapters" / "stripe_http.py").read_text()
    assert float(re.findall(r"^REQUEST_SECONDS = (\d+)", source, re.MULTILINE)[0]) == Assumptions().timeout_seconds

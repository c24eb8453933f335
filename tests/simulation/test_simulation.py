"""Simulations end as they must: every payment once, within the quotas, and the same way for the same seed."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payments.payment import TRANSITIONS, Status

from scripts.simulation.assumptions import Assumptions
from scripts.simulation.figures import End, Result
from scripts.simulation.payment import Payment
from scripts.simulation.rules import Rules
from scripts.simulation.scenario import MODES, REFUSE, TIMEOUT, TRANSITIONS_OF_PAYMENT, Scenario
from scripts.simulation.simulate import simulate


def share_of(result: Result, *ends: End) -> float:
    return sum(result.ends.get(end, 0) for end in ends) / result.payments


def test_without_an_outage_every_payment_completes_at_once(rules: Rules) -> None:
    result = simulate(Scenario(per_second=20, outage_seconds=0), rules)
    assert result.ends == {End.AT_ONCE: result.payments}
    assert not any(result.throttled.values())
    assert (result.open_seconds, result.closing_seconds) == (0, 0)
    assert result.gateway_calls == {"charge": result.payments}
    assert result.transitions == result.payments * TRANSITIONS_OF_PAYMENT


def test_payments_arrive_at_the_rate(rules: Rules) -> None:
    exact, cohorts = (simulate(Scenario(per_second=50, outage_seconds=0, cohort=n), rules).payments for n in (1, 10))
    assert exact == pytest.approx(50 * 360, rel=0.02)
    assert cohorts == 50 * 360


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("outage_seconds", [1, 5])
def test_an_outage_that_is_shorter_than_the_retries_leaves_no_payment_open(
    mode: str, outage_seconds: float, rules: Rules
) -> None:
    """The four attempts of ProcessPayment take 14 s; an answer that is lost is looked up."""
    assumptions = Assumptions(timeout_seconds=0.5, charged_share=1)
    result = simulate(Scenario(per_second=5, outage_seconds=outage_seconds, mode=mode, assumptions=assumptions), rules)
    assert set(result.ends) == {End.AT_ONCE, End.LATE}
    assert result.open_seconds < 14


def test_a_long_outage_fails_what_is_refused_and_leaves_open_what_gets_no_answer(rules: Rules) -> None:
    refused, unanswered = (simulate(Scenario(per_second=1, mode=mode), rules) for mode in (REFUSE, TIMEOUT))
    assert share_of(refused, End.FAILED) == pytest.approx(600 / 960, abs=0.05)
    assert End.RECONCILED not in refused.ends
    # Each was claimed, so reconciliation closes it at the gateway.
    assert refused.gateway_calls["close"] == refused.ends[End.FAILED]
    assert share_of(unanswered, End.RECONCILED, End.ABANDONED) == pytest.approx(600 / 960, abs=0.05)
    assert unanswered.open_seconds > 5 * 60
    assert refused.peak_backlog < unanswered.peak_backlog


SCENARIOS = st.builds(
    Scenario,
    per_second=st.sampled_from([0.2, 1, 3]),
    outage_seconds=st.sampled_from([0, 20, 200]),
    mode=st.sampled_from(MODES),
    seed=st.integers(0, 9),
    cohort=st.sampled_from([1, 3]),
    assumptions=st.builds(
        Assumptions,
        concurrency=st.sampled_from([5.0, 20.0, 1000.0]),
        start_bucket=st.sampled_from([10.0, 1300.0]),
        starts_per_second=st.sampled_from([0.5, 300.0]),
        transition_bucket=st.sampled_from([10.0, 5000.0]),
        transitions_per_second=st.sampled_from([5.0, 5000.0]),
        gateway_per_second=st.sampled_from([3.0, 0.0]),
        charged_share=st.sampled_from([0.0, 0.5, 1.0]),
        crash_share=st.sampled_from([0.0, 0.2]),
    ),
)


@settings(deadline=None, max_examples=60)
@given(scenario=SCENARIOS)
def test_every_payment_ends_exactly_once_within_the_quotas(scenario: Scenario, rules: Rules) -> None:
    """``World.end_payment`` raises for a payment that ends twice."""
    result = simulate(scenario, rules)
    assert sum(result.ends.values()) == result.payments
    assert set(result.ends) <= {str(end) for end in End}
    assert result.peak_concurrency <= scenario.assumptions.concurrency
    assert result.peak_backlog <= result.payments
    assert result.backlog[-1][1] == 0


@pytest.mark.parametrize("mode", MODES)
def test_the_same_seed_gives_the_same_result(mode: str, rules: Rules) -> None:
    scenario = Scenario(per_second=2, mode=mode)
    assert simulate(scenario, rules) == simulate(scenario, rules)
    assert simulate(scenario, rules) != simulate(replace(scenario, seed=2), rules)


@pytest.mark.parametrize("mode", MODES)
def test_cohorts_end_as_single_payments_do(mode: str, rules: Rules) -> None:
    exact, cohorts = (simulate(Scenario(per_second=20, mode=mode, cohort=n), rules) for n in (1, 10))
    for end in End:
        assert share_of(cohorts, end) == pytest.approx(share_of(exact, end), abs=0.02)
    assert cohorts.peak_backlog == pytest.approx(exact.peak_backlog, rel=0.12)
    assert cohorts.peak_concurrency == pytest.approx(exact.peak_concurrency, rel=0.1)
    # Reconciliation settles the last of them in one run or the next.
    assert cohorts.open_seconds == pytest.approx(exact.open_seconds, abs=rules.schedule_seconds)
    assert sum(cohorts.gateway_calls.values()) == pytest.approx(sum(exact.gateway_calls.values()), rel=0.03)


@pytest.mark.nightly
def test_cohorts_end_as_single_payments_do_where_quotas_are_exceeded(rules: Rules) -> None:
    scenario = Scenario(per_second=20, mode=TIMEOUT, assumptions=Assumptions(concurrency=200))
    exact, cohorts = (simulate(replace(scenario, cohort=n), rules) for n in (1, 5))
    assert exact.throttled["Lambda concurrency"] > exact.payments
    for end in End:
        assert share_of(cohorts, end) == pytest.approx(share_of(exact, end), abs=0.05)
    assert cohorts.throttled["Lambda concurrency"] == pytest.approx(exact.throttled["Lambda concurrency"], rel=0.1)


def test_each_step_of_a_payment_is_one_that_the_platform_allows(rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: set[tuple[str, str]] = set()
    set_status = Payment.set_status

    def record_step(payment: Payment, status: str, at: float) -> None:
        steps.add((payment.status, status))
        set_status(payment, status, at)

    monkeypatch.setattr(Payment, "set_status", record_step)
    for mode in MODES:
        simulate(Scenario(per_second=5, mode=mode, assumptions=Assumptions(crash_share=0.1, concurrency=50)), rules)
    allowed = {(str(before or ""), str(after)) for before, afters in TRANSITIONS.items() for after in afters}
    assert len(steps) >= 8
    assert steps <= allowed, steps - allowed
    assert ("", str(Status.PENDING)) in steps


def test_a_crashed_attempt_holds_its_payment_until_the_lease_is_over(
    rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attempt charges before: each waits for the lease, by the retrier of PaymentInProgress."""
    claim, late_claims = Payment.claim, []

    def record_claim(payment: Payment, at: float) -> None:
        if payment.lease_until is not None:
            late_claims.append(at - payment.lease_until)
        claim(payment, at)

    monkeypatch.setattr(Payment, "claim", record_claim)
    result = simulate(
        Scenario(per_second=1, outage_seconds=0, lead_seconds=0, assumptions=Assumptions(crash_share=0.3)), rules
    )
    # The definition retries a crash once; what crashes twice is left to reconciliation.
    assert share_of(result, End.LATE) == pytest.approx(0.3 * 0.7, abs=0.05)
    assert share_of(result, End.RECONCILED) == pytest.approx(0.3 * 0.3, abs=0.05)
    assert len(late_claims) > 50
    assert min(late_claims) >= 0


@pytest.mark.nightly
def test_a_quota_that_is_raised_throttles_nothing_that_the_default_does(rules: Rules) -> None:
    scenario = Scenario(per_second=700, outage_seconds=0, lead_seconds=0, after_seconds=60)
    default, raised = simulate(scenario, rules), simulate(scenario.with_raised_quotas(), rules)
    assert default.throttled["StartExecution"] > 0
    assert default.ends[End.NOT_STARTED] > 0
    assert not any(raised.throttled.values())
    assert scenario.with_raised_quotas().assumptions.concurrency == 1000
    few = Scenario(per_second=1)
    assert few.with_raised_quotas() is few


def test_more_workers_settle_sooner_and_stay_below_the_rate_of_the_gateway(rules: Rules) -> None:
    scenario = Scenario(per_second=5, mode=TIMEOUT)
    single, several, paced = (
        simulate(scenario, replace(rules, workers=workers, gateway_per_second=rate)).open_seconds
        for workers, rate in ((1, 0), (8, 0), (8, 0.5))
    )
    assert several < single / 3
    # About 3,000 payments are left open, and each run makes 0.5 calls a second for a part of its time.
    assert paced > 3000 / 0.5


def test_a_worker_without_concurrency_tries_again_and_then_leaves_its_payments_to_the_next_run(rules: Rules) -> None:
    """Calls that wait for the gateway use up the concurrency while the outage lasts."""
    scenario = Scenario(per_second=5, mode=TIMEOUT, assumptions=Assumptions(concurrency=40))
    result = simulate(scenario, rules)
    assert result.throttled["runs of reconciliation"] > 0
    assert simulate(replace(scenario, assumptions=Assumptions()), rules).throttled["runs of reconciliation"] == 0

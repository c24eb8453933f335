"""Injects every fault into every call of every function, singly and in pairs: enumerated, not chosen at random.

`make prove` has all pairs in both workflows. `make test` takes each fifteenth pair in the Standard workflow, and in the
Express workflow, whose functions are the same, three lives and few of their pairs.

After each run, once retries and reconciliation have ended, ``World.check_payments`` finds nothing wrong: a payment is
charged as its status says, its ledger leads to that status, and it does not stay open.
"""

import functools
import itertools
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from handlers import reconciliation
from payments.payment import Status
from payments.ports import Charge, Declined, NotCharged, Outcome, Unknown

from tests.asl import StatesError
from tests.asl.functions import AddedFunctions
from tests.prove.faults import PROVES_ALL, Fault
from tests.prove.services import DAY, SILENCE
from tests.prove.world import World
from tests.workflow import request

Behaviour = Callable[[Charge], Outcome | None]
# Of so many pairs, or calls from which an outage lasts, one is tested.
SHARE, EXPRESS_SHARE, OUTAGE_SHARE = (1, 1, 1) if PROVES_ALL else (15, 60, 4)
WORKFLOWS = ["Standard", "Express"] if PROVES_ALL else ["Standard"]


@dataclass(frozen=True)
class Scenario:
    """A payment's life: how the gateway behaves, and the final status without faults."""

    ends: Status
    behaviour: Behaviour = lambda _: None
    refund: bool = False
    # Whether an operator redrives the payment after its failure.
    redrive: bool = False
    # How long the schedule is disabled before it reconciles.
    down_seconds: float = 0
    is_express: bool = False


STANDARD_SCENARIOS = {
    "charged": Scenario(Status.COMPLETED),
    "declined": Scenario(Status.DECLINED, lambda _: Declined("insufficient_funds")),
    "away once": Scenario(Status.COMPLETED, lambda charge: NotCharged("away") if charge.attempt == 1 else None),
    "away after the first try": Scenario(
        Status.COMPLETED, lambda charge: NotCharged("away") if charge.attempt > 1 else None
    ),
    "away for good": Scenario(Status.FAILED, lambda _: NotCharged("away")),
    "answer lost, not charged": Scenario(Status.FAILED, lambda _: Unknown("timeout")),
    "redriven": Scenario(
        Status.COMPLETED, lambda charge: NotCharged("away") if charge.attempt <= 4 else None, redrive=True
    ),
    "silent for good": Scenario(Status.REVIEW, lambda _: SILENCE, down_seconds=DAY),
    "charged, and no schedule for a day": Scenario(Status.COMPLETED, down_seconds=DAY),
    "refunded": Scenario(Status.REFUNDED, refund=True),
    "refunded, and no schedule for a day": Scenario(Status.REFUNDED, refund=True, down_seconds=DAY),
}
SCENARIOS = STANDARD_SCENARIOS | {
    f"Express, {name}": replace(STANDARD_SCENARIOS[name], is_express=True)
    for name in (STANDARD_SCENARIOS if PROVES_ALL else ("charged", "declined", "away for good"))
}


def run_scenario(
    scenario: Scenario, plan: dict[int, Fault], outage: tuple[str, int] | None = None, outage_seconds: float = 0
) -> World:
    """Run a life. An ``outage`` begins at a call and lasts until ``outage_seconds`` after the execution."""
    world = World(plan, scenario.behaviour, is_express=scenario.is_express)
    world.faults.outage = outage
    event: dict[str, Any] = {"transaction_id": request()["transaction_id"], "operator": "alice"}
    with world.install_ports():
        world.run_payment(request())
        if scenario.redrive:
            world.redriven_at = len(world.faults.calls)
            with suppress(StatesError):
                world.invoke_handler(reconciliation.handler, event | {"action": "reopen", "request": request()})
                world.run_payment(request(), name="redrive")
        if scenario.refund:
            with suppress(StatesError):
                world.invoke_handler(reconciliation.handler, event | {"action": "refund"})
        if outage_seconds:
            world.run_schedule(outage_seconds)
        world.faults.outage = None
        if scenario.down_seconds:
            # Late requests arrive sooner than that.
            world.gateway.let_late_effects_happen()
            world.time += scenario.down_seconds
        world.run_schedule()
    return world


def list_plans(world: World, beyond: int = -1) -> list[tuple[int, Fault]]:
    """Return every fault of every call of this run after the call ``beyond``."""
    return [
        (index, fault)
        for index, (_, possible) in enumerate(world.faults.calls)
        if index > beyond
        for fault in sorted(possible, key=lambda fault: fault.name)
    ]


def is_own_kind(world: World, index: int, fault: Fault) -> bool:
    """Whether no other fault of this call stands for ``fault`` in a pair.

    A function handles a throttled call of an AWS service as one that times out without effect, which
    ``test_a_throttled_call_leaves_what_a_timeout_leaves`` holds for each single fault.
    """
    name, _ = world.faults.calls[index]
    return fault is not Fault.THROTTLED or name.startswith(("gateway.", "workflow."))


def list_plans_of_pairs(world: World, beyond: int) -> list[tuple[int, Fault]]:
    return [plan for plan in list_plans(world, beyond) if is_own_kind(world, *plan)]


def describe_contents(world: World) -> str:
    """Return what a run left behind, without the names of the errors of AWS services, which only people read."""
    services = world.dynamodb.payments, world.dynamodb.steps, world.gateway.movements
    contents = repr((world.time, *services, world.topic.notices, world.queue.letters))
    return re.sub(r"\b(get_item|query|transact_write_items): [A-Za-z, ]+", r"\1", contents)


def test_a_throttled_call_leaves_what_a_timeout_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each single call of a function, and the calls that it makes only after another fault."""
    monkeypatch.setattr(secrets, "token_hex", lambda size: "00" * size)
    monkeypatch.setattr(AddedFunctions, "new_uuid", lambda: "run")
    compared: Counter[str] = Counter()

    def compare(scenario: Scenario, world: World, plan: dict[int, Fault], names: Iterable[str] = ()) -> None:
        for index, fault in list_plans(world, max(plan, default=-1)):
            call, _ = world.faults.calls[index]
            if is_own_kind(world, index, fault) or call in names:
                continue
            throttled, timed_out = (run_scenario(scenario, plan | {index: kind}) for kind in (fault, Fault.TIMEOUT))
            assert throttled.faults.calls == timed_out.faults.calls
            assert describe_contents(throttled) == describe_contents(timed_out), (plan, index, call)
            compared[call] += 1

    for name in SCENARIOS if PROVES_ALL else ("charged", "redriven"):
        scenario = SCENARIOS[name]
        undisturbed = run_scenario(scenario, {})
        assert [payment.status for payment in undisturbed.read_payments().values()] == [scenario.ends]
        compare(scenario, undisturbed, {})
        names = {call for call, _ in undisturbed.faults.calls}
        for index, fault in list_plans(undisturbed):
            broken = run_scenario(scenario, {index: fault})
            if {call for call, _ in broken.faults.calls} - names:
                compare(scenario, broken, {index: fault}, names)
    services = ("dynamodb.get_item", "dynamodb.query", "dynamodb.transact_write_items", "secretsmanager.get")
    assert set(compared) == {*services, "sns.publish", "sqs.send_message"}


def run_again_after_a_day(plan: dict[int, Fault], *, is_express: bool = False) -> World:
    """Repeat a request when the gateway has forgotten the first, without a schedule in between."""
    world = World(plan, is_express=is_express)
    with world.install_ports():
        world.run_payment(request(), name="1")
        # Late requests arrive sooner than that.
        world.gateway.let_late_effects_happen()
        world.time += DAY + 1
        world.run_payment(request(), name="2")
        world.run_schedule()
    return world


# Services by the prefix of their calls.
SERVICE_PREFIXES = ("workflow.publish", "workflow.send", "workflow", "s", "dynamodb", "secretsmanager", "")
HOUR = 60 * 60


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_outage_of_a_service_from_any_call_leaves_anything_wrong(name: str, record_figure: Any) -> None:
    """An outage outlasts the retries: it ends with the execution, or an hour later."""
    scenario, outages = SCENARIOS[name], 0
    calls = [call for call, _ in run_scenario(scenario, {}).faults.calls]
    for number, service in enumerate(SERVICE_PREFIXES):
        firsts = [n for n, call in enumerate(calls) if call.startswith(service)]
        for first in firsts[number % OUTAGE_SHARE :: OUTAGE_SHARE]:
            for seconds in (0, HOUR):
                world = run_scenario(scenario, {}, (service, first), seconds)
                outages += 1
                try:
                    world.check_payments()
                except AssertionError as error:
                    raise AssertionError(f"{name}; {service} away from call {first}, {seconds} s: {error}") from None
    record_figure("outages simulated", outages)


def run_twice(plan: dict[int, Fault], *, is_express: bool = False) -> World:
    """Repeat the request of a payment that fails."""
    world = World(plan, lambda _: NotCharged("away"), is_express=is_express)
    with world.install_ports():
        world.run_payment(request(), name="1")
        world.run_payment(request(), name="2")
        world.run_schedule()
    return world


def check_twice(*, is_express: bool = False) -> int:
    """Inject every fault, and return their number."""
    undisturbed = run_twice({}, is_express=is_express)
    undisturbed.check_payments()
    # Without a fault, nothing is repeated, not even under the same notice id.
    assert len(undisturbed.topic.notices) == 1, "announced twice"
    assert len(undisturbed.queue.letters) == 1, "dead-lettered twice"
    singles = list_plans(undisturbed)
    for single in singles:
        run_twice(dict([single]), is_express=is_express).check_payments()
    return len(singles)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_failure_is_announced_once(workflow: str, record_figure: Any) -> None:
    record_figure("crash points tested", check_twice(is_express=workflow == "Express"))


def check_again_after_a_day(*, is_express: bool = False) -> Counter[str]:
    """Inject every pair of faults, and count the final statuses. Two faults are needed to leave a payment claimed."""
    ends: Counter[str] = Counter()
    run = functools.partial(run_again_after_a_day, is_express=is_express)
    for first in list_plans_of_pairs(run({}), -1):
        for second in list_plans_of_pairs(run(dict([first])), first[0]):
            world = run(dict([first, second]))
            world.check_payments()
            ends.update(payment.status for payment in world.read_payments().values())
    return ends


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_no_pair_of_faults_charges_a_repeated_request_twice(workflow: str, record_figure: Any) -> None:
    ends = check_again_after_a_day(is_express=workflow == "Express")
    print(f"\nagain after a day, {workflow}: {dict(ends)}")
    record_figure("pairs of crash points tested", sum(ends.values()))
    assert set(ends) >= {"COMPLETED", "FAILED"}


def check_restored_table() -> None:
    """Restore the table of payments to before the payment: the ledger still has it, and prevents a second charge."""
    world = World()
    with world.install_ports():
        world.run_payment(request(), name="1")
        steps = dict(world.dynamodb.steps)
        world.dynamodb.payments.clear()
        world.time += DAY + 1
        assert world.run_payment(request(), name="2").error == "LedgerRefused", "the ledger was overwritten"
    assert world.dynamodb.steps == steps
    assert world.gateway.count_moves("charge", request()["transaction_id"]) == 1


def test_a_restored_table_charges_nobody_again() -> None:
    check_restored_table()


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_fault_and_no_pair_of_faults_leaves_anything_wrong(name: str, record_figure: Any) -> None:
    scenario, ends = SCENARIOS[name], Counter[str]()
    share = EXPRESS_SHARE if scenario.is_express else SHARE
    singles = pairs = 0

    def run_with_faults(plan: dict[int, Fault]) -> World:
        world = run_scenario(scenario, plan)
        try:
            world.check_payments()
        except AssertionError as error:
            broken = ", ".join(f"{world.faults.calls[i][0]} (call {i}): {f.value}" for i, f in plan.items())
            raise AssertionError(f"{name}; {broken}: {error}") from None
        ends.update(payment.status for payment in world.read_payments().values())
        return world

    undisturbed = run_with_faults({})
    # Without a fault, the payment has the status of the scenario.
    assert [payment.status for payment in undisturbed.read_payments().values()] == [scenario.ends]
    # The other scenarios have the faults before a redrive.
    for first in list_plans(undisturbed, beyond=undisturbed.redriven_at - 1):
        broken = run_with_faults(dict([first]))
        singles += 1
        if not is_own_kind(undisturbed, *first):
            continue
        # The share begins elsewhere after each first fault, so that it has every second fault after some.
        for second in itertools.islice(list_plans_of_pairs(broken, first[0]), singles % share, None, share):
            run_with_faults(dict([first, second]))
            pairs += 1
    print(f"\ncrash points, {name}: {singles} singly, {pairs} in pairs; ended {dict(ends)}")
    record_figure("crash points tested", singles)
    record_figure("pairs of crash points tested", pairs)
    assert singles > 20
    assert pairs > 400 // share

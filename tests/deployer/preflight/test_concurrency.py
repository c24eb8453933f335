"""Checks of Lambda's concurrency against the reservations in the templates."""

import pytest

from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.conftest import add_platform
from tests.deployer.preflight.conftest import FUNCTIONS, Reader, findings_of

FIFTY_EACH = 50 * len(FUNCTIONS)


@pytest.mark.parametrize(
    ("limit", "foreign", "setting", "verdict", "words", "step"),
    [
        (1000, 0, "50", "ok", f"{FIFTY_EACH} of 1000", ""),
        (1000, 900 - FIFTY_EACH, "50", "ok", f"{FIFTY_EACH} of 1000", ""),
        (1000, 901 - FIFTY_EACH, "50", "failure", f"1000, of which {FIFTY_EACH - 1} can be reserved", "at most 49 in"),
        (1000, 901 - FIFTY_EACH, "50", "failure", f"= 50 for {len(FUNCTIONS)} functions", "request 1001 of"),
        # The limit of a new account.
        (10, 0, "50", "failure", "10, of which 0 can be reserved", f"request {FIFTY_EACH + 100} of Lambda's quota L-"),
        (10, 0, "1", "failure", "10, of which 0 can be reserved", "at most 0 in"),
        (10, 0, "0", "warning", "at most 10 functions at once", "request 1000 of"),
    ],
)
def test_reservations_leave_100_unreserved(
    situation_of: Reader, account: Account, limit: int, foreign: int, setting: str, verdict: str, words: str, step: str
) -> None:
    account.concurrency, account.reserved_by_others = limit, foreign
    ((actual, text, next_step),) = findings_of("concurrency", situation_of(ReservedConcurrency=setting))
    assert (actual, words in text, step in next_step) == (verdict, True, True)


@pytest.mark.parametrize(
    ("limit", "workers", "words", "step"),
    [
        (10, "8", "reconciliation_workers = 8 takes 8 of them", "set reconciliation_workers to 2 in"),
        (10, "40", "reconciliation_workers = 40 takes 10 of them", "set reconciliation_workers to 2 in"),
        (10, "2", "", ""),
        (40, "8", "", ""),
    ],
)
def test_workers_of_reconciliation_leave_a_new_account_room_for_payments(
    situation_of: Reader, account: Account, limit: int, workers: str, words: str, step: str
) -> None:
    account.concurrency = limit
    ((verdict, text, next_step),) = findings_of("concurrency", situation_of(ReconciliationWorkers=workers))
    assert (verdict, words in text, step in next_step) == ("warning", True, True)
    assert ("reconciliation_workers" in text, "reconciliation_workers" in next_step) == (bool(words), bool(step))


def test_existing_reservations_count_as_available_to_their_functions(
    situation_of: Reader, account: Account, aws: Service
) -> None:
    """Others leave one execution less than 17 for each function; each has 10 now."""
    stack = add_platform(aws, environment="prod")
    stack.parameters["ReservedConcurrency"] = "10"
    account.reserved_by_others, account.functions = 901 - 17 * len(FUNCTIONS), dict.fromkeys(FUNCTIONS, 10)
    for setting, verdict in (("16", "ok"), ("17", "failure"), ("10", "ok"), ("5", "ok")):
        ((actual, *_),) = findings_of("concurrency", situation_of(ReservedConcurrency=setting))
        assert actual == verdict, setting


def test_a_function_that_an_operator_stopped_needs_no_reservation(
    situation_of: Reader, account: Account, aws: Service
) -> None:
    """CloudFormation sets only changed reservations, even if other functions reserve the rest."""
    stack = add_platform(aws, environment="prod")
    stack.parameters["ReservedConcurrency"] = "50"
    account.reserved_by_others, account.functions = 900, dict.fromkeys(FUNCTIONS, 0)
    ((verdict, *_),) = findings_of("concurrency", situation_of(ReservedConcurrency="50"))
    assert verdict == "ok"

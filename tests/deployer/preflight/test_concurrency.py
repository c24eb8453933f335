"""Checks of Lambda's concurrency against the reservations in the templates."""

import pytest

from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.conftest import add_platform
from tests.deployer.preflight.conftest import FUNCTIONS, Reader, findings_of


@pytest.mark.parametrize(
    ("limit", "foreign", "setting", "verdict", "words", "step"),
    [
        (1000, 0, "50", "ok", "150 of 1000", ""),
        (1000, 750, "50", "ok", "150 of 1000", ""),
        (1000, 751, "50", "failure", "limit is 1000, of which 149 can be reserved", "at most 49 in"),
        (1000, 751, "50", "failure", "reserved_concurrency = 50 for 3 functions", "request 1001 of"),
        # The limit of a new account.
        (10, 0, "50", "failure", "limit is 10, of which 0 can be reserved", "request 250 of Lambda's quota L-B99A9384"),
        (10, 0, "1", "failure", "limit is 10, of which 0 can be reserved", "at most 0 in"),
        (10, 0, "0", "warning", "at most 10 functions at once", "request 1000 of"),
    ],
)
def test_reservations_leave_100_unreserved(
    situation_of: Reader, account: Account, limit: int, foreign: int, setting: str, verdict: str, words: str, step: str
) -> None:
    account.concurrency, account.reserved_by_others = limit, foreign
    ((actual, text, next_step),) = findings_of("concurrency", situation_of(ReservedConcurrency=setting))
    assert (actual, words in text, step in next_step) == (verdict, True, True)


def test_existing_reservations_count_as_available_to_their_functions(
    situation_of: Reader, account: Account, aws: Service
) -> None:
    """With 850 reserved by others and 3 times 10 by the platform, 3 times 16 fit and 3 times 17 do not."""
    stack = add_platform(aws, environment="prod")
    stack.parameters["ReservedConcurrency"] = "10"
    account.reserved_by_others, account.functions = 850, dict.fromkeys(FUNCTIONS, 10)
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

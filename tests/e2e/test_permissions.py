"""Every action of a function's role that the AWS emulator checks is needed: without it, no payment completes.

That each of the others is used, too, and nothing is granted beside, is what `make audit` compares; whom the policies
let do what, with their conditions, is asked in tests/stacks.
"""

import pytest

from tests.e2e.conftest import Platform
from tests.e2e.situations import without_permission

pytestmark = pytest.mark.e2e

ENFORCED = {("Validation", "dynamodb:PutItem"), ("Processing", "dynamodb:GetItem"), ("Processing", "dynamodb:PutItem")}


@pytest.mark.parametrize(("function", "action"), sorted(ENFORCED))
def test_no_payment_completes_without_the_permission(platform: Platform, function: str, action: str) -> None:
    with without_permission(platform, function, action):
        _, story = platform.pay()
        assert (story.status, story.error) == ("FAILED", "LedgerRefused")
        (letter,) = platform.receive_dead_letters()
        assert "AccessDenied" in letter["cause"]
    assert platform.pay()[1].status == "SUCCEEDED"

"""The lists of payments, of tables that DynamoDB returns in segments and pages."""

from types import SimpleNamespace
from typing import Any

import pytest

from scripts.operator import payment_lists, records
from scripts.operator.payment_lists import SEGMENTS
from scripts.operator.statuses import Selection

ITEMS_PER_PAGE = 3


class Table:
    """A table whose items are spread over the segments, with pages of three items before the filter."""

    def __init__(self, statuses: dict[str, str]) -> None:
        self.statuses = statuses
        # By id, when each changed: the later, the higher its number.
        self.times = {key: float(number) for number, key in enumerate(statuses)}
        self.read_ids: list[str] = []
        self.settled_meanwhile: dict[str, str] = {}

    def scan(self, **request: Any) -> dict[str, Any]:
        assert request["TotalSegments"] == SEGMENTS
        keys = list(self.statuses)[request["Segment"] :: SEGMENTS]
        first = request.get("ExclusiveStartKey", 0)
        page = keys[first : first + ITEMS_PER_PAGE]
        statuses = {value["S"] for name, value in request["ExpressionAttributeValues"].items() if name != ":since"}
        items = [
            {"transaction_id": {"S": key}, "updated_at": {"N": str(self.times[key])}}
            for key in page
            if not statuses or self.statuses[key] in statuses
        ]
        following = first + ITEMS_PER_PAGE
        return {"Items": items} | ({"LastEvaluatedKey": following} if following < len(keys) else {})

    def read_payments(self, _platform: Any, ids: list[str]) -> dict[str, Any]:
        self.read_ids += ids
        self.statuses |= self.settled_meanwhile
        return {
            key: SimpleNamespace(
                transaction_id=key,
                status=self.statuses[key],
                updated_at=records.format_timestamp(self.times[key]),
            )
            for key in ids
        }


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    table = Table({f"T-{number}": "FAILED" if number % 10 == 0 else "COMPLETED" for number in range(200)})
    monkeypatch.setattr(records, "read_payments", table.read_payments)
    return table


def list_ids(table: Table, **options: Any) -> list[str]:
    platform: Any = SimpleNamespace(client=lambda _: table, outputs={"DynamodbTableName": "t"})
    return [payment.transaction_id for payment in payment_lists.list_recent_payments(platform, **options)]


def test_the_newest_of_all_segments_and_pages_are_listed_and_no_others_are_read(table: Table) -> None:
    newest = [f"T-{number}" for number in range(199, 194, -1)]
    assert list_ids(table, limit=5) == newest
    assert sorted(table.read_ids) == sorted(newest)


def test_the_newest_failed_payments_are_listed(table: Table) -> None:
    failed = [f"T-{number}" for number in range(190, 150, -10)]
    assert list_ids(table, selection=Selection.FAILED, limit=4) == failed


def test_a_payment_that_is_settled_while_it_is_listed_is_left_out(table: Table) -> None:
    table.settled_meanwhile = {"T-190": "COMPLETED"}
    assert list_ids(table, selection=Selection.FAILED, limit=2) == ["T-180"]

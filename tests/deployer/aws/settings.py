"""The id, the Region and the time of the account."""

from datetime import UTC, datetime

ACCOUNT, REGION = "123456789012", "eu-west-1"
START = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)

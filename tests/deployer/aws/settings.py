"""Where and when everything of this account is."""

from datetime import UTC, datetime

ACCOUNT, REGION = "123456789012", "eu-west-1"
START = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)

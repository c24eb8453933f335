"""The limits of AWS and of the gateway, by their default in a Region: limits.toml."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .data_files import Source, load_file, read_source

STANDARD, EXPRESS = "standard", "express"
# A sustained limit refuses what exceeds it. A sudden one refuses only load that comes at once: it grows with the load.
SUSTAINED, SUDDEN = "sustained", "sudden"


@dataclass(frozen=True)
class Limit:
    key: str
    title: str
    # Follows the number: "/s", " at once".
    unit: str
    source: Source
    kind: str = SUSTAINED
    # The type of workflow that it applies to; empty for both.
    workflow: str = ""
    # None: there is no such limit, or it is a setting.
    default: float | None = None
    # What a token bucket adds once.
    burst: float | None = None
    service_code: str = ""
    # Empty if Service Quotas has none.
    quota_code: str = ""
    moved_by: str = ""
    # The short form of that.
    lever: str = ""
    note: str = ""
    # The value in a new account, where it is lower.
    new_account: float | None = None

    def suggest_request(self, region: str, value: float) -> str:
        """Return the command that requests ``value``, or else what moves the limit."""
        if not self.quota_code:
            return self.moved_by
        return (
            f"aws service-quotas request-service-quota-increase --region {region} --service-code {self.service_code} "
            f"--quota-code {self.quota_code} --desired-value {value:.0f}"
        )


@dataclass(frozen=True)
class Limits:
    region: str
    rows: Mapping[str, Limit] = field(default_factory=dict)


def load_limits(region: str) -> Limits:
    return Limits(region, {key: _read_limit(key, row, region) for key, row in load_file("limits.toml").items()})


def _read_limit(key: str, row: Mapping[str, Any], region: str) -> Limit:
    texts = ("kind", "workflow", "service_code", "quota_code", "moved_by", "lever", "note", "new_account")
    return Limit(
        key,
        row["title"],
        row["unit"],
        read_source(row, region),
        default=row.get("regions", {}).get(region, row.get("default")),
        burst=row.get("burst_regions", {}).get(region, row.get("burst")),
        **{name: row[name] for name in texts if name in row},
    )

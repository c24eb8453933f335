"""A resource that an environment's templates retain, as it exists, and the services that find and delete such."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..stack import OWNER_TAG

ENVIRONMENT_TAG = "Environment"


@dataclass(frozen=True)
class Leftover:
    resource_type: str
    # What a person calls it, and confirms its deletion by; and what the service and CloudFormation call it.
    name: str
    id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    # How much it holds, as far as the service counts that: "about 12 items, 3.4 kB".
    contents: str = ""
    # Of a vault: the ARNs of what its recovery points are backups of.
    backup_sources: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.name} ({self.resource_type})"

    def belongs_to(self, environment: str) -> bool:
        """Whether it carries our tag and this environment's: nothing else is ever deleted."""
        is_ours = self.tags.get(OWNER_TAG["Key"]) == OWNER_TAG["Value"]
        return is_ours and self.tags.get(ENVIRONMENT_TAG) == environment


class Service(Protocol):
    """One service's resources of one type with fixed names."""

    # The property that is the name.
    name_property: str
    # What is lost with one of them.
    loss: str

    def find(self, name: str) -> Leftover | None: ...

    def delete(self, leftover: Leftover) -> None:
        """Return once the name is free, as far as the service tells."""


def format_count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def format_size(number_of_bytes: float) -> str:
    """For people: 3.4 kB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number_of_bytes < 1000:
            return f"{number_of_bytes:.0f} bytes" if unit == "bytes" else f"{number_of_bytes:.1f} {unit}"
        number_of_bytes /= 1000
    return f"{number_of_bytes:,.1f} TB"

"""An existing resource that an environment's templates retain, and the protocol of the services that delete it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..stack import OWNER_TAG

ENVIRONMENT_TAG = "Environment"
_NOUNS = {
    "AWS::Backup::BackupVault": "backup vault",
    "AWS::DynamoDB::Table": "table",
    "AWS::KMS::Key": "key",
    "AWS::Logs::LogGroup": "log group",
    "AWS::S3::Bucket": "bucket",
    "AWS::SQS::Queue": "queue",
}


@dataclass(frozen=True)
class Leftover:
    resource_type: str
    # The name by which an operator confirms its deletion, and the id that the service and CloudFormation use.
    name: str
    id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    # How much it holds, as the service counts it: "about 12 items, 3.4 kB".
    contents: str = ""
    # Whether the service says that it holds nothing, and says so soon enough: DynamoDB counts every six hours.
    is_empty: bool = False
    # For a vault: by the ARN of each recovery point, that of the resource that it backs up.
    recovery_points: Mapping[str, str] = field(default_factory=dict)
    # The ids, ARNs or aliases of the keys that encrypt what it holds; None if they are not known.
    keys: frozenset[str] | None = frozenset()
    # Why it is kept, whatever its tags: a bucket may be another account's, or in another Region.
    obstacle: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.resource_type})" if self.resource_type else self.name

    def belongs_to(self, environment: str) -> bool:
        """Whether it has the tags of the platform and this environment; nothing else is ever deleted."""
        is_ours = self.tags.get(OWNER_TAG["Key"]) == OWNER_TAG["Value"]
        return is_ours and self.tags.get(ENVIRONMENT_TAG) == environment


class Service(Protocol):
    """Finds and deletes the resources of one type, which have fixed names."""

    # The property that holds the name.
    name_property: str
    # What is lost when a resource is deleted.
    loss: str

    def find(self, name: str) -> Leftover | None: ...

    def delete(self, leftover: Leftover) -> None:
        """Delete the resource, and wait until the service says that the name is free."""


def describe_types(types: Iterable[str]) -> str:
    """Return how many resources there are, in all and of each type: "3 resources (2 tables, 1 key)", or "2 keys"."""
    counts = Counter(_NOUNS.get(resource_type, f"{resource_type} resource") for resource_type in types)
    kinds = [
        format_count(number, noun) for noun, number in sorted(counts.items(), key=lambda kind: (-kind[1], kind[0]))
    ]
    return kinds[0] if len(kinds) == 1 else f"{format_count(counts.total(), 'resource')} ({', '.join(kinds)})"


def format_count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")

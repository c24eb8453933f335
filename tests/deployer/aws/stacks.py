"""The stacks and change sets that CloudFormation stores."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.deployer.aws import templates
from tests.deployer.aws.settings import START

STACK = "AWS::CloudFormation::Stack"

Changes = list[dict[str, Any]]
PAGE = 3


@dataclass
class Stack:
    name: str
    id: str
    status: str
    # The nested stack's logical id; empty for a root.
    logical_id: str = ""
    text: str = "{}"
    parameters: dict[str, str] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)
    nested: dict[str, "Stack"] = field(default_factory=dict)
    created: datetime = START
    updated: datetime = START
    protected: bool = False
    policy: str = ""
    reason: str = ""
    drift: str = "NOT_CHECKED"
    root: "Stack | None" = None
    # The mode of the last operation; after a failure without rollback, the resources that do not exist, and the stack
    # to return to.
    mode: str = "STANDARD"
    missing: set[str] = field(default_factory=set)
    # The statuses of resources that a failed deletion has deleted or retained.
    released: dict[str, str] = field(default_factory=dict)
    stable: "Stack | None" = None

    @property
    def template(self) -> dict[str, Any]:
        return templates.parse_template(self.text)

    @property
    def resources(self) -> templates.Resources:
        """The resources whose conditions are true."""
        return templates.select_resources(self.text, tuple(sorted(self.parameters.items())))

    @property
    def outputs(self) -> dict[str, str]:
        return templates.evaluate_outputs(self, self.parameters)

    @property
    def is_there(self) -> bool:
        return self.status != "DELETE_COMPLETE"

    def walk(self, path: str = "") -> list[tuple[str, "Stack"]]:
        below = [item for name, child in self.nested.items() for item in child.walk(f"{path}/{name}" if path else name)]
        return [(path, self), *below]


@dataclass
class ChangeSet:
    id: str
    name: str
    stack: Stack
    changes: Changes
    # The polls until it is created.
    looks: int = 0
    reason: str = ""
    # The path of the nested stack, and the drift status of a drift-aware change set.
    path: str = ""
    drift: str = ""
    execution: str = "AVAILABLE"
    deleting: int = -1
    nested: list["ChangeSet"] = field(default_factory=list)
    proposed: Stack | None = None
    request: dict[str, Any] = field(default_factory=dict)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


def make_page(name: str, items: list[Any], token: str, size: int = PAGE) -> dict[str, Any]:
    first = int(token)
    following = {"NextToken": str(first + size)} if first + size < len(items) else {}
    return {name: items[first : first + size], **following}

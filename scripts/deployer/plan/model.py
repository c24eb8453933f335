"""A plan, as frozen data: it is shown, saved, sent to programs and executed from this and nothing else."""

from dataclasses import dataclass

from scripts.common.templates import STACK

# What CloudFormation shows in the place of a value that another change decides.
KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"


@dataclass(frozen=True)
class PropertyChange:
    """One property of a resource, or an attribute such as Tags; None is a value that there is not, or is not told."""

    name: str
    before: str | None = None
    after: str | None = None
    # Never, Conditionally or Always.
    recreation: str = "Never"


@dataclass(frozen=True)
class Change:
    """One resource, in the API's words.

    ``action`` is Add, Modify, Remove, Import or Dynamic; ``replacement`` is True, False or Conditional;
    ``policy_action`` says whether a resource that goes is deleted or kept.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChange.html
    """

    action: str
    logical_id: str
    resource_type: str
    replacement: str = "False"
    properties: tuple[PropertyChange, ...] = ()
    policy_action: str = ""
    nested: "StackChanges | None" = None
    # Listed by the service because a value may change; the templates say that it does not.
    is_spurious: bool = False


@dataclass(frozen=True)
class StackChanges:
    """The changes of one stack, and of the nested stacks among them."""

    name: str
    changes: tuple[Change, ...] = ()
    # Nested stacks that stay as they are.
    unchanged: tuple[str, ...] = ()
    # Outputs that change, where they are compared.
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class StatementChange:
    """One statement of a policy that is granted (``added``) or no longer granted, whoever holds the policy."""

    added: bool
    # Where it stands: "Security/WorkflowPolicy", and what it is there: "policy", "trust", "key policy"...
    holder: str
    kind: str
    effect: str
    actions: tuple[str, ...]
    # The resource, or the principal where a policy of a resource names one.
    resource: str
    condition: str = ""


@dataclass(frozen=True)
class Plan:
    """All that a deployment would do to a tree of stacks."""

    stack: StackChanges
    statements: tuple[StatementChange, ...] = ()
    # What was noticed: early validations, hooks, alarms that are not watched.
    notices: tuple[str, ...] = ()
    # Where the changes come from: the service's change set, or a comparison of templates, and of which.
    source: str = ""


@dataclass(frozen=True)
class Count:
    """As terraform counts: a replacement is an addition and a destruction."""

    add: int = 0
    change: int = 0
    destroy: int = 0
    spurious: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.add + other.add,
            self.change + other.change,
            self.destroy + other.destroy,
            self.spurious + other.spurious,
        )

    def __str__(self) -> str:
        return f"Plan: {self.add} to add, {self.change} to change, {self.destroy} to destroy."


def count_changes(stack: StackChanges) -> Count:
    """Of the whole tree. A nested stack whose own changes are known counts as these."""
    return sum((_count_change(change) for change in stack.changes), Count())


def _count_change(change: Change) -> Count:
    if change.nested and change.nested.changes:
        return count_changes(change.nested)
    if change.is_spurious:
        return Count(spurious=0 if change.resource_type == STACK else 1)
    if change.action in ("Add", "Import"):
        return Count(add=1)
    if change.action == "Remove":
        return Count(destroy=1)
    if change.replacement == "True":
        return Count(add=1, destroy=1)
    return Count(change=1)

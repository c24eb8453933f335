"""The data of a plan, which is shown, saved, written as JSON and executed."""

import operator
from collections.abc import Iterator
from dataclasses import astuple, dataclass

from scripts.common.evaluated import Unknown
from scripts.common.templates import STACK

# The name of the change of a resource's type, which CloudFormation refuses for most types.
TYPE = "Type"
# CloudFormation's placeholder for a value that depends on another change.
KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
# The name of the change of a resource's condition, by which it may be created or removed.
CONDITION = "Condition"


@dataclass(frozen=True)
class PropertyChange:
    """A changed property or attribute, such as Tags; a value that is missing or not reported is None."""

    name: str
    # The actual value, where the change set compares with it.
    before: str | None = None
    after: str | None = None
    # Never, Conditionally or Always.
    recreation: str = "Never"
    # Whether the actual value differs from that of the last deployment, and the latter.
    is_drifted: bool = False
    deployed: str | None = None
    # When the values are these; empty if they are in any case, or the service lists them.
    condition: str = ""


@dataclass(frozen=True)
class Change:
    """The change of one resource, in the terms of the API.

    ``action`` is Add, Modify, Remove, Import, Dynamic or SyncWithActual, which changes no resource: CloudFormation only
    records its actual state; ``replacement`` is True, False or Conditional; ``policy_action`` says whether a removed or
    replaced resource is deleted or retained.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChange.html
    """

    action: str
    logical_id: str
    resource_type: str
    replacement: str = "False"
    properties: tuple[PropertyChange, ...] = ()
    policy_action: str = ""
    nested: "StackChanges | None" = None
    # Whether the service lists it although, by the templates, no value changes.
    is_spurious: bool = False
    # Of an import: the existing resource, by the name or ARN that CloudFormation knows it by.
    physical_id: str = ""
    # IN_SYNC, MODIFIED, DELETED, NOT_CHECKED, UNKNOWN or UNSUPPORTED; empty if actual states were not compared.
    drift: str = ""
    # The attributes whose drift is left as it is, each with CloudFormation's reason.
    ignored_drift: tuple[str, ...] = ()
    # When the resource exists, if the comparison cannot know it; empty if it exists in any case, or is listed.
    condition: str = ""

    @property
    def may_be_removed(self) -> bool:
        """Whether the deployment removes the resource if its condition is no longer met, which no template tells."""
        return any(prop.name == CONDITION and prop.after is not None for prop in self.properties)

    @property
    def is_retained(self) -> bool:
        """Whether the resource, or the one that is replaced, stays outside the stack."""
        return self.policy_action in ("Retain", "ReplaceAndRetain")

    @property
    def is_drifted(self) -> bool:
        """Whether the resource was changed or deleted outside CloudFormation, or may have been."""
        return self.drift in ("MODIFIED", "DELETED", "UNKNOWN") or any(prop.is_drifted for prop in self.properties)

    @property
    def creates_resource(self) -> bool:
        """Whether the resource is created, or may be created as a replacement."""
        return self.action == "Add" or self.replacement != "False"


@dataclass(frozen=True)
class StackChanges:
    """The changes of a stack and, within them, those of its nested stacks."""

    name: str
    changes: tuple[Change, ...] = ()
    # Nested stacks without changes.
    unchanged: tuple[str, ...] = ()
    # Changed outputs and exports, if outputs were compared.
    outputs: tuple[str, ...] = ()
    # What may change although no template does, also in nested stacks that are not among the changes.
    unknowns: tuple[Unknown, ...] = ()
    # DRIFTED, IN_SYNC, NOT_CHECKED or UNKNOWN; empty if actual states were not compared.
    drift: str = ""

    def walk(self, path: str = "") -> "Iterator[tuple[str, Change]]":
        """Yield each change of the tree with its path from the root, such as Data/Transactions."""
        for change in self.changes:
            yield f"{path}{change.logical_id}", change
            if change.nested:
                yield from change.nested.walk(f"{path}{change.logical_id}/")


@dataclass(frozen=True)
class StatementChange:
    """A policy statement that is added, or removed if ``added`` is False."""

    added: bool
    # The resource with the policy, such as "Security/WorkflowPolicy", and the kind: "policy", "trust", "key policy"...
    holder: str
    kind: str
    effect: str
    actions: tuple[str, ...]
    # The resource, or for a resource policy the principal.
    resource: str
    # The condition of the statement itself, as JSON, which AWS evaluates with each request.
    condition: str = ""
    # When it is added or removed, if no template tells whether that condition is met; empty if it is in any case.
    when: str = ""


@dataclass(frozen=True)
class Plan:
    """What a deployment would change in a tree of stacks."""

    stack: StackChanges
    statements: tuple[StatementChange, ...] = ()
    # Results of early validations and hooks, and alarms that are not watched.
    notices: tuple[str, ...] = ()
    # The origin of the changes: the service's change set, or a comparison of which templates.
    source: str = ""


@dataclass(frozen=True)
class Count:
    """Counts like Terraform: a replacement is an addition and a destruction, unless the old resource is retained."""

    add: int = 0
    change: int = 0
    destroy: int = 0
    spurious: int = 0
    imports: int = 0
    # Resources that stay as they are, while CloudFormation records their actual state.
    recorded: int = 0
    # Resources that stay, outside the stack.
    retained: int = 0

    def __add__(self, count: "Count") -> "Count":
        return Count(*map(operator.add, astuple(self), astuple(count)))

    def __str__(self) -> str:
        imports = f"{self.imports} to import, " if self.imports else ""
        counts = f"Plan: {imports}{self.add} to add, {self.change} to change, {self.destroy} to destroy"
        counts += f", {self.retained} to retain outside the stack" if self.retained else ""
        return f"{counts}, {self.recorded} to record as they are." if self.recorded else f"{counts}."


def count_changes(stack: StackChanges) -> Count:
    """Count the changes of the tree; a nested stack counts as its own changes, if they are known."""
    return sum((_count_change(change) for change in stack.changes), Count())


def _count_change(change: Change) -> Count:
    if change.nested and change.nested.changes:
        return count_changes(change.nested)
    if change.is_spurious:
        return Count(spurious=0 if change.resource_type == STACK else 1)
    if change.action == "Import":
        return Count(imports=1)
    if change.action == "Add":
        return Count(add=1)
    removal = Count(retained=1) if change.is_retained else Count(destroy=1)
    if change.action == "Remove":
        return removal
    if change.action == "SyncWithActual":
        return Count(recorded=1)
    if change.replacement == "True":
        return Count(add=1) + removal
    return Count(change=1)

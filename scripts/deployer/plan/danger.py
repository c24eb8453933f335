"""Finds the changes that destroy data: they are shown first, and each must be confirmed by name.

Changes that take away what protects data are shown with them, and need no confirmation: they lose nothing yet.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from scripts.common.errors import UserError
from scripts.common.templates import STACK

from .losses import find_property_losses
from .model import TYPE, Change, PropertyChange, StackChanges
from .resource_schemas import read_stateful_types

# What is lost with a resource of a type that the platform has, or that cfn-lint does not count as stateful.
_DATA = {
    "AWS::DynamoDB::Table": "its items",
    "AWS::DynamoDB::GlobalTable": "its items",
    "AWS::KMS::Key": "whatever was encrypted with it",
    "AWS::Logs::LogGroup": "its log",
    "AWS::S3::Bucket": "its objects",
    "AWS::SQS::Queue": "its messages",
    "AWS::StepFunctions::StateMachine": "its executions, including running ones,",
    "AWS::ECR::Repository": "its images",
    "AWS::MSK::Cluster": "its messages",
    "AWS::Timestream::Table": "its records",
}
# Where the comparison cannot know whether a resource is removed, it names the deletion policy as it is.
_RETAINING = ("Retain", "RetainExceptOnCreate", "Snapshot", "ReplaceAndRetain", "ReplaceAndSnapshot")
# Nothing brings the data back, and a backup can no longer be restored under the name.
_RECREATION = "was deleted outside CloudFormation and is created again, empty"


@cache
def list_stateful_types() -> dict[str, str]:
    """Return what is lost with a resource, by its type: those that cfn-lint counts as stateful, and ours."""
    return dict.fromkeys(read_stateful_types(), "the data that it holds") | {STACK: "all that it holds"} | _DATA


@dataclass(frozen=True)
class Danger:
    """A resource whose data the deployment deletes or removes from the stack."""

    # From the root stack: Data/Transactions.
    path: str
    resource_type: str
    # "is deleted", "is replaced by an empty one", or "may be replaced by an empty one" if the service cannot know.
    effect: str
    # What is lost; empty if a policy retains the resource outside the stack.
    loss: str
    # The properties that force it.
    causes: tuple[PropertyChange, ...] = ()
    # Whether the change only takes a protection away.
    is_unprotection: bool = False

    @property
    def logical_id(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        sentence = f"{self.path} ({self.resource_type}) {self.effect}"
        if self.is_unprotection:
            return sentence
        if self.effect == _RECREATION:
            return f"{sentence}: {self.loss} will not come back"
        if self.loss:
            return f"{sentence}: {self.loss} will be lost"
        resource = "the old one" if "replaced" in self.effect else "it"
        return f"{sentence}: {resource} is retained with its data, outside the stack"


def confirmation_names(dangers: Iterable[Danger]) -> dict[str, Danger]:
    """Return the dangers by the name that confirms each: its logical id, or its path if others have the same id."""
    dangers = [danger for danger in dangers if not danger.is_unprotection]
    ids = Counter(danger.logical_id for danger in dangers)
    return {danger.logical_id if ids[danger.logical_id] == 1 else danger.path: danger for danger in dangers}


def check_confirmed_names(losses: Mapping[str, Danger], destroys: Sequence[str]) -> None:
    """Raise ``UserError`` for a name in ``destroys``, probably misspelt, of nothing that is lost."""
    for name in destroys:
        if name not in losses and name not in [danger.path for danger in losses.values()]:
            affected = ", ".join(sorted(losses)) or "none"
            raise UserError(f"--destroys {name}: no such resource among those affected: {affected}")


def find_dangers(stack: StackChanges, path: str = "") -> list[Danger]:
    """Return the dangers in the order of the tree. A removed nested stack with unknown changes is itself one."""
    dangers: list[Danger] = []
    for change in (change for change in stack.changes if not change.is_spurious):
        resource_path = f"{path}{change.logical_id}"
        if change.nested and change.nested.changes and change.drift != "DELETED":
            dangers += find_dangers(change.nested, f"{resource_path}/")
            if change.may_be_removed:
                dangers += _find_resource_dangers(change, resource_path)
        else:
            dangers += _find_resource_dangers(change, resource_path)
    return dangers


def _find_resource_dangers(change: Change, path: str) -> Iterator[Danger]:
    resource_type = _read_former_type(change)
    loss = list_stateful_types().get(resource_type, "")
    if change.drift == "DELETED":
        if loss and change.action != "Remove":
            yield Danger(path, resource_type, _RECREATION, loss)
        return
    if change.action in ("Modify", "Dynamic"):
        for lost in find_property_losses(change, holds_data=bool(loss)):
            yield Danger(path, resource_type, lost.effect, lost.loss, (lost.cause,), not lost.loss)
    effect = _describe_effect(change)
    if effect and loss:
        causes = tuple(prop for prop in change.properties if prop.recreation != "Never")
        yield Danger(path, resource_type, effect, "" if _is_retained(change) else loss, causes)


def _read_former_type(change: Change) -> str:
    """Return the type of the resource that exists: a change of the type replaces it by another kind of resource."""
    types = (prop.before for prop in change.properties if prop.name == TYPE and prop.before)
    return next(types, change.resource_type)


def _is_retained(change: Change) -> bool:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChange.html"""
    return change.policy_action in _RETAINING


def _describe_effect(change: Change) -> str:
    if change.action == "Remove" or change.may_be_removed:
        verb = "may be" if change.condition or change.may_be_removed else "is"
        return f"{verb} removed from the stack" if _is_retained(change) else f"{verb} deleted"
    if change.action == "Modify" and change.replacement == "True":
        is_other_type = _read_former_type(change) != change.resource_type
        return f"is replaced by an {change.resource_type}" if is_other_type else "is replaced by an empty one"
    is_unsure = change.action == "Dynamic" or (change.action == "Modify" and change.replacement == "Conditional")
    return "may be replaced by an empty one" if is_unsure and change.resource_type != STACK else ""

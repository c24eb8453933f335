"""Finds the changes that destroy data: they are shown first, and each must be confirmed by name."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from scripts.common.templates import STACK

from .model import Change, PropertyChange, StackChanges

# What is lost with a resource of each type.
HOLDS_DATA = {
    "AWS::DynamoDB::Table": "its items",
    "AWS::DynamoDB::GlobalTable": "its items",
    "AWS::KMS::Key": "whatever was encrypted with it",
    "AWS::Logs::LogGroup": "its log",
    "AWS::S3::Bucket": "its objects",
    "AWS::SQS::Queue": "its messages",
    "AWS::StepFunctions::StateMachine": "its executions, including running ones,",
}
# The properties that delete older data when their value is lowered.
_RETENTION_PROPERTIES = {"AWS::Logs::LogGroup": "RetentionInDays", "AWS::SQS::Queue": "MessageRetentionPeriod"}


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

    @property
    def logical_id(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        sentence = f"{self.path} ({self.resource_type}) {self.effect}"
        if self.loss:
            return f"{sentence}: {self.loss} will be lost"
        resource = "the old one" if "replaced" in self.effect else "it"
        return f"{sentence}: {resource} is retained with its data, outside the stack"


def confirmation_names(dangers: Iterable[Danger]) -> dict[str, Danger]:
    """Return the dangers by the name that confirms each: its logical id, or its path if others have the same id."""
    dangers = list(dangers)
    ids = Counter(danger.logical_id for danger in dangers)
    return {danger.logical_id if ids[danger.logical_id] == 1 else danger.path: danger for danger in dangers}


def find_dangers(stack: StackChanges, path: str = "") -> list[Danger]:
    """Return the dangers in the order of the tree. A removed nested stack with unknown changes is itself one."""
    dangers: list[Danger] = []
    for change in (change for change in stack.changes if not change.is_spurious):
        resource_path = f"{path}{change.logical_id}"
        if change.nested and change.nested.changes:
            dangers += find_dangers(change.nested, f"{resource_path}/")
            continue
        if shortened := _find_shortened_retention(change):
            effect = "has a shorter retention period"
            dangers.append(Danger(resource_path, change.resource_type, effect, "older data", (shortened,)))
        effect = _describe_effect(change)
        loss = "all that it holds" if change.resource_type == STACK else HOLDS_DATA.get(change.resource_type, "")
        if effect and loss:
            causes = tuple(prop for prop in change.properties if prop.recreation != "Never")
            loss = "" if _is_retained(change) else loss
            dangers.append(Danger(resource_path, change.resource_type, effect, loss, causes))
    return dangers


def _find_shortened_retention(change: Change) -> PropertyChange | None:
    for prop in change.properties:
        is_retention = change.action == "Modify" and prop.name == _RETENTION_PROPERTIES.get(change.resource_type)
        if is_retention and _retention_period(prop.after) < _retention_period(prop.before):
            return prop
    return None


def _retention_period(value: str | None) -> float:
    """Return the period, which is infinite without a number."""
    return float(value) if value and value.isdigit() else float("inf")


def _is_retained(change: Change) -> bool:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChange.html"""
    return change.policy_action in ("Retain", "Snapshot", "ReplaceAndRetain", "ReplaceAndSnapshot")


def _describe_effect(change: Change) -> str:
    if change.action == "Remove":
        return "is removed from the stack" if _is_retained(change) else "is deleted"
    if change.action == "Modify" and change.replacement == "True":
        return "is replaced by an empty one"
    is_unsure = change.action == "Dynamic" or (change.action == "Modify" and change.replacement == "Conditional")
    return "may be replaced by an empty one" if is_unsure and change.resource_type != STACK else ""

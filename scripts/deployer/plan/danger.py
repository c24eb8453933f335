"""What of a plan destroys something that holds data: it is shown first, and asked for by its name."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scripts.common.templates import STACK

from .model import Change, PropertyChange, StackChanges

# What is gone with each.
HOLDS_DATA = {
    "AWS::DynamoDB::Table": "its items",
    "AWS::DynamoDB::GlobalTable": "its items",
    "AWS::KMS::Key": "whatever was encrypted with it",
    "AWS::Logs::LogGroup": "its log",
    "AWS::S3::Bucket": "its objects",
    "AWS::SQS::Queue": "its messages",
    "AWS::StepFunctions::StateMachine": "its executions, including running ones,",
}


@dataclass(frozen=True)
class Danger:
    """One resource whose data the deployment takes out of the stack's hands."""

    # From the root stack: Data/Transactions.
    path: str
    resource_type: str
    # "is deleted", "is replaced by an empty one", or "may be replaced by..." where the service cannot know.
    effect: str
    # What is lost with it; empty where its policy keeps the resource, outside the stack.
    loss: str
    # The properties that force it.
    causes: tuple[PropertyChange, ...] = ()

    @property
    def logical_id(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        what = f"{self.path} ({self.resource_type}) {self.effect}"
        if self.loss:
            return f"{what}: {self.loss} will be lost"
        which = "the old one" if "replaced" in self.effect else "it"
        return f"{what}: {which} is retained with its data, outside the stack"


def confirmation_names(dangers: Iterable[Danger]) -> dict[str, Danger]:
    """By what each is asked for: its logical id, or its path where two have the same."""
    dangers = list(dangers)
    ids = Counter(danger.logical_id for danger in dangers)
    return {danger.logical_id if ids[danger.logical_id] == 1 else danger.path: danger for danger in dangers}


def find_dangers(stack: StackChanges, path: str = "") -> list[Danger]:
    """All of the tree, in its order. A nested stack whose changes are not known is one itself when it goes."""
    return list(_iterate_dangers(stack, path))


def _iterate_dangers(stack: StackChanges, path: str) -> Iterator[Danger]:
    for change in stack.changes:
        if change.is_spurious:
            continue
        here = f"{path}{change.logical_id}"
        if change.nested and change.nested.changes:
            yield from _iterate_dangers(change.nested, f"{here}/")
            continue
        if shortened := _find_shortened_retention(change):
            yield Danger(here, change.resource_type, "has a shorter retention period", "older data", (shortened,))
        what = _describe_effect(change)
        lost = "all that it holds" if change.resource_type == STACK else HOLDS_DATA.get(change.resource_type, "")
        if what and lost:
            because = tuple(one for one in change.properties if one.recreation != "Never")
            yield Danger(here, change.resource_type, what, "" if _is_kept(change) else lost, because)


# Lowered, they take away what has been kept for longer.
_KEEPS = {"AWS::Logs::LogGroup": "RetentionInDays", "AWS::SQS::Queue": "MessageRetentionPeriod"}


def _find_shortened_retention(change: Change) -> PropertyChange | None:
    for one in change.properties:
        keeps = change.action == "Modify" and one.name == _KEEPS.get(change.resource_type)
        if keeps and _retention_period(one.after) < _retention_period(one.before):
            return one
    return None


def _retention_period(value: str | None) -> float:
    """Without a number nothing is ever taken away."""
    return float(value) if value and value.isdigit() else float("inf")


def _is_kept(change: Change) -> bool:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChange.html"""
    return change.policy_action in ("Retain", "Snapshot", "ReplaceAndRetain", "ReplaceAndSnapshot")


def _describe_effect(change: Change) -> str:
    if change.action == "Remove":
        return "is removed from the stack" if _is_kept(change) else "is deleted"
    if change.action == "Modify" and change.replacement == "True":
        return "is replaced by an empty one"
    unsure = change.action == "Dynamic" or (change.action == "Modify" and change.replacement == "Conditional")
    if unsure and change.resource_type != STACK:
        return "may be replaced by an empty one"
    return ""

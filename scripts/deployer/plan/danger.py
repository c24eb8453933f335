"""What of a plan destroys something that holds data: it is shown first, and asked for by its name."""

from collections.abc import Iterator
from dataclasses import dataclass

from .model import STACK, Change, PropertyChange, StackChanges

# What is gone with each.
HOLDS_DATA = {
    "AWS::DynamoDB::Table": "its items",
    "AWS::DynamoDB::GlobalTable": "its items",
    "AWS::KMS::Key": "whatever was encrypted with it",
    "AWS::Logs::LogGroup": "its log",
    "AWS::S3::Bucket": "its objects",
    "AWS::SQS::Queue": "its messages",
}


@dataclass(frozen=True)
class Danger:
    """One resource whose data the deployment takes out of the stack's hands."""

    # From the root stack: Data/Transactions.
    path: str
    resource_type: str
    # "is deleted", "is replaced by an empty one", or "may be replaced by..." where the service cannot know.
    what: str
    # What is lost with it; empty where its policy keeps the resource, outside the stack.
    lost: str
    # The properties that force it.
    because: tuple[PropertyChange, ...] = ()

    @property
    def name(self) -> str:
        """By which it is asked for."""
        return self.path.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        what = f"{self.path} ({self.resource_type}) {self.what}"
        if self.lost:
            return f"{what}: {self.lost} will be lost"
        which = "the old one" if "replaced" in self.what else "it"
        return f"{what}: {which} is kept with its content, but no longer part of the stack"


def dangers(stack: StackChanges, path: str = "") -> list[Danger]:
    """All of the tree, in its order. A nested stack whose changes are not known is one itself when it goes."""
    return list(_dangers(stack, path))


def _dangers(stack: StackChanges, path: str) -> Iterator[Danger]:
    for change in stack.changes:
        if change.phantom:
            continue
        here = f"{path}{change.logical_id}"
        if change.nested and change.nested.changes:
            yield from _dangers(change.nested, f"{here}/")
            continue
        what = _what(change)
        lost = "all that it holds" if change.resource_type == STACK else HOLDS_DATA.get(change.resource_type, "")
        if what and lost:
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChange.html
            kept = change.policy_action in ("Retain", "Snapshot", "ReplaceAndRetain", "ReplaceAndSnapshot")
            because = tuple(one for one in change.properties if one.recreation != "Never")
            yield Danger(here, change.resource_type, what, "" if kept else lost, because)


def _what(change: Change) -> str:
    if change.action == "Remove":
        return "is deleted"
    if change.action == "Modify" and change.replacement == "True":
        return "is replaced by an empty one"
    if change.action == "Modify" and change.replacement == "Conditional" and change.resource_type != STACK:
        return "may be replaced by an empty one"
    return ""

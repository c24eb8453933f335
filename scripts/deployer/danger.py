"""What of a plan destroys something that holds data: it is shown first, and asked for by its name."""

from collections.abc import Iterator
from dataclasses import dataclass

from .change_set import Change, ChangeSet

# What is gone with each.
HOLDS_DATA = {
    "AWS::DynamoDB::Table": "its items are",
    "AWS::DynamoDB::GlobalTable": "its items are",
    "AWS::KMS::Key": "whatever was encrypted with it is",
    "AWS::Logs::LogGroup": "its log is",
    "AWS::S3::Bucket": "its objects are",
    "AWS::SQS::Queue": "its messages are",
}
_STACK = "AWS::CloudFormation::Stack"


@dataclass(frozen=True)
class Danger:
    """One resource whose data the deployment takes out of the stack's hands."""

    stack_name: str
    logical_id: str
    resource_type: str
    # "is deleted", "is replaced", or "may be replaced" where the service cannot know.
    what: str
    # What is lost with it; empty where its policy keeps the resource, outside the stack.
    lost: str

    def __str__(self) -> str:
        what = f"{self.stack_name}: {self.logical_id} ({self.resource_type}) {self.what}"
        return f"{what}: {self.lost} lost" if self.lost else f"{what}: kept, but no longer part of the stack"


def dangers(changes: ChangeSet) -> list[Danger]:
    """All of the tree, in its order. A nested stack whose changes are not known is one itself when it goes."""
    return list(_dangers(changes))


def _dangers(changes: ChangeSet) -> Iterator[Danger]:
    for change in changes.changes:
        if change.nested:
            yield from _dangers(change.nested)
            continue
        what = _what(change)
        lost = "all that it holds is" if change.resource_type == _STACK else HOLDS_DATA.get(change.resource_type, "")
        if what and lost:
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChange.html
            kept = change.policy_action in ("Retain", "Snapshot", "ReplaceAndRetain", "ReplaceAndSnapshot")
            yield Danger(changes.stack_name, change.logical_id, change.resource_type, what, "" if kept else lost)


def _what(change: Change) -> str:
    if change.action == "Remove":
        return "is deleted"
    if change.action == "Modify" and change.replacement == "True":
        return "is replaced"
    if change.action == "Modify" and change.replacement == "Conditional" and change.resource_type != _STACK:
        return "may be replaced"
    return ""

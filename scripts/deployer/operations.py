"""Selects the events of one operation of a stack and of its nested stacks, by the ids of operations.

A rollback is an operation of its own, and so is that of each nested stack. A service that gives no ids, such as an
emulator, has no event left out.
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeEvents.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_StackEvent.html
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from .failure import Event

# What CloudFormation gives as the reason of an operation that somebody has requested.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
USER_INITIATED = "User Initiated"


@dataclass(frozen=True)
class Operation:
    """What is known so far of the operation that is followed."""

    # The token of the request that started it; empty if another command did.
    token: str = ""
    # The ids of the operation, of its rollback, and of those of nested stacks.
    ids: frozenset[str] = frozenset()
    began_at: datetime | None = None
    has_ended: bool = False
    # The time of the first event of the root stack's next operation.
    next_at: datetime | None = None

    def select_events(self, events: Iterable[Event], *, of_root: bool) -> tuple["Operation", list[Event]]:
        """Return the events of the operation, and what is known after them.

        ``events`` are those of one stack, oldest first; those of the root stack come before those of nested stacks.
        """
        operation, selected = self, []
        for event in events:
            operation, belongs = operation._examine_root(event) if of_root else operation._examine_nested(event)
            if belongs:
                selected.append(event)
        return operation, selected

    def _examine_root(self, event: Event) -> tuple["Operation", bool]:
        if not event.operation_id:
            return self, True
        if event.operation_id not in self.ids and not self._includes(event):
            is_next = bool(self.ids) and self.next_at is None
            return (replace(self, next_at=event.at) if is_next else self), False
        has_ended = not event.status.endswith("_IN_PROGRESS") if event.is_of_stack else self.has_ended
        ids, began_at = self.ids | {event.operation_id}, self.began_at or event.at
        return replace(self, ids=ids, began_at=began_at, has_ended=has_ended), True

    def _includes(self, event: Event) -> bool:
        """Whether the first event of another operation of the root stack belongs to this one."""
        if not self.ids:
            # An event of an earlier operation may be listed late.
            return not (self.token and event.request_token) or event.request_token == self.token
        # A rollback that somebody requests after the end is the next operation.
        is_rollback = event.is_of_stack and "ROLLBACK" in event.status and self.next_at is None
        return is_rollback and not (self.has_ended and event.reason == USER_INITIATED)

    def _examine_nested(self, event: Event) -> tuple["Operation", bool]:
        if not event.operation_id or event.operation_id in self.ids:
            return self, True
        is_later = self.next_at is not None and event.at >= self.next_at
        # Without a token the events may begin in the middle of the operation.
        is_earlier = bool(self.token) and self.began_at is not None and event.at < self.began_at
        if is_later or is_earlier:
            return self, False
        return replace(self, ids=self.ids | {event.operation_id}), True

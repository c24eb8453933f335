"""How far a deployment is, from its events: for each stack what is done, what is running, and since when."""

from dataclasses import dataclass, field

from scripts.common.templates import STACK
from scripts.deployer.failure import Event
from scripts.deployer.plan.model import Plan, StackChanges


@dataclass
class StackProgress:
    """One stack; the path of the root is empty."""

    path: str
    # How many resources the plan names; what happens in it beyond that raises it.
    planned: int = 0
    status: str = ""
    completed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    running: dict[str, Event] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return max(self.planned, len(self.completed | self.failed | set(self.running)))


class Progress:
    """Takes events as they come. Stacks are in the order of the plan, then in that of their appearance."""

    def __init__(self, plan: Plan | None, stack_name: str) -> None:
        self.stack_name = stack_name
        self.stacks: dict[str, StackProgress] = {"": StackProgress("")}
        if plan:
            self._count_planned(plan.stack, "")

    def add_events(self, events: list[Event]) -> None:
        for event in events:
            if event.resource_type == STACK:
                path = "" if event.where == self.stack_name else event.where
                self.stacks.setdefault(path, StackProgress(path)).status = event.status
                continue
            above = event.where.rsplit("/", 1)[0] if "/" in event.where else ""
            self._update_resource(self.stacks.setdefault(above, StackProgress(above)), event)

    def running_resources(self) -> list[Event]:
        return [event for stack in self.stacks.values() for event in stack.running.values()]

    def _update_resource(self, stack: StackProgress, event: Event) -> None:
        if event.status.endswith("_IN_PROGRESS"):
            stack.running.setdefault(event.where, event)
            return
        stack.running.pop(event.where, None)
        (stack.failed if event.status.endswith("_FAILED") else stack.completed).add(event.where)

    def _count_planned(self, stack: StackChanges, path: str) -> None:
        own = [change for change in stack.changes if change.resource_type != STACK and not change.is_spurious]
        self.stacks.setdefault(path, StackProgress(path)).planned = len(own)
        for change in stack.changes:
            if change.nested and not change.is_spurious:
                self._count_planned(change.nested, f"{path}/{change.logical_id}" if path else change.logical_id)

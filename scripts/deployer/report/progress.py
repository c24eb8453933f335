"""The progress of a deployment, from its events: what is complete and what is running in each stack."""

from dataclasses import dataclass, field

from scripts.common.templates import STACK
from scripts.deployer.failure import Event
from scripts.deployer.plan.model import Plan, StackChanges


@dataclass
class StackProgress:
    """One stack; the path of the root stack is empty."""

    path: str
    # How many resources the plan changes.
    planned: int = 0
    status: str = ""
    completed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    running: dict[str, Event] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The planned resources, or those with events if they are more."""
        return max(self.planned, len(self.completed | self.failed | set(self.running)))


class Progress:
    """Collects events. Stacks are in the order of the plan, then in that of their first events."""

    def __init__(self, plan: Plan | None, stack_name: str) -> None:
        self.stack_name = stack_name
        self.stacks: dict[str, StackProgress] = {"": StackProgress("")}
        if plan:
            self._count_planned(plan.stack, "")

    def add_events(self, events: list[Event]) -> None:
        for event in events:
            if event.resource_type == STACK:
                self._stack("" if event.path == self.stack_name else event.path).status = event.status
            else:
                self._update_resource(self._stack(event.path.rpartition("/")[0]), event)

    def running_resources(self) -> list[Event]:
        return [event for stack in self.stacks.values() for event in stack.running.values()]

    def _stack(self, path: str) -> StackProgress:
        return self.stacks.setdefault(path, StackProgress(path))

    def _update_resource(self, stack: StackProgress, event: Event) -> None:
        if event.status.endswith("_IN_PROGRESS"):
            stack.running.setdefault(event.path, event)
            return
        stack.running.pop(event.path, None)
        (stack.failed if event.status.endswith("_FAILED") else stack.completed).add(event.path)

    def _count_planned(self, stack: StackChanges, path: str) -> None:
        # CloudFormation records the state of a resource without events.
        changes = [item for item in stack.changes if not item.is_spurious and item.action != "SyncWithActual"]
        self._stack(path).planned = sum(change.resource_type != STACK for change in changes)
        for change in changes:
            if change.nested:
                self._count_planned(change.nested, f"{path}/{change.logical_id}" if path else change.logical_id)

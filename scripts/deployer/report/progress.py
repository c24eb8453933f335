"""The progress of a deployment, from its events: what is complete and what is running in each stack."""

from dataclasses import dataclass, field

from scripts.common.templates import STACK
from scripts.deployer.failure import Event
from scripts.deployer.plan.model import Plan, StackChanges

_COMPLETE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", "DELETE_COMPLETE")


@dataclass
class StackProgress:
    """One stack; the path of the root stack is empty."""

    path: str
    # The resources that the plan changes, by path; None if there is no plan.
    planned: set[str] | None = None
    status: str = ""
    completed: set[str] = field(default_factory=set)
    running: dict[str, Event] = field(default_factory=dict)

    def describe_count(self) -> str:
        """Return how many of the planned resources are complete, as "2/4"; without a plan, how many are.

        Other resources do not count, such as those that CloudFormation lists but does not change. A rollback undoes
        what was complete, so that it has no count.
        """
        if "ROLLBACK" in self.status:
            return ""
        if self.planned is None:
            return f"{len(self.completed)} complete" if self.completed else ""
        # A stack is complete once all its resources are, whatever events of them were received.
        complete = self.planned if self.status in _COMPLETE else self.planned & self.completed
        return f"{len(complete)}/{len(self.planned)}" if self.planned else ""


class Progress:
    """Collects events. Stacks are in the order of the plan, then in that of their first events."""

    def __init__(self, plan: Plan | None, stack_name: str) -> None:
        self.stack_name = stack_name
        self._has_plan = plan is not None
        self.stacks: dict[str, StackProgress] = {}
        self._stack("")
        if plan:
            self._add_planned(plan.stack, "")

    def add_events(self, events: list[Event]) -> None:
        for event in events:
            if event.resource_type == STACK:
                stack = self._stack("" if event.path == self.stack_name else event.path)
                stack.status = event.status
                if event.status in _COMPLETE:
                    stack.running.clear()
            else:
                self._update_resource(self._stack(event.path.rpartition("/")[0]), event)

    def running_resources(self) -> list[Event]:
        return [event for stack in self.stacks.values() for event in stack.running.values()]

    def _stack(self, path: str) -> StackProgress:
        return self.stacks.setdefault(path, StackProgress(path, set() if self._has_plan else None))

    def _update_resource(self, stack: StackProgress, event: Event) -> None:
        if event.status.endswith("_IN_PROGRESS"):
            stack.running.setdefault(event.path, event)
            return
        stack.running.pop(event.path, None)
        if not event.status.endswith("_FAILED"):
            stack.completed.add(event.path)

    def _add_planned(self, stack: StackChanges, path: str) -> None:
        # CloudFormation records the state of a resource without events.
        changes = [item for item in stack.changes if not item.is_spurious and item.action != "SyncWithActual"]
        paths = {change.logical_id: f"{path}/{change.logical_id}".removeprefix("/") for change in changes}
        self._stack(path).planned = {paths[change.logical_id] for change in changes if change.resource_type != STACK}
        for change in changes:
            if change.nested:
                self._add_planned(change.nested, paths[change.logical_id])

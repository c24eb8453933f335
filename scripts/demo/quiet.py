"""A deployment report that prints nothing while the deployment goes well."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from scripts.common.templates import STACK
from scripts.deployer.failure import Event
from scripts.deployer.plan.model import Plan
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.report.reporter import EventListener


class Quiet(ConsoleReporter):
    """Keeps the report in ``text``, to be shown if the deployment fails, and counts ``created_resources``."""

    def __init__(self) -> None:
        self._buffer = io.StringIO()
        self.created_resources = 0
        super().__init__(Console(file=self._buffer, width=100))

    @property
    def text(self) -> str:
        return self._buffer.getvalue()

    @contextmanager
    def follow_events(self, plan: Plan | None, stack_name: str) -> Iterator[EventListener]:
        with super().follow_events(plan, stack_name) as watch:

            def count_created(events: list[Event]) -> None:
                self.created_resources += sum(
                    event.status == "CREATE_COMPLETE" and event.resource_type != STACK for event in events
                )
                watch(events)

            yield count_created

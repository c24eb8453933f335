"""A deployment of which nothing is told while it goes well."""

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
    """Keeps what it would have said for when it fails, and counts the resources that were made."""

    def __init__(self) -> None:
        self._said = io.StringIO()
        self.made = 0
        super().__init__(Console(file=self._said, width=100))

    @property
    def said(self) -> str:
        return self._said.getvalue()

    @contextmanager
    def follow_events(self, plan: Plan | None, stack_name: str) -> Iterator[EventListener]:
        with super().follow_events(plan, stack_name) as watch:

            def count(events: list[Event]) -> None:
                self.made += sum(one.status == "CREATE_COMPLETE" and one.resource_type != STACK for one in events)
                watch(events)

            yield count

"""Reports to programs: one JSON object a line, as docs/deploy-output.schema.json describes them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TextIO

from scripts.deployer.failure import Event, Failure
from scripts.deployer.plan.danger import Danger, find_dangers
from scripts.deployer.plan.model import Count, Plan, count_changes
from scripts.deployer.plan.serialization import to_json

from ..deletion_commands import deletion_command
from ..deployment_options import ArtifactsResult
from ..finding import Finding
from .reporter import EventListener


class JsonReporter:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # Whether a signal or an error has ended a record that may be written in part.
        self._is_cut = False

    def announce_step(self, title: str, detail: str = "") -> None:
        # The colon leads over to the detail, for people.
        self._write_record("step", what=title.removesuffix(":"), detail=detail)

    def show_findings(self, findings: Sequence[Finding]) -> None:
        self._write_record("preflight", findings=[asdict(finding) for finding in findings])

    def show_plan(self, plan: Plan, *, number: int = 1, of: int = 1, lists_retained: bool = True) -> None:  # noqa: ARG002
        dangers = [
            {"path": danger.path, "resource_type": danger.resource_type, "what": danger.effect, "lost": danger.loss}
            for danger in find_dangers(plan.stack)
        ]
        count = to_json(count_changes(plan.stack))
        self._write_record("plan", number=number, of=of, plan=to_json(plan), count=count, dangers=dangers)

    def show_total(self, stack_names: Sequence[str], total: Count, losses: Sequence[Danger]) -> None:  # noqa: ARG002
        self._write_record("total", stacks=list(stack_names), count=to_json(total))

    @contextmanager
    def follow_events(self, plan: Plan | None, stack_name: str) -> Iterator[EventListener]:  # noqa: ARG002
        def write_events(events: list[Event]) -> None:
            for event in events:
                self._write_record("event", **_event_to_json(event))

        yield write_events

    def show_failure(self, failure: Failure) -> None:
        self._write_record(
            "failure",
            stack_name=failure.stack_name,
            status=failure.status,
            cause=_event_to_json(failure.cause) if failure.cause else None,
            others=[_event_to_json(event) for event in failure.later_causes],
            declared=asdict(failure.declared) if failure.declared else None,
            rolled_back=failure.rolled_back,
            preserved=failure.preserved,
            left_behind=[
                _event_to_json(event) | {"delete_command": deletion_command(event.resource_type, event.physical_id)}
                for event in failure.left_behind
            ],
            retained=[_event_to_json(event) for event in failure.retained],
            operation_id=failure.operation_id,
            events_command=failure.events_command,
            shift_command=failure.shift_command,
            now=failure.outcome,
            next=failure.next_step,
        )

    def show_error(self, stack_name: str, message: str) -> None:
        self.show_result("failed", stack_name=stack_name, outputs={}, message=message)

    def show_result(
        self,
        result: str,
        *,
        stack_name: str,
        outputs: dict[str, str],
        message: str = "",
        artifacts: ArtifactsResult | None = None,
        outputs_command: str = "",  # noqa: ARG002 - a program gets the outputs in any case
    ) -> None:
        members = {"artifacts": asdict(artifacts)} if artifacts else {}
        self._write_record("result", result=result, stack_name=stack_name, outputs=outputs, message=message, **members)

    def _write_record(self, kind: str, **content: Any) -> None:
        record = {"type": kind, "at": datetime.now(UTC).isoformat(), **content}
        line = _escape_unseen(json.dumps(record, ensure_ascii=False)) + "\n"
        # The next record begins a line in any case.
        line = f"\n{line}" if self._is_cut else line
        self._is_cut = True
        self._stream.write(line)
        self._stream.flush()
        self._is_cut = False


def _escape_unseen(line: str) -> str:
    """Return the JSON without characters that a terminal obeys, or by which a program may end a line: ``\\u2028``."""
    if line.isprintable():
        return line
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in line)


def _event_to_json(event: Event) -> dict[str, Any]:
    return {
        "happened_at": event.at.isoformat(),
        "path": event.path,
        "resource_type": event.resource_type,
        "status": event.status,
        "reason": event.reason,
        "physical_id": event.physical_id,
        "operation_id": event.operation_id,
    }

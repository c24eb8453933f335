"""To programs: one JSON object a line, as docs/deploy-output.schema.json describes them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TextIO

from scripts.deployer.failure import Event, Failure
from scripts.deployer.plan.danger import dangers
from scripts.deployer.plan.model import Change, Plan, PropertyChange, StackChanges, StatementChange, count
from scripts.deployer.removal import removal_command

from ..finding import Finding
from .reporter import Watching


class Records:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def step(self, what: str, detail: str = "") -> None:
        self._write("step", what=what, detail=detail)

    def preflight(self, findings: Sequence[Finding]) -> None:
        self._write("preflight", findings=[asdict(finding) for finding in findings])

    def plan(self, plan: Plan) -> None:
        lost = [
            {"path": one.path, "resource_type": one.resource_type, "what": one.what, "lost": one.lost}
            for one in dangers(plan.stack)
        ]
        self._write("plan", plan=asdict(plan), count=asdict(count(plan.stack)), dangers=lost)

    @contextmanager
    def watching(self, plan: Plan | None, stack_name: str) -> Iterator[Watching]:  # noqa: ARG002
        def watch(events: list[Event]) -> None:
            for event in events:
                self._write("event", **_event(event))

        yield watch

    def failed(self, failure: Failure) -> None:
        self._write(
            "failure",
            stack_name=failure.stack_name,
            status=failure.status,
            cause=_event(failure.cause) if failure.cause else None,
            others=[_event(other) for other in failure.others],
            declared=asdict(failure.declared) if failure.declared else None,
            rolled_back=failure.rolled_back,
            left_behind=[
                _event(event) | {"delete_command": removal_command(event.resource_type, event.physical_id)}
                for event in failure.left_behind
            ],
            now=failure.now,
            next=failure.next_step,
        )

    def ended(self, result: str, *, stack_name: str, outputs: dict[str, str], message: str = "") -> None:
        self._write("result", result=result, stack_name=stack_name, outputs=outputs, message=message)

    def _write(self, kind: str, **content: Any) -> None:
        record = {"type": kind, "at": datetime.now(UTC).isoformat(), **content}
        self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._stream.flush()


def _event(event: Event) -> dict[str, Any]:
    return {
        "happened_at": event.at.isoformat(),
        "path": event.where,
        "resource_type": event.resource_type,
        "status": event.status,
        "reason": event.reason,
        "physical_id": event.physical_id,
    }


def plan_from(document: dict[str, Any]) -> Plan:
    """What ``asdict`` made of a plan, as a plan again. Raises ``KeyError`` or ``TypeError`` for anything else."""
    statements = [StatementChange(**one | {"actions": tuple(one["actions"])}) for one in document["statements"]]
    return Plan(_stack(document["stack"]), tuple(statements), tuple(document["notices"]), document["source"])


def _stack(document: dict[str, Any]) -> StackChanges:
    changes = [
        Change(
            **one
            | {
                "properties": tuple(PropertyChange(**each) for each in one["properties"]),
                "nested": _stack(one["nested"]) if one["nested"] else None,
            }
        )
        for one in document["changes"]
    ]
    return StackChanges(document["name"], tuple(changes), tuple(document["unchanged"]), tuple(document["outputs"]))

"""Which call breaks, and how: a switch at every call that a function or the workflow makes to the world."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

T = TypeVar("T")


class Crash(BaseException):
    """The process is gone: no handler of an exception runs, not even ``except Exception``."""


class Fault(Enum):
    CRASH_BEFORE = "crash before the call"
    CRASH_AFTER = "crash after the call"
    TIMEOUT = "time out, without effect"
    TIMEOUT_WITH_EFFECT = "time out, with effect"
    TIMEOUT_LATE = "time out, with an effect that comes later"
    CRASH_LATE = "crash, with an effect that comes later"
    THROTTLED = "throttled"


GATEWAY_FAULTS = frozenset(Fault)
# A call of an AWS service by a function. It is over when the function is: nothing comes later.
SERVICE_FAULTS = GATEWAY_FAULTS - {Fault.TIMEOUT_LATE, Fault.CRASH_LATE}
# What only reads has no effect: after it is as before it.
READ_FAULTS = SERVICE_FAULTS - {Fault.CRASH_AFTER, Fault.TIMEOUT_WITH_EFFECT}
# The workflow's own calls: Step Functions does not crash.
WORKFLOW_FAULTS = SERVICE_FAULTS - {Fault.CRASH_BEFORE, Fault.CRASH_AFTER}
CLOCK_FAULTS = frozenset({Fault.CRASH_BEFORE})


@dataclass
class Faults:
    """Which call, counted from 0, breaks how. Remembers what each call was, so that a test can enumerate."""

    plan: dict[int, Fault] = field(default_factory=dict)
    calls: list[tuple[str, frozenset[Fault]]] = field(default_factory=list)
    # Services that take no call, and from which call on.
    outage: tuple[str, int] | None = None
    # Called before each call that others could notice: where a scheduler switches. Reading the clock is not one.
    switch: Callable[[str], None] = lambda _: None

    def next(self, name: str, possible: frozenset[Fault]) -> Fault | None:
        if name != "clock":
            self.switch(name)
        fault = self.plan.get(len(self.calls))
        self.calls.append((name, possible))
        if self.outage and name.startswith(self.outage[0]) and len(self.calls) > self.outage[1]:
            return Fault.THROTTLED
        if fault not in possible:
            return None
        if fault is Fault.CRASH_BEFORE:
            raise Crash(name)
        return fault

    def call(
        self, name: str, possible: frozenset[Fault], do: Callable[[], T], *, throttled: Exception, timeout: Exception
    ) -> T:
        """``do``, or what goes wrong with it by the plan: these are raised."""
        fault = self.next(name, possible)
        if fault is Fault.THROTTLED:
            raise throttled.with_traceback(None)
        if fault is Fault.TIMEOUT:
            raise timeout.with_traceback(None)
        result = do()
        if fault is Fault.TIMEOUT_WITH_EFFECT:
            raise timeout.with_traceback(None)
        if fault is Fault.CRASH_AFTER:
            raise Crash(name)
        return result

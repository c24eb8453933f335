"""Which call fails, and how: every call that a function or the workflow makes to the world passes here."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

T = TypeVar("T")

# Whether everything is proved, as by `make prove`; `make test` proves a part.
PROVES_ALL = bool(os.environ.get("EVERY_PAIR"))


class Crash(BaseException):
    """The process has ended: no exception handler runs, not even ``except Exception``."""


class Fault(Enum):
    CRASH_BEFORE = "crash before the call"
    CRASH_AFTER = "crash after the call"
    TIMEOUT = "time out, without effect"
    TIMEOUT_WITH_EFFECT = "time out, with effect"
    TIMEOUT_LATE = "time out, with an effect that comes later"
    CRASH_LATE = "crash, with an effect that comes later"
    THROTTLED = "throttled"


GATEWAY_FAULTS = frozenset(Fault)
# A function's call of an AWS service ends with the function, so it has no late effect.
SERVICE_FAULTS = GATEWAY_FAULTS - {Fault.TIMEOUT_LATE, Fault.CRASH_LATE}
# A read has no effect, so a fault after it equals one before it.
READ_FAULTS = SERVICE_FAULTS - {Fault.CRASH_AFTER, Fault.TIMEOUT_WITH_EFFECT}
# The workflow's own calls; Step Functions does not crash.
WORKFLOW_FAULTS = SERVICE_FAULTS - {Fault.CRASH_BEFORE, Fault.CRASH_AFTER}
CLOCK_FAULTS = frozenset({Fault.CRASH_BEFORE})


@dataclass
class Faults:
    """The fault of each call, counted from 0. ``calls`` records every call, so that a test can enumerate them."""

    plan: dict[int, Fault] = field(default_factory=dict)
    calls: list[tuple[str, frozenset[Fault]]] = field(default_factory=list)
    # A prefix of the calls that are throttled, and the number of the first such call.
    outage: tuple[str, int] | None = None
    # Called before each call that other actors could notice, which reading the clock is not; a scheduler switches here.
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
        """Return the result of ``do``, or raise the error of the fault that is planned for this call."""
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

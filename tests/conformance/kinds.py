"""The kinds of facts, and what judges each: a kind is one row of the table."""

from collections.abc import Callable, Iterable

from tests.conformance.executions import judge_executions
from tests.conformance.verdicts import Verdict

# The kind's key in disagreements.yaml, what the table calls it, and what judges its cases.
KINDS: list[tuple[str, str, Callable[[], Iterable[Verdict]]]] = [
    ("executions", "executions of state machines: the interpreter", judge_executions),
]

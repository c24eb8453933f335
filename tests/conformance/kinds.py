"""The kinds of recordings, with the function that compares each. A kind is a row of the table."""

from collections.abc import Callable, Iterable

from tests.conformance.change_sets import judge_comparisons, judge_plans
from tests.conformance.emulator import judge_emulator
from tests.conformance.executions import judge_executions
from tests.conformance.facts import judge_facts
from tests.conformance.verdicts import Verdict

# The key in disagreements.yaml, the title in the table, and the function that compares the cases.
KINDS: list[tuple[str, str, Callable[[], Iterable[Verdict]]]] = [
    ("comparisons", "change sets, by the offline comparison", judge_comparisons),
    ("plans", "change sets, by the plan of AWS's answer", judge_plans),
    ("executions", "executions, on the interpreter of the tests", judge_executions),
    ("emulator", "executions, on the emulator with corrections", judge_emulator),
    ("facts", "single facts, where we rely on them", judge_facts),
]

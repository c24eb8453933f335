"""Prints for each kind of recording how many cases agree with AWS, and how many known disagreements there are.

Exits with 1 if a disagreement is not listed or a listed case agrees, and prints each of them.
"""

import sys
from collections.abc import Callable, Iterable

from tests.conformance.kinds import KINDS
from tests.conformance.verdicts import Summary, Verdict, load_disagreements, summarize_verdicts


def print_table(kinds: Iterable[tuple[str, str, Callable[[], Iterable[Verdict]]]]) -> int:
    """Print the table and its faults, and return the exit status."""
    summaries = {title: summarize_verdicts(judge(), load_disagreements(key)) for key, title, judge in kinds}
    print(draw_table(summaries))
    faults = [fault for summary in summaries.values() for fault in summary.faults]
    for fault in faults:
        print(f"not as listed: {fault}")
    return 1 if faults else 0


def draw_table(summaries: dict[str, Summary]) -> str:
    """Return the table, a line for each kind."""
    width = max(map(len, summaries))
    return "\n".join(
        f"{title.ljust(width)}  {summary.agreeing:>4} of {summary.total:>4} agree, {summary.listed} known to disagree"
        for title, summary in summaries.items()
    )


if __name__ == "__main__":
    sys.exit(print_table(KINDS))

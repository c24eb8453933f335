"""``make simulate RECORD=1``: the results that docs/scale.md and its picture show, in recorded.json.

A test repeats those that are quick.
"""

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

from scripts.common.files import write_file
from scripts.common.paths import ROOT
from scripts.common.terminal import echo
from stacks import settings

from .cli import RATES, select_quotas, simulate_scenarios
from .figures import Result
from .report import format_results
from .scenario import MODES, QUOTAS, Scenario

FILE = Path(__file__).with_name("recorded.json")
DOCUMENT = ROOT / "docs" / "scale.md"
_TABLES = re.compile(r"(?<=^```text\n)per s  gateway .*?(?=\n```$)", re.MULTILINE | re.DOTALL)
# Between two points of a line, either the time or the number of payments grows by so much.
_SMALLEST_STEP = 0.05


def list_scenarios() -> list[Scenario]:
    return select_quotas([Scenario(per_second=rate, mode=mode) for rate in RATES for mode in MODES], QUOTAS)


def read_results() -> list[Result]:
    return [Result(**document) for document in json.loads(FILE.read_text(encoding="utf-8"))]


def to_record(result: Result) -> dict[str, Any]:
    """Return the result as it is recorded: with enough points of the backlog for a picture on logarithmic axes."""
    points: list[tuple[float, int]] = []
    for at, count in result.backlog:
        is_near = bool(points) and abs(_scale(at) - _scale(points[-1][0])) < _SMALLEST_STEP
        if not points or not is_near or abs(_scale(count) - _scale(points[-1][1])) >= _SMALLEST_STEP:
            points.append((round(at), count))
    return json.loads(json.dumps(result.to_document() | {"backlog": points}))  # type: ignore[no-any-return]


def _scale(value: float) -> float:
    return math.log10(max(1.0, value))


def main(environment: str) -> None:
    results = simulate_scenarios(list_scenarios(), settings.load(environment))
    records = [json.dumps(to_record(result)) for result in results]
    write_file(FILE, ("[\n" + ",\n".join(records) + "\n]\n").encode())
    text = DOCUMENT.read_text(encoding="utf-8")
    write_file(DOCUMENT, replace_tables(text, format_results(results)).encode())
    echo(format_results(results))


def replace_tables(text: str, tables: str) -> str:
    """Return the text of the document with these tables of results."""
    return _TABLES.sub(lambda _: tables, text)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The result for a case, and the list of known disagreements."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

_LISTED = Path(__file__).with_name("disagreements.yaml")


@dataclass(frozen=True)
class Verdict:
    """The result for a case. Each of the ``differences`` is a sentence with the recorded value and ours."""

    case: str
    differences: tuple[str, ...]

    @property
    def is_agreement(self) -> bool:
        return not self.differences


@dataclass(frozen=True)
class Summary:
    """The results for one kind of recording, compared with its known disagreements."""

    agreeing: int
    total: int
    # The number of known disagreements.
    listed: int
    # A line for each disagreement that is not listed, and for each listed case that agrees or does not exist.
    faults: tuple[str, ...]


def load_disagreements(kind: str) -> dict[str, str]:
    """Return the known disagreements of a kind: the reason for each case."""
    reasons = yaml.load(_LISTED.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)[kind]
    return {str(case): str(reason) for case, reason in (reasons or {}).items()}


def summarize_verdicts(verdicts: Iterable[Verdict], listed: Mapping[str, str]) -> Summary:
    """Count the cases that agree, and compare the others with the known disagreements."""
    judged = list(verdicts)
    names = {verdict.case for verdict in judged}
    faults = [f"{case}: listed as a disagreement, but there is no such case" for case in listed if case not in names]
    for verdict in judged:
        if verdict.is_agreement and verdict.case in listed:
            faults.append(f"{verdict.case}: listed as a disagreement, but it agrees")
        elif not verdict.is_agreement and verdict.case not in listed:
            faults.append(f"{verdict.case}: {'; '.join(verdict.differences)}")
    agreeing = sum(verdict.is_agreement for verdict in judged)
    disagreeing = {verdict.case for verdict in judged if not verdict.is_agreement}
    return Summary(agreeing, len(judged), len(disagreeing & set(listed)), tuple(faults))

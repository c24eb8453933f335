"""A case that was judged, and the disagreements that are listed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

_LISTED = Path(__file__).with_name("disagreements.yaml")


@dataclass(frozen=True)
class Verdict:
    """What a case came to. ``differences`` say, a sentence each, what AWS answered and what ours is."""

    case: str
    differences: tuple[str, ...]

    @property
    def is_agreement(self) -> bool:
        return not self.differences


@dataclass(frozen=True)
class Summary:
    """The verdicts of one kind, held against the list of its disagreements."""

    agreeing: int
    total: int
    # Cases that disagree for a listed reason.
    listed: int
    # A line for each case that is not as the list has it.
    faults: tuple[str, ...]


def load_disagreements(kind: str) -> dict[str, str]:
    """The reasons for the disagreements of a kind, by the name of the case."""
    reasons = yaml.safe_load(_LISTED.read_text(encoding="utf-8"))[kind]
    return {str(case): str(reason) for case, reason in (reasons or {}).items()}


def summarize_verdicts(verdicts: Iterable[Verdict], listed: Mapping[str, str]) -> Summary:
    """How many cases agree, and what is not as it is listed."""
    judged = list(verdicts)
    names = {verdict.case for verdict in judged}
    faults = [f"{case}: it is listed, and there is no such case" for case in listed if case not in names]
    for verdict in judged:
        if verdict.is_agreement and verdict.case in listed:
            faults.append(f"{verdict.case}: it is listed, and agrees by now")
        elif not verdict.is_agreement and verdict.case not in listed:
            faults.append(f"{verdict.case}: {'; '.join(verdict.differences)}")
    agreeing = sum(verdict.is_agreement for verdict in judged)
    disagreeing = {verdict.case for verdict in judged if not verdict.is_agreement}
    return Summary(agreeing, len(judged), len(disagreeing & set(listed)), tuple(faults))

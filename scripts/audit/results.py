"""The findings of a check, and the suppressed ones with their reasons."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .deployed import Template


@dataclass(frozen=True, order=True)
class Finding:
    """A broken rule; ``location`` is ``TEMPLATE/RESOURCE`` or ``FILE:LINE``."""

    rule: str
    location: str
    message: str = ""


@dataclass(frozen=True, order=True)
class Suppression:
    rule: str
    location: str
    reason: str


@dataclass(frozen=True)
class Result:
    check: str
    # The number of rules that applied to a resource.
    applied: int = 0
    open: list[Finding] = field(default_factory=list)
    suppressed: list[Suppression] = field(default_factory=list)
    # Why the check could not be run; empty if it ran.
    failed: str = ""

    @property
    def has_passed(self) -> bool:
        return not self.open and not self.failed and self.applied > 0


class Suppressions:
    """The suppressions in the Metadata of the templates, with reasons: see stacks/suppressions.py."""

    def __init__(self, templates: Mapping[str, Template]) -> None:
        self._reasons: dict[tuple[str, str], str] = {}
        self._applied: set[tuple[str, str]] = set()
        for name, template in templates.items():
            for logical_id, resource in template["Resources"].items():
                metadata = resource.get("Metadata", {})
                entries = [
                    *((skip["id"], skip["comment"]) for skip in metadata.get("checkov", {}).get("skip", [])),
                    *_read_cdk_nag_suppressions(metadata),
                    *metadata.get("guard", {}).get("Reasons", {}).items(),
                ]
                for rule, reason in entries:
                    self._reasons[rule, f"{name}/{logical_id}"] = reason

    def split_findings(self, findings: Iterable[Finding]) -> tuple[list[Finding], list[Suppression]]:
        """Return ``(open findings, suppressed findings)``; ``Rule`` also suppresses each ``Rule[detail]``."""
        open_, suppressed = [], []
        for finding in sorted(set(findings)):
            keys = [(rule, finding.location) for rule in (finding.rule, finding.rule.split("[")[0])]
            key = next((key for key in keys if key in self._reasons), None)
            if key:
                self._applied.add(key)
                suppressed.append(Suppression(finding.rule, finding.location, self._reasons[key]))
            else:
                open_.append(finding)
        return open_, suppressed

    def find_stale(self) -> Result:
        """Return as open findings the suppressions that no scanner used. Call this after all scanners have run."""
        findings = [Finding(rule, location, "suppressed, and found by no check") for rule, location in self._reasons]
        open_ = [finding for finding in findings if (finding.rule, finding.location) not in self._applied]
        return Result("suppressions that nothing needs any more", len(self._reasons), sorted(open_))


def _read_cdk_nag_suppressions(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each suppressed rule of cdk-nag, as ``Rule[finding]`` if findings are listed, with its reason."""
    for entry in metadata.get("cdk_nag", {}).get("rules_to_suppress", []):
        findings = entry.get("applies_to")
        for rule in [entry["id"]] if findings is None else [f"{entry['id']}[{finding}]" for finding in findings]:
            yield rule, entry["reason"]

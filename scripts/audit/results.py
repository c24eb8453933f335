"""What a check found, and what it was told to overlook and why."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .deployed import Template


@dataclass(frozen=True, order=True)
class Finding:
    """A rule that is broken, by ``TEMPLATE/RESOURCE`` or by ``FILE:LINE``."""

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
    # How many rules found something that they are about.
    applied: int = 0
    open: list[Finding] = field(default_factory=list)
    suppressed: list[Suppression] = field(default_factory=list)
    # Why the check could not be run; it has failed then.
    failed: str = ""

    @property
    def passed(self) -> bool:
        return not self.open and not self.failed and self.applied > 0


class Suppressions:
    """What the templates' Metadata suppresses, with its reasons: see stacks/suppressions.py."""

    def __init__(self, templates: Mapping[str, Template]) -> None:
        self._reasons: dict[tuple[str, str], str] = {}
        self._used: set[tuple[str, str]] = set()
        for name, template in templates.items():
            for logical_id, resource in template["Resources"].items():
                metadata = resource.get("Metadata", {})
                entries = [
                    *((skip["id"], skip["comment"]) for skip in metadata.get("checkov", {}).get("skip", [])),
                    *_of_nag(metadata),
                    *metadata.get("guard", {}).get("Reasons", {}).items(),
                ]
                for rule, reason in entries:
                    self._reasons[rule, f"{name}/{logical_id}"] = reason

    def split_findings(self, findings: Iterable[Finding]) -> tuple[list[Finding], list[Suppression]]:
        """Those that stay open, and those that are suppressed.

        ``Rule[detail]`` is suppressed by the same ``Rule[detail]``, or by ``Rule`` where its suppression names no
        details.
        """
        open_, suppressed = [], []
        for finding in sorted(set(findings)):
            keys = [(rule, finding.location) for rule in (finding.rule, finding.rule.split("[")[0])]
            key = next((key for key in keys if key in self._reasons), None)
            if key:
                self._used.add(key)
                suppressed.append(Suppression(finding.rule, finding.location, self._reasons[key]))
            else:
                open_.append(finding)
        return open_, suppressed

    def find_stale(self) -> Result:
        """Those that no check has any use for, once all have run: what they excused has been mended, or moved."""
        unused = [Finding(rule, where, "suppressed, and found by no check") for rule, where in self._reasons]
        open_ = [finding for finding in unused if (finding.rule, finding.location) not in self._used]
        return Result("suppressions that nothing needs any more", len(self._reasons), sorted(open_))


def _of_nag(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each rule that is suppressed for cdk-nag with its reason; where findings are named, each as ``Rule[finding]``."""
    for entry in metadata.get("cdk_nag", {}).get("rules_to_suppress", []):
        findings = entry.get("applies_to")
        for rule in [entry["id"]] if findings is None else [f"{entry['id']}[{finding}]" for finding in findings]:
            yield rule, entry["reason"]

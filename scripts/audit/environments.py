"""Findings in dev and staging, compared with the differences from prod that differences.toml accepts, with reasons.

A finding that is not listed fails the audit, and so does a listed one that is no longer found.
"""

import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import deployed
from .results import Finding, Result, Suppression, Suppressions

ENVIRONMENTS = ("dev", "staging")
DIFFERENCES = Path(__file__).with_name("differences.toml")

# Takes the suppressions and the folder of an environment's templates; returns the result of each scanner.
Scan = Callable[[Suppressions, Path], list[Result]]
# The reason of each accepted finding, by rule and location.
Accepted = Mapping[tuple[str, str], str]


def judge_environments(committed: Mapping[str, deployed.Template], folder: Path, scan: Scan) -> list[Result]:
    """Return a result for each of the environments. Raises ``UserError`` if a scanner cannot be run."""

    def judge_environment(environment: str) -> Result:
        templates = deployed.evaluate_templates(committed, environment)
        environment_folder = folder / environment
        deployed.write_templates(templates, environment_folder)
        results = scan(Suppressions(templates), environment_folder)
        return compare_findings(environment, results, read_accepted(environment))

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(judge_environment, ENVIRONMENTS))


def compare_findings(environment: str, results: list[Result], accepted: Accepted) -> Result:
    """Return one result. Open are findings that are not accepted, and accepted ones that no scanner found."""
    findings = {(finding.rule, finding.location): finding for result in results for finding in result.open}
    open_ = [finding for key, finding in findings.items() if key not in accepted]
    open_ += [
        Finding(rule, location, f"{DIFFERENCES.name} accepts it for {environment}, and no scanner finds it")
        for rule, location in accepted
        if (rule, location) not in findings
    ]
    suppressed = [
        Suppression(rule, location, accepted[rule, location])
        for rule, location in findings
        if (rule, location) in accepted
    ]
    applied = sum(result.applied for result in results)
    return Result(f"{environment}, where it differs from prod", applied, sorted(open_), sorted(suppressed))


def read_accepted(environment: str, path: Path = DIFFERENCES) -> Accepted:
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["accepted"]
    return {
        (rule, location): entry["reason"]
        for entry in entries
        if environment in entry["environments"]
        for rule in entry["rules"]
        for location in entry["resources"]
    }

"""What the scanners find in dev and staging and not in prod, against the list of differences that are accepted.

The scanners judge prod, with every optional part on. The other environments are judged as their settings deploy them;
differences.toml says which findings they may have, and why. A finding that is not listed fails the audit, and so does
a listed one that is no longer found.
"""

import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import deployed
from .results import Finding, Result, Suppression, Suppressions

ENVIRONMENTS = ("dev", "staging")
DIFFERENCES = Path(__file__).with_name("differences.toml")

# Given the suppressions and the folder of an environment's templates: what each scanner says.
Scan = Callable[[Suppressions, Path], list[Result]]
# The reason of each accepted finding, by its rule and place.
Accepted = Mapping[tuple[str, str], str]


def judge_environments(committed: Mapping[str, deployed.Template], folder: Path, scan: Scan) -> list[Result]:
    """A result for each of the environments. Raises ``UserError`` if a scanner cannot be run."""

    def judge_one(environment: str) -> Result:
        templates = deployed.evaluate_templates(committed, environment)
        written = folder / environment
        written.mkdir()
        deployed.write_templates(templates, written)
        results = scan(Suppressions(templates), written)
        return compare_findings(environment, results, read_accepted(environment))

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(judge_one, ENVIRONMENTS))


def compare_findings(environment: str, results: list[Result], accepted: Accepted) -> Result:
    """The findings of ``results`` that are not accepted, and the accepted ones that are not found, are open."""
    found = {(finding.rule, finding.location): finding for result in results for finding in result.open}
    open_ = [finding for key, finding in found.items() if key not in accepted]
    open_ += [
        Finding(rule, where, f"{DIFFERENCES.name} accepts it for {environment}, and no check finds it")
        for rule, where in accepted
        if (rule, where) not in found
    ]
    suppressed = [Suppression(rule, where, accepted[rule, where]) for rule, where in found if (rule, where) in accepted]
    applied = sum(result.applied for result in results)
    return Result(f"{environment}, where it differs from prod", applied, sorted(open_), sorted(suppressed))


def read_accepted(environment: str, path: Path = DIFFERENCES) -> Accepted:
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["accepted"]
    return {
        (rule, where): entry["reason"]
        for entry in entries
        if environment in entry["environments"]
        for rule in entry["rules"]
        for where in entry["resources"]
    }

"""The scanners from PyPI: cfn-lint, ruff's security rules, checkov, parliament."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scripts.common.errors import UserError
from scripts.common.paths import ROOT
from scripts.deployer.validate import RULES, create_linter

from .deployed import Template
from .results import Finding, Result, Suppression, Suppressions

# checkov pins boto3, so the scanners have a virtual environment of their own (see the Makefile).
SCANNERS = ROOT / ".venv" / "audit" / "bin"

# Accepted findings of parliament: (rule, part of the message, reason).
PARLIAMENT = (
    ("UNKNOWN_ACTION", "cloudformation:DescribeEvents", "The action is newer than parliament's list of actions"),
    ("UNKNOWN_ACTION", "lambda:GetFunctionScalingConfig", "The action is newer than parliament's list of actions"),
    (
        "RESOURCE_MISMATCH",
        "dynamodb:GetResourcePolicy",
        "The action is asked for a table or for a stream, and no table has a stream",
    ),
    ("RESOURCE_STAR", "cloudwatch:DescribeAlarms", "Alarms are found by name prefix, which reads all of them"),
    (
        "RESOURCE_STAR",
        "cloudwatch:PutCompositeAlarm",
        "CloudWatch denies the call if it is allowed only on named alarms",
    ),
    (
        "RESOURCE_MISMATCH",
        "kms:",
        "The alias and its key are each in a statement of their own; the key's statement has a condition",
    ),
)


def run_cfn_lint() -> Result:
    """Lint the committed templates by all rules, including informational ones."""
    runner = create_linter(sorted((ROOT / "templates").glob("*.yaml")))
    findings = [Finding(match.rule.id, f"{match.filename}:{match.linenumber}", match.message) for match in runner.run()]
    suppressed = [
        Suppression(rule, ".cfnlintrc", reason) for rule, reason in _read_commented_lines(RULES, r"\s*- ([EWI]\d{4})$")
    ]
    return Result(f"cfn-lint {version('cfn-lint')}, with informational rules", len(runner.rules), findings, suppressed)


def run_ruff() -> Result:
    """Check all code by the security rules of ruff (flake8-bandit)."""
    options = [str(Path(sys.executable).with_name("ruff"))]
    rules = json.loads(run_command([*options, "rule", "--all", "--output-format", "json"]).stdout)
    applied = sum(rule["code"].startswith("S") and rule["code"][1:].isdigit() for rule in rules if not rule["preview"])
    selecting = [*options, "check", "--select", "S", "--output-format", "json", "--exit-zero", "."]
    findings = [
        Finding(entry["code"], f"{_relative_path(entry['filename'])}:{entry['location']['row']}", entry["message"])
        for entry in json.loads(run_command(selecting).stdout)
    ]
    suppressed = []
    for path in sorted(
        {*ROOT.glob("*.py"), *(p for d in ("scripts", "stacks", "lambda") for p in ROOT.rglob(f"{d}/**/*.py"))}
    ):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if match := re.search(r"# noqa: (S\d+)(?: - (.*))?$", line):
                suppressed.append(
                    Suppression(match[1], f"{_relative_path(path)}:{number}", match[2] or "no reason given")
                )
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    reasons = dict(_read_commented_lines(ROOT / "pyproject.toml", r'"(.*)" = \['))
    for glob, codes in settings["tool"]["ruff"]["lint"]["per-file-ignores"].items():
        suppressed += [Suppression(code, glob, reasons[glob]) for code in codes if code.startswith("S")]
    return Result(f"ruff {version('ruff')}, security rules", applied, findings, suppressed)


def run_checkov(suppressions: Suppressions, folder: Path) -> Result:
    report = json.loads(
        run_command([SCANNERS / "checkov", "--directory", folder, "--framework", "cloudformation", "--output", "json",
              "--skip-download", "--soft-fail"]).stdout
    )  # fmt: skip
    if report["summary"]["parsing_errors"]:
        raise UserError(f"checkov cannot read: {report['results']['parsing_errors']}")
    results = report["results"]

    def make_finding(check: dict[str, Any]) -> Finding:
        location = f"{Path(check['file_path']).stem}/{check['resource'].rsplit('.', 1)[-1]}"
        return Finding(check["check_id"], location, check["check_name"])

    applied = {check["check_id"] for checks in results.values() for check in checks}
    # checkov skips a check because of the Metadata; the reasons are there.
    skipped, suppressed = suppressions.split_findings(make_finding(check) for check in results["skipped_checks"])
    findings = [make_finding(check) for check in results["failed_checks"]]
    return Result(f"checkov {report['summary']['checkov_version']}", len(applied), [*findings, *skipped], suppressed)


def run_parliament(templates: Mapping[str, Template]) -> Result:
    """Check all identity policies, including the boundary and the deployers' policies."""
    policies = {
        f"{name}/{logical_id}": _replace_references(resource.get("Properties", {}).get("PolicyDocument", {}))
        for name, template in templates.items()
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::ManagedPolicy"
    }
    script = Path(__file__).with_name("parliament_findings.py")
    report = json.loads(run_command([SCANNERS / "python", script], json.dumps(policies)).stdout)
    findings: list[Finding] = []
    suppressed: list[Suppression] = []
    for entry in report["findings"]:
        finding = Finding(entry["issue"], entry["policy"], entry["detail"])
        reason = next(
            (reason for rule, action, reason in PARLIAMENT if rule == finding.rule and action in finding.message), ""
        )
        if reason:
            suppressed.append(Suppression(finding.rule, finding.location, reason))
        else:
            findings.append(finding)
    reasons = {suppression.reason for suppression in suppressed}
    findings += [
        Finding(rule, "scripts/audit", f"suppressed for {reason}: not found")
        for rule, _, reason in PARLIAMENT
        if reason not in reasons
    ]
    return Result(f"parliament {report['version']}, {len(policies)} policies", report["rules"], findings, suppressed)


def _replace_references(value: Any) -> Any:
    """Replace references by ARNs of the same type, because parliament does not resolve references."""
    if isinstance(value, list):
        return [_replace_references(item) for item in value]
    if isinstance(value, dict):
        if "Fn::GetAtt" in value:
            return _make_arn(value["Fn::GetAtt"][0])
        if "Fn::Join" in value:
            return "".join(_replace_references(value["Fn::Join"][1]))
        return {key: _replace_references(item) for key, item in value.items()}
    return value


def _make_arn(logical_id: str) -> str:
    if logical_id.endswith("Key"):
        return "arn:aws:kms:eu-central-1:123456789012:key/0b1d5a34-8f8e-4ad7-9a1c-8a0a4d0c1f11"
    if logical_id.endswith("Role"):
        return f"arn:aws:iam::123456789012:role/{logical_id}"
    return f"arn:aws:s3:::{logical_id.lower()}"


def _read_commented_lines(path: Path, pattern: str) -> Iterator[tuple[str, str]]:
    """Yield the first group of each line that matches ``pattern``, with the comment above the line."""
    comment: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip("# "))
        elif match := re.match(pattern, line):
            yield match[1], " ".join(comment)
            comment = []
        else:
            comment = []


def _relative_path(path: str | Path) -> Path:
    return Path(path).relative_to(ROOT)


def run_command(
    command: list[Any],
    stdin: str = "",
    *,
    environment: Mapping[str, str] | None = None,
    good_exit_codes: tuple[int, ...] = (0,),
) -> subprocess.CompletedProcess[str]:
    """Run a command and return its process. Raises ``UserError`` with the end of its log for any other exit code."""
    try:
        process = subprocess.run(
            list(map(str, command)), input=stdin, capture_output=True, text=True, cwd=ROOT, timeout=150, env=environment
        )
    except FileNotFoundError as error:
        raise UserError(f"{command[0]}: not installed; `make audit` installs it") from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{Path(command[0]).name}: has not ended after {error.timeout:.0f} s") from error
    if process.returncode not in good_exit_codes:
        raise UserError(f"{Path(command[0]).name}: {(process.stderr or process.stdout).strip()[-500:]}")
    return process

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

# checkov pins boto3, so it has an environment of its own (see the Makefile).
SCANNERS = ROOT / ".venv" / "audit" / "bin"

# parliament's list of what each service can do is older than the service. (rule, action or "", reason)
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
    """The committed templates at every level, informational rules too."""
    runner = create_linter(sorted((ROOT / "templates").glob("*.yaml")))
    found = [Finding(match.rule.id, f"{match.filename}:{match.linenumber}", match.message) for match in runner.run()]
    suppressed = [Suppression(rule, ".cfnlintrc", reason) for rule, reason in _commented(RULES, r"\s*- ([EWI]\d{4})$")]
    return Result(f"cfn-lint {version('cfn-lint')}, with informational rules", len(runner.rules), found, suppressed)


def run_ruff() -> Result:
    """The security rules (flake8-bandit) on all code."""
    options = [str(Path(sys.executable).with_name("ruff"))]
    rules = json.loads(read_output([*options, "rule", "--all", "--output-format", "json"]))
    applied = sum(rule["code"].startswith("S") and rule["code"][1:].isdigit() for rule in rules if not rule["preview"])
    selecting = [*options, "check", "--select", "S", "--output-format", "json", "--exit-zero", "."]
    found = [
        Finding(one["code"], f"{_relative(one['filename'])}:{one['location']['row']}", one["message"])
        for one in json.loads(read_output(selecting))
    ]
    suppressed = []
    for path in sorted(
        {*ROOT.glob("*.py"), *(p for d in ("scripts", "stacks", "lambda") for p in ROOT.rglob(f"{d}/**/*.py"))}
    ):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if match := re.search(r"# noqa: (S\d+)(?: - (.*))?$", line):
                suppressed.append(Suppression(match[1], f"{_relative(path)}:{number}", match[2] or "no reason given"))
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    reasons = dict(_commented(ROOT / "pyproject.toml", r'"(.*)" = \['))
    for glob, codes in settings["tool"]["ruff"]["lint"]["per-file-ignores"].items():
        suppressed += [Suppression(code, glob, reasons[glob]) for code in codes if code.startswith("S")]
    return Result(f"ruff {version('ruff')}, security rules", applied, found, suppressed)


def run_checkov(suppressions: Suppressions, folder: Path) -> Result:
    told = json.loads(
        read_output([SCANNERS / "checkov", "--directory", folder, "--framework", "cloudformation", "--output", "json",
              "--skip-download", "--soft-fail"])
    )  # fmt: skip
    if told["summary"]["parsing_errors"]:
        raise UserError(f"checkov cannot read: {told['results']['parsing_errors']}")
    results = told["results"]

    def finding(check: dict[str, Any]) -> Finding:
        where = f"{Path(check['file_path']).stem}/{check['resource'].rsplit('.', 1)[-1]}"
        return Finding(check["check_id"], where, check["check_name"])

    applied = {check["check_id"] for checks in results.values() for check in checks}
    # What it skipped, it skipped for what the Metadata says, and only for that.
    skipped, suppressed = suppressions.split_findings(finding(check) for check in results["skipped_checks"])
    found = [finding(check) for check in results["failed_checks"]]
    return Result(f"checkov {told['summary']['checkov_version']}", len(applied), [*found, *skipped], suppressed)


def run_parliament(templates: Mapping[str, Template]) -> Result:
    """All identity policies, the boundary and the deployers' among them."""
    policies = {
        f"{name}/{logical_id}": _with_arns(resource["Properties"]["PolicyDocument"])
        for name, template in templates.items()
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::ManagedPolicy"
    }
    script = Path(__file__).with_name("parliament_findings.py")
    told = json.loads(read_output([SCANNERS / "python", script], json.dumps(policies)))
    found: list[Finding] = []
    suppressed: list[Suppression] = []
    for one in told["findings"]:
        finding = Finding(one["issue"], one["policy"], one["detail"])
        reason = next(
            (why for rule, action, why in PARLIAMENT if rule == finding.rule and action in finding.message), ""
        )
        if reason:
            suppressed.append(Suppression(finding.rule, finding.location, reason))
        else:
            found.append(finding)
    reasons = {suppression.reason for suppression in suppressed}
    found += [
        Finding(rule, "scripts/audit", f"suppressed for {why}: not found")
        for rule, _, why in PARLIAMENT
        if why not in reasons
    ]
    return Result(f"parliament {told['version']}, {len(policies)} policies", told["rules"], found, suppressed)


def _with_arns(value: Any) -> Any:
    """References as ARNs of their kind: parliament reads none."""
    if isinstance(value, list):
        return [_with_arns(item) for item in value]
    if isinstance(value, dict):
        if "Fn::GetAtt" in value:
            return _arn(value["Fn::GetAtt"][0])
        if "Fn::Join" in value:
            return "".join(_with_arns(value["Fn::Join"][1]))
        return {key: _with_arns(item) for key, item in value.items()}
    return value


def _arn(logical_id: str) -> str:
    if logical_id.endswith("Key"):
        return "arn:aws:kms:eu-central-1:123456789012:key/0b1d5a34-8f8e-4ad7-9a1c-8a0a4d0c1f11"
    if logical_id.endswith("Role"):
        return f"arn:aws:iam::123456789012:role/{logical_id}"
    return f"arn:aws:s3:::{logical_id.lower()}"


def _commented(path: Path, pattern: str) -> Iterator[tuple[str, str]]:
    """What each line that matches names, with the comment above it."""
    comment: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip("# "))
        elif match := re.match(pattern, line):
            yield match[1], " ".join(comment)
            comment = []
        else:
            comment = []


def _relative(path: str | Path) -> Path:
    return Path(path).relative_to(ROOT)


def read_output(
    command: list[Any], given: str = "", *, environment: Mapping[str, str] | None = None, good: tuple[int, ...] = (0,)
) -> str:
    """What a command says. Raises ``UserError`` with the end of what it complains of."""
    return run_command(command, given, environment=environment, good=good).stdout


def run_command(
    command: list[Any], given: str = "", *, environment: Mapping[str, str] | None = None, good: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[str]:
    """A command that has ended, with its output and its log. Raises ``UserError`` as ``run`` does."""
    try:
        ran = subprocess.run(
            list(map(str, command)), input=given, capture_output=True, text=True, cwd=ROOT, timeout=150, env=environment
        )
    except FileNotFoundError as error:
        raise UserError(f"{command[0]}: not installed; `make audit` installs it") from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{Path(command[0]).name}: has not ended after {error.timeout:.0f} s") from error
    if ran.returncode not in good:
        raise UserError(f"{Path(command[0]).name}: {(ran.stderr or ran.stdout).strip()[-500:]}")
    return ran

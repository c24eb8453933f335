"""The rule packs from npm: cdk-nag's, and AWS Control Tower's guard rules."""

import json
import os
import platform
import re
import shutil
from pathlib import Path

from scripts.common.errors import UserError
from scripts.common.paths import ROOT

from .results import Finding, Result, Suppressions
from .scanners import run_command

MODULES = ROOT / ".venv" / "packs" / "node_modules"
NAMES = {
    "PCIDSS321Checks": "cdk-nag: PCI DSS 3.2.1",
    "NIST80053R5Checks": "cdk-nag: NIST 800-53 rev 5",
    "HIPAASecurityChecks": "cdk-nag: HIPAA Security",
    "AwsSolutionsChecks": "cdk-nag: AwsSolutions",
}


def run_cdk_nag(suppressions: Suppressions, folder: Path) -> list[Result]:
    node = shutil.which("node")
    if node is None:
        raise UserError("node: not installed; the rule packs need Node.js 20 or newer with npm")
    script = Path(__file__).with_name("packs") / "nag.js"
    process = run_command([node, script, folder], environment=os.environ | {"NODE_PATH": str(MODULES)})
    report = json.loads(process.stdout)
    results = []
    for pack, name in NAMES.items():
        findings = [
            Finding(violation["rule"], f"{violation['template']}/{violation['resource']}")
            for violation in report[pack]["violations"]
        ]
        results.append(Result(name, len(report[pack]["applied"]), *suppressions.split_findings(findings)))
    return results


def run_control_tower_rules(suppressions: Suppressions, folder: Path) -> Result:
    package = MODULES / "@cdklabs" / "cdk-validator-cfnguard"
    system = {"Linux": "ubuntu", "Darwin": "macos"}.get(platform.system(), "")
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    guard = package / "bin" / system / machine / "cfn-guard"
    if not guard.exists():
        raise UserError(f"{guard}: missing; `make audit` installs it, for Linux and macOS")
    rules = package / "rules" / "control-tower" / "cfn-guard"
    process = run_command(
        [guard, "validate", "--data", folder, "--rules", rules,
         "--output-format", "json", "--structured", "--show-summary", "none"],
        good_exit_codes=(0, 19),
    )  # fmt: skip
    findings, applied = [], set()
    for report in json.loads(process.stdout):
        template = Path(report["name"]).stem
        applied |= set(report["compliant"])
        for failure in report["not_compliant"]:
            rule = failure["Rule"]["name"]
            applied.add(rule)
            logical_ids = set(re.findall(r'"/Resources/([A-Za-z0-9]+)', json.dumps(failure)))
            findings += [Finding(rule, f"{template}/{logical_id}") for logical_id in logical_ids]
            if not logical_ids:
                findings.append(Finding(rule, template))
    return Result("AWS Control Tower (cfn-guard)", len(applied), *suppressions.split_findings(findings))

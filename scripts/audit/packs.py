"""The rule packs that auditors run, from npm: cdk-nag's, and AWS Control Tower's guard rules."""

import json
import os
import platform
import re
import shutil
from pathlib import Path

from scripts.common.errors import UserError
from scripts.common.paths import ROOT

from .results import Finding, Result, Suppressions
from .scanners import read_output

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
    told = json.loads(read_output([node, script, folder], environment=os.environ | {"NODE_PATH": str(MODULES)}))
    results = []
    for pack, name in NAMES.items():
        found = [Finding(one["rule"], f"{one['template']}/{one['resource']}") for one in told[pack]["violations"]]
        results.append(Result(name, len(told[pack]["applied"]), *suppressions.split_findings(found)))
    return results


def run_control_tower_rules(suppressions: Suppressions, folder: Path) -> Result:
    package = MODULES / "@cdklabs" / "cdk-validator-cfnguard"
    system = {"Linux": "ubuntu", "Darwin": "macos"}.get(platform.system(), "")
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    guard = package / "bin" / system / machine / "cfn-guard"
    if not guard.exists():
        raise UserError(f"{guard}: not there; the rule pack comes for Linux and macOS, and `make audit` installs it")
    rules = package / "rules" / "control-tower" / "cfn-guard"
    told = read_output(
        [guard, "validate", "--data", folder, "--rules", rules,
         "--output-format", "json", "--structured", "--show-summary", "none"],
        good=(0, 19),
    )  # fmt: skip
    found, applied = [], set()
    for report in json.loads(told):
        template = Path(report["name"]).stem
        applied |= set(report["compliant"])
        for broken in report["not_compliant"]:
            rule = broken["Rule"]["name"]
            applied.add(rule)
            where = set(re.findall(r'"/Resources/([A-Za-z0-9]+)', json.dumps(broken)))
            found += [Finding(rule, f"{template}/{logical_id}") for logical_id in where]
            if not where:
                found.append(Finding(rule, template))
    return Result("AWS Control Tower (cfn-guard)", len(applied), *suppressions.split_findings(found))

"""Audits GitHub's workflows and the updates of their actions by zizmor: they use the credentials that deploy."""

import json
import re
from typing import Any

from scripts.common.paths import ROOT

from .results import Finding, Result
from .scanners import SCANNERS, run_command

GITHUB = ROOT / ".github"


def run_zizmor() -> Result:
    """Run all offline audits of zizmor, ignoring comments that would silence one."""
    process = run_command(
        [SCANNERS / "zizmor", "--offline", "--persona", "auditor", "--no-ignores", "--no-exit-codes",
         "--format", "json", "-vvv", GITHUB]
    )  # fmt: skip
    # Only its log says which audits it runs.
    applied = set(re.findall(r"scheduling ([a-z-]+) on", process.stderr))
    (version,) = re.findall(r"zizmor v([0-9.]+)", process.stderr)
    findings = [
        Finding(finding["ident"], _find_location(finding), finding["desc"]) for finding in json.loads(process.stdout)
    ]
    return Result(f"zizmor {version}, GitHub's workflows", len(applied), findings)


def _find_location(finding: dict[str, Any]) -> str:
    place = finding["locations"][0]
    name = place["symbolic"]["key"]["Local"]["verbatim_path"].rsplit("/", 1)[-1]
    return f"{name}:{place['concrete']['location']['start_point']['row'] + 1}"

"""GitHub's workflows, and what updates their actions, judged by zizmor: they hold the credentials that deploy."""

import json
import re
from typing import Any

from scripts.common.paths import ROOT

from .results import Finding, Result
from .scanners import SCANNERS, run_command

GITHUB = ROOT / ".github"


def run_zizmor() -> Result:
    """All of its audits that need no network, down to style; no comment in a workflow silences one."""
    ran = run_command(
        [SCANNERS / "zizmor", "--offline", "--persona", "auditor", "--no-ignores", "--no-exit-codes",
         "--format", "json", "-vvv", GITHUB]
    )  # fmt: skip
    # Only its log says which audits it runs.
    applied = set(re.findall(r"scheduling ([a-z-]+) on", ran.stderr))
    (version,) = re.findall(r"zizmor v([0-9.]+)", ran.stderr)
    findings = [Finding(found["ident"], _place(found), found["desc"]) for found in json.loads(ran.stdout)]
    return Result(f"zizmor {version}, GitHub's workflows", len(applied), findings)


def _place(found: dict[str, Any]) -> str:
    place = found["locations"][0]
    name = place["symbolic"]["key"]["Local"]["verbatim_path"].rsplit("/", 1)[-1]
    return f"{name}:{place['concrete']['location']['start_point']['row'] + 1}"

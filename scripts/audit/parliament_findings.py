"""Runs in the scanners' own environment: policies by name as JSON in, what parliament finds in them as JSON out."""

import json
import sys
from importlib.metadata import version

import parliament


def main() -> None:
    found = [
        {"policy": name, "issue": finding.issue, "detail": str(finding.detail)}
        for name, policy in json.load(sys.stdin).items()
        for finding in parliament.analyze_policy_string(json.dumps(policy)).findings
    ]
    rules = sum(kind["severity"] != "MUTE" for kind in parliament.config.values())
    json.dump({"version": version("parliament"), "rules": rules, "findings": found}, sys.stdout)


if __name__ == "__main__":
    main()

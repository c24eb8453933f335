"""Runs in the scanners' own virtual environment: reads policies by name, writes parliament's findings, both as JSON."""

import json
import sys
from importlib.metadata import version

import parliament
import parliament.statement

translate_documentation_type = parliament.statement.translate_documentation_types


def translate_type_of_elements(name: str) -> str:
    """Return the type of an array's elements; parliament 1.6.4 fails for all arrays but ArrayOfString."""
    return str(translate_documentation_type(name if name == "ArrayOfString" else name.removeprefix("ArrayOf")))


def main() -> None:
    parliament.statement.translate_documentation_types = translate_type_of_elements
    findings = [
        {"policy": name, "issue": finding.issue, "detail": str(finding.detail)}
        for name, policy in json.load(sys.stdin).items()
        for finding in parliament.analyze_policy_string(json.dumps(policy)).findings
    ]
    rules = sum(kind["severity"] != "MUTE" for kind in parliament.config.values())
    json.dump({"version": version("parliament"), "rules": rules, "findings": findings}, sys.stdout)


if __name__ == "__main__":
    main()

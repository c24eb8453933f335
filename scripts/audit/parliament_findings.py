"""Runs in the scanners' own environment: policies by name as JSON in, what parliament finds in them as JSON out."""

import json
import sys
from importlib.metadata import version

import parliament
import parliament.statement

translate_documentation_type = parliament.statement.translate_documentation_types


def translate_type_of_elements(name: str) -> str:
    """The type of each value. Of the reference's arrays, parliament 1.6.4 knows texts only and ends at the others.

    ``events:TargetArn`` is an ArrayOfARN.
    """
    return str(translate_documentation_type(name if name == "ArrayOfString" else name.removeprefix("ArrayOf")))


def main() -> None:
    parliament.statement.translate_documentation_types = translate_type_of_elements
    found = [
        {"policy": name, "issue": finding.issue, "detail": str(finding.detail)}
        for name, policy in json.load(sys.stdin).items()
        for finding in parliament.analyze_policy_string(json.dumps(policy)).findings
    ]
    rules = sum(kind["severity"] != "MUTE" for kind in parliament.config.values())
    json.dump({"version": version("parliament"), "rules": rules, "findings": found}, sys.stdout)


if __name__ == "__main__":
    main()

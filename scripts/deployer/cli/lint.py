"""``python -m scripts.deployer.cli.lint``: run cfn-lint on templates/, and name the lines behind its findings."""

import sys

from scripts.common.paths import TEMPLATES
from scripts.common.terminal import echo

from ..validate import lint_templates


def main() -> int:
    findings = lint_templates(sorted(TEMPLATES.glob("*.yaml")))
    for finding in findings:
        echo(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

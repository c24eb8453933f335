"""Step 1: the committed templates are what the generator emits, and cfn-lint has nothing to say about them."""

from pathlib import Path

from stacks.render import render

from .errors import DeployError

RULES = Path(__file__).resolve().parents[2] / ".cfnlintrc"


def check_fresh(templates: Path) -> None:
    """Raises ``DeployError`` for a template that is not what ``stacks/`` generates."""
    for name, text in render().items():
        path = templates / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            raise DeployError(
                f"{path} is not what stacks/ generates; run `python generate.py` and review the "
                "diff (code in lambda/ is part of it)"
            )


def check_lint(templates: Path) -> None:
    """Raises ``DeployError`` with every finding of cfn-lint."""
    findings = lint(sorted(templates.glob("*.yaml")))
    if findings:
        raise DeployError("cfn-lint refuses the templates:\n" + "\n".join(findings))


def lint(paths: list[Path]) -> list[str]:
    """All findings of cfn-lint at every level, informational ones too, one line each."""
    # cfn-lint takes most of a second to import.
    from cfnlint.config import ConfigMixIn
    from cfnlint.runner import Runner

    # The same rules as the command `cfn-lint` has here.
    config = ConfigMixIn(["--config-file", str(RULES), "--template", *map(str, paths)])
    return [f"{match.filename}:{match.linenumber}: {match.rule.id} {match.message}" for match in Runner(config).run()]

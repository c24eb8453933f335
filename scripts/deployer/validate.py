"""Step 1: the committed templates are what the generator emits, and cfn-lint has nothing to say about them."""

import contextlib
import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any

from scripts.common.errors import UserError
from scripts.common.paths import ROOT
from stacks.compute.layers import RequirementError
from stacks.render import render

RULES = ROOT / ".cfnlintrc"
LINTED = ROOT / ".local" / "linted"


def check_fresh(templates: Path) -> None:
    """Raises ``UserError`` for a template that is not what ``stacks/`` generates."""
    try:
        generated = render()
    except RequirementError as error:
        raise UserError(str(error)) from error
    for name, text in generated.items():
        path = templates / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            raise UserError(
                f"{path} is stale (differs from what stacks/ generates); run `python generate.py` and review the "
                "diff (code in lambda/ is part of it)"
            )


def check_lint(templates: Path) -> None:
    """Raises ``UserError`` with every finding of cfn-lint; what it found good once, it is not asked again."""
    paths = sorted(templates.glob("*.yaml"))
    good = LINTED / _lint_digest(paths)
    if good.exists():
        return
    findings = lint_templates(paths)
    if findings:
        raise UserError("cfn-lint refuses the templates:\n" + "\n".join(findings))
    # To be asked again next time is all that it costs if this cannot be written.
    with contextlib.suppress(OSError):
        good.parent.mkdir(parents=True, exist_ok=True)
        good.touch()


def _lint_digest(paths: list[Path]) -> str:
    """Of the templates, the rules and the release of cfn-lint."""
    told = [importlib.metadata.version("cfn-lint").encode(), RULES.read_bytes(), *(path.read_bytes() for path in paths)]
    return hashlib.sha256(b"\0".join(told)).hexdigest()


def lint_templates(paths: list[Path]) -> list[str]:
    """All findings of cfn-lint at every level, informational ones too, one line each."""
    return [
        f"{match.filename}:{match.linenumber}: {match.rule.id} {match.message}" for match in create_linter(paths).run()
    ]


def create_linter(paths: list[Path]) -> Any:
    """A runner of cfn-lint, with the same rules as the command ``cfn-lint`` has here."""
    # cfn-lint takes most of a second to import.
    from cfnlint.config import ConfigMixIn
    from cfnlint.runner import Runner

    return Runner(ConfigMixIn(["--config-file", str(RULES), "--template", *map(str, paths)]))

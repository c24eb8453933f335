"""Checks that the committed templates are what the generator emits, and that cfn-lint has no findings."""

import contextlib
import hashlib
import importlib.metadata
import re
import traceback
from pathlib import Path
from typing import Any

from scripts.common.errors import UserError
from scripts.common.files import is_file
from scripts.common.paths import ROOT
from stacks.compute.layers import RequirementError
from stacks.settings import SettingsError

from .declarations import find_source_of_line

RULES = ROOT / ".cfnlintrc"
LINTED = ROOT / ".local" / "linted"
# The end of a runtime's support: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
_DATED_RULE = re.compile(r": (W2531|E2531|E2533) ")
# stacks/compute/versions.py writes it.
_CODE_DIGEST = re.compile(r"\bcode-[0-9a-f]{16}\b")


def check_fresh(templates: Path, *, but_code: bool = False) -> None:
    """Raise ``UserError`` for a template that differs from what ``stacks/`` generates.

    With ``but_code`` the templates may be older than the code in ``lambda/``, whose digest they have.
    """
    generated = _generate()
    for name, text in generated.items():
        path = templates / name
        mask = _mask_code if but_code else str
        if not path.exists() or mask(path.read_text(encoding="utf-8")) != mask(text):
            raise UserError(
                f"{path} is stale (differs from what stacks/ generates); run `python3 generate.py` and review the "
                "diff (code in lambda/ is part of it)"
            )


def _generate() -> dict[str, str]:
    """Return the templates that ``stacks/`` generates. Raises ``UserError``, with the line, for a mistake in them."""
    try:
        # Imported here because it takes longer than all else, and few commands generate the templates.
        from stacks.render import DeclarationError, render_files

        try:
            return render_files()
        except (DeclarationError, RequirementError) as error:
            raise UserError(str(error)) from error
    except (UserError, SettingsError):
        raise
    except Exception as error:  # of Python, such as a misspelt name
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame for frame in frames if ROOT / "stacks" in Path(frame.filename).parents]
        if not lines:
            raise
        place = f"{Path(lines[-1].filename).relative_to(ROOT)}:{lines[-1].lineno}"
        mistake = " ".join(traceback.format_exception_only(error)[-1].split())
        raise UserError(f"{place}: {mistake}; the whole traceback: python3 generate.py") from error


def _mask_code(template: str) -> str:
    """Return the template without the digests of code in the descriptions of versions."""
    return _CODE_DIGEST.sub("", template)


def check_lint(templates: Path) -> list[str]:
    """Return a line for each finding of cfn-lint that only the date brings; raise ``UserError`` with the others.

    A runtime that AWS no longer supports must not keep anybody from deploying a fix, or from rolling back: AWS itself
    refuses what it no longer creates or updates. Templates that passed once without findings are not linted again.
    """
    paths = sorted(templates.glob("*.yaml"))
    marker = LINTED / _lint_digest(paths)
    if is_file(marker):
        return []
    findings = lint_templates(paths)
    dated = [finding for finding in findings if _DATED_RULE.search(finding)]
    if undated := [finding for finding in findings if finding not in dated]:
        raise UserError("cfn-lint refuses the templates:\n" + "\n".join(undated))
    if not dated:
        # If this cannot be written, the next run lints again.
        with contextlib.suppress(OSError):
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
    return dated


def _lint_digest(paths: list[Path]) -> str:
    """Return a digest of the templates, the rules and the release of cfn-lint."""
    contents = [
        importlib.metadata.version("cfn-lint").encode(),
        RULES.read_bytes(),
        *(path.read_bytes() for path in paths),
    ]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()


def lint_templates(paths: list[Path]) -> list[str]:
    """Return a line for each finding of cfn-lint, including informational ones, with the line of ``stacks/``."""
    findings = []
    for match in create_linter(paths).run():
        source = find_source_of_line(Path(match.filename), match.linenumber)
        place = f" ({source} declares it)" if source else ""
        findings.append(f"{match.filename}:{match.linenumber}: {match.rule.id} {match.message}{place}")
    return findings


def create_linter(paths: list[Path]) -> Any:
    """Return a runner of cfn-lint with the rules of this repository."""
    # Imported here because it takes most of a second.
    from cfnlint.config import ConfigMixIn
    from cfnlint.runner import Runner

    return Runner(ConfigMixIn(["--config-file", str(RULES), "--template", *map(str, paths)]))

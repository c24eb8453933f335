"""A plan that is kept for a later ``apply`` or ``discard``."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from scripts.common.errors import UserError
from scripts.common.files import check_writable

from .json_files import check_texts, read_document, write_document
from .plan.model import Plan, StackChanges
from .plan.serialization import plan_from_json, to_json


@dataclass(frozen=True)
class SavedPlan:
    """A change set to execute later, and the state of the stacks when it was created."""

    environment: str
    account: str
    region: str
    stack_name: str
    stack_id: str
    change_set_id: str
    # The time of the last change of each stack in the tree, by stack id.
    changed_at: dict[str, str]
    # Of the changes that CloudFormation listed.
    digest: str
    plan: Plan
    # The parameters that a second change set sets (deletion_protection.py), and the paths of what they protect.
    late_parameters: dict[str, str] = field(default_factory=dict)
    late_paths: list[str] = field(default_factory=list)
    # Whether a failure of the execution rolls nothing back.
    keeps_failed: bool = False
    # The location of the template of the second change set after an import (imports.py); empty without one.
    late_template_url: str = ""


def digest_changes(changes: StackChanges) -> str:
    return hashlib.sha256(json.dumps(to_json(changes), sort_keys=True).encode()).hexdigest()


def check_destination(path: Path) -> None:
    """Raise ``UserError`` if ``path`` cannot hold a plan, or holds anything that saving a plan would lose."""
    check_writable(path)
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        saved = load_plan(path)
    except UserError:
        raise UserError(f"{path}: not a saved plan, so it is not replaced; delete it, or name another file") from None
    command = f"scripts/deploy.sh {saved.environment}"
    raise UserError(f"{path}: holds a plan already; run {command} --apply {path}, or {command} --discard {path}")


def save_plan(path: Path, saved: SavedPlan) -> None:
    write_document(path, {**asdict(saved), "plan": to_json(saved.plan)})


def load_plan(path: Path) -> SavedPlan:
    """Return the plan in a file. Raises ``UserError`` if the file is not a saved plan."""
    document = read_document(path, "a plan that --out has saved", "create a new plan")
    try:
        plan = SavedPlan(**document | {"plan": plan_from_json(document["plan"])})
        check_texts(vars(plan), exceptions=("plan", "changed_at", "late_parameters", "late_paths", "keeps_failed"))
        check_texts(plan.late_parameters)
        return plan
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a plan that --out has saved") from error

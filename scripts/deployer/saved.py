"""Files for later commands: a saved plan, and the templates of the last deployment."""

import contextlib
import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scripts.common import templates
from scripts.common.errors import UserError

from .plan.model import Plan, StackChanges
from .plan.serialization import plan_from_json, to_json

VERSION = 1


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


def digest_changes(changes: StackChanges) -> str:
    return hashlib.sha256(json.dumps(to_json(changes), sort_keys=True).encode()).hexdigest()


def save_plan(path: Path, saved: SavedPlan) -> None:
    _write_document(path, {"version": VERSION, **asdict(saved), "plan": to_json(saved.plan)})


def load_plan(path: Path) -> SavedPlan:
    """Raises ``UserError`` for a file that is not a saved plan."""
    document = _read_document(path, "a plan")
    try:
        if document.pop("version") != VERSION:
            raise UserError(f"{path}: saved by another version of this tool; create a new plan")
        plan = SavedPlan(**document | {"plan": plan_from_json(document["plan"])})
        _check_texts(vars(plan), exceptions=("plan", "changed_at", "late_parameters", "late_paths"))
        _check_texts(plan.late_parameters)
        return plan
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a plan that --out has saved") from error


@dataclass(frozen=True)
class LastDeployment:
    """The templates and parameters of the last deployment, for offline plans."""

    stack_name: str
    account: str
    region: str
    deployed_at: str
    # The bucket that the packaged templates refer to.
    bucket: str
    endpoint: str
    parameters: dict[str, str]
    tree: templates.Tree


def save_deployment(path: Path, last: LastDeployment) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be made: {error.strerror}") from error
    tree = templates.as_json(last.tree)
    fields = {name: value for name, value in vars(last).items() if name != "tree"}
    _write_document(path, {"version": VERSION, **fields, "tree": tree})


def load_deployment(path: Path) -> LastDeployment:
    """Raises ``UserError`` if there is no valid record."""
    if not path.exists():
        raise UserError(
            f"{path}: does not exist yet; the first deployment from this machine creates it. Until then, compare with "
            "a git revision: --offline --against REVISION"
        )
    document = _read_document(path, "the last deployment")
    try:
        if document.pop("version") != VERSION:
            raise UserError(f"{path}: of another version of this program; --against REVISION compares with git")
        last = LastDeployment(**document | {"tree": templates.from_json(document["tree"])})
        _check_texts(vars(last), exceptions=("tree", "parameters"))
        _check_texts(last.parameters)
        if not isinstance(last.tree.template, dict):
            raise TypeError("template")
        return last
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a valid deployment record; delete it") from error


def _check_texts(values: dict[str, Any], exceptions: tuple[str, ...] = ()) -> None:
    """Raises ``TypeError`` for a value that is not a string."""
    for name, value in values.items():
        if name not in exceptions and not isinstance(value, str):
            raise TypeError(name)


def _read_document(path: Path, kind: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON, so not {kind}") from error
    if not isinstance(document, dict):
        raise UserError(f"{path}: not {kind}")
    return document


def _write_document(path: Path, document: dict[str, Any]) -> None:
    """Replace the file atomically."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1, ensure_ascii=False)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error

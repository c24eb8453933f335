"""What is kept between two commands: a plan to be applied later, and the templates that were deployed last."""

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
    """A change set that waits, and what was true when it was made."""

    environment: str
    account: str
    region: str
    stack_name: str
    stack_id: str
    change_set_id: str
    # When each stack of the tree was last changed, by id.
    changed_at: dict[str, str]
    # Of the changes as the service told them.
    digest: str
    plan: Plan
    # What a second change set sets after it (deletion_protection.py), and the paths of what that protects.
    late_parameters: dict[str, str] = field(default_factory=dict)
    late_paths: list[str] = field(default_factory=list)


def digest(changes: StackChanges) -> str:
    return hashlib.sha256(json.dumps(to_json(changes), sort_keys=True).encode()).hexdigest()


def save_plan(path: Path, saved: SavedPlan) -> None:
    _write(path, {"version": VERSION, **asdict(saved), "plan": to_json(saved.plan)})


def load_plan(path: Path) -> SavedPlan:
    """Raises ``UserError`` for a file that is not a plan of ours."""
    document = _read(path, "a plan")
    try:
        if document.pop("version") != VERSION:
            raise UserError(f"{path}: saved by another version of this tool; create a new plan")
        found = SavedPlan(**document | {"plan": plan_from_json(document["plan"])})
        _check_texts(vars(found), other=("plan", "changed_at", "late_parameters", "late_paths"))
        _check_texts(found.late_parameters)
        return found
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a plan that --out has saved") from error


@dataclass(frozen=True)
class LastDeployment:
    """The templates and parameters that were deployed last, to compare with offline."""

    stack_name: str
    account: str
    region: str
    deployed_at: str
    # Where the packaged templates say that their files are.
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
    rest = {name: value for name, value in vars(last).items() if name != "tree"}
    _write(path, {"version": VERSION, **rest, "tree": tree})


def load_deployment(path: Path) -> LastDeployment:
    """Raises ``UserError`` where nothing was saved."""
    if not path.exists():
        raise UserError(
            f"{path}: does not exist yet; the first deployment from this machine creates it. Until then, compare with "
            "a git revision: --offline --against REVISION"
        )
    document = _read(path, "the last deployment")
    try:
        if document.pop("version") != VERSION:
            raise UserError(f"{path}: of another version of this program; --against REVISION compares with git")
        found = LastDeployment(**document | {"tree": templates.from_json(document["tree"])})
        _check_texts(vars(found), other=("tree", "parameters"))
        _check_texts(found.parameters)
        if not isinstance(found.tree.template, dict):
            raise TypeError("template")
        return found
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a valid deployment record; delete it") from error


def _check_texts(found: dict[str, Any], other: tuple[str, ...] = ()) -> None:
    """Raises ``TypeError`` for what is not a text."""
    for name, value in found.items():
        if name not in other and not isinstance(value, str):
            raise TypeError(name)


def _read(path: Path, what: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON, so not {what}") from error
    if not isinstance(document, dict):
        raise UserError(f"{path}: not {what}")
    return document


def _write(path: Path, document: dict[str, Any]) -> None:
    """The whole file or nothing: written beside it, and moved."""
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1, ensure_ascii=False)
            os.replace(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error

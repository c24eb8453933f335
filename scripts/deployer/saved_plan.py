"""A plan that is kept for a later ``apply`` or ``discard``."""

import hashlib
import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.common.errors import UserError
from scripts.common.evaluated import SECRET
from scripts.common.files import check_writable, is_file
from scripts.common.suggestion import suggest_command

from .json_files import check_texts, read_document, write_document
from .plan.model import Plan
from .plan.serialization import plan_from_json, to_json

_KIND = "a plan that --out has saved"
_ADVICE = "save a plan with: scripts/deploy.sh plan ENVIRONMENT --out FILE"
_FLAGS = ("runs_before", "runs_after", "keeps_failed")
_NO_TEXTS = (*_FLAGS, "platform", "artifacts", "environments", "late_parameters", "late_paths")


@dataclass(frozen=True)
class PlannedStack:
    """A change set to execute later, and the state of its stacks when it was created."""

    stack_name: str
    stack_id: str
    change_set_id: str
    # The time of the last change of each stack in the tree, by stack id.
    changed_at: dict[str, str]
    plan: Plan
    # The notices of the plan that do not follow from the change set and the templates.
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SavedPlan:
    """What a deployment is going to execute, in one or in both stacks."""

    environment: str
    account: str
    region: str
    stack_name: str
    platform: PlannedStack | None
    artifacts: PlannedStack | None = None
    # The states of the environments that the artifacts stack has rights of (bootstrap_change.py).
    environments: dict[str, str] = field(default_factory=dict)
    # The state of the artifacts stack that the platform's change set rests on (both_stacks.py).
    artifacts_state: str = ""
    # Whether the artifacts stack is updated before the platform, and after it; if both, the change set of the former.
    runs_before: bool = False
    runs_after: bool = False
    first_change_set_id: str = ""
    # The parameters that a second change set sets (deletion_protection.py), and the paths of what they protect.
    late_parameters: dict[str, str] = field(default_factory=dict)
    late_paths: list[str] = field(default_factory=list)
    # Whether a failure of the execution rolls nothing back.
    keeps_failed: bool = False
    # The location of the template of the second change set after an import (imports.py); empty without one.
    late_template_url: str = ""
    # Of all the rest.
    digest: str = ""

    @property
    def stacks(self) -> list[PlannedStack]:
        """The stacks that change, in the order of their plans."""
        return [planned for planned in (self.artifacts, self.platform) if planned is not None]

    @property
    def change_set_ids(self) -> set[str]:
        return {planned.change_set_id for planned in self.stacks}


def have_equal_texts(plan: Plan, second_plan: Plan) -> bool:
    """Whether two plans, perhaps of two processes, say the same; secret values, which no plan shows, aside."""
    texts = (json.dumps(to_json(either), sort_keys=True) for either in (plan, second_plan))
    first, second = (SECRET.sub("", text) for text in texts)
    return first == second


def digest_terms(**terms: Any) -> str:
    """Return a digest of what a change set rests on, besides its own content: its description keeps it.

    Whoever edits the file can compute its digest, but not change the description of a change set that exists.
    """
    return hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()[:16]


def check_digest(saved: SavedPlan) -> None:
    """Raise ``UserError`` if the file was edited after the plan was saved."""
    if saved.digest != _digest_plan(saved):
        raise UserError("the file was changed after the plan had been saved; create a new plan")


def _digest_plan(saved: SavedPlan) -> str:
    document = _to_document(replace(saved, digest=""))
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _to_document(saved: SavedPlan) -> dict[str, Any]:
    def write_stack(planned: PlannedStack | None) -> dict[str, Any] | None:
        return {**asdict(planned), "plan": to_json(planned.plan)} if planned else None

    return {**asdict(saved), "platform": write_stack(saved.platform), "artifacts": write_stack(saved.artifacts)}


def check_destination(path: Path) -> None:
    """Raise ``UserError`` if ``path`` cannot hold a plan, or holds anything that saving a plan would lose."""
    check_writable(path)
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        saved = load_plan(path)
    except UserError:
        raise UserError(f"{path}: not a saved plan, so it is not replaced; delete it, or name another file") from None
    apply, discard = list_plan_commands(saved.environment, path)
    raise UserError(f"{path}: holds a plan already; run {apply}, or {discard}")


def holds_change_set(path: Path, name: str) -> bool:
    """Whether ``path`` is a saved plan with a change set of this name."""
    if not is_file(path):
        return False
    try:
        return any(f"/{name}/" in planned.change_set_id for planned in load_plan(path).stacks)
    except UserError:
        return False


def list_plan_commands(environment: str, path: Path) -> tuple[str, str]:
    """Return the commands that execute and delete the plan saved in ``path``, quoted for a shell."""
    apply, discard = (suggest_command("deploy", name, environment, str(path)) for name in ("apply", "discard"))
    return apply, discard


def save_plan(path: Path, saved: SavedPlan) -> None:
    """Save the plan. Raises ``UserError`` if the file cannot be written, or holds the plan of another run by now."""
    check_destination(path)
    try:
        write_document(path, _to_document(replace(saved, digest=_digest_plan(saved))))
    except UserError as error:
        raise UserError(
            f"{error}; no stack was changed; make room for it, or name another file, and plan again"
        ) from error


def delete_plan_of(path: Path, change_set_ids: Collection[str]) -> bool:
    """Delete the file if it is a saved plan with one of these change sets: another may have taken its place.

    Of a link, that is the file that it leads to, which is where ``save_plan`` writes. Returns whether the file was
    deleted. Raises ``OSError``.
    """
    with suppress(UserError):
        if is_file(path) and load_plan(path).change_set_ids & {*change_set_ids}:
            path.resolve().unlink(missing_ok=True)
            return True
    return False


def load_plan(path: Path) -> SavedPlan:
    """Return the plan in a file. Raises ``UserError`` if the file is not a saved plan."""
    document = read_document(path, _KIND, _ADVICE)
    try:
        stacks = {name: _read_stack(document[name]) for name in ("platform", "artifacts")}
        plan = SavedPlan(**document | stacks)
        check_texts(vars(plan), exceptions=_NO_TEXTS)
        check_texts(plan.late_parameters)
        check_texts(plan.environments)
        _check_list(plan.late_paths, "late_paths")
        for name in _FLAGS:
            if not isinstance(getattr(plan, name), bool):
                raise TypeError(name)
        if not plan.stacks:
            raise TypeError("platform")
        return plan
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not {_KIND}; {_ADVICE}") from error


def _read_stack(document: dict[str, Any] | None) -> PlannedStack | None:
    if document is None:
        return None
    planned = PlannedStack(**document | {"plan": plan_from_json(document["plan"])})
    check_texts(vars(planned), exceptions=("plan", "changed_at", "remarks"))
    check_texts(planned.changed_at)
    if not planned.stack_id or not planned.change_set_id:
        raise TypeError("change_set_id")
    _check_list(planned.remarks, "remarks")
    return planned


def _check_list(value: Any, name: str) -> None:
    """Raise ``TypeError`` unless the value is a list of strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(name)

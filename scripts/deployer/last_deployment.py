"""The record of the last deployment from this machine, which offline plans compare with."""

from dataclasses import dataclass
from pathlib import Path

from scripts.common import templates
from scripts.common.errors import UserError

from .json_files import VERSION, check_texts, read_document, write_document


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
    write_document(path, {"version": VERSION, **fields, "tree": tree})


def load_deployment(path: Path) -> LastDeployment:
    """Raises ``UserError`` if there is no valid record."""
    if not path.exists():
        raise UserError(
            f"{path}: does not exist yet; the first deployment from this machine creates it. Until then, compare with "
            "a git revision: --offline --against REVISION"
        )
    document = read_document(path, "the last deployment")
    try:
        if document.pop("version") != VERSION:
            raise UserError(f"{path}: of another version of this program; --against REVISION compares with git")
        last = LastDeployment(**document | {"tree": templates.from_json(document["tree"])})
        check_texts(vars(last), exceptions=("tree", "parameters"))
        check_texts(last.parameters)
        if not isinstance(last.tree.template, dict):
            raise TypeError("template")
        return last
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a valid deployment record; delete it") from error

"""The record of the last deployment from this machine, which offline plans compare with."""

from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.common import templates
from scripts.common.errors import UserError

from .json_files import check_texts, read_document, write_document


@dataclass(frozen=True)
class LastDeployment:
    stack_name: str
    account: str
    region: str
    deployed_at: str
    # The bucket that the packaged templates refer to.
    bucket: str
    endpoint: str
    parameters: dict[str, str]
    tree: templates.Tree

    @property
    def place(self) -> str:
        return f"account {self.account} in {self.region}"


def save_deployment(path: Path, last: LastDeployment) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be created: {error.strerror}") from error
    write_document(path, asdict(last))


def load_deployment(path: Path) -> LastDeployment:
    """Return the recorded deployment. Raises ``UserError`` if there is no valid record."""
    document = read_document(path, "the last deployment", "--against REVISION compares with git")
    try:
        last = LastDeployment(**document | {"tree": templates.from_json(document["tree"])})
        check_texts(vars(last), exceptions=("tree", "parameters"))
        check_texts(last.parameters)
        if not isinstance(last.tree.template, dict):
            raise TypeError("template")
        return last
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a valid deployment record; delete it") from error

"""What of an environment exists that its templates retain, whichever stack of it was the last."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.common import templates
from scripts.common.errors import UserError
from scripts.common.evaluate import Evaluated, evaluate
from scripts.common.target import Target

from .holders import find_reason_to_keep
from .keys import LOSS, TYPE, Keys
from .leftover import Leftover, Service
from .log_groups import LogGroups
from .queues import Queues
from .tables import Tables
from .vaults import Vaults

_TABLE = "AWS::DynamoDB::Table"


@dataclass(frozen=True)
class Purge:
    """Which environment, and what its templates are given."""

    environment: str
    parameters: dict[str, str]
    templates: Path


@dataclass(frozen=True)
class Search:
    leftovers: tuple[Leftover, ...]
    # A line for each resource of an expected name that is not to be deleted.
    not_ours: tuple[str, ...] = ()


class Leftovers:
    """Finds what an environment has left, and deletes it."""

    def __init__(self, purge: Purge, target: Target) -> None:
        self._purge, self._target = purge, target
        # In the order of deletion. A queue's name is free only a minute later, so it goes first; a key goes last.
        self._services: dict[str, Service] = {
            "AWS::SQS::Queue": Queues(target.client("sqs")),
            "AWS::Logs::LogGroup": LogGroups(target.client("logs")),
            "AWS::Backup::BackupVault": Vaults(target.client("backup")),
            _TABLE: Tables(target.client("dynamodb")),
        }
        self._keys = Keys(target.client("kms"), int(purge.parameters["KeyDeletionWindowDays"]))

    def find_all(self, deployed: Evaluated | None, going: Collection[str] = ()) -> Search:
        """Those by the names of the committed templates and of the ``deployed`` ones, and the keys.

        ``going`` are the ids of stacks that are about to be deleted; what another existing stack holds is not left
        over. Raises ``UserError`` for a template that retains a type which cannot be deleted here.
        """
        trees = [self._evaluate_committed(), *([deployed] if deployed else [])]
        names = dict.fromkeys(pair for tree in trees for pair in self._retained_names(tree))
        aliases = {description: alias for tree in trees for description, alias in _key_aliases(tree)}
        tables = [name for kind, name in names if kind == _TABLE]
        leftovers, not_ours = [], []
        for resource_type in self._services:
            for name in (name for kind, name in names if kind == resource_type):
                leftover = self._services[resource_type].find(name)
                reason = self._reason_to_keep(leftover, tables, going) if leftover else ""
                if reason:
                    not_ours.append(f"{leftover} {reason}")
                elif leftover:
                    leftovers.append(leftover)
        for key in self._keys.find_all(self._purge.environment, aliases):
            if reason := self._reason_to_keep(key, tables, going):
                not_ours.append(f"{key} {reason}")
            else:
                leftovers.append(key)
        return Search(tuple(leftovers), tuple(not_ours))

    def describe_loss(self, leftover: Leftover) -> str:
        """What is lost with it, as the end of a sentence."""
        return LOSS if leftover.resource_type == TYPE else f"{self._services[leftover.resource_type].loss} will be lost"

    def delete(self, leftover: Leftover) -> bool:
        """Whether it still existed; the deletion of its stack may have taken it."""
        if leftover.resource_type == TYPE:
            return self._keys.delete(leftover)
        service = self._services[leftover.resource_type]
        if service.find(leftover.name) is None:
            return False
        service.delete(leftover)
        return True

    def _reason_to_keep(self, leftover: Leftover, tables: Collection[str], going: Collection[str]) -> str:
        environment = self._purge.environment
        if not leftover.belongs_to(environment):
            return f"does not have the tags ManagedBy=payment-platform and Environment={environment}"
        if others := sorted(leftover.backup_sources - {self._table_arn(name) for name in tables}):
            return f"has recovery points of other resources than this environment's tables: {', '.join(others)}"
        return find_reason_to_keep(self._target.client("cloudformation"), leftover.id, going)

    def _table_arn(self, name: str) -> str:
        place = self._target.pseudo_parameters()
        prefix = f"arn:{place['AWS::Partition']}:dynamodb:{place['AWS::Region']}:{place['AWS::AccountId']}"
        return f"{prefix}:table/{name}"

    def _evaluate_committed(self) -> Evaluated:
        """Whatever the settings leave out: an earlier deployment may have had it."""
        folder = self._purge.templates

        def read(name: str) -> str:
            return (folder / name).read_text(encoding="utf-8")

        tree = templates.read_tree(read("parent.yaml"), read)
        return evaluate(_without_conditions(tree), self._purge.parameters, self._target.pseudo_parameters())

    def _retained_names(self, stack: Evaluated) -> Iterator[tuple[str, str]]:
        """Type and name of what the tree retains; keys have no name."""
        for logical_id, resource in stack.resources.items():
            if logical_id in stack.nested:
                yield from self._retained_names(stack.nested[logical_id])
            if not resource.deletion_policy.startswith("Retain") or resource.type == TYPE:
                continue
            if resource.type not in self._services:
                raise UserError(f"{logical_id} ({resource.type}): --purge cannot delete this type of resource")
            name: Any = resource.properties.get(self._services[resource.type].name_property)
            # Without one, the service has made a name up that stands in nobody's way.
            if isinstance(name, str):
                yield resource.type, name


def _key_aliases(stack: Evaluated) -> Iterator[tuple[str, str]]:
    """The description of each key, and its alias."""
    for logical_id, resource in stack.resources.items():
        if logical_id in stack.nested:
            yield from _key_aliases(stack.nested[logical_id])
        if resource.type == "AWS::KMS::Alias":
            reference = str(resource.properties["TargetKeyId"]).removeprefix("${").removesuffix("}")
            key = stack.resources.get(reference.rsplit("/", 1)[-1].split(".")[0])
            if key and "Description" in key.properties:
                yield str(key.properties["Description"]), str(resource.properties["AliasName"])


def _without_conditions(tree: templates.Tree) -> templates.Tree:
    """The tree with every resource, whatever its condition."""
    resources = {
        logical_id: {key: value for key, value in resource.items() if key != "Condition"}
        for logical_id, resource in tree.resources().items()
    }
    nested = {logical_id: _without_conditions(child) for logical_id, child in tree.nested.items()}
    return templates.Tree({**tree.template, "Resources": resources}, nested)

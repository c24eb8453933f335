"""Finds what an environment has left behind, whichever of its stacks left it: by its templates, and by its tags."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.common import templates
from scripts.common.errors import AWS_ERRORS, UserError
from scripts.common.evaluate import evaluate
from scripts.common.evaluated import Evaluated
from scripts.common.suggestion import suggest_command
from scripts.common.target import Target

from ..deletion_commands import deletion_command
from ..holders import StackHolders
from ..preflight.name_lookups import make_arn
from ..stack import RELEASED, StackTree
from .keys import LOSS, TYPE, Keys
from .leftover import Leftover, Service, describe_types
from .services import Buckets, LogGroups, Queues, Tables, Vaults
from .tagged import find_tagged

_TABLE = "AWS::DynamoDB::Table"


@dataclass(frozen=True)
class Purge:
    """The environment, its parameters, and the folder of its templates."""

    environment: str
    parameters: dict[str, str]
    templates: Path


class Leftovers:
    """Finds and deletes what an environment has left behind."""

    def __init__(self, purge: Purge, target: Target) -> None:
        self._purge, self._target = purge, target
        # In the order of deletion. A queue's name is free only a minute later, so queues go first; keys go last.
        self._services: dict[str, Service] = {
            "AWS::SQS::Queue": Queues(target.client("sqs")),
            "AWS::Logs::LogGroup": LogGroups(target.client("logs")),
            "AWS::Backup::BackupVault": Vaults(target.client("backup")),
            "AWS::S3::Bucket": Buckets(target.client("s3"), target.pseudo_parameters()["AWS::AccountId"]),
            _TABLE: Tables(target.client("dynamodb")),
        }
        self._keys = Keys(target.client("kms"), int(purge.parameters["KeyDeletionWindowDays"]))
        # The types and names that the templates retain, and the tables whose recovery points a vault may hold.
        self._expected: set[tuple[str, str]] = set()
        self._tables: set[str] = set()

    def find_all(
        self, deployed: Evaluated | None = None, tree: StackTree | None = None
    ) -> tuple[list[Leftover], list[Leftover]]:
        """Search by the names in the committed and the ``deployed`` templates, and by the tags of the environment.

        Returns the leftovers, and each resource that is kept, with the reason as its obstacle, such as one of another
        existing stack than those of ``tree``, which are to be deleted. Raises ``UserError`` for a retained type that
        cannot be deleted here.
        """
        candidates = self._find_candidates(deployed, tree)
        deleted_stacks = {stack.id for _, stack in tree.walk()} if tree else set()
        holders = StackHolders(self._target.client("cloudformation"), deleted_stacks)
        leftovers: list[Leftover] = []
        kept: list[Leftover] = []
        for candidate in candidates:
            # Keys are the last ones, so all that they may encrypt is in ``kept``.
            reason = self._reason_to_keep(candidate) or holders.find_reason_to_keep(candidate.id)
            if reason or (reason := _describe_use(candidate, kept)):
                kept.append(replace(candidate, obstacle=reason))
            else:
                leftovers.append(candidate)
        return leftovers, kept

    def _find_candidates(self, deployed: Evaluated | None, tree: StackTree | None) -> list[Leftover]:
        """Return what the templates name or the tags list, without what the stack deletes itself; keys come last."""
        stacks = [self._evaluate_committed(), *([deployed] if deployed else [])]
        expected = dict.fromkeys(pair for stack in stacks for pair in self._retained_names(stack))
        tagged = find_tagged(self._target.client("resourcegroupstaggingapi"), self._purge.environment)
        names = {**expected, **dict.fromkeys(tagged.names)}
        self._expected = set(expected)
        self._tables = {name for resource_type, name in names if resource_type == _TABLE}
        doomed = _list_doomed(deployed, tree) if deployed and tree else set()
        named = self._find_by_names(names)
        resources = [
            leftover
            for leftover in named
            if self.is_in_templates(leftover) or (leftover.resource_type, leftover.id) not in doomed
        ]
        aliases = {description: alias for stack in stacks for description, alias in _key_aliases(stack)}
        return [
            *resources,
            *_describe_others(tagged.others, resources, doomed),
            *self._keys.find_all(self._purge.environment, aliases),
        ]

    def is_in_templates(self, leftover: Leftover) -> bool:
        """Whether the templates of the search name it, so that a deployment would meet it."""
        return (leftover.resource_type, leftover.name) in self._expected

    def _find_by_names(self, names: Collection[tuple[str, str]]) -> Iterator[Leftover]:
        for resource_type, service in self._services.items():
            for name_type, name in names:
                if name_type == resource_type and (leftover := service.find(name)):
                    yield leftover

    def describe_loss(self, leftover: Leftover) -> str:
        """Return what is lost with the leftover, as the end of a sentence."""
        return LOSS if leftover.resource_type == TYPE else f"{self._services[leftover.resource_type].loss} will be lost"

    def delete(self, leftover: Leftover) -> bool:
        """Delete the leftover; return False if it no longer exists, for example because its stack was deleted.

        Raises ``UserError`` if it has become another's since the search, because a stack has imported it, or if it now
        holds what was not there then.
        """
        current = self._find_again(leftover)
        if current is None:
            return False
        holders = StackHolders(self._target.client("cloudformation"), ())
        if reason := self._reason_to_keep(current) or holders.find_reason_to_keep(current.id):
            raise UserError(f"it {reason}")
        if leftover.is_empty and not current.is_empty:
            raise UserError(f"it was shown as empty, and now has {current.contents}")
        if current.resource_type == TYPE:
            return self._keys.delete(current)
        self._services[current.resource_type].delete(replace(current, recovery_points=leftover.recovery_points))
        return True

    def is_deleted(self, leftover: Leftover) -> bool:
        """Whether it does not exist any more, or will not: the deletion of a key is scheduled."""
        if leftover.resource_type == TYPE:
            return self._keys.is_pending_deletion(leftover.id)
        return self._services[leftover.resource_type].find(leftover.name) is None

    def _find_again(self, leftover: Leftover) -> Leftover | None:
        if leftover.resource_type == TYPE:
            return replace(leftover, tags=self._keys.read_tags(leftover.id))
        return self._services[leftover.resource_type].find(leftover.name)

    def describe_deletion(self, leftover: Leftover) -> tuple[str, str]:
        """Return what has become of a deleted leftover, as a step and its detail; a key still exists for some days."""
        if leftover.resource_type == TYPE:
            return "Scheduled", f"the deletion of {leftover} in {self._keys.window_days} days"
        return "Purged", str(leftover)

    def _reason_to_keep(self, leftover: Leftover) -> str:
        environment = self._purge.environment
        if leftover.obstacle:
            return leftover.obstacle
        if not leftover.belongs_to(environment):
            command = deletion_command(leftover.resource_type, leftover.id)
            return (
                f"does not have the tags ManagedBy=payment-platform and Environment={environment}; if nobody needs it: "
                f"{command}"
            )
        pseudo = self._target.pseudo_parameters()
        if foreign_sources := sorted(
            {*leftover.recovery_points.values()} - {make_arn(_TABLE, name, pseudo) for name in self._tables}
        ):
            return (
                f"has recovery points of other resources than this environment's tables: {', '.join(foreign_sources)}"
            )
        return ""

    def _evaluate_committed(self) -> Evaluated:
        """Ignore conditions, because an earlier deployment may have had what the settings now omit."""
        tree = templates.read_tree_from_folder(self._purge.templates, "parent.yaml")
        return evaluate(_without_conditions(tree), self._purge.parameters, self._target.pseudo_parameters())

    def _retained_names(self, stack: Evaluated) -> Iterator[tuple[str, str]]:
        """Yield type and name of each retained resource with a fixed name."""
        for path, resource in stack.walk():
            if not resource.deletion_policy.startswith("Retain") or resource.type == TYPE:
                continue
            if resource.type not in self._services:
                raise UserError(f"{path} ({resource.type}): --purge cannot delete this type of resource")
            name = resource.properties.get(self._services[resource.type].name_property)
            # A name that the service generated collides with no other.
            if isinstance(name, str):
                yield resource.type, name


def advise_deployment(purge: Purge, target: Target) -> str:
    """Return the next step for an environment without a stack, by what its earlier stacks have retained."""
    plan = suggest_command("deploy", "plan", purge.environment)
    destroy = suggest_command("destroy", purge.environment, "--purge")
    try:
        store = Leftovers(purge, target)
        leftovers, kept = store.find_all()
    except (*AWS_ERRORS, UserError):
        return f"what earlier stacks have retained could not be read; see what a deployment would do with {plan}"
    types = [leftover.resource_type for leftover in leftovers]
    retained = f"earlier stacks have retained {describe_types(types)}" if types else ""
    if any(map(store.is_in_templates, (*leftovers, *kept))):
        obstacle = retained or "names that it needs are taken"
        return f"{obstacle}; {plan} says what to do with each" + (
            f", and {destroy} deletes them for good" if types else ""
        )
    deploy = f"deploy it with {suggest_command('deploy', purge.environment)}"
    return f"{retained}, which {destroy} deletes for good; {deploy}" if retained else deploy


def _describe_use(key: Leftover, kept_resources: Collection[Leftover]) -> str:
    """Return what a key may encrypt among the resources that are kept; empty for none, and for anything but a key."""
    if key.resource_type != TYPE:
        return ""
    uses: Mapping[str, list[str]] = {
        "still encrypts": [
            leftover.name for leftover in kept_resources if leftover.keys and _is_key_of(key, leftover.keys)
        ],
        "may encrypt": [leftover.name for leftover in kept_resources if leftover.keys is None],
    }
    return " and ".join(f"{use} what is kept: {', '.join(names)}" for use, names in uses.items() if names)


def _is_key_of(key: Leftover, references: Collection[str]) -> bool:
    """Whether one of the references, each an id or an alias, or the ARN of either, means the key."""
    return bool({key.id, key.name} & {name.rpartition(":")[2].removeprefix("key/") for name in references})


def _describe_others(
    arns: Collection[str], resources: Collection[Leftover], doomed: Collection[tuple[str, str]]
) -> Iterator[Leftover]:
    """Yield what has the environment's tags and is of a type that a purge does not delete.

    A vault is deleted with its recovery points.
    """
    points = {point for vault in resources for point in vault.recovery_points}
    reason = "has the tags of this environment, but --purge cannot delete its type; delete it where it is, if it exists"
    for arn in arns:
        if arn not in points and not _is_one_of(arn, doomed):
            yield Leftover("", arn, arn, keys=None, obstacle=reason)


def _list_doomed(deployed: Evaluated, tree: StackTree) -> set[tuple[str, str]]:
    """Return the types and the physical ids of what CloudFormation deletes with the stack."""
    retained = {path for path, resource in deployed.walk() if resource.deletion_policy.startswith("Retain")}
    return {
        (resource.type, resource.physical_id)
        for path, resource in tree.walk_resources()
        if path not in retained and resource.physical_id and resource.status not in RELEASED
    }


def _is_one_of(arn: str, resources: Collection[tuple[str, str]]) -> bool:
    """Whether the ARN is that of a resource: CloudFormation has the name of some, and the ARN of others.

    Where a service has another name in ARNs than in types, a name alone is not enough.
    """
    service = arn.split(":")[2]
    names = [name for resource_type, name in resources if resource_type.split("::")[1].lower() == service]
    return arn in {name for _, name in resources} or any(arn.endswith((f":{name}", f"/{name}")) for name in names)


def _key_aliases(stack: Evaluated) -> Iterator[tuple[str, str]]:
    """Yield the description and the alias of each key."""
    resources = dict(stack.walk())
    for resource in resources.values():
        if resource.type == "AWS::KMS::Alias":
            reference = str(resource.properties["TargetKeyId"]).removeprefix("${").removesuffix("}")
            key = resources.get(reference.split(".")[0])
            if key and "Description" in key.properties:
                yield str(key.properties["Description"]), str(resource.properties["AliasName"])


def _without_conditions(tree: templates.Tree) -> templates.Tree:
    resources = {
        logical_id: {key: value for key, value in resource.items() if key != "Condition"}
        for logical_id, resource in tree.resources().items()
    }
    nested = {logical_id: _without_conditions(child) for logical_id, child in tree.nested.items()}
    return templates.Tree({**tree.template, "Resources": resources}, nested)

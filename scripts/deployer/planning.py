"""Makes a plan from CloudFormation's change set, the deployed templates, and those to be deployed."""

import json
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scripts.common import templates
from scripts.common.errors import UserError
from scripts.common.evaluate import evaluate
from scripts.common.evaluated import MASK, SECRET, Evaluated, Resource, Unknown, mask_secrets
from scripts.common.suggestion import suggest_command

from .moved_templates import DeployedTree, move_resources
from .plan import spurious
from .plan.compare import as_text, compare_stacks
from .plan.iam import statement_changes
from .plan.model import Plan, PropertyChange, StackChanges
from .plan.moves import Move, find_moves, split_path
from .plan.openings import describe_openings
from .plan.recreation import find_fixed_name, list_naming_properties
from .plan.serialization import map_texts
from .plan.traffic import describe_shifts
from .plan.version_fields import list_version_fields, split_descriptions
from .plan.widenings import (
    describe_changed_limits,
    describe_raised_thresholds,
    describe_removed_alarms,
    describe_widened_rights,
)

if TYPE_CHECKING:
    from .package import Package

_LEAST_CHARACTERS = 6
BY_COMPARISON = (
    "Nested change sets are not supported here: changes inside nested stacks come from comparing the deployed "
    "templates with the new ones and do not include manual changes (drift)."
)


@dataclass(frozen=True)
class Comparison:
    """The deployed tree, if there is one, the tree to be deployed, and the changes between them."""

    before: Evaluated | None
    after: Evaluated
    changes: StackChanges
    deployed: DeployedTree | None = None
    # The id of the account that is deployed to.
    account: str = ""
    # Whether a deployed NoEcho parameter is masked, and taken to be the one that is to be deployed.
    hides_secrets: bool = False
    # The values of NoEcho parameters, as they may be part of a text that CloudFormation shows.
    secret_values: frozenset[str] = frozenset()
    # What the parts of the description of each Lambda version are, by its path.
    version_fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes, whatever the texts of the templates, and no value may change that is not known."""
        return not (self.changes.changes or self.changes.outputs or self.changes.unknowns)

    def make_plan(self, service: StackChanges, notices: tuple[str, ...]) -> Plan:
        """The service's changes, with nested changes, spurious marks and policy statements from the comparison."""
        service = _mask_values(service, self.secret_values)
        # CloudFormation knows more about replacements than the schemas of the resource types.
        certain = frozenset(
            path
            for path, change in service.walk()
            if (change.replacement == "True" or change.drift == "DELETED") and not change.nested
        )
        compared = compare_stacks(self.changes.name, self.before, self.after, certain)
        filled, any_filled = spurious.fill_nested_stacks(service, compared)
        source = BY_COMPARISON if any_filled else ""
        stack = spurious.mark_spurious(filled, compared)
        return self._complete_plan(stack, (*notices, *_describe_unlisted(service, stack)), source)

    def make_offline_plan(self, source: str, notices: tuple[str, ...] = ()) -> Plan:
        """Return the plan of the comparison alone; ``source`` says what was compared."""
        return self._complete_plan(self.changes, notices, source)

    def _complete_plan(self, stack: StackChanges, notices: tuple[str, ...], source: str) -> Plan:
        statements = statement_changes(self.before, self.after)
        widenings = (
            *self._find_name_conflicts(stack),
            *describe_widened_rights(statements, self.account),
            *describe_openings(stack, self.before, self.after),
            *describe_changed_limits(stack, self.before, self.after),
            *describe_raised_thresholds(stack, self.after),
            *describe_removed_alarms(stack),
            *describe_shifts(stack, self.before, self.after),
        )
        stack = split_descriptions(stack, self.version_fields)
        # A secret's token tells nothing, and differs in each process: no plan shows it.
        return map_texts(Plan(stack, statements, (*widenings, *notices), source), mask_secrets, keeps_values=False)

    def find_removed_values(self, property_name: str) -> set[str]:
        """Return the values of a property, such as AlarmName, of all resources that are deleted or replaced."""
        resources = dict(self.before.walk()) if self.before else {}
        return {
            str(resources[path].properties.get(property_name, ""))
            for path, change in self.changes.walk()
            if path in resources and (change.action == "Remove" or change.replacement != "False")
        }

    def list_stack_paths(self) -> set[str]:
        """Return the paths of the deployed stacks; that of the root is empty."""
        resources = self.before.walk() if self.before else ()
        return {"", *(path for path, resource in resources if resource.type == templates.STACK)}

    def list_replaced_paths(self) -> set[str]:
        """Return the paths of the resources that the new templates replace, or may replace."""
        return {
            path for path, change in self.changes.walk() if change.action == "Modify" and change.replacement != "False"
        }

    def find_moves(self) -> list[Move]:
        """Return the removed and the added resources that may be the same ones."""
        moves = find_moves(self.before, self.after, self.list_replaced_paths()) if self.before else []
        resources = dict(self.after.walk())
        # That two values are one secret is not known if the deployed one cannot be read.
        return [move for move in moves if not (self.hides_secrets and _holds_secret(resources[move.destination]))]

    def describe_moves(self, environment: str, protected_stacks: Container[str] = ()) -> Iterator[str]:
        """Yield a notice for each removal and addition that could be a move, which replaces nothing.

        CloudFormation moves no resource of a stack that has a stack policy: ``protected_stacks`` are their paths.
        """
        moves = self.find_moves()
        obstacles = {
            move: f"{stack or 'the root stack'} has a stack policy"
            for move in moves
            for stack in dict.fromkeys(split_path(path)[0] for path in (move.destination, move.source))
            if stack in protected_stacks
        }
        possible = [move for move in moves if move not in obstacles]
        if self.deployed:
            possible, refusals = _separate_moves(self.deployed, possible)
            obstacles |= refusals
        # Without --move, all moves are made together, and one that cannot be made refuses all.
        named = possible if obstacles else []
        options = [text for move in named for text in ("--move", f"{move.source}={move.destination}")]
        for move in moves:
            if move in obstacles:
                yield f"{move} is one resource, but it cannot be moved without being replaced: {obstacles[move]}"
            else:
                yield (
                    f"{move.source} could be moved to {move.destination} instead, without being replaced: "
                    f"{suggest_command('deploy', 'refactor', environment, *options)}"
                )

    def _loses_name(self, path: str) -> bool:
        """Whether a deployed resource is removed, or replaced by one of another name."""
        before, after = dict(self.before.walk()) if self.before else {}, dict(self.after.walk())
        return path not in after or find_fixed_name(before[path]) != find_fixed_name(after[path])

    def _find_name_conflicts(self, stack: StackChanges) -> Iterator[str]:
        """Yield the creations that CloudFormation refuses because a resource of that name exists.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html#troubleshooting-errors-custom-named-resource-replacement
        """
        before, after = dict(self.before.walk()) if self.before else {}, dict(self.after.walk())
        holders = {(resource.type, find_fixed_name(resource)): path for path, resource in before.items()}
        for path, change in stack.walk():
            name = find_fixed_name(after[path]) if path in after else ""
            if not name or change.is_spurious or not change.creates_resource:
                continue
            holder = holders.get((after[path].type, name))
            naming = list_naming_properties(after[path].type)
            if holder == path and any(prop.name.split("/")[0] in naming for prop in change.properties):
                # The name is an attribute, which changes although its expression does not.
                continue
            if holder == path and change.drift != "DELETED":
                resource = f"{path} has the fixed name {name}"
                yield f"{resource}: CloudFormation cannot replace it unless the name changes as well"
            elif holder not in (None, path):
                fate = _describe_fate(stack, holder, is_removed=self._loses_name(holder))
                yield f"{path} cannot be created: the fixed name {name} belongs to {holder}, {fate}"


def _mask_values(stack: StackChanges, secret_values: frozenset[str]) -> StackChanges:
    """Return the changes with a mask for each secret: CloudFormation shows those in the metadata of a resource.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
    """
    if not secret_values:
        return stack
    pattern = re.compile("|".join(map(re.escape, sorted(secret_values, key=len, reverse=True))))

    def mask_value(text: str | None) -> str | None:
        return text if text is None else pattern.sub(MASK, text)

    def mask_property(prop: PropertyChange) -> PropertyChange:
        before, after, deployed = map(mask_value, (prop.before, prop.after, prop.deployed))
        return replace(prop, before=before, after=after, deployed=deployed)

    changes = (
        replace(
            change,
            properties=tuple(map(mask_property, change.properties)),
            nested=change.nested and _mask_values(change.nested, secret_values),
        )
        for change in stack.changes
    )
    return replace(stack, changes=tuple(changes))


def _list_secret_values(*trees: tuple[templates.Tree, dict[str, str]] | None) -> frozenset[str]:
    """Return the values of the root's NoEcho parameters, also as they are written in JSON.

    One of few characters may be a part of any text, and is left out: to mask it there would hide what changes.
    """
    values = set[str]()
    for template, parameters in ((tree.template, parameters) for tree, parameters in filter(None, trees)):
        for name, declaration in (template.get("Parameters") or {}).items():
            value = str(parameters.get(name, declaration.get("Default", "")))
            if as_text(declaration.get("NoEcho", "")) == "true" and len(value.strip("*")) >= _LEAST_CHARACTERS:
                values |= {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return frozenset(values)


def _separate_moves(deployed: DeployedTree, moves: list[Move]) -> tuple[list[Move], dict[Move, str]]:
    """Return the moves that can be made together, and why each of the others cannot.

    A move that is left out may be what another one needs, so that one is tried again without it.
    """
    possible, obstacles = list(moves), dict[Move, str]()
    while possible:
        reason = _explain_obstacle(deployed, possible)
        if not reason:
            break
        # The reason begins with the move that cannot be made; of what concerns a whole stack, no single move does.
        named = [
            move for move in possible if reason.startswith(f"{move.source} cannot be moved to {move.destination}:")
        ]
        for move in named or possible:
            obstacles[move] = reason
        possible = [move for move in possible if move not in obstacles]
    if not possible:
        # Those that fail together only, as when a stack would have no resource left, may be possible one by one.
        possible = [move for move in moves if not _explain_obstacle(deployed, [move])][:1]
    return possible, {move: obstacles[move] for move in moves if move not in possible}


def _explain_obstacle(deployed: DeployedTree, moves: list[Move]) -> str:
    try:
        move_resources(deployed, moves, {})
    except UserError as error:
        return str(error)
    return ""


def _holds_secret(resource: Resource) -> bool:
    return bool(SECRET.search(as_text(resource.properties)))


def _describe_fate(stack: StackChanges, path: str, *, is_removed: bool) -> str:
    """Return what happens to the resource that holds a name."""
    if not is_removed:
        return "which keeps it"
    is_retained = any(change.is_retained for holder, change in stack.walk() if holder == path)
    return "which is retained and keeps it" if is_retained else "which is removed only afterwards"


def _describe_unlisted(service: StackChanges, stack: StackChanges) -> Iterator[str]:
    """Yield the changes that only the comparison found, in the stacks whose changes the service lists."""
    listed = {path for path, _ in service.walk()}
    for path, change in stack.walk():
        parent = path.rpartition("/")[0]
        is_in_listed_stack = not parent or any(listed_path.startswith(f"{parent}/") for listed_path in listed)
        if path not in listed and is_in_listed_stack:
            when = ", if its condition is met" if change.condition else ""
            yield f"{path} changes by its template{when}, but CloudFormation does not list it"


def compare_trees(
    name: str,
    before: tuple[templates.Tree, dict[str, str]] | None,
    after: tuple[templates.Tree, dict[str, str]],
    pseudo: dict[str, str],
) -> Comparison:
    """Compare two trees of templates, each with the parameters of its root."""
    hidden = _list_hidden_parameters(before, after)
    if before:
        before = (before[0], before[1] | {parameter: after[1][parameter] for parameter in hidden})
    pseudo = {"AWS::StackName": name, **pseudo}
    old = evaluate(*before, pseudo, hidden_parameters=hidden) if before else None
    new = evaluate(*after, pseudo, hidden_parameters=hidden)
    unknowns = (Unknown(parameter, "a NoEcho parameter, whose deployed value nobody can read") for parameter in hidden)
    # Part of the evaluation, so that no later comparison is without them.
    new = replace(new, unknowns=(*new.unknowns, *unknowns))
    changes = compare_stacks(name, old, new)
    deployed = DeployedTree(*before, old) if before and old else None
    secret_values = _list_secret_values(before, after)
    account, fields = pseudo.get("AWS::AccountId", ""), list_version_fields(after[0])
    return Comparison(old, new, changes, deployed, account, bool(hidden), secret_values, fields)


def _list_hidden_parameters(
    before: tuple[templates.Tree, dict[str, str]] | None, after: tuple[templates.Tree, dict[str, str]]
) -> list[str]:
    """Return the parameters whose deployed value is masked: whether it differs from the new one is not known.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
    """
    values = before[1] if before else {}
    return [name for name, value in values.items() if value and not value.strip("*") and after[1].get(name)]


def parse_package(package: "Package") -> templates.Tree:
    """Return the packaged templates as a tree."""
    prefix = package.destination.object_url("")
    return templates.read_tree(package.template, lambda url: package.files[url.removeprefix(prefix)].decode())

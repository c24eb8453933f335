"""A plan from what is known: the service's change set, the templates deployed, and those to be deployed."""

from collections.abc import Iterator
from dataclasses import dataclass

from scripts.common import templates
from scripts.common.evaluate import Evaluated, Resource, evaluate

from .package import Package
from .plan import spurious
from .plan.compare import compare_stacks
from .plan.iam import statement_changes
from .plan.model import Plan, StackChanges, StatementChange

BY_COMPARISON = (
    "Nested change sets are not supported here: changes inside nested stacks come from comparing the deployed "
    "templates with the new ones and do not include manual changes (drift)."
)


@dataclass(frozen=True)
class Comparison:
    """The deployed tree, if there is one, beside the one to be deployed, and what leads from one to the other."""

    before: Evaluated | None
    after: Evaluated
    changes: StackChanges

    def plan(self, service: StackChanges, notices: tuple[str, ...]) -> Plan:
        """The service's changes, with nested changes, spurious marks and policy statements from the comparison."""
        # Of what is replaced the service knows more than the resource types' schemas.
        certain = frozenset(_certainly_replaced(service, ""))
        compared = compare_stacks(self.changes.name, self.before, self.after, certain)
        filled, any_filled = spurious.fill_nested_stacks(service, compared)
        source = BY_COMPARISON if any_filled else ""
        stack = spurious.mark_spurious(filled, compared)
        return Plan(stack, self._statements(), (*notices, *self._refused(stack, "")), source)

    def find_removed_values(self, property_name: str) -> set[str]:
        """Return the values of a property, such as AlarmName, of all resources that are deleted or replaced."""
        return set(_going(self.changes, self.before, property_name)) if self.before else set()

    def _refused(self, stack: StackChanges, path: str, after: Evaluated | None = None) -> Iterator[str]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html#troubleshooting-errors-custom-named-resource-replacement"""
        after = after or self.after
        for change in stack.changes:
            if change.nested and change.logical_id in after.nested:
                yield from self._refused(change.nested, f"{path}{change.logical_id}/", after.nested[change.logical_id])
            elif change.action == "Modify" and change.replacement != "False" and change.logical_id in after.resources:
                name = named(after.resources[change.logical_id])
                if name and name not in [one.after for one in change.properties]:
                    what = f"{path}{change.logical_id} has the fixed name {name}"
                    yield f"{what}: CloudFormation cannot replace it unless the name changes as well"

    def alone(self, source: str) -> Plan:
        """Without the service."""
        return Plan(self.changes, self._statements(), (), source)

    def _statements(self) -> tuple[StatementChange, ...]:
        return statement_changes(self.before, self.after)


# Properties that fix what a resource is called: no second one of that name can be made.
_NAMES = (
    *("TableName", "QueueName", "LogGroupName", "BucketName", "TopicName", "StateMachineName", "RoleName"),
    "BackupVaultName",
)


def named(resource: Resource) -> str:
    """The name that a resource was given; empty if the service makes one."""
    return str(next((value for key, value in resource.properties.items() if key in _NAMES), ""))


def _certainly_replaced(stack: StackChanges, path: str) -> Iterator[str]:
    for change in stack.changes:
        if change.nested:
            yield from _certainly_replaced(change.nested, f"{path}{change.logical_id}/")
        elif change.replacement == "True":
            yield f"{path}{change.logical_id}"


def _going(stack: StackChanges, before: Evaluated, property_name: str) -> Iterator[str]:
    for change in stack.changes:
        if change.nested and change.logical_id in before.nested:
            yield from _going(change.nested, before.nested[change.logical_id], property_name)
        elif change.action == "Remove" or change.replacement != "False":
            yield str(before.resources[change.logical_id].properties.get(property_name, ""))


def comparison(
    name: str,
    before: tuple[templates.Tree, dict[str, str]] | None,
    after: tuple[templates.Tree, dict[str, str]],
    pseudo: dict[str, str],
) -> Comparison:
    """Each side is a tree of templates and the parameters of its root."""
    old = evaluate(*before, pseudo) if before else None
    new = evaluate(*after, pseudo)
    return Comparison(old, new, compare_stacks(name, old, new))


def packaged_tree(package: Package) -> templates.Tree:
    """The templates of a package, as they will be deployed."""
    prefix = package.destination.object_url("")
    return templates.read_tree(package.template, lambda url: package.files[url.removeprefix(prefix)].decode())

"""Makes a plan from CloudFormation's change set, the deployed templates, and those to be deployed."""

from collections.abc import Iterator
from dataclasses import dataclass

from scripts.common import templates
from scripts.common.evaluate import Evaluated, Resource, evaluate

from .package import Package
from .plan import spurious
from .plan.compare import compare_stacks
from .plan.iam import statement_changes
from .plan.model import Plan, StackChanges

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

    def make_plan(self, service: StackChanges, notices: tuple[str, ...]) -> Plan:
        """The service's changes, with nested changes, spurious marks and policy statements from the comparison."""
        # CloudFormation knows more about replacements than the schemas of the resource types.
        certain = frozenset(
            path for path, change in service.walk() if change.replacement == "True" and not change.nested
        )
        compared = compare_stacks(self.changes.name, self.before, self.after, certain)
        filled, any_filled = spurious.fill_nested_stacks(service, compared)
        source = BY_COMPARISON if any_filled else ""
        stack = spurious.mark_spurious(filled, compared)
        notices = (*notices, *self._find_refused_replacements(stack))
        return Plan(stack, statement_changes(self.before, self.after), notices, source)

    def make_offline_plan(self, source: str) -> Plan:
        """Return the plan of the comparison alone; ``source`` says what was compared."""
        return Plan(self.changes, statement_changes(self.before, self.after), (), source)

    def find_removed_values(self, property_name: str) -> set[str]:
        """Return the values of a property, such as AlarmName, of all resources that are deleted or replaced."""
        resources = dict(self.before.walk()) if self.before else {}
        return {
            str(resources[path].properties.get(property_name, ""))
            for path, change in self.changes.walk()
            if path in resources and (change.action == "Remove" or change.replacement != "False")
        }

    def _find_refused_replacements(self, stack: StackChanges) -> Iterator[str]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html#troubleshooting-errors-custom-named-resource-replacement"""
        resources = dict(self.after.walk())
        for path, change in stack.walk():
            if change.action == "Modify" and change.replacement != "False" and path in resources:
                name = find_fixed_name(resources[path])
                if name and name not in [part.after for part in change.properties]:
                    resource = f"{path} has the fixed name {name}"
                    yield f"{resource}: CloudFormation cannot replace it unless the name changes as well"


# Properties that fix the name of a resource, so that no second one can exist.
_NAMES = (
    *("TableName", "QueueName", "LogGroupName", "BucketName", "TopicName", "StateMachineName", "RoleName"),
    "BackupVaultName",
)


def find_fixed_name(resource: Resource) -> str:
    """Return the name that the template fixes; empty if CloudFormation generates one."""
    return str(next((value for key, value in resource.properties.items() if key in _NAMES), ""))


def compare_trees(
    name: str,
    before: tuple[templates.Tree, dict[str, str]] | None,
    after: tuple[templates.Tree, dict[str, str]],
    pseudo: dict[str, str],
) -> Comparison:
    """Compare two trees of templates, each with the parameters of its root."""
    old = evaluate(*before, pseudo) if before else None
    new = evaluate(*after, pseudo)
    return Comparison(old, new, compare_stacks(name, old, new))


def parse_package(package: Package) -> templates.Tree:
    """Return the packaged templates as a tree."""
    prefix = package.destination.object_url("")
    return templates.read_tree(package.template, lambda url: package.files[url.removeprefix(prefix)].decode())

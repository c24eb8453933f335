"""A plan from what is known: the service's change set, the templates deployed, and those to be deployed."""

from dataclasses import dataclass

from .package import Package
from .plan import phantom, templates
from .plan.compare import compare
from .plan.evaluate import Evaluated, evaluate
from .plan.iam import statement_changes
from .plan.model import Plan, StackChanges, StatementChange

BY_COMPARISON = (
    "This service gives no nested change sets; what is inside nested stacks is from comparing the deployed templates "
    "with the new ones, and what was changed by hand is not in it."
)


@dataclass(frozen=True)
class Comparison:
    """The deployed tree, if there is one, beside the one to be deployed, and what leads from one to the other."""

    before: Evaluated | None
    after: Evaluated
    changes: StackChanges

    def plan(self, service: StackChanges, notices: tuple[str, ...]) -> Plan:
        """The service's changes; from the comparison what they lack: nested ones, phantoms, what policies say."""
        filled, any_filled = phantom.filled(service, self.changes)
        source = BY_COMPARISON if any_filled else ""
        return Plan(phantom.marked(filled, self.changes), self._statements(), notices, source)

    def alone(self, source: str) -> Plan:
        """Without the service."""
        return Plan(self.changes, self._statements(), (), source)

    def _statements(self) -> tuple[StatementChange, ...]:
        return statement_changes(self.before, self.after)


def comparison(
    name: str,
    before: tuple[templates.Tree, dict[str, str]] | None,
    after: tuple[templates.Tree, dict[str, str]],
    pseudo: dict[str, str],
) -> Comparison:
    """Each side is a tree of templates and the parameters of its root."""
    old = evaluate(*before, pseudo) if before else None
    new = evaluate(*after, pseudo)
    return Comparison(old, new, compare(name, old, new))


def packaged_tree(package: Package) -> templates.Tree:
    """The templates of a package, as they will be deployed."""
    prefix = package.destination.url("")
    return templates.tree(package.template, lambda url: package.files[url.removeprefix(prefix)].decode())

"""What a person reads: a change set as a tree, and a stack's outputs. Touches no network."""

from rich.console import Console
from rich.tree import Tree

from .change_set import Change, ChangeSet

_STACK = "AWS::CloudFormation::Stack"
_ADD, _CHANGE, _DELETE, _REPLACE = "[green]+[/]", "[yellow]~[/]", "[red]-[/]", "[red]-/+[/]"


def change_set(console: Console, changes: ChangeSet) -> None:
    tree = Tree(f"[bold]{changes.stack_name}[/]")
    _grow(tree, changes)
    console.print(tree)
    if any(change.resource_type == _STACK and not change.nested for change in changes.changes):
        console.print("[dim]This service gives no nested change sets: changes inside a nested stack are not shown.[/]")
    add, change, destroy = _count(changes)
    console.print(f"Plan: {add} to add, {change} to change, {destroy} to destroy.", highlight=False)


def outputs(console: Console, values: dict[str, str]) -> None:
    """A line each, whole: somebody will copy them."""
    width = max(map(len, values), default=0)
    for key in sorted(values):
        console.print(f"{key:<{width}}  {values[key]}", highlight=False, soft_wrap=True, markup=False)


def _grow(tree: Tree, changes: ChangeSet) -> None:
    for change in changes.changes:
        branch = tree.add(_line(change))
        if change.nested:
            _grow(branch, change.nested)


def _line(change: Change) -> str:
    symbol = {"Add": _ADD, "Remove": _DELETE, "Import": _ADD}.get(change.action, _CHANGE)
    note = ""
    if change.action == "Modify" and change.replacement == "True":
        symbol, note = _REPLACE, " [red](forces replacement)[/]"
    elif change.action == "Modify" and change.replacement == "Conditional":
        note = " [yellow](may be replaced)[/]"
    elif change.action == "Remove" and change.resource_type == _STACK:
        note = " [red](and all in it)[/]"
    properties = f" [dim]{', '.join(change.properties)}[/]" if change.properties else ""
    return f"{symbol} {change.logical_id} [dim]{change.resource_type}[/]{properties}{note}"


def _count(changes: ChangeSet) -> tuple[int, int, int]:
    """To add, to change, to destroy, as terraform counts: a replacement is an addition and a destruction.

    A nested stack whose own changes are known counts as these.
    """
    add = change = destroy = 0
    for one in changes.changes:
        if one.nested:
            a, c, d = _count(one.nested)
            add, change, destroy = add + a, change + c, destroy + d
        elif one.action in ("Add", "Import"):
            add += 1
        elif one.action == "Remove":
            destroy += 1
        elif one.replacement == "True":
            add, destroy = add + 1, destroy + 1
        else:
            change += 1
    return add, change, destroy

"""What a person reads: a change set as a tree, and a stack's outputs. Touches no network."""

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from .change_set import KNOWN_AFTER_APPLY, Change, ChangeSet, PropertyChange
from .danger import dangers

LONGEST_VALUE = 120
_STACK = "AWS::CloudFormation::Stack"
_ADD, _CHANGE, _DELETE, _REPLACE = "[green]+[/]", "[yellow]~[/]", "[red]-[/]", "[red]-/+[/]"


def change_set(console: Console, changes: ChangeSet) -> None:
    """What is lost first, then the tree with every property before and after, and the sum."""
    for danger in dangers(changes):
        console.print(Text("! ", style="bold red").append(str(danger), style="red"), soft_wrap=True)
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
        for one in change.properties:
            if (one.before, one.after) != (None, None):
                branch.add(_property(one))
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
    unvalued = [one.name for one in change.properties if (one.before, one.after) == (None, None)]
    properties = f" [dim]{', '.join(unvalued)}[/]" if unvalued else ""
    return f"{symbol} {change.logical_id} [dim]{change.resource_type}[/]{properties}{note}"


def _property(one: PropertyChange) -> Text:
    line = Text(f"{one.name}: ")
    line.append(_value(one.before), style="red").append(" → ", style="dim").append(_value(one.after), style="green")
    note = {"Always": " (forces replacement)", "Conditionally": " (may force replacement)"}.get(one.recreation, "")
    return line.append(note, style="red")


def _value(value: str | None) -> str:
    """One line, and not so long that it hides the others."""
    if value is None:
        return "(none)"
    if KNOWN_AFTER_APPLY in value:
        return "(known after apply)"
    text = " ".join(value.split())
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


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

"""A plan, a failure and outputs as text that a person reads: what is lost comes first."""

import json
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from scripts.common.templates import STACK
from scripts.deployer.failure import Event, Failure
from scripts.deployer.plan.danger import find_dangers
from scripts.deployer.plan.model import (
    KNOWN_AFTER_APPLY,
    Change,
    Plan,
    PropertyChange,
    StackChanges,
    StatementChange,
    count_changes,
)
from scripts.deployer.removal import removal_command

LONGEST_VALUE = 120
# A table of policies needs that many columns to read well; below, each statement is a few lines.
TABLE_WIDTH = 120
_SYMBOLS = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "delete": ("-", "red"),
    "replace": ("-/+", "red"),
}
# Documents that the table of policies tells better.
_POLICIES = ("PolicyDocument", "AssumeRolePolicyDocument", "KeyPolicy", "Policies")


def print_plan(console: Console, shown: Plan) -> None:
    """What is lost first, then the tree with every property before and after, policies, notices, and the sum."""
    # On a terminal lines break between words; elsewhere nobody wants them broken.
    whole = not console.is_terminal
    for danger in find_dangers(shown.stack):
        console.print(Text("! ", style="bold red").append(str(danger), style="red"), soft_wrap=whole)
        for reason in danger.causes:
            console.print(Text("    ").append(_property_line(reason)), soft_wrap=whole)
    tree = Tree(Text(shown.stack.name, style="bold"))
    _add_changes(tree, shown.stack)
    console.print(tree)
    if shown.statements:
        console.print(Text("\nPolicy changes", style="bold"))
        _print_statements(console, shown.statements)
    for notice in shown.notices:
        console.print(Text("! ", style="yellow").append(notice, style="yellow"), soft_wrap=whole)
    if shown.source:
        console.print(Text(shown.source, style="dim"), soft_wrap=whole)
    console.print(summarize_plan(shown), highlight=False, soft_wrap=whole)


def summarize_plan(shown: Plan) -> str:
    """The last line, and for phantoms what became of them."""
    counted = count_changes(shown.stack)
    if not counted.spurious:
        return str(counted)
    are = "is" if counted.spurious == 1 else "are"
    return f"{counted} ({counted.spurious} more {are} listed by CloudFormation but will not change.)"


def print_outputs(console: Console, values: dict[str, str]) -> None:
    """A line each, whole: somebody will copy them."""
    width = max(map(len, values), default=0)
    for key in sorted(values):
        console.print(f"{key:<{width}}  {values[key]}", highlight=False, soft_wrap=True, markup=False)


def print_failure(console: Console, shown: Failure) -> None:
    """The first cause, then what was rolled back, then what to do."""
    lines = []
    if shown.cause:
        console.print(Text.assemble(("✗ ", "bold red"), (str(shown.cause), "bold"), f" {shown.cause.status}"))
        lines.append(("", shown.cause.reason or "CloudFormation gave no reason"))
    else:
        console.print(Text(f"✗ {shown.stack_name} {shown.status}", style="bold red"))
        lines.append(("", shown.reason))
    if shown.declared:
        lines.append(("declared in", str(shown.declared)))
    lines += [("also failed:", f"{other}: {other.reason}") for other in shown.others]
    lines += [("left behind:", describe_left_behind(event)) for event in shown.left_behind]
    resources = "1 resource" if shown.rolled_back == 1 else f"{shown.rolled_back} resources"
    lines += [("rolled back:", f"{resources}; {shown.stack_name}: {shown.now}"), ("next:", shown.next_step)]
    for label, text in lines:
        console.print(Text.assemble("  ", (f"{label} " if label else "", "dim"), text), soft_wrap=True)


def describe_left_behind(event: Event) -> str:
    """A resource that exists outside any stack, with the command that deletes it."""
    command = removal_command(event.resource_type, event.physical_id)
    return f"{event} {event.physical_id}" + (f"; delete it with: {command}" if command else "")


def describe_action(change: Change) -> tuple[str, str, str]:
    """The sign of a change, its colour, and the word that goes with it."""
    kind, word = "change", ""
    if change.action in ("Add", "Import"):
        kind = "create"
    elif change.action == "Remove":
        kind = "delete"
        if change.policy_action in ("Retain", "Snapshot"):
            word = "(retained)"
        elif change.resource_type == STACK:
            word = "(and everything in it)"
    elif change.replacement == "True":
        kind, word = "replace", "(replaced)"
    elif change.replacement == "Conditional" and change.resource_type != STACK:
        word = "(may be replaced)"
    return (*_SYMBOLS[kind], word)


def format_value(text: str | None) -> str:
    """One line, and not so long that it hides the others."""
    if text is None:
        return "(none)"
    if KNOWN_AFTER_APPLY in text:
        return "(known after apply)"
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_VALUE else f"{line[:LONGEST_VALUE]}…"


def shown_properties(change: Change) -> list[PropertyChange]:
    """The properties to show before and after: not the policies, and not what has no values."""
    return [
        one
        for one in change.properties
        if (one.before, one.after) != (None, None) and one.name.split("/")[0] not in _POLICIES
    ]


def omitted_properties(change: Change) -> str:
    """The names of the others, each once."""
    return ", ".join(
        dict.fromkeys(one.name.split("/")[0] for one in change.properties if one not in shown_properties(change))
    )


def recreation_note(one: PropertyChange) -> str:
    return {"Always": " (forces replacement)", "Conditionally": " (may force replacement)"}.get(one.recreation, "")


def spurious_line(stack: StackChanges) -> str:
    """One line for what is listed and changes nothing; empty if there is none."""
    names = [one.logical_id for one in stack.changes if one.is_spurious and one.resource_type != STACK]
    return f"listed but unchanged: {', '.join(names)} (they reference values that do not change)" if names else ""


def outputs_line(stack: StackChanges) -> str:
    """Where nothing else of the stack changes; else they follow from what does."""
    return f"outputs: {', '.join(stack.outputs)}" if stack.outputs and not stack.changes else ""


def unchanged_line(stack: StackChanges) -> str:
    names = [
        *stack.unchanged,
        *(one.logical_id for one in stack.changes if one.is_spurious and one.resource_type == STACK),
    ]
    return f"unchanged: {', '.join(names)}" if names else ""


def condition_lines(text: str) -> list[str]:
    """A condition of a policy, a line for each operator and key."""
    if not text:
        return []
    parsed = json.loads(text)
    lines = []
    for operator, keys in parsed.items():
        for key, values in keys.items() if isinstance(keys, dict) else [("", keys)]:
            listed = " or ".join(map(str, values)) if isinstance(values, list) else str(values)
            lines.append(f"{operator} {key} {listed}" if key else f"{operator} {listed}")
    return lines


def _add_changes(tree: Tree, stack: StackChanges) -> None:
    for change in stack.changes:
        if change.is_spurious:
            continue
        branch = tree.add(_change_line(change))
        for one in shown_properties(change):
            branch.add(_property_line(one))
        if change.nested:
            _add_changes(branch, change.nested)
    for line in (outputs_line(stack), spurious_line(stack), unchanged_line(stack)):
        if line:
            tree.add(Text(line, style="dim"))


def _change_line(change: Change) -> Text:
    sign, colour, word = describe_action(change)
    line = Text.assemble((sign, colour), f" {change.logical_id} ", (change.resource_type, "dim"))
    if names := omitted_properties(change):
        line.append(f" {names}", style="dim")
    return line.append(f" {word}", style="red" if sign != "~" else "yellow") if word else line


def _property_line(one: PropertyChange) -> Text:
    return Text.assemble(
        f"{one.name}: ",
        (format_value(one.before), "red"),
        (" → ", "dim"),
        (format_value(one.after), "green"),
        (recreation_note(one), "red"),
    )


def _print_statements(console: Console, statements: Iterable[StatementChange]) -> None:
    if console.width < TABLE_WIDTH:
        for one in statements:
            _print_statement(console, one)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("", "Policy", "Effect", "Action", "Resource / principal", "Condition"):
        table.add_column(name, overflow="fold")
    for one in statements:
        style = "green" if one.added else "red"
        table.add_row(
            Text("+" if one.added else "-", style=style),
            f"{one.holder}\n[dim]{one.kind}[/]",
            Text(one.effect, style="red" if one.effect == "Deny" else ""),
            Text("\n".join(one.actions)),
            Text(one.resource),
            Text("\n".join(condition_lines(one.condition))),
        )
    console.print(table)


def _print_statement(console: Console, one: StatementChange) -> None:
    sign = ("+ ", "green") if one.added else ("- ", "red")
    console.print(Text.assemble(sign, one.holder, (f" {one.kind}", "dim"), f" {one.effect}"))
    lines = [", ".join(one.actions), *([f"on {one.resource}"] if one.resource else [])]
    for line in [*lines, *(f"if {each}" for each in condition_lines(one.condition))]:
        console.print(Padding(Text(line), (0, 0, 0, 4)))

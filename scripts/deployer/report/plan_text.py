"""A plan, a failure and outputs as text. What would be lost comes first."""

import json
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from scripts.common.templates import STACK
from scripts.deployer.failure import Failure
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

from ..deletion_commands import deletion_command

LONGEST_VALUE = 120
# On a narrower terminal, each policy statement is printed as a few lines instead of a table row.
TABLE_WIDTH = 120
_SYMBOLS = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "delete": ("-", "red"),
    "replace": ("-/+", "red"),
}
# Properties that the table of policy statements shows better.
_POLICIES = ("PolicyDocument", "AssumeRolePolicyDocument", "KeyPolicy", "Policies")


def print_plan(console: Console, plan: Plan) -> None:
    """Print what would be lost, the tree with every property before and after, policies, notices, and the summary."""
    # Lines wrap between words on a terminal, and nowhere else.
    soft_wrap = not console.is_terminal
    for danger in find_dangers(plan.stack):
        console.print(Text("! ", style="bold red").append(str(danger), style="red"), soft_wrap=soft_wrap)
        for cause in danger.causes:
            console.print(Text("    ").append(_property_line(cause)), soft_wrap=soft_wrap)
    tree = Tree(Text(plan.stack.name, style="bold"))
    _add_changes(tree, plan.stack)
    console.print(tree)
    if plan.statements:
        console.print(Text("\nPolicy changes", style="bold"))
        _print_statements(console, plan.statements)
    for notice in plan.notices:
        console.print(Text("! ", style="yellow").append(notice, style="yellow"), soft_wrap=soft_wrap)
    if plan.source:
        console.print(Text(plan.source, style="dim"), soft_wrap=soft_wrap)
    console.print(summarize_plan(plan), highlight=False, soft_wrap=soft_wrap)


def summarize_plan(plan: Plan) -> str:
    """Return the last line: the counts, and how many listed changes are spurious."""
    count = count_changes(plan.stack)
    if not count.spurious:
        return str(count)
    verb = "is" if count.spurious == 1 else "are"
    return f"{count} ({count.spurious} more {verb} listed by CloudFormation but will not change.)"


def print_outputs(console: Console, outputs: dict[str, str]) -> None:
    """Print a line for each, without wrapping, so that values can be copied."""
    width = max(map(len, outputs), default=0)
    for key in sorted(outputs):
        console.print(f"{key:<{width}}  {outputs[key]}", highlight=False, soft_wrap=True, markup=False)


def print_failure(console: Console, failure: Failure) -> None:
    """Print the first cause, then what was rolled back, then the next step."""
    lines = []
    cause = failure.cause
    if cause:
        console.print(Text.assemble(("✗ ", "bold red"), (str(cause), "bold"), f" {cause.status}"))
        lines.append(("", cause.reason or "CloudFormation gave no reason"))
    else:
        console.print(Text(f"✗ {failure.stack_name} {failure.status}", style="bold red"))
        lines.append(("", failure.reason))
    if failure.declared:
        lines.append(("declared in", str(failure.declared)))
    lines += [("also failed:", f"{event}: {event.reason}") for event in failure.later_causes]
    for event in failure.left_behind:
        command = deletion_command(event.resource_type, event.physical_id)
        lines.append(
            ("left behind:", f"{event} {event.physical_id}" + (f"; delete it with: {command}" if command else ""))
        )
    resources = "1 resource" if failure.rolled_back == 1 else f"{failure.rolled_back} resources"
    lines += [("rolled back:", f"{resources}; {failure.stack_name}: {failure.outcome}"), ("next:", failure.next_step)]
    for label, text in lines:
        console.print(Text.assemble("  ", (f"{label} " if label else "", "dim"), text), soft_wrap=True)


def describe_action(change: Change) -> tuple[str, str, str]:
    """Return the sign of a change, its colour, and a note such as "(replaced)"."""
    kind, note = "change", ""
    if change.action in ("Add", "Import"):
        kind = "create"
    elif change.action == "Remove":
        kind = "delete"
        if change.policy_action in ("Retain", "Snapshot"):
            note = "(retained)"
        elif change.resource_type == STACK:
            note = "(and everything in it)"
    elif change.replacement == "True":
        kind, note = "replace", "(replaced)"
    elif change.replacement == "Conditional" and change.resource_type != STACK:
        note = "(may be replaced)"
    return (*_SYMBOLS[kind], note)


def format_value(text: str | None) -> str:
    """Return the value in one line, cut if it is long."""
    if text is None:
        return "(none)"
    if KNOWN_AFTER_APPLY in text:
        return "(known after apply)"
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_VALUE else f"{line[:LONGEST_VALUE]}…"


def shown_properties(change: Change) -> list[PropertyChange]:
    """Return the properties to show before and after: those with values, except policies."""
    return [
        prop
        for prop in change.properties
        if (prop.before, prop.after) != (None, None) and prop.name.split("/")[0] not in _POLICIES
    ]


def omitted_properties(change: Change) -> str:
    """Return the names of the properties that are not shown, each once."""
    properties = shown_properties(change)
    return ", ".join(dict.fromkeys(prop.name.split("/")[0] for prop in change.properties if prop not in properties))


def recreation_note(prop: PropertyChange) -> str:
    return {"Always": " (forces replacement)", "Conditionally": " (may force replacement)"}.get(prop.recreation, "")


def summary_lines(stack: StackChanges) -> list[str]:
    """Return the lines about changed outputs, spurious changes and unchanged nested stacks."""
    spurious = [change for change in stack.changes if change.is_spurious]
    resources = [change.logical_id for change in spurious if change.resource_type != STACK]
    stacks = [*stack.unchanged, *(change.logical_id for change in spurious if change.resource_type == STACK)]
    lines = []
    # Where anything else changes, the outputs follow from it.
    if stack.outputs and not stack.changes:
        lines.append(f"outputs: {', '.join(stack.outputs)}")
    if resources:
        lines.append(f"listed but unchanged: {', '.join(resources)} (they reference values that do not change)")
    if stacks:
        lines.append(f"unchanged: {', '.join(stacks)}")
    return lines


def condition_lines(condition: str) -> list[str]:
    """Return a line for each operator and key of a policy's condition, which is given as JSON."""
    if not condition:
        return []
    lines = []
    for operator, keys in json.loads(condition).items():
        for key, values in keys.items() if isinstance(keys, dict) else [("", keys)]:
            text = " or ".join(map(str, values)) if isinstance(values, list) else str(values)
            lines.append(f"{operator} {key} {text}" if key else f"{operator} {text}")
    return lines


def _add_changes(tree: Tree, stack: StackChanges) -> None:
    for change in stack.changes:
        if change.is_spurious:
            continue
        branch = tree.add(_change_line(change))
        for prop in shown_properties(change):
            branch.add(_property_line(prop))
        if change.nested:
            _add_changes(branch, change.nested)
    for line in summary_lines(stack):
        tree.add(Text(line, style="dim"))


def _change_line(change: Change) -> Text:
    sign, colour, note = describe_action(change)
    line = Text.assemble((sign, colour), f" {change.logical_id} ", (change.resource_type, "dim"))
    if names := omitted_properties(change):
        line.append(f" {names}", style="dim")
    return line.append(f" {note}", style="red" if sign != "~" else "yellow") if note else line


def _property_line(prop: PropertyChange) -> Text:
    before, after = format_value(prop.before), format_value(prop.after)
    return Text.assemble(
        f"{prop.name}: ", (before, "red"), (" → ", "dim"), (after, "green"), (recreation_note(prop), "red")
    )


def _print_statements(console: Console, statements: Iterable[StatementChange]) -> None:
    if console.width < TABLE_WIDTH:
        for statement in statements:
            _print_statement(console, statement)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("", "Policy", "Effect", "Action", "Resource / principal", "Condition"):
        table.add_column(name, overflow="fold")
    for statement in statements:
        table.add_row(
            Text("+", style="green") if statement.added else Text("-", style="red"),
            f"{statement.holder}\n[dim]{statement.kind}[/]",
            Text(statement.effect, style="red" if statement.effect == "Deny" else ""),
            Text("\n".join(statement.actions)),
            Text(statement.resource),
            Text("\n".join(condition_lines(statement.condition))),
        )
    console.print(table)


def _print_statement(console: Console, statement: StatementChange) -> None:
    sign = ("+ ", "green") if statement.added else ("- ", "red")
    console.print(Text.assemble(sign, statement.holder, (f" {statement.kind}", "dim"), f" {statement.effect}"))
    lines = [", ".join(statement.actions)]
    lines += [f"on {statement.resource}"] if statement.resource else []
    lines += [f"if {line}" for line in condition_lines(statement.condition)]
    for line in lines:
        console.print(Padding(Text(line), (0, 0, 0, 4)))

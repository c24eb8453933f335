"""A plan, a failure and outputs as text. What would be lost, the warnings and the counts come first."""

import json
from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from scripts.common.templates import STACK
from scripts.common.terminal import make_line
from scripts.deployer.failure import Failure
from scripts.deployer.plan.danger import Danger, find_dangers
from scripts.deployer.plan.iam import RESOURCE_POLICIES, is_policy
from scripts.deployer.plan.model import (
    KNOWN_AFTER_APPLY,
    Change,
    Count,
    Plan,
    PropertyChange,
    StackChanges,
    StatementChange,
    count_changes,
)
from scripts.deployer.plan.serialization import map_texts
from scripts.deployer.statuses import PRESERVING

from ..deletion_commands import deletion_command
from .differences import LONGEST_VALUE, split_property

# At most so many differences of one property are shown, unless the plan is to be full.
_MOST_DIFFERENCES = 5
# On a narrower terminal, each policy statement is printed as a few lines instead of a table row.
TABLE_WIDTH = 140
_SYMBOLS = {
    "create": ("+", "green"),
    "import": ("<", "cyan"),
    "change": ("~", "yellow"),
    "delete": ("-", "red"),
    "replace": ("-/+", "red"),
    "record": ("=", "cyan"),
}
# By the drift status of a resource; the others say nothing that matters to its change.
_DRIFT_NOTES = {
    "MODIFIED": "(changed outside CloudFormation)",
    "DELETED": "(deleted outside CloudFormation)",
    "UNKNOWN": "(its actual state is not known)",
    "UNSUPPORTED": "(its actual state cannot be compared)",
}
_NOTE_COLOURS = {"~": "yellow", "<": "cyan"}
# Parts of a policy that no row of the table of policy statements expresses.
_NOT_IN_STATEMENTS = ("Version", "Id", "Sid")


def print_plan(console: Console, plan: Plan, *, full: bool = False) -> None:
    """Print what would be lost, every other warning, the counts, the tree with each property, and the policies.

    A stack that is created takes one line, unless the plan is to be ``full``.
    """
    # Lines wrap between words on a terminal, and nowhere else.
    soft_wrap = not console.is_terminal
    plan = map_texts(plan, make_line)
    created = () if full else tuple(f"{path}/" for path, change in plan.stack.walk() if _is_created_stack(change))
    _print_warnings(console, plan, full=full)
    console.print(summarize_plan(plan), style="bold", highlight=False, soft_wrap=soft_wrap)
    tree = Tree(Text(plan.stack.name, style="bold"))
    _add_changes(tree, plan, plan.stack, "", created, full=full)
    console.print(tree)
    statements = [statement for statement in plan.statements if not statement.holder.startswith(created)]
    if statements:
        console.print(Text("\nPolicy changes", style="bold"))
        _print_statements(console, statements)
    if created:
        hidden = len(plan.statements) - len(statements)
        text = f"--full lists the resources of these stacks and what {hidden} policy statements grant."
        console.print(Text(text, style="dim"), soft_wrap=soft_wrap)
    if not full and _is_cut(plan, created):
        console.print(Text("--full shows the values that end in … as a whole.", style="dim"), soft_wrap=soft_wrap)
    if plan.source:
        console.print(Text(plan.source, style="dim"), soft_wrap=soft_wrap)


def _print_warnings(console: Console, plan: Plan, *, full: bool) -> None:
    dangers = find_dangers(plan.stack)
    for danger in (danger for danger in dangers if not danger.is_unprotection):
        _print_warning(console, str(danger), "red")
        for cause in danger.causes:
            for property_line in _property_lines(cause, full=full):
                console.print(Text("    ").append(property_line), soft_wrap=not console.is_terminal)
    for line in (*join_unprotections(dangers), *list_notices(plan)):
        _print_warning(console, line, "yellow")


def _is_cut(plan: Plan, created: tuple[str, ...]) -> bool:
    """Whether a value that is shown is too long for its line; ``created`` are the stacks that take one line."""
    return any(
        len(_to_line(value)) > LONGEST_VALUE
        for path, change in plan.stack.walk()
        if not change.is_spurious and not path.startswith(created)
        for prop in shown_properties(plan, path, change)
        for difference in choose_differences(prop)[0]
        for value in (difference.before, difference.after, difference.deployed)
    )


def _print_warning(console: Console, text: str, colour: str) -> None:
    text = make_line(text)
    if not console.is_terminal:
        console.print(Text(f"! {text}"), soft_wrap=True)
        return
    # What is wrapped stands below the text, not below the sign.
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(Text("!", style=f"bold {colour}"), Text(text, style=colour))
    console.print(line)


def join_unprotections(dangers: Iterable[Danger]) -> list[str]:
    """Return a line for each protection that is taken away, with all resources that lose it."""
    losers: dict[tuple[str, str], list[str]] = {}
    for danger in dangers:
        if danger.is_unprotection:
            losers.setdefault((danger.resource_type, danger.effect), []).append(danger.path)
    return [
        f"{', '.join(paths)} ({resource_type}) {effect}" if len(paths) == 1 else f"each of {', '.join(paths)} {effect}"
        for (resource_type, effect), paths in losers.items()
    ]


def _is_created_stack(change: Change) -> bool:
    return change.action == "Add" and change.nested is not None and bool(change.nested.changes)


def list_notices(plan: Plan) -> list[str]:
    """Return the plan's notices, and a line for each value that cannot be known."""
    return [*plan.notices, *_describe_unknowns(plan.stack)]


def _describe_unknowns(stack: StackChanges, path: str = "") -> Iterator[str]:
    """Yield a line for each value of the tree that may change although no template does."""
    for unknown in stack.unknowns:
        yield f"cannot be known from the templates: {path}{unknown}"
    for change in stack.changes:
        if change.nested:
            yield from _describe_unknowns(change.nested, f"{path}{change.logical_id}/")


def summarize_plan(plan: Plan) -> str:
    """Return the counts, how many changes revert drift, and how many listed changes are spurious."""
    count = count_changes(plan.stack)
    summary = str(count)
    if reverted := sum(_reverts_drift(change) for _, change in plan.stack.walk()):
        verb = "change reverts" if reverted == 1 else "changes revert"
        summary += f" {reverted} {verb} what was done outside CloudFormation."
    if count.spurious:
        verb = "is" if count.spurious == 1 else "are"
        summary += f" ({count.spurious} more {verb} listed by CloudFormation but will not change.)"
    return summary


def _reverts_drift(change: Change) -> bool:
    return change.drift in ("MODIFIED", "DELETED") and change.action != "SyncWithActual" and not change.is_spurious


def print_outputs(console: Console, outputs: dict[str, str]) -> None:
    """Print a line for each, without wrapping, so that values can be copied."""
    width = max(map(len, outputs), default=0)
    for key in sorted(outputs):
        line = make_line(f"{key:<{width}}  {outputs[key]}")
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def print_failure(console: Console, failure: Failure) -> None:
    """Print the first cause, then what was rolled back, then the next step."""
    lines = []
    cause = failure.cause
    if cause:
        console.print(Text.assemble(("✗ ", "bold red"), (make_line(str(cause)), "bold"), f" {make_line(cause.status)}"))
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
    label, count = (
        ("kept:", failure.preserved) if failure.status in PRESERVING else ("rolled back:", failure.rolled_back)
    )
    resources = "1 resource" if count == 1 else f"{count} resources"
    if failure.events_command:
        lines.append(("all events:", failure.events_command))
    lines += [(label, f"{resources}; {failure.stack_name}: {failure.outcome}"), ("next:", failure.next_step)]
    for label, text in lines:
        console.print(Text.assemble("  ", (f"{label} " if label else "", "dim"), make_line(text)), soft_wrap=True)


def describe_action(change: Change) -> tuple[str, str, str]:
    """Return the sign of a change, its colour, and notes such as "(replaced)"."""
    kind, note = _classify_action(change)
    is_news = kind != "record" and (change.resource_type, change.drift) != (STACK, "UNSUPPORTED")
    drift_note = _DRIFT_NOTES.get(change.drift, "") if is_news else ""
    condition = f"(if {make_line(change.condition)})" if change.condition else ""
    return (*_SYMBOLS[kind], " ".join(filter(None, (note, drift_note, condition))))


def _classify_action(change: Change) -> tuple[str, str]:
    kind, note = "change", ""
    if change.action == "Import":
        kind, note = "import", f"(imports {change.physical_id or change.logical_id})"
    elif change.action == "Add":
        kind = "create"
    elif change.action == "SyncWithActual":
        kind, note = "record", "(already so: CloudFormation only records it)"
    elif change.action == "Remove":
        kind = "delete"
        if change.policy_action in ("Retain", "Snapshot"):
            note = "(retained)"
        elif change.resource_type == STACK:
            note = "(and everything in it)"
    elif change.may_be_removed:
        note = "(may be removed)"
    elif change.replacement == "True":
        kind, note = "replace", "(replaced)"
    elif change.replacement == "Conditional" and change.resource_type != STACK:
        note = "(may be replaced)"
    return kind, note


def choose_differences(prop: PropertyChange, *, full: bool = False) -> tuple[list[PropertyChange], int]:
    """Return the differences of a property to show, and how many more there are."""
    differences = split_property(prop)
    shown = differences if full else differences[:_MOST_DIFFERENCES]
    return shown, len(differences) - len(shown)


def _count_hidden(prop: PropertyChange, hidden: int) -> str:
    return f"{make_line(prop.name)}: {hidden} more difference{'' if hidden == 1 else 's'}"


def _format_values(*values: str | None, full: bool = False) -> list[str]:
    """Return each value in one line, with white space that one cannot see where it is what differs.

    A long one is cut unless all is to be shown in ``full``.
    """
    lines = list(map(_to_line, values))
    if len({" ".join(line.split()) for line in lines}) < len(set(lines)):
        lines = [line.replace(" ", "␣") for line in lines]
    if len(set(lines)) < len(set(values)):
        # One has a character where another has the escape of it.
        escaped = [None if value is None else value.replace("\\", "\\\\") for value in values]
        lines = list(map(_to_line, escaped))
    return [line if full or len(line) <= LONGEST_VALUE else f"{line[:LONGEST_VALUE]}…" for line in lines]


def _to_line(text: str | None) -> str:
    return "(none)" if text is None else make_line(text.replace(KNOWN_AFTER_APPLY, "(known after apply)"))


def shown_properties(plan: Plan, path: str, change: Change) -> list[PropertyChange]:
    """Return the properties to show before and after: those with values that no policy statement expresses.

    Policy statements compare templates, so they do not express the actual value of a drifted property.
    """
    has_statements = any(statement.holder == path for statement in plan.statements)
    properties = [
        prop
        for prop in change.properties
        if prop.is_drifted
        or ((prop.before, prop.after) != (None, None) and not (has_statements and _is_in_statements(prop)))
    ]
    return [prop for prop in properties if not any(_is_part(prop, whole) for whole in properties)]


def _is_part(prop: PropertyChange, whole: PropertyChange) -> bool:
    """Whether the differences of another property, as the service lists it, include this one of the comparison."""
    if not prop.name.startswith(f"{whole.name}/"):
        return False
    values = (prop.name, prop.before, prop.after)
    return values in [(part.name, part.before, part.after) for part in split_property(whole)]


def _is_in_statements(prop: PropertyChange) -> bool:
    """Whether the property is a policy document, or a part of one, that the policy statements express."""
    parts = prop.name.split("/")
    if parts[-1] in _NOT_IN_STATEMENTS:
        return False
    return is_policy(prop.name, prop.before, prop.after)


def omitted_properties(plan: Plan, path: str, change: Change) -> str:
    """Return the names of the other properties, each once."""
    properties = shown_properties(plan, path, change)
    return ", ".join(dict.fromkeys(prop.name.split("/")[0] for prop in change.properties if prop not in properties))


def list_values(prop: PropertyChange, *, is_added: bool = False, full: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the parts of a line with the values of a property, each with its style: two values, or three if drifted.

    An added resource has one. The three are in the order of time: what was last deployed, what is there now, and what
    the template says.
    """
    if not prop.is_drifted:
        before, after = _format_values(prop.before, prop.after, full=full)
        if prop.before is None and is_added:
            yield after, "green"
        else:
            yield from ((before, "red"), (" → ", "dim"), (after, "green"))
        if prop.condition:
            yield f" if {make_line(prop.condition)}", "dim"
        return
    deployed, real, template = _format_values(prop.deployed, prop.before, prop.after, full=full)
    yield from (("deployed ", "dim"), (deployed, ""), (" → real ", "dim"), (real, "red"))
    yield from ((" = template " if prop.before == prop.after else " → template ", "dim"), (template, "green"))


def ignored_drift_lines(change: Change) -> list[str]:
    """Return a line for the attributes whose drift stays, with the reasons in CloudFormation's terms.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceDriftIgnoredAttribute.html
    """
    return [f"drift is left as it is: {', '.join(change.ignored_drift)}"] if change.ignored_drift else []


def describe_differences(prop: PropertyChange, *, is_added: bool = False) -> Iterator[str]:
    """Yield the lines of a property in a comment, and how many more of its differences only the log shows."""
    differences, hidden = choose_differences(prop)
    for difference in differences:
        values = "".join(text for text, _ in list_values(difference, is_added=is_added))
        yield f"{make_line(difference.name)}: {values}{_recreation_note(prop)}"
    if hidden:
        yield f"{_count_hidden(prop, hidden)}: see the log of the workflow"


def _recreation_note(prop: PropertyChange) -> str:
    return {"Always": " (forces replacement)", "Conditionally": " (may force replacement)"}.get(prop.recreation, "")


def summary_lines(stack: StackChanges) -> list[str]:
    """Return the lines about changed outputs, spurious changes and unchanged nested stacks."""
    spurious = [change for change in stack.changes if change.is_spurious]
    resources = [change.logical_id for change in spurious if change.resource_type != STACK]
    stacks = [*stack.unchanged, *(change.logical_id for change in spurious if change.resource_type == STACK)]
    lines = []
    if stack.outputs:
        lines.append(f"outputs: {', '.join(stack.outputs)}")
    if resources:
        lines.append(f"listed but unchanged: {', '.join(resources)} (they reference values that do not change)")
    if stacks:
        lines.append(f"unchanged: {', '.join(stacks)}")
    return lines


def condition_lines(condition: str) -> list[str]:
    """Return a line for each operator and key of a policy's condition, without control characters.

    ``condition`` is JSON, and a condition that is no mapping, such as a function, is one line.
    """
    if not condition:
        return []
    try:
        operators = json.loads(condition)
    except ValueError:
        operators = None
    if not isinstance(operators, dict):
        return [make_line(condition)]
    lines = []
    for operator, keys in operators.items():
        for key, values in keys.items() if isinstance(keys, dict) else [("", keys)]:
            text = " or ".join(map(str, values)) if isinstance(values, list) else str(values)
            lines.append(f"{operator} {key} {text}" if key else f"{operator} {text}")
    return list(map(make_line, lines))


def _add_changes(
    tree: Tree, plan: Plan, stack: StackChanges, path: str, created: tuple[str, ...], *, full: bool
) -> None:
    """``created`` are the paths of the stacks that take one line, and one for each resource that they import."""
    for change in stack.changes:
        if change.is_spurious:
            continue
        resource_path = f"{path}{change.logical_id}"
        branch = tree.add(_change_line(plan, resource_path, change))
        if change.nested and f"{resource_path}/" in created:
            branch.label = Text.assemble(
                _change_line(plan, resource_path, change), f" {_count_stack(plan, change, path)}"
            )
            for below, imported in change.nested.walk(f"{resource_path}/"):
                if imported.action == "Import":
                    branch.add(_change_line(plan, below, imported))
            continue
        for prop in shown_properties(plan, resource_path, change):
            for property_line in _property_lines(prop, is_added=change.action == "Add", full=full):
                branch.add(property_line)
        for line in ignored_drift_lines(change):
            branch.add(Text(line, style="dim"))
        if change.nested:
            _add_changes(branch, plan, change.nested, f"{resource_path}/", created, full=full)
    for line in summary_lines(stack):
        tree.add(Text(line, style="dim"))


def _count_stack(plan: Plan, change: Change, path: str) -> str:
    count = count_changes(change.nested) if change.nested else Count()
    statements = sum(statement.holder.startswith(f"{path}{change.logical_id}/") for statement in plan.statements)
    parts = [f"{count.add} resources"]
    parts += [f"{count.imports} imported"] if count.imports else []
    parts += [f"{statements} policy statement{'' if statements == 1 else 's'}"] if statements else []
    return ", ".join(parts)


def _change_line(plan: Plan, path: str, change: Change) -> Text:
    sign, colour, note = describe_action(change)
    line = Text.assemble((sign, colour), f" {change.logical_id} ", (change.resource_type, "dim"))
    if names := omitted_properties(plan, path, change):
        line.append(f" {names}", style="dim")
    return line.append(f" {note}", style=_NOTE_COLOURS.get(sign, "red")) if note else line


def _property_lines(prop: PropertyChange, *, is_added: bool = False, full: bool = False) -> Iterator[Text]:
    differences, hidden = choose_differences(prop, full=full)
    for difference in differences:
        values = list_values(difference, is_added=is_added, full=full)
        yield Text.assemble(f"{make_line(difference.name)}: ", *values, (_recreation_note(prop), "red"))
    if hidden:
        yield Text(f"{_count_hidden(prop, hidden)}; --full shows them", style="dim")


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
            Text.assemble(f"{statement.holder}\n", (statement.kind, "dim")),
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
    if statement.resource:
        # A resource policy names for whom it is; the resource only if that is not the policy's own.
        is_principal = statement.kind in RESOURCE_POLICIES and " for " not in statement.resource
        lines.append(f"{'for' if is_principal else 'on'} {statement.resource}")
    lines += [f"if {line}" for line in condition_lines(statement.condition)]
    for line in lines:
        # What is wrapped stands two more to the right.
        first, *others = Text(line).wrap(console, max(console.width - 6, 20))
        for part, indent in ((first, 4), *((other, 6) for other in others)):
            console.print(Padding(part, (0, 0, 0, indent), expand=False))

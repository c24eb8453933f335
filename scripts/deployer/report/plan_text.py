"""A plan, a failure and outputs as text. What would be lost, the warnings and the counts come first."""

import json
from collections.abc import Iterable, Iterator

from rich.console import Console
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
from .hanging import Hanging, print_hanging, print_warning

# At most so many differences of one property are shown, unless the plan is to be full.
_MOST_DIFFERENCES = 5
# A plan that only adds lists at most so many policy statements, unless it is to be full.
_MOST_STATEMENTS = 10
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


def print_plan(console: Console, plan: Plan, *, full: bool = False, lists_retained: bool = True) -> None:
    """Print what would be lost, every other warning, the counts, the tree with each property, and the policies.

    Unless the plan is to be ``full``, a stack that is created takes one line, and where a plan only adds, each resource
    does with all that it grants. ``lists_retained`` is whether to name what is removed from its stack and retained.
    """
    plan = map_texts(plan, make_line)
    display = _Display(plan, full=full, lists_retained=lists_retained)
    _print_warnings(console, display)
    print_hanging(console, Text(summarize_plan(plan), style="bold"))
    tree = Tree(Text(plan.stack.name, style="bold"))
    _add_changes(tree, display, plan.stack, "")
    console.print(tree)
    statements = [statement for statement in plan.statements if not display.is_folded(statement)]
    if statements:
        console.print(Text("\nPolicy changes", style="bold"))
        for statement in statements:
            _print_statement(console, statement)
    if notes := _describe_hidden(display, len(plan.statements) - len(statements)):
        print_hanging(console, Text(notes, style="dim"))
    if not full and _is_cut(display):
        print_hanging(console, Text("--full shows the values that end in … as a whole.", style="dim"))
    if plan.source:
        print_hanging(console, Text(plan.source, style="dim"))


class _Display:
    """What of a plan is shown, and how much of it."""

    def __init__(self, plan: Plan, *, full: bool, lists_retained: bool) -> None:
        self.plan, self.full, self.lists_retained = plan, full, lists_retained
        # The paths of the stacks that take one line, and one for each resource that they import.
        self.created = () if full else tuple(f"{path}/" for path, item in plan.stack.walk() if _is_created_stack(item))
        changes = [change for change in plan.stack.changes if not change.is_spurious]
        # As of a stack that is created, nothing of what exists changes.
        only_adds = bool(changes) and all(change.action == "Add" for change in changes)
        self._folds_added = only_adds and len(plan.statements) > _MOST_STATEMENTS

    def is_folded(self, statement: StatementChange) -> bool:
        """Whether the line of a stack or a resource counts the statement, which no warning names."""
        if self.full or not (self._folds_added or statement.holder.startswith(self.created)):
            return False
        return not any(notice.startswith(f"{statement.holder} ({statement.kind})") for notice in self.plan.notices)

    def is_shown(self, change: Change) -> bool:
        return not change.is_spurious and (
            self.lists_retained or not (change.action == "Remove" and change.is_retained)
        )

    def count_folded(self, path: str) -> int:
        """Return how many policy statements the line of a resource stands for."""
        return sum(statement.holder == path for statement in self.plan.statements if self.is_folded(statement))


def _describe_hidden(display: _Display, hidden: int) -> str:
    """Return how to see what is folded; empty if nothing is."""
    statements = f"what {hidden} policy statement{' grants' if hidden == 1 else 's grant'}"
    if display.created:
        return f"--full lists the resources of these stacks and {statements}."
    return f"--full lists {statements}." if hidden else ""


def _print_warnings(console: Console, display: _Display) -> None:
    dangers = find_dangers(display.plan.stack)
    for danger in (danger for danger in dangers if not danger.is_unprotection):
        if not display.lists_retained and not danger.loss:
            continue
        print_warning(console, make_line(str(danger)), "red")
        for cause in danger.causes:
            for property_line in _property_lines(cause, full=display.full):
                print_hanging(console, Text("    ").append(property_line), indent=6)
    for line in (*join_unprotections(dangers), *list_notices(display.plan)):
        print_warning(console, make_line(line), "yellow")


def _is_cut(display: _Display) -> bool:
    """Whether a value that is shown is too long for its line."""
    plan = display.plan
    return any(
        len(_to_line(value)) > LONGEST_VALUE
        for path, change in plan.stack.walk()
        if not change.is_spurious and not path.startswith(display.created)
        for prop in shown_properties(plan, path, change)
        for difference in choose_differences(prop)[0]
        for value in (difference.before, difference.after, difference.deployed)
    )


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
    """Print a line for each, without wrapping, so that values can be copied.

    On a terminal where a line would not fit, the value begins the next one.
    """
    width = max(map(len, outputs), default=0)
    for key in sorted(outputs):
        name, value = make_line(f"{key:<{width}}"), make_line(outputs[key])
        is_long = console.is_terminal and len(name) + 2 + len(value) > console.width
        lines = [key, f"  {value}"] if is_long else [f"{name}  {value}"]
        for line in lines:
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
    for event in failure.retained:
        is_retained = event.status == "DELETE_SKIPPED"
        lines.append(
            ("retained, with what it holds:" if is_retained else "not deleted:", f"{event} {event.physical_id}")
        )
    label, count = (
        ("kept:", failure.preserved) if failure.status in PRESERVING else ("rolled back:", failure.rolled_back)
    )
    resources = "1 resource" if count == 1 else f"{count} resources"
    if failure.shift_command:
        lines.append(("CodeDeploy's reason:", failure.shift_command))
    if failure.events_command:
        lines.append(("all events:", failure.events_command))
    lines += [(label, f"{resources}; {failure.stack_name}: {failure.outcome}"), ("next:", failure.next_step)]
    for label, text in lines:
        print_hanging(console, Text.assemble("  ", (f"{label} " if label else "", "dim"), make_line(text)), indent=4)


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
            keeps_any = change.nested is not None and any(below.is_retained for _, below in change.nested.walk())
            note = "(all but what is retained)" if keeps_any else "(and everything in it)"
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


def _add_changes(tree: Tree, display: _Display, stack: StackChanges, path: str) -> None:
    plan = display.plan
    for change in filter(display.is_shown, stack.changes):
        resource_path = f"{path}{change.logical_id}"
        line = _change_line(plan, resource_path, change)
        if change.nested and f"{resource_path}/" in display.created:
            branch = tree.add(Hanging(line.append(f" {_count_stack(plan, change, path)}")))
            for below, imported in change.nested.walk(f"{resource_path}/"):
                if imported.action == "Import":
                    branch.add(Hanging(_change_line(plan, below, imported)))
            continue
        if count := display.count_folded(resource_path):
            line.append(f" {_count_statements(count)}")
        branch = tree.add(Hanging(line))
        for prop in shown_properties(plan, resource_path, change):
            for property_line in _property_lines(prop, is_added=change.action == "Add", full=display.full):
                branch.add(Hanging(property_line))
        for text in ignored_drift_lines(change):
            branch.add(Hanging(Text(text, style="dim")))
        if change.nested:
            _add_changes(branch, display, change.nested, f"{resource_path}/")
    for text in summary_lines(stack):
        tree.add(Hanging(Text(text, style="dim")))


def _count_stack(plan: Plan, change: Change, path: str) -> str:
    count = count_changes(change.nested) if change.nested else Count()
    statements = sum(statement.holder.startswith(f"{path}{change.logical_id}/") for statement in plan.statements)
    parts = [f"{count.add} resources"]
    parts += [f"{count.imports} imported"] if count.imports else []
    parts += [_count_statements(statements)] if statements else []
    return ", ".join(parts)


def _count_statements(count: int) -> str:
    return f"{count} policy statement{'' if count == 1 else 's'}"


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


def _print_statement(console: Console, statement: StatementChange) -> None:
    sign = ("+ ", "green") if statement.added else ("- ", "red")
    effect = (statement.effect, "red" if statement.effect == "Deny" else "")
    when = (f" (if {statement.when})" if statement.when else "", "dim")
    print_hanging(
        console, Text.assemble(sign, statement.holder, (f" {statement.kind} ", "dim"), effect, when), indent=6
    )
    lines = [", ".join(statement.actions)]
    if statement.resource:
        # A resource policy names for whom it is; the resource only if that is not the policy's own.
        is_principal = statement.kind in RESOURCE_POLICIES and " for " not in statement.resource
        lines.append(f"{'for' if is_principal else 'on'} {statement.resource}")
    # All conditions of a statement have to be met.
    lines += [
        f"{'and if' if number else 'if'} {line}" for number, line in enumerate(condition_lines(statement.condition))
    ]
    for line in lines:
        print_hanging(console, Text(f"    {line}"), indent=6)

"""A plan as Markdown: the comment on a pull request."""

import html
import itertools
import re
from collections.abc import Iterator, Sequence

from scripts.common.suggestion import find_suggestions
from scripts.common.terminal import make_line
from scripts.deployer.plan.danger import Danger, find_dangers
from scripts.deployer.plan.model import Count, Plan, StackChanges
from scripts.deployer.plan.serialization import map_texts

from . import plan_text

# A comment on GitHub holds 65,536 characters.
LONGEST_COMMENT = 60_000
# By this, the workflow finds its own comment among those of others.
MARKER = "<!-- payment-platform plan -->"
# The beginning of an address that GitHub makes a link of: a space without width behind it prevents that.
_ADDRESS = re.compile(r":(?=//)|www(?=\.)", re.IGNORECASE)
# What would make an item of a list of its own at the beginning of a line.
_LIST_SIGN = re.compile(r"^(\d*)([-+=.)])(?=\s|$)")
# The colon of ARNs, such as those of secrets, before what GitHub makes a picture of.
_SHORT_CODE = re.compile(r":(?=(?:secret|key):)")


def render_plan(plan: Plan, title: str, findings: str = "", longest: int = LONGEST_COMMENT) -> str:
    """Return the plan below its title and the preflight's ``findings``.

    A plan of more than ``longest`` characters, too long for a comment, loses lines of its changes, but never its
    counts, what would be lost, what policies grant, and notices.
    """
    plan = map_texts(plan, make_line)
    head = [MARKER, f"### {title}", "", f"**{plan_text.summarize_plan(plan)}**", ""]
    all_dangers = find_dangers(plan.stack)
    dangers = [line for danger in all_dangers if not danger.is_unprotection for line in _danger_lines(danger)]
    head += ["> [!CAUTION]", *dangers, ""] if dangers else []
    warnings = (*plan_text.join_unprotections(all_dangers), *plan_text.list_notices(plan))
    notices = [f"> - {escape_cell(warning)}" for warning in warnings]
    head += ["> [!WARNING]", *notices, ""] if notices else []
    head += [findings] if findings else []
    tail = []
    if plan.statements:
        tail += ["", "<details><summary>Policy changes</summary>", "", *_statement_rows(plan), "", "</details>"]
    tail += ["", f"_{escape_cell(plan.source)}_"] if plan.source else []
    changes = list(_diff_lines(plan, plan.stack, ""))
    shown_lines = _count_fitting_lines(changes, longest - sum(len(line) + 1 for line in (*head, *tail)))
    body = ["```diff", *changes[:shown_lines], "```"] if changes else []
    if shown_lines < len(changes):
        body += ["", f"({len(changes) - shown_lines} more lines: the whole plan is in the log of the workflow)"]
    return "\n".join([*head, *body, *tail]) + "\n"


def _danger_lines(danger: Danger) -> Iterator[str]:
    yield f"> - :warning: **{escape_cell(str(danger))}**"
    for prop in danger.causes:
        for line in plan_text.describe_differences(prop):
            yield f">   - {escape_cell(line)}"


def _count_fitting_lines(lines: list[str], characters: int) -> int:
    lengths = itertools.accumulate(len(line) + 1 for line in lines)
    return sum(length <= characters for length in lengths)


def render_no_changes(title: str) -> str:
    return f"{MARKER}\n### {title}\n\nNo changes.\n"


def render_error(title: str, message: str, findings: str = "") -> str:
    """Return what stands in place of a plan, with the preflight's ``findings``, which may be the reason."""
    return f"{MARKER}\n### {title}\n\n**No plan:** {_render_lines(message)}\n" + (findings and f"\n{findings}")


def render_failure_after_plan(message: str) -> str:
    """Return what follows a plan if the command fails after it, so that the comment does not deny its own plan."""
    return f"\n**The command failed after this plan was made:** {_render_lines(message)}\n"


def _render_lines(message: str) -> str:
    """Return a message of one line as text, and one of several, such as a list of mistakes, as a list."""
    lines = [escape_cell(line) for line in message.split("\n") if line.strip()]
    return "".join(lines) if len(lines) < 2 else "\n" + "".join(f"\n- {line}" for line in lines)


def render_total(stack_names: Sequence[str], total: Count) -> str:
    """Return the sum of the plans of these stacks, which follows them."""
    names = " and ".join(f"`{name}`" for name in stack_names)
    return f"\n**Both stacks** ({names}): {str(total).removeprefix('Plan: ')}\n"


def _diff_lines(plan: Plan, stack: StackChanges, indent: str, path: str = "") -> Iterator[str]:
    """Yield the lines of a ``diff`` block, where the sign at the beginning of a line sets its colour."""
    for change in stack.changes:
        if change.is_spurious:
            continue
        resource_path = f"{path}{change.logical_id}"
        sign, _, word = plan_text.describe_action(change)
        mark = {"~": "!", "-/+": "-", "<": "+"}.get(sign, sign)
        names = plan_text.omitted_properties(plan, resource_path, change)
        parts = [f"{mark} {indent}{sign} {change.logical_id}", change.resource_type, names, word]
        yield " ".join(part for part in parts if part)
        for prop in plan_text.shown_properties(plan, resource_path, change):
            for line in plan_text.describe_differences(prop, is_added=change.action == "Add"):
                yield f"  {indent}    {line}"
        for line in plan_text.ignored_drift_lines(change):
            yield f"  {indent}    {line}"
        if change.nested:
            yield from _diff_lines(plan, change.nested, f"{indent}  ", f"{resource_path}/")
    for line in plan_text.summary_lines(stack):
        yield f"  {indent}{line}"


def _statement_rows(plan: Plan) -> Iterator[str]:
    yield "| | Policy | Effect | Action | Resource / principal | Condition |"
    yield "|---|---|---|---|---|---|"
    for statement in plan.statements:
        # Each cell as its lines, which are escaped before they are joined with mark-up.
        cells = (
            ["➕" if statement.added else "➖"],  # noqa: RUF001
            [f"{statement.holder} ({statement.kind})", *([f"(if {statement.when})"] if statement.when else [])],
            [statement.effect],
            statement.actions,
            [statement.resource],
            plan_text.condition_lines(statement.condition),
        )
        yield "| " + " | ".join("<br>".join(map(escape_cell, lines)) for lines in cells) + " |"


def escape_cell(cell: str) -> str:
    """Return the text as Markdown of one line that shows it as it is: no link, mark-up, HTML or mention of a person.

    Nor is a part of it a formula, which could hide another part:
    https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/writing-mathematical-expressions
    GitHub makes links also of addresses that are no mark-up: https://github.github.com/gfm/#autolinks-extension-
    """
    cell = make_line(cell.replace("\n", " "))
    # A command is code, which can be copied, but for the characters that end code or a cell.
    commands = [span for span in find_suggestions(cell) if not {"`", "|"} & set(cell[slice(*span)])]
    parts, written = [], 0
    for start, end in commands:
        parts += [_escape_text(cell[written:start]), f"`{cell[start:end]}`"]
        written = end
    return _LIST_SIGN.sub(r"\1\\\2", "".join([*parts, _escape_text(cell[written:])]))


def _escape_text(text: str) -> str:
    for character in "\\|*_`[]#~":
        text = text.replace(character, f"\\{character}")
    text = html.escape(text, quote=False).replace("$", "<span>$</span>").replace("@", "@&#8203;")
    return _SHORT_CODE.sub("<span>:</span>", _ADDRESS.sub(r"\g<0>&#8203;", text))

"""A plan as Markdown: the comment on a pull request."""

from collections.abc import Iterator

from scripts.deployer.plan.danger import find_dangers
from scripts.deployer.plan.model import Plan, StackChanges

from . import plan_text

# A comment on GitHub holds 65,536 characters.
LONGEST_COMMENT = 60_000


def render_plan(plan: Plan, title: str, findings: str = "") -> str:
    """Return the plan as a comment, which is cut, if it is too long, after its summary and what would be lost."""
    head = [f"### {title}", "", f"**{plan_text.summarize_plan(plan)}**", ""]
    dangers = [f"> :warning: **{escape_cell(str(danger))}**" for danger in find_dangers(plan.stack)]
    head += ["> [!CAUTION]", *dangers, ""] if dangers else []
    head += [findings] if findings else []
    changes = list(_diff_lines(plan.stack, ""))
    body = ["```diff", *changes, "```"]
    if plan.statements:
        body += ["", "<details><summary>What policies grant</summary>", "", *_statement_rows(plan), "", "</details>"]
    body += [f"\n:information_source: {escape_cell(notice)}" for notice in plan.notices]
    body += ["", f"_{escape_cell(plan.source)}_"] if plan.source else []
    comment = "\n".join([*head, *body])
    if len(comment) <= LONGEST_COMMENT:
        return comment + "\n"
    cut = "\n".join(head) + "\n".join(changes)
    return f"{cut[:LONGEST_COMMENT]}\n\n(cut: the whole plan is in the log)\n"


def render_no_changes(title: str) -> str:
    return f"### {title}\n\nNo changes.\n"


def _diff_lines(stack: StackChanges, indent: str) -> Iterator[str]:
    """Yield the lines of a ``diff`` block, in which the first character of a line decides its colour."""
    for change in stack.changes:
        if change.is_spurious:
            continue
        sign, _, word = plan_text.describe_action(change)
        mark = {"~": "!", "-/+": "-"}.get(sign, sign)
        names = plan_text.omitted_properties(change)
        parts = [f"{mark} {indent}{sign} {change.logical_id}", change.resource_type, names, word]
        yield " ".join(part for part in parts if part)
        for prop in plan_text.shown_properties(change):
            before, after = plan_text.format_value(prop.before), plan_text.format_value(prop.after)
            yield f"  {indent}    {prop.name}: {before} → {after}{plan_text.recreation_note(prop)}"
        if change.nested:
            yield from _diff_lines(change.nested, f"{indent}  ")
    for line in plan_text.summary_lines(stack):
        yield f"  {indent}{line}"


def _statement_rows(plan: Plan) -> Iterator[str]:
    yield "| | Policy | Effect | Action | Resource, or for whom | Condition |"
    yield "|---|---|---|---|---|---|"
    for statement in plan.statements:
        cells = (
            "➕" if statement.added else "➖",  # noqa: RUF001
            f"{statement.holder} ({statement.kind})",
            statement.effect,
            "<br>".join(statement.actions),
            statement.resource,
            "<br>".join(plan_text.condition_lines(statement.condition)),
        )
        yield "| " + " | ".join(escape_cell(cell) for cell in cells) + " |"


def escape_cell(cell: str) -> str:
    for character in "\\|*_`[]":
        cell = cell.replace(character, f"\\{character}")
    return cell.replace("\n", " ")

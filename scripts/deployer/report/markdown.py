"""A plan as Markdown: the comment that a pull request gets."""

from collections.abc import Iterator

from scripts.deployer.plan.danger import find_dangers
from scripts.deployer.plan.model import Plan, StackChanges

from . import plan_text

# A comment of GitHub's takes 65,536 characters.
LONGEST = 60_000


def render_plan(shown: Plan, title: str, examined: str = "") -> str:
    """The plan below its title and ``examined``, the findings before it.

    Cut, where it is too long for a comment; the sum and what is lost are never cut.
    """
    head = [f"### {title}", "", f"**{plan_text.summarize_plan(shown)}**", ""]
    lost = [f"> :warning: **{escape_cell(str(danger))}**" for danger in find_dangers(shown.stack)]
    head += ["> [!CAUTION]", *lost, ""] if lost else []
    head += [examined] if examined else []
    body = ["```diff", *_diff_lines(shown.stack, ""), "```"]
    if shown.statements:
        body += ["", "<details><summary>What policies grant</summary>", "", *_statement_rows(shown), "", "</details>"]
    body += [f"\n:information_source: {escape_cell(notice)}" for notice in shown.notices]
    body += ["", f"_{escape_cell(shown.source)}_"] if shown.source else []
    whole = "\n".join([*head, *body])
    if len(whole) <= LONGEST:
        return whole + "\n"
    cut = "\n".join(head) + "\n".join(_diff_lines(shown.stack, ""))
    return f"{cut[:LONGEST]}\n\n(cut: the whole plan is in the log)\n"


def render_no_changes(title: str) -> str:
    return f"### {title}\n\nNo changes.\n"


def _diff_lines(stack: StackChanges, indent: str) -> Iterator[str]:
    """In a ``diff`` block, where a sign at the beginning of a line gives it its colour."""
    for change in stack.changes:
        if change.is_spurious:
            continue
        sign, _, word = plan_text.describe_action(change)
        mark = {"~": "!", "-/+": "-"}.get(sign, sign)
        names = plan_text.omitted_properties(change)
        parts = [f"{mark} {indent}{sign} {change.logical_id}", change.resource_type, names, word]
        yield " ".join(part for part in parts if part)
        for one in plan_text.shown_properties(change):
            before, after = plan_text.format_value(one.before), plan_text.format_value(one.after)
            yield f"  {indent}    {one.name}: {before} → {after}{plan_text.recreation_note(one)}"
        if change.nested:
            yield from _diff_lines(change.nested, f"{indent}  ")
    for line in (plan_text.outputs_line(stack), plan_text.spurious_line(stack), plan_text.unchanged_line(stack)):
        if line:
            yield f"  {indent}{line}"


def _statement_rows(shown: Plan) -> Iterator[str]:
    yield "| | Policy | Effect | Action | Resource, or for whom | Condition |"
    yield "|---|---|---|---|---|---|"
    for one in shown.statements:
        cells = (
            "➕" if one.added else "➖",  # noqa: RUF001
            f"{one.holder} ({one.kind})",
            one.effect,
            "<br>".join(one.actions),
            one.resource,
            "<br>".join(plan_text.condition_lines(one.condition)),
        )
        yield "| " + " | ".join(escape_cell(cell) for cell in cells) + " |"


def escape_cell(cell: str) -> str:
    for character in "\\|*_`[]":
        cell = cell.replace(character, f"\\{character}")
    return cell.replace("\n", " ")

"""A plan as Markdown: the comment that a pull request gets."""

from collections.abc import Iterator

from scripts.deployer.plan.danger import dangers
from scripts.deployer.plan.model import Plan, StackChanges

from . import text

# A comment of GitHub's takes 65,536 characters.
LONGEST = 60_000


def plan(shown: Plan, title: str, examined: str = "") -> str:
    """The plan below its title and ``examined``, the findings before it.

    Cut, where it is too long for a comment; the sum and what is lost are never cut.
    """
    head = [f"### {title}", "", f"**{text.summary(shown)}**", ""]
    lost = [f"> :warning: **{escaped(str(danger))}**" for danger in dangers(shown.stack)]
    head += ["> [!CAUTION]", *lost, ""] if lost else []
    head += [examined] if examined else []
    body = ["```diff", *_lines(shown.stack, ""), "```"]
    if shown.statements:
        body += ["", "<details><summary>What policies grant</summary>", "", *_statements(shown), "", "</details>"]
    body += [f"\n:information_source: {escaped(notice)}" for notice in shown.notices]
    body += ["", f"_{escaped(shown.source)}_"] if shown.source else []
    whole = "\n".join([*head, *body])
    if len(whole) <= LONGEST:
        return whole + "\n"
    cut = "\n".join(head) + "\n".join(_lines(shown.stack, ""))
    return f"{cut[:LONGEST]}\n\n(cut: the whole plan is in the log)\n"


def no_changes(title: str) -> str:
    return f"### {title}\n\nNo changes.\n"


def _lines(stack: StackChanges, indent: str) -> Iterator[str]:
    """In a ``diff`` block, where a sign at the beginning of a line gives it its colour."""
    for change in stack.changes:
        if change.phantom:
            continue
        sign, _, word = text.symbol(change)
        mark = {"~": "!", "-/+": "-"}.get(sign, sign)
        names = text.untold(change)
        parts = [f"{mark} {indent}{sign} {change.logical_id}", change.resource_type, names, word]
        yield " ".join(part for part in parts if part)
        for one in text.told(change):
            yield f"  {indent}    {one.name}: {text.value(one.before)} → {text.value(one.after)}{text.note(one)}"
        if change.nested:
            yield from _lines(change.nested, f"{indent}  ")
    for line in (text.outputs_of(stack), text.phantoms(stack), text.unchanged(stack)):
        if line:
            yield f"  {indent}{line}"


def _statements(shown: Plan) -> Iterator[str]:
    yield "| | Policy | Effect | Action | Resource, or for whom | Condition |"
    yield "|---|---|---|---|---|---|"
    for one in shown.statements:
        cells = (
            "➕" if one.added else "➖",  # noqa: RUF001
            f"{one.holder} ({one.kind})",
            one.effect,
            "<br>".join(one.actions),
            one.resource,
            "<br>".join(text.condition(one.condition)),
        )
        yield "| " + " | ".join(escaped(cell) for cell in cells) + " |"


def escaped(cell: str) -> str:
    for character in "\\|*_`[]":
        cell = cell.replace(character, f"\\{character}")
    return cell.replace("\n", " ")

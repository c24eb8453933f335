"""Reports in Markdown, as a library renders them: nothing is joined, broken, or taken for mark-up."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from markdown_it import MarkdownIt

from scripts.common.suggestion import suggest_command
from scripts.deployer.finding import Finding, Verdict
from scripts.deployer.plan.model import Change, Plan, PropertyChange, StackChanges, StatementChange
from scripts.deployer.report.findings import render_findings
from scripts.deployer.report.markdown import render_error, render_failure_after_plan, render_plan

# GitHub's tables are an extension of CommonMark: https://github.github.com/gfm/#tables-extension-
_PARSER = MarkdownIt("commonmark").enable("table")
AWKWARD = (
    "a|b",
    "`code` and ``more``",
    "```",
    "- item",
    "+ item",
    "1. item",
    "# title",
    "> quote",
    "*bold* _it_",
    "<b>",
)


@dataclass
class Rendered:
    """The texts of each kind of block, without their mark-up."""

    items: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    fences: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)


def render(text: str) -> Rendered:
    rendered, tokens = Rendered(), _PARSER.parse(text)
    depth = 0
    for opening, token in zip([None, *tokens], tokens, strict=False):
        depth += (token.type == "list_item_open") - (token.type == "list_item_close")
        if token.type == "fence":
            rendered.fences.append(token.content)
        elif token.type == "tr_open":
            rendered.rows.append([])
        elif token.type == "inline" and opening:
            rendered.codes += [child.content for child in token.children or () if child.type == "code_inline"]
            content = "".join(_list_texts(token.children or ()))
            if opening.type in ("th_open", "td_open"):
                rendered.rows[-1].append(content)
            elif opening.type == "heading_open":
                rendered.titles.append(content)
            else:
                (rendered.items if depth else rendered.paragraphs).append(content)
    return rendered


def _list_texts(children) -> Iterator[str]:
    for child in children:
        if child.type == "html_inline":
            yield "\n" if child.content == "<br>" else ""
        else:
            yield child.content.replace("\u200b", "") or ("\n" if child.type == "softbreak" else "")


def test_each_mistake_of_an_error_is_an_item_of_a_list() -> None:
    mistakes = ["settings.toml: [dev] colour: unknown key", "settings.toml: [dev] log_level = 3: it must be a text"]
    for text in (render_error("Plan", "\n".join(mistakes)), render_failure_after_plan("\n".join(mistakes))):
        rendered = render(text)
        assert rendered.items == mistakes
        assert len(rendered.paragraphs) == 1
    single = render(render_error("Plan", mistakes[0]))
    assert (single.items, single.paragraphs) == ([], [f"No plan: {mistakes[0]}"])


@pytest.mark.parametrize("text", AWKWARD)
def test_each_finding_is_a_row_of_its_own(text: str) -> None:
    findings = [Finding(text, verdict, f"{text} exists", f"delete {text}") for verdict in (*Verdict, Verdict.FAILURE)]
    rendered = render(render_error("Plan", "2 findings stop it", render_findings(findings)))
    assert rendered.titles == ["Plan"]
    assert rendered.paragraphs[0] == "No plan: 2 findings stop it"
    # One has passed, and one row is the head.
    assert [row[1:] for row in rendered.rows] == [
        ["Checked", "Finding", "Next step"],
        *[[text, f"{text} exists", f"delete {text}"]] * (len(findings) - 1),
    ]


@pytest.mark.parametrize("text", AWKWARD)
def test_each_loss_and_each_warning_is_an_item_of_its_own(text: str) -> None:
    prop = PropertyChange("TableName", text, f"{text}2", "Always")
    changes = (
        Change("Remove", "Queue", "AWS::SQS::Queue"),
        Change("Modify", "Table", "AWS::DynamoDB::Table", "True", (prop,)),
        Change("Modify", "Logs", "AWS::Logs::LogGroup", properties=(PropertyChange("RetentionInDays", "9", "3"),)),
    )
    plan = Plan(StackChanges("stack", changes), notices=(text, f"{text} again"))
    rendered = render(render_plan(plan, "Plan", render_findings([])))
    causes = [item for item in rendered.items if item.startswith(("TableName", "RetentionInDays"))]
    assert causes == [f"TableName: {text} → {text}2 (forces replacement)", "RetentionInDays: 9 → 3"]
    assert len([item for item in rendered.items if item.startswith(":warning:")]) == 3
    assert rendered.items[-2:] == [text, f"{text} again"]
    assert rendered.paragraphs[-1] == "Before anything is changed: 0 checks passed."


@pytest.mark.parametrize("text", AWKWARD)
def test_the_changes_stay_in_one_block_and_each_statement_in_one_row(text: str) -> None:
    drifted = PropertyChange("Delay", text, f"{text}2", is_drifted=True, deployed=f"{text}0")
    long_value = PropertyChange("Body", f"{'x' * 300}{text}", f"{'x' * 300}{text}{text}")
    changes = (
        Change("Modify", "Queue", "AWS::SQS::Queue", properties=(drifted, long_value), drift="MODIFIED"),
        Change("Remove", "Table", "AWS::DynamoDB::Table", policy_action="Retain"),
    )
    statement = StatementChange(
        True, "Policy", text, "Allow", (text, "s3:Get*"), text, f'{{"StringEquals": {{"a:b": "{text}"}}}}'
    )
    rendered = render(render_plan(Plan(StackChanges("stack", changes), (statement,)), "Plan"))
    (block,) = rendered.fences
    assert block.startswith("! ~ Queue AWS::SQS::Queue (changed outside CloudFormation)\n")
    assert f"Delay: deployed {text}0 → real {text} → template {text}2\n" in block
    assert block.endswith("- - Table AWS::DynamoDB::Table (retained)\n")
    assert len(block.splitlines()) == 4
    _, row = rendered.rows
    assert row[1:] == [f"Policy ({text})", "Allow", f"{text}\ns3:Get*", text, f"StringEquals a:b {text}"]


def test_a_suggested_command_is_code_that_can_be_copied() -> None:
    command = suggest_command("deploy", "apply", "dev", "my_own_$plan@home.json")
    plan = Plan(StackChanges("stack"), notices=(f"first run {command}, and then *look*",))
    finding = Finding("names", Verdict.FAILURE, "it exists", f"take it in ({command})")
    for text in (render_plan(plan, "Plan"), render_error("Plan", f"see {command}"), render_findings([finding])):
        assert render(text).codes == [command]


def test_an_arn_of_a_secret_makes_no_picture() -> None:
    """GitHub shows one for each name between colons that it knows."""
    text = render_error("Plan", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:gateway")
    assert not re.search(r":secret:", text)
    assert render(text).paragraphs == ["No plan: arn:aws:secretsmanager:eu-west-1:123456789012:secret:gateway"]

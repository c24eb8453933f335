"""The lines of a plan: no text from a template or the service makes one of its own, and none hides a difference."""

import io
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from scripts.common.evaluated import Unknown
from scripts.deployer.finding import Finding, Verdict
from scripts.deployer.plan.model import Change, Plan, PropertyChange, StackChanges, StatementChange
from scripts.deployer.report.differences import LONGEST_VALUE, split_property
from scripts.deployer.report.findings import print_findings, render_findings
from scripts.deployer.report.json_reporter import JsonReporter
from scripts.deployer.report.markdown import escape_cell, render_error, render_plan
from scripts.deployer.report.plan_text import print_outputs, print_plan

# Ends of lines, for Python or for a terminal; controls; mark-up of Markdown and rich; what looks like a space.
HOSTILE = "\n\r\x0b\x0c\x1c\x85\u2028\u2029\t\x1b\x9b\x08\u202e\u200b\xa0`#|>*_~[]<-@a "


def make_plan(text: str) -> Plan:
    """Return a plan with the text in place of everything that a template or the service can name."""
    prop = PropertyChange(text, f"{text}1", f"{text}2", condition=text)
    drifted = PropertyChange(text, "1", text, is_drifted=True, deployed=f"{text}0")
    nested = StackChanges(text, (Change("Modify", text, "AWS::Logs::LogGroup", properties=(prop,)),))
    changes = (
        Change("Import", text, text, physical_id=text),
        Change("Modify", text, text, properties=(prop,), drift="MODIFIED", ignored_drift=(text,)),
        Change("Modify", "D", "AWS::SQS::Queue", properties=(drifted,)),
        Change("Remove", text, "AWS::DynamoDB::Table", policy_action="Delete", condition=text),
        Change("Modify", "T", text, "True", (replace(prop, recreation="Always"),)),
        Change("Modify", f"{text}S", text, is_spurious=True),
        Change("Modify", "N", "AWS::CloudFormation::Stack", nested=nested),
    )
    condition = json.dumps({text: {text: [text, text]}})
    statements = (StatementChange(True, text, text, "Allow", (text, text), text, condition, text),)
    return Plan(StackChanges("s", changes, (text,), (text,), (Unknown(text, text),)), statements, (text,), text)


def print_in_lines(plan: Plan, width: int = 100_000, *, full: bool = False) -> list[str]:
    stream = io.StringIO()
    print_plan(Console(file=stream, width=width), plan, full=full)
    return stream.getvalue().split("\n")


@settings(deadline=None)
@given(st.text(HOSTILE, min_size=1, max_size=8))
def test_no_name_or_value_makes_a_line_of_its_own(text: str) -> None:
    hostile, harmless = make_plan(text), make_plan("x")
    for width in (100_000, 139_000):
        assert len(print_in_lines(hostile, width)) == len(print_in_lines(harmless, width))
    assert all(map(str.isprintable, print_in_lines(hostile)))
    comment, expected = (render_plan(plan, "Plan").split("\n") for plan in (hostile, harmless))
    assert len(comment) == len(expected)
    assert all(map(str.isprintable, comment))
    assert [line for line in comment if line.startswith("```")] == ["```diff", "```"]


@settings(deadline=None)
@given(st.text(HOSTILE, min_size=1, max_size=8))
def test_no_name_or_value_ends_a_line_of_json_or_controls_a_terminal(text: str) -> None:
    stream = io.StringIO()
    JsonReporter(stream).show_plan(make_plan(text))
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert json.loads(line)["plan"]["notices"] == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://x.example", "see https:&#8203;//x.example"),
        ("WWW.x.example", "WWW&#8203;.x.example"),
        # GitHub shows what is between two dollars as a formula.
        ("s3:$x$", "s3:<span>$</span>x<span>$</span>"),
        ("arn:aws:s3:::x", "arn:aws:s3:::x"),
    ],
)
def test_a_text_in_a_comment_becomes_no_link_and_no_formula(text: str, expected: str) -> None:
    assert escape_cell(text) == expected
    assert f"> - {expected}\n" in render_plan(Plan(StackChanges("s"), notices=(text,)), "Plan")


@settings(deadline=None)
@given(st.text(HOSTILE, min_size=1, max_size=8))
def test_no_finding_output_or_error_makes_a_line_of_its_own(text: str) -> None:
    findings = [Finding(text, Verdict.FAILURE, text, text)]
    stream = io.StringIO()
    console = Console(file=stream, width=1_000)
    print_findings(console, findings)
    print_outputs(console, {text: text})
    lines = stream.getvalue().split("\n")
    assert (len(lines), all(map(str.isprintable, lines))) == (5, True)
    for markdown in (render_findings(findings), render_error("Plan", text)):
        assert all(map(str.isprintable, markdown.split("\n")))
    assert len(render_findings(findings).split("\n")) == len(
        render_findings([replace(findings[0], text="x")]).split("\n")
    )


def print_values(before: str, after: str, *, full: bool = False) -> str:
    change = Change("Modify", "R", "AWS::StepFunctions::StateMachine", properties=(PropertyChange("P", before, after),))
    return "\n".join(print_in_lines(Plan(StackChanges("s", (change,))), full=full))


def test_each_member_of_a_json_text_that_differs_is_a_line() -> None:
    def write_definition(comment: str, charge: str, number: object) -> str:
        states = {f"S{number}": {"Type": "Pass", "Next": f"S{number + 1}"} for number in range(20)}
        inner = json.dumps({"a": charge, "b": "same"})
        return json.dumps({"Comment": comment, "States": states, "Charge": charge, "Input": inner, "Limit": number})

    before, after = write_definition("1", "once", 5), write_definition("2", "twice", "5")
    assert [(prop.name, prop.before, prop.after) for prop in split_property(PropertyChange("P", before, after))] == [
        ("P/Comment", "1", "2"),
        ("P/Charge", "once", "twice"),
        ("P/Input/a", "once", "twice"),
        ("P/Limit", "5", '"5"'),
    ]
    assert "P/Charge: once → twice" in print_values(before, after)


def test_the_items_of_a_list_are_compared_with_those_that_they_correspond_to() -> None:
    before, after = (json.dumps(items) for items in (["a", "b", "c"], ["new", "a", "b", {"c": 1}]))
    assert [(prop.name, prop.before, prop.after) for prop in split_property(PropertyChange("P", before, after))] == [
        ("P/0", None, "new"),
        ("P/3", "c", '{"c": 1}'),
    ]


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("a  b", "a b", "P: a␣␣b → a␣b"),
        ("a ", "a", "P: a␣ → a"),
        ("a b", "a\tb", r"P: a b → a\tb"),
        ("a b", "a\xa0b", r"P: a b → a\xa0b"),
        ("a\nb", "a\\nb", r"P: a\nb → a\\nb"),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', 'P: {"a": 1, "b": 2} → {"b": 2, "a": 1}'),
        ('{"a": 1}', '{"a": 1, "a": 2}', 'P: {"a": 1} → {"a": 1, "a": 2}'),
    ],
)
def test_two_values_never_look_the_same(before: str, after: str, line: str) -> None:
    assert line in print_values(before, after)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.booleans(), min_size=2, max_size=30), st.sampled_from(["\n", " ", ""]), st.sampled_from([1, 40]))
def test_every_difference_of_a_long_text_is_shown_in_full_and_counted_otherwise(
    changed: list[bool], separator: str, repetitions: int
) -> None:
    equal = "the same words again " * 5
    before, after = (
        separator.join(
            f"{equal * repetitions}{name}{index}." if is_changed else equal for index, is_changed in enumerate(changed)
        )
        for name in ("old", "new")
    )
    names = [f"new{index}." for index, is_changed in enumerate(changed) if is_changed]
    output = print_values(before, after, full=True)
    assert [name for name in names if name not in output] == []
    shown = print_values(before, after)
    if len(names) > 5 and max(map(len, (before, after))) > LONGEST_VALUE:
        assert "more difference" in shown or "--full shows the values that end in …" in shown


def test_differences_beyond_the_first_ones_are_counted() -> None:
    before, after = (json.dumps({f"k{index}": f"{name}{index}" for index in range(7)}) for name in ("old", "new"))
    lines = print_values(before, after).splitlines()
    assert lines[-1].endswith("P: 2 more differences; --full shows them")
    assert "new5" not in "".join(lines)
    assert "P/k6: old6 → new6" in print_values(before, after, full=True)
    change = Change("Modify", "R", "T", properties=(PropertyChange("P", before, after),))
    assert "P: 2 more differences: see the log of the workflow\n" in render_plan(
        Plan(StackChanges("s", (change,))), "t"
    )

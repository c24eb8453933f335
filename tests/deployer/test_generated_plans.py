"""Plans of generated pairs of templates: no crash, no change that is not shown, and none of a template against itself.

An expression is generated together with its values, so that nothing that the deployer evaluates judges it: with one for
each result of a condition that no template tells, and what hangs on it changes if either value does.
"""

import io
import json
import os
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from scripts.common.errors import UserError
from scripts.common.evaluate import evaluate
from scripts.common.templates import STACK, Tree
from scripts.deployer.plan.compare import compare_stacks
from scripts.deployer.planning import Comparison
from scripts.deployer.report.json_reporter import JsonReporter
from scripts.deployer.report.markdown import render_plan
from scripts.deployer.report.plan_text import print_plan

# `make conformance` takes 10,000 pairs.
PAIRS = int(os.environ.get("GENERATED_PAIRS", "1000"))
GENERATED = settings(
    max_examples=PAIRS // 2,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
TYPES = ("AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::DynamoDB::Table", "AWS::IAM::Role", "Custom::Thing")
LISTS = {"Kinds": "card,bank", "Sizes": "1,2,3"}
HEAD: dict[str, Any] = {
    "Parameters": {name: {"Type": "CommaDelimitedList", "Default": text} for name, text in LISTS.items()}
    | {"Stage": {"Type": "String", "Default": "prod"}},
    "Conditions": {
        "Always": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
        "Never": {"Fn::Not": [{"Condition": "Always"}]},
        "Both": {"Fn::And": [{"Condition": "Always"}, {"Fn::Or": [{"Condition": "Never"}, {"Condition": "Always"}]}]},
        "Perhaps": {"Fn::Equals": [{"Ref": "AWS::StackId"}, "x"]},
        "Otherwise": {"Fn::Not": [{"Fn::Or": [{"Condition": "Never"}, {"Condition": "Perhaps"}]}]},
    },
    "Mappings": {
        "Map": {"small": {"seconds": 5}, "large": {"seconds": 9}},
        "ById": {"x": {"small": 5, "large": 9}, "y": {"small": 7, "large": 7}},
    },
}
CONTROLS = {"\x1b", "\x9b"}
# Whether each is met in a stack with the id x, and in any other.
CONDITIONS = {
    "Always": (True, True),
    "Never": (False, False),
    "Both": (True, True),
    "Perhaps": (True, False),
    "Otherwise": (False, True),
}
STACKS = (0, 1)

# An expression and its values in both stacks.
Pair = tuple[Any, tuple[Any, Any]]
words = st.text("abc-", min_size=1, max_size=4)
texts: st.SearchStrategy[Pair] = st.one_of(
    words.map(lambda word: (word, (word, word))),
    st.just(({"Ref": "Stage"}, ("prod", "prod"))),
    st.just(({"Ref": "AWS::Region"}, ("eu-west-1", "eu-west-1"))),
    st.sampled_from(["small", "large"]).map(
        lambda key: ({"Fn::FindInMap": ["Map", key, "seconds"]}, ({"small": 5, "large": 9}[key],) * 2)
    ),
    st.sampled_from(["small", "large"]).map(
        lambda key: ({"Fn::FindInMap": ["ById", {"Ref": "AWS::StackId"}, key]}, ({"small": 5, "large": 9}[key], 7))
    ),
    st.tuples(st.sampled_from(sorted(LISTS)), st.integers(0, 1)).map(
        lambda choice: (
            {"Fn::Select": [str(choice[1]), {"Ref": choice[0]}]},
            (LISTS[choice[0]].split(",")[choice[1]],) * 2,
        )
    ),
)
# Functions of an attribute, which only the service can call: equal only to themselves.
functions = st.tuples(st.sampled_from("|,"), st.integers(0, 1)).map(
    lambda choice: (
        {"Fn::Select": [choice[1], {"Fn::Split": [choice[0], {"Fn::GetAtt": ["Other", "Text"]}]}]},
        (f"item {choice[1]} of {choice[0]}",) * 2,
    )
)


def combine(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(join_texts),
        st.tuples(words, inner).map(substitute_text),
        st.tuples(st.sampled_from(sorted(CONDITIONS)), inner, inner).map(
            lambda choice: (
                {"Fn::If": [choice[0], choice[1][0], choice[2][0]]},
                choose_values(choice[0], choice[1][1], choice[2][1]),
            )
        ),
        inner.map(lambda pair: ({"Fn::Select": [0, {"Fn::Split": ["|", pair[0]]}]}, pair[1])),
    )


def choose_values(condition: str, met: tuple[Any, Any], unmet: tuple[Any, Any]) -> tuple[Any, Any]:
    first, second = ((met if CONDITIONS[condition][stack] else unmet)[stack] for stack in STACKS)
    return first, second


def join_texts(pairs: list[Pair]) -> Pair:
    first, second = ("-".join(str(values[stack]) for _, values in pairs) for stack in STACKS)
    return {"Fn::Join": ["-", [expression for expression, _ in pairs]]}, (first, second)


def substitute_text(parts: tuple[str, Pair]) -> Pair:
    word, (expression, (first, second)) = parts
    return {"Fn::Sub": [f"{word}-${{Inner}}", {"Inner": expression}]}, (f"{word}-{first}", f"{word}-{second}")


expressions = st.one_of(st.recursive(texts, combine, max_leaves=4), functions)
properties = st.dictionaries(st.sampled_from(["DisplayName", "Name", "Tags", "Size"]), expressions, max_size=3)
resources = st.dictionaries(
    st.sampled_from(["A", "B", "C"]),
    st.tuples(st.sampled_from(TYPES), properties, st.sampled_from([None, *CONDITIONS])),
)


def make_tree(declared: dict[str, Any]) -> Tree:
    return Tree(
        HEAD
        | {
            "Resources": {
                name: {
                    "Type": resource_type,
                    "Properties": {key: expression for key, (expression, _) in values.items()},
                    **({"Condition": condition} if condition else {}),
                }
                for name, (resource_type, values, condition) in declared.items()
            }
        }
    )


def list_values(declared: dict[str, Any]) -> dict[str, Any]:
    """Return the type and the values of each resource in both stacks, None where it is not created."""
    return {
        name: states
        for name, (resource_type, values, condition) in declared.items()
        if any(
            states := [
                (resource_type, {key: str(value[stack]) for key, (_, value) in values.items()})
                if condition is None or CONDITIONS[condition][stack]
                else None
                for stack in STACKS
            ]
        )
    }


def list_changes(before: Tree, after: Tree) -> set[str]:
    """Return the paths of the changed resources; that of a nested stack only if the whole stack comes or goes."""
    old, new = (evaluate(tree, {}, {"AWS::Region": "eu-west-1"}) for tree in (before, after))
    render_changes(Comparison(old, new, compare_stacks("stack", old, new), account="123456789012"))
    changes = compare_stacks("stack", old, new).walk()
    return {path for path, change in changes if change.resource_type != STACK or change.action != "Modify"}


def render_changes(compared: Comparison) -> None:
    """Write the plan in every format; none ends in an error, and none to be read holds a control character."""
    plan = compared.make_offline_plan("")
    text, records = io.StringIO(), io.StringIO()
    print_plan(Console(file=text, width=80), plan)
    JsonReporter(records).show_plan(plan)
    assert not CONTROLS & {*text.getvalue(), *render_plan(plan, "Plan")}
    assert json.loads(records.getvalue())


def nest_tree(tree: Tree, levels: int) -> Tree:
    """Return the tree as a nested stack, with as many stacks around it, whose parameter reaches it."""
    for _ in range(levels):
        properties = {"TemplateURL": "https://bucket/inner.yaml", "Parameters": {"Stage": {"Ref": "Stage"}}}
        tree = Tree(HEAD | {"Resources": {"Inner": {"Type": STACK, "Properties": properties}}}, {"Inner": tree})
    return tree


@pytest.mark.slow
@GENERATED
@given(resources, resources, st.integers(0, 3))
def test_exactly_the_resources_whose_values_differ_change(
    before: dict[str, Any], after: dict[str, Any], levels: int
) -> None:
    old, new = list_values(before), list_values(after)
    expected = {f"{'Inner/' * levels}{name}" for name in {*old, *new} if old.get(name) != new.get(name)}
    assert list_changes(nest_tree(make_tree(before), levels), nest_tree(make_tree(after), levels)) == expected


# Whatever JSON can hold, under the names that mean something to CloudFormation.
NAMES = [
    *("Ref", "Fn::GetAtt", "Fn::Sub", "Fn::Join", "Fn::Select", "Fn::Split", "Fn::If", "Fn::FindInMap", "Fn::Base64"),
    *("Fn::Length", "Fn::ToJsonString", "Fn::Transform", "Fn::ImportValue", "Fn::GetAZs", "Fn::Cidr", "Condition"),
    *("Statement", "Principal", "PolicyDocument", "Name", "Fn::ForEach::Loop", "Effect", "Action", "Roles"),
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from(["A", "A.Arn", "${A}", "Always", ",", "", "\x1b[2J", "\x9b"]),
)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)),
    max_leaves=8,
)
SECTIONS = ("Type", "Properties", "Condition", "DeletionPolicy", "UpdateReplacePolicy", "Metadata", "UpdatePolicy")
odd_resources = st.dictionaries(
    st.sampled_from(["A", "Fn::ForEach::Loop"]),
    st.one_of(
        st.fixed_dictionaries(
            {"Type": st.sampled_from((*TYPES, STACK))}, optional=dict.fromkeys(SECTIONS[1:], json_values)
        ),
        json_values,
    ),
)
odd_templates = st.fixed_dictionaries(
    {"Resources": odd_resources},
    optional=dict.fromkeys(("Outputs", "Conditions", "Mappings", "Parameters", "Transform"), json_values),
)


@pytest.mark.slow
@GENERATED
@given(odd_templates, odd_templates)
def test_an_odd_template_gives_a_plan_or_one_error(before: dict[str, Any], after: dict[str, Any]) -> None:
    # The one error of a template that CloudFormation would refuse.
    with suppress(UserError):
        list_changes(Tree(HEAD | before), Tree(HEAD | after))
        assert list_changes(Tree(HEAD | before), Tree(json.loads(json.dumps(HEAD | before)))) == set()

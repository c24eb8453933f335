"""Plans of two templates, by the cases of plans/: what is printed first, what is printed at all, and the one error."""

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from scripts.common.errors import UserError
from scripts.common.templates import Tree, read_tree
from scripts.deployer.planning import compare_trees
from scripts.deployer.report.plan_text import print_plan

PSEUDO = {"AWS::AccountId": "123456789012", "AWS::Region": "eu-west-1", "AWS::Partition": "aws"}
CHILD = (
    "Parameters: {P: {Type: String}}\n"
    "Resources: {Notes: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref P}}}\nOutputs: {O: {Value: !Ref P}}\n"
)


def read_cases(name: str) -> list[Any]:
    text = (Path(__file__).parent / "plans" / name).read_text(encoding="utf-8")
    return [pytest.param(case, id=case["case"]) for case in yaml.safe_load(text)]


def print_changes(
    before: Tree, after: Tree, deployed: dict[str, str] | None = None, parameters: dict[str, str] | None = None
) -> str:
    stream = io.StringIO()
    plan = compare_trees("stack", (before, deployed or {}), (after, parameters or {}), PSEUDO).make_offline_plan("")
    print_plan(Console(file=stream, width=200, highlight=False), plan)
    return stream.getvalue()


def read_case_tree(text: str) -> Tree:
    return read_tree(text, lambda _: CHILD)


@pytest.mark.parametrize("case", read_cases("losses.yaml"))
def test_a_loss_by_a_property_comes_first(case: dict[str, Any]) -> None:
    before, after = (
        Tree({"Resources": {"R": {"Type": case["type"], "Properties": case[name]}}}) for name in ("before", "after")
    )
    lines = print_changes(before, after).splitlines()
    assert [line for line in lines[: lines.index("stack")] if line.startswith("! ")] == case["first"]
    # Taken back, the same change loses nothing, or something else.
    assert not set(case["first"]) & set(print_changes(after, before).splitlines())


@pytest.mark.parametrize("case", read_cases("shapes.yaml"))
def test_each_shape_of_a_template_gives_a_plan_or_one_error(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(UserError) as raised:
            print_changes(read_case_tree(case["before"]), read_case_tree(case["after"]))
        assert str(raised.value) == case["error"]
        return
    values = (case.get("deployed"), case.get("parameters"))
    output = print_changes(read_case_tree(case["before"]), read_case_tree(case["after"]), *values)
    assert [line for line in case.get("prints", []) if line not in output] == [], output
    assert [line for line in case.get("prints_not", []) if line in output] == [], output

"""Plans of two templates, by the cases of plans/: what is printed first, what is printed at all, and the one error."""

import io
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from scripts.common import waiting
from scripts.common.errors import UserError
from scripts.common.templates import STACK, Tree, read_tree
from scripts.deployer.plan.compare import as_text
from scripts.deployer.plan.danger import find_dangers
from scripts.deployer.plan.model import KNOWN_AFTER_APPLY, Change, PropertyChange, StackChanges
from scripts.deployer.planning import compare_trees
from scripts.deployer.report.markdown import render_plan
from scripts.deployer.report.plan_text import print_plan
from tests.deployer.aws.changes import describe_resource
from tests.deployer.test_change_set import make_service, propose

SIDES = {"before": "BeforeValue", "after": "AfterValue"}
PSEUDO = {"AWS::AccountId": "123456789012", "AWS::Region": "eu-west-1", "AWS::Partition": "aws"}
CHILD = (
    "Parameters: {P: {Type: String}}\n"
    "Resources: {Notes: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref P}}}\nOutputs: {O: {Value: !Ref P}}\n"
)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0)


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
    if not case.get("lost_if_taken_back"):
        assert not set(case["first"]) & set(print_changes(after, before).splitlines())


def write_compactly(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def write_with_spaces(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def write_as_texts(value: Any) -> str:
    """CloudFormation may show each number and each boolean as text."""
    return as_text(value)


def leave_out(_: Any) -> None:
    """Two recorded answers list properties without their values."""


def describe_changes(case: dict[str, Any], write: Callable[[Any], str | None], names: Collection[str]) -> Change:
    """Return what the deployer reads of an answer that lists only these properties, with values as ``write`` does."""
    details = []
    for name in names:
        values = {key: write(case[side][name]) for side, key in SIDES.items() if name in case[side]}
        known_values = {key: value for key, value in values.items() if value is not None}
        target = {"Attribute": "Properties", "Name": name, "Path": f"/Properties/{name}", "RequiresRecreation": "Never"}
        details.append({"Target": target | known_values})
    listed = propose(make_service([describe_resource("Modify", "R", case["type"], details, Replacement="False")]))
    assert listed is not None
    (change,) = listed.changes
    return change


@pytest.mark.parametrize("write", [write_compactly, write_with_spaces, write_as_texts, leave_out])
@pytest.mark.parametrize("case", read_cases("losses.yaml"))
def test_a_loss_comes_first_however_the_service_lists_the_property(
    case: dict[str, Any], write: Callable[[Any], str | None]
) -> None:
    before, after = (
        Tree({"Resources": {"R": {"Type": case["type"], "Properties": case[name]}}}) for name in ("before", "after")
    )
    compared = compare_trees("stack", (before, {}), (after, {}), PSEUDO)
    names = [
        name for name in {**case["before"], **case["after"]} if case["before"].get(name) != case["after"].get(name)
    ]
    for listed in dict.fromkeys((tuple(names), tuple(names[1:]))):
        change = describe_changes(case, write, listed)
        plan = compared.make_plan(StackChanges("stack", (change,)), ())
        assert sorted(f"! {danger}" for danger in find_dangers(plan.stack)) == sorted(case["first"])
        assert {prop.name.split("/")[0] for prop in plan.stack.changes[0].properties} == set(names)
        shown = [prop.name for prop in plan.stack.changes[0].properties]
        assert len(shown) == len(set(shown))
    if write is not leave_out:
        # Nor does a comparison that knows nothing hide it.
        change = describe_changes(case, write, names)
        assert sorted(f"! {danger}" for danger in find_dangers(StackChanges("stack", (change,)))) == sorted(
            case["first"]
        )


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


def list_first_lines(before: Tree | None, after: Tree) -> list[str]:
    compared = compare_trees("stack", (before, {}) if before else None, (after, {}), PSEUDO)
    stream = io.StringIO()
    print_plan(Console(file=stream, width=200, highlight=False), compared.make_offline_plan(""))
    return [line for line in stream.getvalue().splitlines() if line.startswith("! ")]


@pytest.mark.parametrize("is_nested", [False, True])
@pytest.mark.parametrize("case", read_cases("warnings.yaml"))
def test_rights_that_widen_and_alarms_that_watch_less_come_first(case: dict[str, Any], is_nested: bool) -> None:
    before, after = (Tree({"Resources": case[name]}) if name in case else None for name in ("before", "after"))
    assert after
    prefix = ""
    if is_nested:
        stack = {"Resources": {"N": {"Type": STACK, "Properties": {"TemplateURL": "n"}}}}
        before, after, prefix = before and Tree(stack, {"N": before}), Tree(stack, {"N": after}), "N/"
    lines = [line.replace("! ", f"! {prefix}", 1) for line in case["first"]]
    assert sorted(list_first_lines(before, after)) == sorted(lines)
    # What stays as it is is not worth a warning.
    assert list_first_lines(after, after) == []


def test_what_is_listed_but_unchanged_is_no_warning() -> None:
    """And what only the deployment tells is named in words."""

    def read_limits(value: str, description: str) -> Tree:
        text = f"""
Resources:
  A: {{Type: AWS::SSM::Parameter, Properties: {{Type: String, Value: "{value}", Description: {description}}}}}
  R: {{Type: AWS::IAM::Role, Properties: {{PermissionsBoundary: !Sub "arn:${{A}}"}}}}
  L: {{Type: AWS::CloudWatch::Alarm, Properties: {{Threshold: !Ref A, ComparisonOperator: GreaterThanThreshold}}}}
  U: {{Type: AWS::Lambda::Url, Properties: {{AuthType: !Ref A}}}}
"""
        return read_tree(text, str)

    types = {"R": "AWS::IAM::Role", "L": "AWS::CloudWatch::Alarm", "U": "AWS::Lambda::Url"}
    names = {"R": "PermissionsBoundary", "L": "Threshold", "U": "AuthType"}
    listed = [
        Change("Modify", path, types[path], properties=(PropertyChange(names[path], "x", KNOWN_AFTER_APPLY),))
        for path in types
    ]
    described = Change("Modify", "A", "AWS::SSM::Parameter", properties=(PropertyChange("Description", "a", "b"),))
    compared = compare_trees("stack", (read_limits("1", "a"), {}), (read_limits("1", "b"), {}), PSEUDO)
    unchanged = compared.make_plan(StackChanges("stack", (described, *listed)), ())
    assert [change.logical_id for change in unchanged.stack.changes if change.is_spurious] == ["R", "L", "U"]
    assert unchanged.notices == ()
    # Of another parameter, the references are not known before the deployment.
    replaced = Change("Modify", "A", "AWS::SSM::Parameter", "True", (PropertyChange("Name", "a", "b", "Always"),))
    changed = compared.make_plan(StackChanges("stack", (replaced, *listed)), ())
    assert changed.notices == (
        "U may be opened by its AuthType, whose value is not known before the deployment: then it opens its function "
        "to requests without a signature",
        "R (AWS::IAM::Role) has another permissions boundary: x → (known after apply)",
        "L goes off later: its threshold is x → (known after apply) (GreaterThanThreshold)",
    )


@pytest.mark.parametrize(
    "condition", ["text", ["list"], {"Fn::GetAtt": ["C", "Limits"]}, {"Bool": {"a": ["x\x9b\x1b[2J"]}}]
)
def test_a_condition_of_any_shape_is_shown_without_control_characters(condition: Any) -> None:
    document = {"Statement": {"Effect": "Allow", "Action": "s3:Get*", "Condition": condition}}
    resources = {
        "C": {"Type": "Custom::Limits"},
        "P": {"Type": "AWS::IAM::Policy", "Properties": {"PolicyDocument": document}},
    }
    output = print_changes(Tree({"Resources": {"C": {"Type": "Custom::Limits"}}}), Tree({"Resources": resources}))
    assert not set(output) & set("\x9b\x1b")
    expected = ["text", '["list"]', "${C.Limits}", r"Bool a x\x9b\x1b[2J"]
    assert any(text in output for text in expected), output


def test_a_secret_that_the_service_shows_is_masked() -> None:
    """CloudFormation does not mask it in the metadata of a resource, and a drifted value is the actual one."""
    text = "Parameters: {S: {Type: String, NoEcho: true}}\nResources: {Q: {Type: AWS::SQS::Queue, Metadata: {k: %s}}}"
    before, after = (read_tree(text % value, str) for value in ("x", "!Ref S"))
    compared = compare_trees("stack", (before, {"S": "****"}), (after, {"S": 'hunter"2'}), PSEUDO)
    properties = (
        PropertyChange("Metadata", '{"k": "x"}', '{"k": "hunter\\"2"}'),
        PropertyChange("KmsMasterKeyId", 'hunter"2', "z", is_drifted=True, deployed='hunter"2'),
    )
    listed = StackChanges("stack", (Change("Modify", "Q", "AWS::SQS::Queue", properties=properties),))
    nested = StackChanges("stack", (Change("Modify", "N", STACK, nested=listed),))
    for stack in (listed, nested):
        plan = compared.make_plan(stack, ())
        assert "hunter" not in str(plan)
        assert '{"k": "****"}' in str(plan)


def test_a_secret_is_masked_in_every_part_of_a_plan_and_makes_no_two_resources_one() -> None:
    """In statements and their conditions, names, exports and outputs; its deployed value is not known."""

    def read_queue(logical_id: str, condition: str) -> Tree:
        text = f"""
Parameters: {{S: {{Type: String, NoEcho: true}}}}
Resources:
  {logical_id}: {{Type: AWS::SQS::Queue, Properties: {{QueueName: !Sub "q-${{S}}"}}}}
  P:
    Type: AWS::IAM::Policy
    Properties:
      PolicyDocument:
        Statement:
          {{Effect: Allow, Action: "s3:Get*", Resource: !Sub "r-${{S}}", Condition: {{Bool: {{a: {condition}}}}}}}
Outputs: {{O: {{Value: !Ref S, Export: {{Name: !Sub "{logical_id}-${{S}}"}}}}}}
"""
        return read_tree(text, str)

    before, after = read_queue("Old", "x"), read_queue("New", "!Ref S")
    compared = compare_trees("stack", (before, {"S": "****"}), (after, {"S": "hunter2"}), PSEUDO)
    plan = compared.make_offline_plan("", tuple(compared.describe_moves("dev")))
    output = io.StringIO()
    print_plan(Console(file=output, width=200), plan)
    for text in (output.getvalue(), render_plan(plan, "Plan"), str(plan)):
        assert "hunter2" not in text
        assert "${*" not in text
        assert "could be moved" not in text
    assert "q-****" in output.getvalue()
    assert "Bool a ****" in output.getvalue()
    assert "(export Old-**** → New-****)" in output.getvalue()
    # Where both values are at hand, the name is the same.
    both = compare_trees("stack", (before, {"S": "hunter2"}), (after, {"S": "hunter2"}), PSEUDO)
    assert [str(move) for move in both.find_moves()] == ["Old → New (AWS::SQS::Queue)"]

"""Plans where a condition, a value or an identifier is not known before the deployment: nothing is called unchanged."""

import io

import pytest
from rich.console import Console

from scripts.common.templates import STACK, Tree, parse_template
from scripts.deployer.plan.model import KNOWN_AFTER_APPLY, Change, PropertyChange, StackChanges
from scripts.deployer.planning import Comparison, compare_trees
from scripts.deployer.report.plan_text import print_plan

PSEUDO = {"AWS::AccountId": "123456789012", "AWS::Region": "eu-west-1", "AWS::Partition": "aws"}
MODE = "Mode: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: %s}}"
INNER = """
Parameters: {Mode: {Type: String}}
Conditions: {IsLive: !Equals [!Ref Mode, live]}
Resources:
  Notes: {Type: AWS::SNS::Topic, Properties: {DisplayName: x}}
  Ledger: {Type: AWS::DynamoDB::Table, Condition: IsLive, Properties: {TableName: a}}
"""
NESTED = "N: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: u, Parameters: {Mode: %s}}}"


def make_tree(*resources: str, inner: str = "", head: str = "") -> Tree:
    text = f"{head}\nResources:\n" + "".join(f"  {resource}\n" for resource in resources)
    return Tree(parse_template(text), {"N": Tree(parse_template(inner))} if inner else {})


def compare(before: Tree, after: Tree, deployed: str = "", declared: str = "") -> Comparison:
    parameters = [{"Key": value} if value else {} for value in (deployed, declared)]
    return compare_trees("payments", (before, parameters[0]), (after, parameters[1]), PSEUDO)


def print_answer(comparison: Comparison, *changes: Change) -> str:
    """Return the plan of the answer of a service."""
    stream = io.StringIO()
    plan = comparison.make_plan(StackChanges("payments", changes), ())
    print_plan(Console(file=stream, width=200, highlight=False), plan)
    return stream.getvalue()


def print_comparison(comparison: Comparison) -> str:
    stream = io.StringIO()
    print_plan(Console(file=stream, width=200, highlight=False), comparison.make_offline_plan(""))
    return stream.getvalue()


def modify(logical_id: str, resource_type: str, name: str, before: str, after: str = KNOWN_AFTER_APPLY) -> Change:
    return Change("Modify", logical_id, resource_type, properties=(PropertyChange(name, before, after),))


def test_a_flag_that_is_an_attribute_may_delete_what_it_creates() -> None:
    before, after = (make_tree(MODE % value, NESTED % "!GetAtt Mode.Value", inner=INNER) for value in ("live", "off"))
    compared = compare(before, after)
    danger = "! N/Ledger (AWS::DynamoDB::Table) may be deleted: its items will be lost"
    assert danger in print_comparison(compared)
    mode = modify("Mode", "AWS::SSM::Parameter", "Value", "live", "off")
    stack = modify("N", STACK, "Parameters/Mode", "live")
    # Without nested change sets, and with one that lists nothing of it.
    assert danger in print_answer(compared, mode, stack)
    ledger = Change(
        "Modify", "N", STACK, nested=StackChanges("N", (modify("Notes", "AWS::SNS::Topic", "A", "1", "2"),))
    )
    assert danger in print_answer(compared, mode, ledger)


def test_what_is_behind_a_condition_that_changes_is_never_listed_as_unchanged() -> None:
    before, after = (make_tree(MODE % value, NESTED % "!GetAtt Mode.Value", inner=INNER) for value in ("live", "off"))
    nested = StackChanges("N", (modify("Ledger", "AWS::DynamoDB::Table", "TableName", "a"),))
    output = print_answer(compare(before, after), Change("Modify", "N", STACK, nested=nested))
    assert "listed but unchanged" not in output
    assert "~ Ledger AWS::DynamoDB::Table (may be removed)" in output


@pytest.mark.parametrize(
    ("head", "properties"),
    [
        ("Conditions: {Is: !Equals [!Ref AWS::StackId, x]}", "DisplayName: !If [Is, %s, z]"),
        ("Conditions: {Is: !Equals [!Ref AWS::StackName, payments]}", "DisplayName: !If [Is, %s, z]"),
        ("Conditions: {Is: !Equals [!Select [0, !Ref AWS::NotificationARNs], x]}", "DisplayName: !If [Is, z, %s]"),
        ("Mappings: {M: {payments: {A: %s}}}", "DisplayName: !FindInMap [M, !Ref AWS::StackName, A]"),
        ("Mappings: {M: {x: {A: %s}}}", "DisplayName: !FindInMap [M, !Select [2, !Split [':', !Ref AWS::StackId]], A]"),
        ("Conditions: {Is: !Equals [!ImportValue i, x]}", "DisplayName: !If [Is, z, %s]"),
    ],
)
def test_a_comparison_with_a_difference_in_any_branch_is_not_empty(head: str, properties: str) -> None:
    """A deployment whose comparison is empty makes no change set."""
    topic = f"Topic: {{Type: AWS::SNS::Topic, Properties: {{{properties}}}}}"
    trees = [
        make_tree(
            *(text % value if "%s" in text else text for text in (topic,)), head=head % value if "%s" in head else head
        )
        for value in ("a", "b")
    ]
    assert not compare(*trees).is_empty
    assert compare(trees[0], trees[0]).is_empty


def test_the_name_of_a_nested_stack_is_not_that_of_the_stack_around_it() -> None:
    inner = (
        "Conditions: {Is: !Equals [!Ref AWS::StackName, payments]}\n"
        "Resources: {T: {Type: AWS::SNS::Topic, Condition: Is, Properties: {DisplayName: %s}}}"
    )
    before, after = (
        make_tree("N: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: u}}", inner=inner % value)
        for value in "ab"
    )
    assert '~ T AWS::SNS::Topic (if "${N/AWS::StackName}" = "payments")' in print_comparison(compare(before, after))


HEAD_WITH_KEY = "Parameters: {Key: {Type: String, NoEcho: true}}"


def test_a_secret_whose_deployed_value_is_hidden_leaves_its_readers_uncertain() -> None:
    topic = "Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: %s}}"
    reader = "Note: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: !Sub '${Key}-${Topic.TopicName}'}}"
    before, after = (make_tree(topic % value, reader, head=HEAD_WITH_KEY) for value in "ab")
    output = print_answer(
        compare(before, after, "****", "new"),
        modify("Topic", "AWS::SNS::Topic", "DisplayName", "a", "b"),
        modify("Note", "AWS::SSM::Parameter", "Value", "x"),
    )
    assert "listed but unchanged" not in output
    assert "cannot be known from the templates: Note/Value: the NoEcho parameter Key" in output


def test_a_nested_stack_that_reads_a_hidden_secret_is_not_called_unchanged() -> None:
    inner = (
        HEAD_WITH_KEY + "\nResources: {Note: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: !Ref Key}}}"
    )
    stack = "N: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: u, Parameters: {Key: !Ref Key}}}"
    tree = make_tree(stack, inner=inner, head=HEAD_WITH_KEY)
    compared = compare(tree, tree, "****", "new")
    output = print_answer(compared, modify("N", STACK, "Parameters/Key", "****", "****"))
    assert "unchanged: N" not in output
    assert "~ N AWS::CloudFormation::Stack" in output
    assert not compared.is_empty


FUNCTION = """F: {Type: AWS::Lambda::Function, Properties: {Handler: h, Environment: {Variables: {
    MODE: !GetAtt Mode.Value, CHARGE: %s}}}}"""


@pytest.mark.parametrize(
    "after", [KNOWN_AFTER_APPLY, f'{{"Variables":{{"MODE":"{KNOWN_AFTER_APPLY}","CHARGE":"twice"}}}}']
)
def test_what_is_known_of_a_value_that_is_not_is_shown(after: str) -> None:
    before, declared = (make_tree(MODE % value, FUNCTION % value) for value in ("once", "twice"))
    listed = '{"Variables":{"MODE":"once","CHARGE":"once"}}'
    output = print_answer(
        compare(before, declared),
        modify("Mode", "AWS::SSM::Parameter", "Value", "once", "twice"),
        modify("F", "AWS::Lambda::Function", "Environment", listed, after),
    )
    assert output.count("Environment/Variables/CHARGE: once → twice") == 1
    if after != KNOWN_AFTER_APPLY:
        assert "Environment/Variables/MODE: once → (known after apply)" in output


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_nested_stack_that_was_deleted_is_created_again_whether_or_not_its_template_changes(name: str) -> None:
    """By a service without nested change sets, whose answer is completed by the comparison."""
    before, after = (
        make_tree(NESTED % "live", inner=INNER.replace("DisplayName: x", f"DisplayName: {value}"))
        for value in ("x", name)
    )
    stack = Change("Modify", "N", STACK, drift="DELETED", properties=(PropertyChange("TemplateURL", "u", "v"),))
    output = print_answer(compare(before, after), stack)
    assert "! N (AWS::CloudFormation::Stack) was deleted outside CloudFormation and is created again, empty" in output

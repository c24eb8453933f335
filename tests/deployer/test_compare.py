"""Plans from templates alone: evaluated functions, changes, policy statements and dangers."""

import io
import re
from dataclasses import asdict, replace
from typing import Any

import pytest
from rich.console import Console

from scripts.common.evaluate import evaluate
from scripts.common.evaluated import Evaluated, Unknown
from scripts.common.templates import STACK, Tree, from_json, parse_template
from scripts.deployer.failure import Event
from scripts.deployer.plan.compare import compare_stacks
from scripts.deployer.plan.danger import confirmation_names, find_dangers
from scripts.deployer.plan.iam import statement_changes
from scripts.deployer.plan.model import (
    KNOWN_AFTER_APPLY,
    Change,
    Plan,
    PropertyChange,
    StackChanges,
    StatementChange,
    count_changes,
)
from scripts.deployer.plan.resource_schemas import read_schema
from scripts.deployer.plan.spurious import fill_nested_stacks, mark_spurious
from scripts.deployer.planning import Comparison
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.report.markdown import MARKER, render_plan
from tests.deployer.aws.settings import START
from tests.emitted import ROOT

PSEUDO = {"AWS::Region": "eu-west-1"}


def evaluate_text(text: str, nested: dict[str, Tree] | None = None, **parameters: str) -> Evaluated:
    return evaluate(Tree(parse_template(text), nested or {}), parameters, PSEUDO)


def queue_template(properties: str, following: str = "") -> str:
    return f"Resources:\n  Q:\n    Type: AWS::SQS::Queue\n    Properties: {properties}\n{following}"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("!Ref P", "given"),
        ("!Ref D", "default"),
        ("!Ref AWS::Region", "eu-west-1"),
        ("!Ref AWS::AccountId", "${AWS::AccountId}"),
        ("!Ref Other", "${Other}"),
        ("!GetAtt Other.Arn", "${Other.Arn}"),
        ("!Sub 'a-${P}-${Other}-${Other.Arn}-${!Literal}'", "a-given-${Other}-${Other.Arn}-${Literal}"),
        ("!Sub ['${x}-${P}', {x: !Ref D}]", "default-given"),
        ("!Sub ['${x}', {x: true}]", "true"),
        ("!Join ['-', [a, !Ref P]]", "a-given"),
        ("!Select [1, !Split [',', 'a,b']]", "b"),
        ("!If [Yes, a, b]", "a"),
        ("!If [No, a, b]", "b"),
        ("!If [Both, a, b]", "b"),
        ("!If [Either, a, b]", "a"),
        ("!FindInMap [M, !Ref AWS::Region, size]", "large"),
        ("[!Ref AWS::NoValue, a]", ["a"]),
        ("{gone: !Ref AWS::NoValue, stays: 1}", {"stays": 1}),
        ("!Cidr [a, 1, 2]", {"Fn::Cidr": ["a", 1, 2]}),
    ],
)
def test_functions_of_a_template_are_evaluated(expression: str, value: Any) -> None:
    head = (
        "Parameters: {P: {Type: String}, D: {Type: String, Default: default}}\n"
        "Mappings: {M: {eu-west-1: {size: large}}}\n"
        "Conditions:\n  'Yes': !Equals [!Ref P, given]\n  'No': !Not [{Condition: 'Yes'}]\n"
        "  Both: !And [{Condition: 'Yes'}, {Condition: 'No'}]\n  Either: !Or [{Condition: 'Yes'}, {Condition: 'No'}]\n"
    )
    text = head + queue_template(f"\n      X: {expression}").replace("[Yes", "['Yes'").replace("[No", "['No'")
    assert evaluate_text(text, P="given").resources["Q"].properties["X"] == value


def test_a_resource_whose_condition_is_false_is_left_out() -> None:
    text = "Conditions: {No: !Equals [a, b]}\nResources: {Q: {Type: AWS::SQS::Queue, Condition: 'No'}}"
    assert evaluate_text(text.replace("No:", "'No':")).resources == {}


INNER = "Parameters: {Size: {Type: Number}}\n" + queue_template(
    "{Length: !Ref Size}", "Outputs: {Url: {Value: !Ref Q}}"
)
OUTER = (
    "Parameters: {Size: {Type: Number}}\nResources:\n"
    "  A: {Type: 'AWS::CloudFormation::Stack', Properties: {TemplateURL: a, Parameters: {Size: !Ref Size}}}\n"
    "  B:\n    Type: AWS::CloudFormation::Stack\n"
    "    Properties: {TemplateURL: b, Parameters: {Size: !GetAtt A.Outputs.Url}}\n"
)


def test_values_pass_from_stack_to_stack() -> None:
    nested = {"A": Tree(parse_template(INNER)), "B": Tree(parse_template(INNER))}
    stack = evaluate_text(OUTER, nested, Size="3")
    assert stack.nested["A"].resources["Q"].properties == {"Length": "3"}
    assert stack.nested["B"].resources["Q"].properties == {"Length": "${A/Q}"}


def test_a_tree_survives_being_saved() -> None:
    tree = Tree(parse_template(OUTER), {"A": Tree(parse_template(INNER))})
    assert from_json(asdict(tree)) == tree


def compare_texts(before: str, after: str, **parameters: str) -> list[Change]:
    return list(compare_stacks("s", evaluate_text(before, **parameters), evaluate_text(after, **parameters)).changes)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("{MessageRetentionPeriod: 5}", "{MessageRetentionPeriod: '5'}", []),
        ("{MessageRetentionPeriod: 5}", "{MessageRetentionPeriod: 6}", [("Modify", "False")]),
        ("{FifoQueue: false, Tags: {a: 1, b: 2}}", "{FifoQueue: 'false', Tags: {b: 2, a: 1}}", []),
        ("{}", "{Tags: {a: 1}}", [("Modify", "False")]),
        ("{QueueName: a}", "{QueueName: b}", [("Modify", "True")]),
        ("{}", "{QueueName: b}", [("Modify", "True")]),
    ],
)
def test_changed_properties_update_or_replace(before: str, after: str, changes: list[tuple[str, str]]) -> None:
    compared = compare_texts(queue_template(before), queue_template(after))
    assert [(change.action, change.replacement) for change in compared] == changes


def test_the_innermost_values_that_differ_are_named() -> None:
    before, after = "{A: [{x: 1}, {y: 2}], B: {z: 1}, C: [1]}", "{A: [{x: 1}, {y: 3}], B: {z: 2}, C: [1, 2]}"
    (change,) = compare_texts(queue_template(before), queue_template(after))
    described = [(changed.name, changed.before, changed.after) for changed in change.properties]
    assert described == [("A/1/y", "2", "3"), ("B/z", "1", "2"), ("C", '["1"]', '["1", "2"]')]


def test_a_nested_stack_is_compared_with_its_own_content() -> None:
    before = {"A": Tree(parse_template(INNER)), "B": Tree(parse_template(INNER))}
    after = before | {"B": Tree(parse_template(INNER.replace("Length", "Width")))}
    stack = compare_stacks("s", *(evaluate_text(OUTER, nested, Size="3") for nested in (before, after)))
    assert [(path, change.policy_action) for path, change in stack.walk()] == [("B", ""), ("B/Q", "")]
    assert (stack.name, stack.unchanged) == ("s", ("A",))


def test_a_replaced_resource_changes_those_that_refer_to_it() -> None:
    """This applies to indirect references as well."""
    readers = "  T: {Type: 'AWS::SNS::Topic', Properties: {TopicName: !Sub 'of-${Q}', DisplayName: same}}\n"
    readers += "  S: {Type: 'AWS::SNS::Subscription', Properties: {TopicArn: !Ref T, Protocol: sqs}}\n"
    changes = compare_texts(queue_template("{QueueName: a}", readers), queue_template("{QueueName: b}", readers))
    assert [(change.logical_id, change.replacement) for change in changes] == [
        ("Q", "True"),
        ("T", "True"),
        ("S", "True"),
    ]
    assert changes[2].properties == (PropertyChange("TopicArn", "${T}", KNOWN_AFTER_APPLY, "Always"),)


@pytest.mark.parametrize(
    ("policies", "action"),
    [("", "Delete"), ("DeletionPolicy: Retain", "Retain"), ("DeletionPolicy: RetainExceptOnCreate", "Retain")],
)
def test_a_removed_resource_is_deleted_or_retained(policies: str, action: str) -> None:
    text = queue_template("{}", f"    {policies}\n" if policies else "")
    (change,) = compare_stacks("s", evaluate_text(text), None).changes
    assert (change.action, change.policy_action) == ("Remove", action)


def test_changed_policies_are_changes_of_their_own() -> None:
    policies = "    DeletionPolicy: Retain\n    UpdateReplacePolicy: Retain\n"
    (change,) = compare_texts(queue_template("{}"), queue_template("{}", policies))
    assert change.properties == (
        PropertyChange("DeletionPolicy", "Delete", "Retain"),
        PropertyChange("UpdateReplacePolicy", "Delete", "Retain"),
    )


def test_outputs_are_compared_with_those_of_an_existing_stack_only() -> None:
    before, after = (evaluate_text(queue_template("{}", f"Outputs: {{Url: {{Value: {text}}}}}")) for text in "ab")
    assert compare_stacks("s", before, after).outputs == ("Url",)
    assert compare_stacks("s", None, after).outputs == ()


@pytest.mark.parametrize(
    ("before", "after", "effects"),
    [
        ("30", "7", ["has a shorter retention period"]),
        ("7", "30", []),
        # Without a number, logs never expire.
        (None, "7", ["has a shorter retention period"]),
        ("7", None, []),
    ],
)
def test_a_shorter_retention_period_is_a_danger(before: str | None, after: str | None, effects: list[str]) -> None:
    retention = PropertyChange("RetentionInDays", before, after)
    change = Change("Modify", "Log", "AWS::Logs::LogGroup", properties=(retention,))
    assert [danger.effect for danger in find_dangers(StackChanges("s", (change,)))] == effects


def test_a_plan_that_is_too_long_for_a_comment_loses_only_lines_of_its_changes() -> None:
    changes = tuple(Change("Add", f"Topic{number}", "AWS::SNS::Topic") for number in range(3000))
    removed = Change("Remove", "Table", "AWS::DynamoDB::Table")
    statement = StatementChange(True, "Policy", "policy", "Allow", ("sns:Publish",), "*")
    comment = render_plan(Plan(StackChanges("s", (*changes, removed)), (statement,), ("a notice",)), "Title")
    assert len(comment) < 65_536
    assert comment.startswith(f"{MARKER}\n### Title\n\n**Plan: 3000 to add, 0 to change, 1 to destroy.**")
    assert "Table (AWS::DynamoDB::Table) is deleted: its items will be lost" in comment
    assert re.search(r"```\n\n\(\d+ more lines: the whole plan is in the log", comment)
    assert "sns:Publish" in comment
    assert "> - a notice\n" in comment


def test_another_type_under_the_same_name_is_a_replacement() -> None:
    (change,) = compare_texts(queue_template("{}"), queue_template("{}").replace("SQS::Queue", "SNS::Topic"))
    assert (change.replacement, change.properties[0].name) == ("True", "Type")


def test_a_type_without_a_schema_may_be_replaced() -> None:
    before, after = (
        queue_template(text).replace("AWS::SQS::Queue", "Corp::Own::Thing") for text in ("{A: 1}", "{A: 2}")
    )
    assert [change.replacement for change in compare_texts(before, after)] == ["Conditional"]


def test_schemas_are_those_that_cfn_lint_reads() -> None:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    types = {
        resource["Type"]
        for path in (ROOT / "templates").glob("*.yaml")
        for resource in parse_template(path.read_text(encoding="utf-8"))["Resources"].values()
    } | {"AWS::Serverless::Function", "Custom::Thing"}
    for name in types:
        assert read_schema(name) == PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", name).schema, name


def policy_template(kind: str, properties: str) -> str:
    return f"Resources:\n  P:\n    Type: {kind}\n    Properties: {properties}\n"


_STATEMENT = "{Statement: {Effect: Allow, Action: [%s], Resource: r%s}}"


@pytest.mark.parametrize(
    ("kind", "properties", "shown_kind"),
    [
        ("AWS::IAM::ManagedPolicy", "PolicyDocument", "managed policy"),
        ("AWS::IAM::Role", "AssumeRolePolicyDocument", "trust"),
        ("AWS::KMS::Key", "KeyPolicy", "key policy"),
        ("AWS::SNS::TopicPolicy", "PolicyDocument", "topic policy"),
        ("AWS::SQS::QueuePolicy", "PolicyDocument", "queue policy"),
        ("AWS::S3::BucketPolicy", "PolicyDocument", "bucket policy"),
        ("AWS::SecretsManager::ResourcePolicy", "ResourcePolicy", "policy"),
    ],
)
def test_statements_of_every_kind_of_policy(kind: str, properties: str, shown_kind: str) -> None:
    before = evaluate_text(policy_template(kind, "{%s: %s}" % (properties, _STATEMENT % ("'a:Read', 'a:Write'", ""))))  # noqa: UP031
    after = evaluate_text(policy_template(kind, "{%s: %s}" % (properties, _STATEMENT % ("'a:Read', 'a:Delete'", ""))))  # noqa: UP031
    changes = statement_changes(before, after)
    assert [(change.added, change.holder, change.kind, change.actions) for change in changes] == [
        (False, "P", shown_kind, ("a:Write",)),
        (True, "P", shown_kind, ("a:Delete",)),
    ]


def test_inline_policies_attachments_and_permissions() -> None:
    role = "{Policies: [{PolicyName: n, PolicyDocument: %s}], ManagedPolicyArns: [arn:x]}" % (
        _STATEMENT % ("'a:b'", "")
    )
    changes = statement_changes(None, evaluate_text(policy_template("AWS::IAM::Role", role)))
    described = [(change.kind, change.effect, change.resource, change.condition) for change in changes]
    assert described == [("attached", "Allow", "arn:x", ""), ("inline policy", "Allow", "r", "")]
    properties = "{Action: i, FunctionName: f, Principal: p, SourceArn: rule, SourceAccount: 1, PrincipalOrgID: o}"
    (change,) = statement_changes(None, evaluate_text(policy_template("AWS::Lambda::Permission", properties)))
    assert (change.kind, change.effect, change.actions, change.resource) == ("permission", "Allow", ("i",), "f for p")
    assert change.condition == '{"PrincipalOrgID": "o", "SourceAccount": "1", "SourceArn": "rule"}'


def test_a_dropped_condition_is_a_removed_and_an_added_statement() -> None:
    with_condition = _STATEMENT % ("'a:b'", ", Condition: {Bool: {x: true}}")
    before = evaluate_text(policy_template("AWS::IAM::Policy", "{PolicyDocument: %s}" % with_condition))  # noqa: UP031
    after = evaluate_text(policy_template("AWS::IAM::Policy", "{PolicyDocument: %s}" % (_STATEMENT % ("'a:b'", ""))))
    changes = statement_changes(before, after)
    assert [(change.added, change.condition) for change in changes] == [(False, '{"Bool": {"x": "true"}}'), (True, "")]


@pytest.mark.parametrize(
    ("statement", "effect", "action", "target"),
    [
        ("{Effect: Deny, NotAction: [a, b], NotPrincipal: {AWS: me}}", "Deny", "every action but a, b", "all but me"),
        ("{Action: a, Principal: '*', Resource: r}", "Allow", "a", "r for everybody"),
        ("{Action: a, Principal: {AWS: me}, Resource: '*'}", "Allow", "a", "me"),
        ("{Action: a, Principal: {AWS: me}}", "Allow", "a", "me"),
    ],
)
def test_a_statement_is_described_in_words(statement: str, effect: str, action: str, target: str) -> None:
    policy = policy_template("AWS::SQS::QueuePolicy", "{PolicyDocument: {Statement: " + statement + "}}")
    (change,) = statement_changes(None, evaluate_text(policy))
    assert (change.effect, change.actions, change.resource) == (effect, (action,), target)


def unknown_property(name: str, recreation: str = "Never") -> PropertyChange:
    return PropertyChange(name, "x", KNOWN_AFTER_APPLY, recreation)


def test_a_spurious_change_rests_on_unknown_values_only_and_is_not_in_the_comparison() -> None:
    known_change, possible_cause = PropertyChange("B", "1", "2"), PropertyChange("C", "1", "2", "Conditionally")
    service = StackChanges(
        "s",
        (
            Change("Modify", "Spurious", "T", "Conditional", (unknown_property("A", "Conditionally"),)),
            Change("Modify", "Real", "T", "False", (unknown_property("A"),)),
            Change("Modify", "Certain", "T", "True", (unknown_property("A", "Always"),)),
            Change("Modify", "Data", "AWS::DynamoDB::Table", "Conditional", (unknown_property("A", "Conditionally"),)),
            Change("Modify", "DataInPlace", "AWS::DynamoDB::Table", "False", (unknown_property("A"),)),
            # The service knows better which conditions are true.
            Change("Add", "Absent", "T"),
            Change(
                "Modify", "Part", "T", "Conditional", (unknown_property("A/B"), possible_cause, unknown_property("D"))
            ),
            Change("Modify", "Known", "T", "False", (known_change,)),
            Change("Modify", "MixedData", "AWS::SQS::Queue", "Conditional", (known_change, unknown_property("A"))),
            Change("Modify", "Mixed", "T", "Conditional", (known_change, unknown_property("A", "Conditionally"))),
        ),
    )
    real = StackChanges(
        "s",
        (
            Change("Modify", "Real", "T", "False", (unknown_property("A"),)),
            Change("Modify", "Part", "T", "False", (unknown_property("A/C"),)),
            Change("Modify", "Mixed", "T", "False", (known_change,)),
            Change("Modify", "MixedData", "AWS::SQS::Queue", "False", (known_change,)),
        ),
    )
    marked = mark_spurious(service, real)
    changes = {change.logical_id: change for change in marked.changes}
    assert [name for name in changes if changes[name].is_spurious] == ["Spurious", "DataInPlace"]
    assert (changes["Mixed"].properties, changes["Mixed"].replacement) == ((known_change,), "False")
    # What only the comparison has is added.
    assert changes["Part"].properties == (unknown_property("A/B"), possible_cause, unknown_property("A/C"))
    assert changes["Part"].replacement == "Conditional"
    # Possible data loss is shown as CloudFormation reports it.
    assert changes["MixedData"].replacement == "Conditional"
    assert count_changes(marked).spurious == 2


@pytest.mark.parametrize("is_real", [True, False])
def test_a_nested_stack_of_spurious_changes_is_one(is_real: bool) -> None:
    inner = StackChanges("N", (Change("Modify", "P", "T", "False", (unknown_property("A"),)),))
    stack = Change("Modify", "N", STACK, nested=inner)
    compared = StackChanges("s", (stack, Change("Modify", "M", STACK)) if is_real else (), ("N", "M"))
    marked = mark_spurious(StackChanges("s", (stack,)), compared)
    nested, *unlisted = marked.changes
    assert nested.nested
    assert (nested.is_spurious, nested.nested.changes[0].is_spurious) == (not is_real, not is_real)
    assert [change.logical_id for change in unlisted] == (["M"] if is_real else [])
    assert set(marked.unchanged) == (set() if is_real else {"M"})


@pytest.mark.parametrize(
    ("unknown", "is_trusted"),
    [
        (Unknown("", "transform Expand"), True),
        (Unknown("N", "its template is not at hand"), True),
        (Unknown("N/P/A", "SSM parameter /limit"), True),
        (Unknown("N/Other/A", "SSM parameter /limit"), False),
        (Unknown("Other", "its template is not at hand"), False),
    ],
)
def test_a_change_in_a_nested_stack_is_not_spurious_if_the_comparison_cannot_know_it(
    unknown: Unknown, is_trusted: bool
) -> None:
    inner = StackChanges("N", (Change("Modify", "P", "T", "False", (unknown_property("A"),)),))
    service = StackChanges("s", (Change("Modify", "N", STACK, nested=inner),))
    (nested,) = mark_spurious(service, StackChanges("s", unchanged=("N",), unknowns=(unknown,))).changes
    assert nested.nested
    assert nested.nested.changes[0].is_spurious is not is_trusted


COMPARED = Change("Modify", "N", STACK, nested=StackChanges("N", (Change("Add", "P", "T"),)))
MOVED = Change("Modify", "N", STACK, properties=(PropertyChange("TemplateURL"), PropertyChange("Parameters/Size")))
TAGGED = Change("Modify", "N", STACK, properties=(PropertyChange("Tags"),))


@pytest.mark.parametrize(
    ("listed", "compared", "filled", "is_filled"),
    [
        (MOVED, [COMPARED], COMPARED, True),
        (MOVED, [], replace(MOVED, is_spurious=True), True),
        (TAGGED, [], TAGGED, True),
        # The service says nothing about the content of a stack that is created or removed.
        (Change("Add", "N", STACK), [COMPARED], COMPARED, False),
        (replace(MOVED, nested=StackChanges("N")), [COMPARED], replace(MOVED, nested=StackChanges("N")), False),
        (Change("Modify", "N", "T"), [COMPARED], Change("Modify", "N", "T"), False),
    ],
)
def test_a_nested_stack_that_the_service_does_not_list_is_taken_from_the_comparison(
    listed: Change, compared: list[Change], filled: Change, is_filled: bool
) -> None:
    service = StackChanges("s", (listed,))
    expected = replace(service, changes=(filled,)), is_filled
    assert fill_nested_stacks(service, StackChanges("s", tuple(compared))) == expected


def test_after_half_a_minute_without_events_the_running_resources_are_printed() -> None:
    clock = [0.0]
    console = Console(file=io.StringIO(), width=120)
    event = Event("1", START, "arn:s", "Data/Table", "AWS::DynamoDB::Table", "CREATE_IN_PROGRESS", "", "t")
    with ConsoleReporter(console, clock=lambda: clock[0]).follow_events(None, "s") as listen:
        listen([event])
        for seconds in (10, 29, 31, 50, 62):
            clock[0] = seconds
            listen([])
    lines = console.file.getvalue().splitlines()[1:]  # type: ignore[attr-defined]
    assert lines == [
        "still in progress after 0:31: Data/Table (AWS::DynamoDB::Table)",
        "still in progress after 1:02: Data/Table (AWS::DynamoDB::Table)",
    ]


def test_a_certain_replacement_of_the_service_changes_those_that_refer_to_it() -> None:
    """Even if the schema of the property says otherwise."""
    table = "  T: {Type: 'AWS::DynamoDB::Table', Properties: {BillingMode: %s}}\n"
    properties = "{QueueName: !Sub 'of-${T}'}"
    before, after = (evaluate_text(queue_template(properties, table % key)) for key in ("a", "b"))
    certain = Change(
        "Modify", "T", "AWS::DynamoDB::Table", "True", (PropertyChange("BillingMode", "a", "b", "Always"),)
    )
    reader = Change("Modify", "Q", "AWS::SQS::Queue", "False", (unknown_property("QueueName"),))
    comparison = Comparison(before, after, compare_stacks("s", before, after))
    plan = comparison.make_plan(StackChanges("s", (certain, reader)), ())
    assert [change.is_spurious for change in plan.stack.changes] == [False, False]


def test_resources_of_the_same_name_are_confirmed_by_their_paths() -> None:
    table = Change("Remove", "Items", "AWS::DynamoDB::Table")
    nested = Change("Modify", "C", STACK, nested=StackChanges("C", (replace(table, logical_id="Other"),)))
    stacks = (
        Change("Modify", "A", STACK, nested=StackChanges("A", (table, nested))),
        Change("Modify", "B", STACK, nested=StackChanges("B", (table,))),
    )
    assert list(confirmation_names(find_dangers(StackChanges("s", stacks)))) == ["A/Items", "Other", "B/Items"]

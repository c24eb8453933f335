"""Plans from templates alone: what each function of a template gives, what changes, and what policies say."""

import io
from typing import Any

import pytest
from rich.console import Console

from scripts.common.evaluate import Evaluated, evaluate
from scripts.common.templates import STACK, Tree, as_json, from_json, parse_template
from scripts.deployer.failure import Event
from scripts.deployer.plan import spurious
from scripts.deployer.plan.compare import compare_stacks
from scripts.deployer.plan.danger import confirmation_names, find_dangers
from scripts.deployer.plan.iam import statement_changes
from scripts.deployer.plan.model import KNOWN_AFTER_APPLY, Change, PropertyChange, StackChanges, count_changes
from scripts.deployer.planning import Comparison
from scripts.deployer.report.console_reporter import ConsoleReporter
from tests.deployer.aws.cloudformation import START

PSEUDO = {"AWS::Region": "eu-west-1"}


def evaluated(text: str, nested: dict[str, Tree] | None = None, **parameters: str) -> Evaluated:
    return evaluate(Tree(parse_template(text), nested or {}), parameters, PSEUDO)


def queue(properties: str, more: str = "") -> str:
    return f"Resources:\n  Q:\n    Type: AWS::SQS::Queue\n    Properties: {properties}\n{more}"


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
def test_what_a_template_says(expression: str, value: Any) -> None:
    head = (
        "Parameters: {P: {Type: String}, D: {Type: String, Default: default}}\n"
        "Mappings: {M: {eu-west-1: {size: large}}}\n"
        "Conditions:\n  'Yes': !Equals [!Ref P, given]\n  'No': !Not [{Condition: 'Yes'}]\n"
        "  Both: !And [{Condition: 'Yes'}, {Condition: 'No'}]\n  Either: !Or [{Condition: 'Yes'}, {Condition: 'No'}]\n"
    )
    text = head + queue(f"\n      X: {expression}").replace("[Yes", "['Yes'").replace("[No", "['No'")
    assert evaluated(text, P="given").resources["Q"].properties["X"] == value


def test_a_resource_whose_condition_does_not_hold_is_not_there() -> None:
    text = "Conditions: {No: !Equals [a, b]}\nResources: {Q: {Type: AWS::SQS::Queue, Condition: 'No'}}"
    assert evaluated(text.replace("No:", "'No':")).resources == {}


INNER = "Parameters: {Size: {Type: Number}}\n" + queue("{Length: !Ref Size}", "Outputs: {Url: {Value: !Ref Q}}")
OUTER = (
    "Parameters: {Size: {Type: Number}}\nResources:\n"
    "  A: {Type: 'AWS::CloudFormation::Stack', Properties: {TemplateURL: a, Parameters: {Size: !Ref Size}}}\n"
    "  B:\n    Type: AWS::CloudFormation::Stack\n"
    "    Properties: {TemplateURL: b, Parameters: {Size: !GetAtt A.Outputs.Url}}\n"
)


def test_values_pass_from_stack_to_stack() -> None:
    nested = {"A": Tree(parse_template(INNER)), "B": Tree(parse_template(INNER))}
    stack = evaluated(OUTER, nested, Size="3")
    assert stack.nested["A"].resources["Q"].properties == {"Length": "3"}
    assert stack.nested["B"].resources["Q"].properties == {"Length": "${A/Q}"}


def test_a_tree_survives_being_saved() -> None:
    tree = Tree(parse_template(OUTER), {"A": Tree(parse_template(INNER))})
    assert from_json(as_json(tree)) == tree


def changes(before: str, after: str, **parameters: str) -> list[Change]:
    return list(compare_stacks("s", evaluated(before, **parameters), evaluated(after, **parameters)).changes)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("{MessageRetentionPeriod: 5}", "{MessageRetentionPeriod: '5'}", []),
        ("{MessageRetentionPeriod: 5}", "{MessageRetentionPeriod: 6}", [("Modify", "False")]),
        ("{QueueName: a}", "{QueueName: b}", [("Modify", "True")]),
        ("{}", "{QueueName: b}", [("Modify", "True")]),
    ],
)
def test_what_changes(before: str, after: str, told: list[tuple[str, str]]) -> None:
    assert [(one.action, one.replacement) for one in changes(queue(before), queue(after))] == told


def test_what_refers_to_a_resource_that_is_made_anew_changes_with_it() -> None:
    """Through any number of references: a replaced version gives its alias another version."""
    more = "  T: {Type: 'AWS::SNS::Topic', Properties: {TopicName: !Sub 'of-${Q}', DisplayName: same}}\n"
    more += "  S: {Type: 'AWS::SNS::Subscription', Properties: {TopicArn: !Ref T, Protocol: sqs}}\n"
    found = changes(queue("{QueueName: a}", more), queue("{QueueName: b}", more))
    assert [(one.logical_id, one.replacement) for one in found] == [("Q", "True"), ("T", "True"), ("S", "True")]
    assert found[2].properties == (PropertyChange("TopicArn", "${T}", KNOWN_AFTER_APPLY, "Always"),)


@pytest.mark.parametrize(
    ("policies", "action"),
    [("", "Delete"), ("DeletionPolicy: Retain", "Retain"), ("DeletionPolicy: RetainExceptOnCreate", "Retain")],
)
def test_what_goes_and_what_stays(policies: str, action: str) -> None:
    text = queue("{}", f"    {policies}\n" if policies else "")
    (gone,) = compare_stacks("s", evaluated(text), None).changes
    assert (gone.action, gone.policy_action) == ("Remove", action)


def test_another_type_under_the_same_name_is_a_replacement() -> None:
    (change,) = changes(queue("{}"), queue("{}").replace("SQS::Queue", "SNS::Topic"))
    assert (change.replacement, change.properties[0].name) == ("True", "Type")


def test_a_type_without_a_schema_may_be_replaced() -> None:
    before, after = (queue(one).replace("AWS::SQS::Queue", "Corp::Own::Thing") for one in ("{A: 1}", "{A: 2}"))
    assert [one.replacement for one in changes(before, after)] == ["Conditional"]


def policy(kind: str, properties: str) -> str:
    return f"Resources:\n  P:\n    Type: {kind}\n    Properties: {properties}\n"


_STATEMENT = "{Statement: {Effect: Allow, Action: [%s], Resource: r%s}}"


@pytest.mark.parametrize(
    ("kind", "properties", "told"),
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
def test_statements_of_every_kind_of_policy(kind: str, properties: str, told: str) -> None:
    before = evaluated(policy(kind, "{%s: %s}" % (properties, _STATEMENT % ("'a:Read', 'a:Write'", ""))))  # noqa: UP031
    after = evaluated(policy(kind, "{%s: %s}" % (properties, _STATEMENT % ("'a:Read', 'a:Delete'", ""))))  # noqa: UP031
    assert [(one.added, one.holder, one.kind, one.actions) for one in statement_changes(before, after)] == [
        (False, "P", told, ("a:Write",)),
        (True, "P", told, ("a:Delete",)),
    ]


def test_inline_policies_attachments_and_permissions() -> None:
    role = "{Policies: [{PolicyName: n, PolicyDocument: %s}], ManagedPolicyArns: [arn:x]}" % (
        _STATEMENT % ("'a:b'", "")
    )
    told = statement_changes(None, evaluated(policy("AWS::IAM::Role", role)))
    assert [(one.kind, one.resource) for one in told] == [("attached", "arn:x"), ("inline policy", "r")]
    given = "{Action: 'lambda:InvokeFunction', FunctionName: f, Principal: events.amazonaws.com, SourceArn: rule}"
    (one,) = statement_changes(None, evaluated(policy("AWS::Lambda::Permission", given)))
    assert (one.resource, one.condition) == ("f for events.amazonaws.com", '{"SourceArn": "rule"}')


def test_a_condition_that_is_dropped_is_a_statement_more_and_one_less() -> None:
    with_condition = _STATEMENT % ("'a:b'", ", Condition: {Bool: {x: true}}")
    before = evaluated(policy("AWS::IAM::Policy", "{PolicyDocument: %s}" % with_condition))  # noqa: UP031
    after = evaluated(policy("AWS::IAM::Policy", "{PolicyDocument: %s}" % (_STATEMENT % ("'a:b'", ""))))
    told = statement_changes(before, after)
    assert [(one.added, one.condition) for one in told] == [(False, '{"Bool": {"x": "true"}}'), (True, "")]


def test_everybody_and_all_but_somebody_are_said_in_words() -> None:
    text = "{PolicyDocument: {Statement: [{Effect: Deny, NotAction: [a, b], NotPrincipal: {AWS: me}, Resource: r}]}}"
    (one,) = statement_changes(None, evaluated(policy("AWS::SQS::QueuePolicy", text)))
    assert (one.effect, one.actions, one.resource) == ("Deny", ("all but a, b",), "r for all but me")


def unknown(name: str, recreation: str = "Never") -> PropertyChange:
    return PropertyChange(name, "x", KNOWN_AFTER_APPLY, recreation)


def test_a_spurious_change_rests_on_unknown_values_only_and_is_not_in_the_comparison() -> None:
    real_one = PropertyChange("B", "1", "2")
    service = StackChanges(
        "s",
        (
            Change("Modify", "Spurious", "T", "Conditional", (unknown("A", "Conditionally"),)),
            Change("Modify", "Real", "T", "False", (unknown("A"),)),
            Change("Modify", "Certain", "T", "True", (unknown("A", "Always"),)),
            Change("Modify", "Data", "AWS::DynamoDB::Table", "Conditional", (unknown("A", "Conditionally"),)),
            Change("Modify", "Known", "T", "False", (real_one,)),
            Change(
                "Modify", "Mixed", "T", "Conditional", (PropertyChange("B", "1", "2"), unknown("A", "Conditionally"))
            ),
        ),
    )
    real = StackChanges(
        "s",
        (
            Change("Modify", "Real", "T", "False", (unknown("A"),)),
            Change("Modify", "Mixed", "T", "False", (real_one,)),
        ),
    )
    found = {one.logical_id: one for one in spurious.mark_spurious(service, real).changes}
    assert [name for name, one in found.items() if one.is_spurious] == ["Spurious"]
    assert found["Mixed"].properties == (real_one,)
    assert found["Mixed"].replacement == "False"
    assert count_changes(spurious.mark_spurious(service, real)).spurious == 1


def test_a_nested_stack_of_spurious_changes_is_one() -> None:
    inner = StackChanges("N", (Change("Modify", "P", "T", "False", (unknown("A"),)),))
    (nested,) = spurious.mark_spurious(
        StackChanges("s", (Change("Modify", "N", STACK, nested=inner),)), StackChanges("s")
    ).changes
    assert nested.is_spurious


def test_after_half_a_minute_of_silence_it_is_said_what_goes_on() -> None:
    now = [0.0]
    console = Console(file=io.StringIO(), width=120)
    event = Event("1", START, "arn:s", "Data/Table", "AWS::DynamoDB::Table", "CREATE_IN_PROGRESS", "", "t")
    with ConsoleReporter(console, clock=lambda: now[0]).follow_events(None, "s") as watching:
        watching([event])
        for seconds in (10, 29, 31, 50, 62):
            now[0] = seconds
            watching([])
    lines = console.file.getvalue().splitlines()[1:]  # type: ignore[attr-defined]
    assert lines == [
        "still in progress after 0:31: Data/Table (AWS::DynamoDB::Table)",
        "still in progress after 1:02: Data/Table (AWS::DynamoDB::Table)",
    ]


def test_what_the_service_is_certain_to_replace_changes_what_reads_it() -> None:
    """Whatever the schemas say of the property; and the queue that takes its name from the table is in danger, too."""
    table = "  T: {Type: 'AWS::DynamoDB::Table', Properties: {BillingMode: %s}}\n"
    named = "{QueueName: !Sub 'of-${T}'}"
    before, after = (evaluated(queue(named, table % key)) for key in ("a", "b"))
    certain = Change(
        "Modify", "T", "AWS::DynamoDB::Table", "True", (PropertyChange("BillingMode", "a", "b", "Always"),)
    )
    reader = Change("Modify", "Q", "AWS::SQS::Queue", "False", (unknown("QueueName"),))
    comparison = Comparison(before, after, compare_stacks("s", before, after))
    plan = comparison.plan(StackChanges("s", (certain, reader)), ())
    assert [one.is_spurious for one in plan.stack.changes] == [False, False]


def test_two_of_one_name_are_asked_for_by_their_paths() -> None:
    gone = Change("Remove", "Items", "AWS::DynamoDB::Table")
    stacks = tuple(Change("Modify", name, STACK, nested=StackChanges(name, (gone,))) for name in ("A", "B"))
    alone = Change("Remove", "Other", "AWS::DynamoDB::Table")
    assert list(confirmation_names(find_dangers(StackChanges("s", (*stacks, alone))))) == [
        "A/Items",
        "B/Items",
        "Other",
    ]

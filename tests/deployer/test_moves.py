"""Resources that a plan removes and adds although they could be moved, and the templates after the move."""

from typing import Any

import pytest
import yaml

from scripts.common.errors import UserError
from scripts.common.evaluate import evaluate
from scripts.common.templates import Tree, parse_template, read_tree
from scripts.deployer.moved_templates import DeployedTree, move_resources
from scripts.deployer.plan.moves import Move, explain_immovable_type, find_moves
from scripts.deployer.planning import compare_trees
from scripts.deployer.refactor import _read_moves

PSEUDO = {"AWS::AccountId": "123456789012", "AWS::Region": "eu-west-1", "AWS::Partition": "aws"}
TABLE, QUEUE = "AWS::DynamoDB::Table", "AWS::SQS::Queue"
PARENT = """\
Parameters: {Environment: {Type: String}}
Resources:
  Data:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: data, Parameters: {Environment: !Ref Environment, Key: !Ref Environment}}
  Storage:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: storage, Parameters: {Environment: !Ref Environment, Key: other}}
  Reader:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: reader, Parameters: {Table: !GetAtt Data.Outputs.TableName}}
"""
DATA = """\
Parameters: {Environment: {Type: String}, Key: {Type: String}}
Conditions: {IsProd: !Equals [!Ref Environment, prod]}
Resources:
  Table: {Type: AWS::DynamoDB::Table, Properties: {TableName: !Sub "table-${Environment}"}}
  Alerts:
    Type: AWS::SNS::Topic
    DependsOn: [Table, Jobs]
    Properties: {DisplayName: !Sub "for ${Table} and ${!Table}", TopicName: !If [IsProd, a, !GetAtt Jobs.QueueName]}
  Jobs: {Type: AWS::SQS::Queue, DependsOn: Table, Properties: {VisibilityTimeout: 5}}
Outputs:
  TableName: {Value: !Ref Table}
  TableArn: {Value: !GetAtt Table.Arn}
  JobsUrl: {Value: !Ref Jobs}
"""
STORAGE = """\
Parameters: {Environment: {Type: String}, Key: {Type: String}}
Resources:
  Notes: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref Environment}}
"""
READER = (
    "Parameters: {Table: {Type: String}}\n"
    "Resources: {T: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref Table}}}\n"
)


def read_deployed(data: str = DATA, storage: str = STORAGE) -> DeployedTree:
    texts = {"data": data, "storage": storage, "reader": READER}
    tree = read_tree(PARENT, texts.__getitem__)
    parameters = {"Environment": "dev"}
    return DeployedTree(tree, parameters, evaluate(tree, parameters, PSEUDO))


def find_moves_between(before: DeployedTree, after: DeployedTree) -> list[str]:
    return [str(move) for move in find_moves(before.evaluated, after.evaluated)]


def move_table(destination: str, data: str = DATA, storage: str = STORAGE) -> dict[str, Any]:
    outputs = {"Data": {"TableName": "table-dev", "TableArn": "arn:aws:dynamodb:eu-west-1:1:table/table-dev"}}
    return move_resources(read_deployed(data, storage), [Move("Data/Table", destination, TABLE)], outputs)


def test_a_renamed_resource_with_its_fixed_name_is_found_with_those_that_refer_to_it() -> None:
    renamed = (
        DATA.replace("Table}", "Payments}").replace("Table:", "Payments:").replace("Table, Jobs", "Payments, Jobs")
    )
    renamed = renamed.replace("Ref Table", "Ref Payments").replace("Table.Arn", "Payments.Arn").replace("Alerts:", "A:")
    renamed = renamed.replace("DependsOn: Table", "DependsOn: Payments")
    moves = find_moves_between(read_deployed(), read_deployed(renamed))
    # The topic refers to the table, so it is the same one only if the table is.
    assert moves == ["Data/Table → Data/Payments (AWS::DynamoDB::Table)", "Data/Alerts → Data/A (AWS::SNS::Topic)"]


@pytest.mark.parametrize(
    ("before", "after", "moves"),
    [
        # A property that can change in place does not matter under a fixed name, and one that replaces does.
        ("TableName: t, BillingMode: PROVISIONED", "TableName: t, BillingMode: PAY_PER_REQUEST", 1),
        ("TableName: t, KeySchema: [a]", "TableName: t, KeySchema: [b]", 0),
        ("TableName: t", "TableName: u", 0),
        # Without a fixed name, all properties have to be equal.
        ("BillingMode: PROVISIONED", "BillingMode: PROVISIONED", 1),
        ("BillingMode: PROVISIONED", "BillingMode: PAY_PER_REQUEST", 0),
        # Two empty declarations say nothing about what they stand for.
        ("", "", 0),
    ],
)
def test_what_counts_as_one_resource(before: str, after: str, moves: int) -> None:
    old, new = (
        evaluate(
            Tree(parse_template(f"Resources: {{{name}: {{Type: {TABLE}, Properties: {{{properties}}}}}}}")), {}, {}
        )
        for name, properties in (("Old", before), ("New", after))
    )
    assert len(find_moves(old, new)) == moves


def test_a_resource_with_two_counterparts_is_not_guessed() -> None:
    queue = {"Type": QUEUE, "Properties": {"VisibilityTimeout": 5}}
    old = evaluate(Tree({"Resources": {"Old": queue}}), {}, {})
    assert find_moves(old, evaluate(Tree({"Resources": {"A": queue, "B": queue}}), {}, {})) == []
    assert find_moves(old, evaluate(Tree({"Resources": {"A": queue}}), {}, {})) == [Move("Old", "A", QUEUE)]


def test_nothing_moves_into_a_stack_that_does_not_exist() -> None:
    new_stack = PARENT.replace(
        "Reader:", "Archive: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: a}}\n  Reader:"
    )
    table = "Resources: {Table: {Type: AWS::DynamoDB::Table, Properties: {TableName: table-dev}}}"
    texts = {"data": STORAGE, "storage": STORAGE, "reader": READER, "a": table}
    after = evaluate(read_tree(new_stack, texts.__getitem__), {"Environment": "dev"}, PSEUDO)
    assert find_moves(read_deployed().evaluated, after) == []


@pytest.mark.parametrize(
    ("resource_type", "is_movable"),
    [
        (TABLE, True),
        (QUEUE, True),
        ("AWS::DynamoDB::GlobalTable", False),
        ("AWS::Lambda::Permission", False),
        ("AWS::IAM::Policy", False),
        ("AWS::EC2::KeyPair", False),
        ("AWS::CloudFormation::Stack", False),
        ("Custom::Anything", False),
    ],
)
def test_types_that_cloudformation_does_not_move(resource_type: str, is_movable: bool) -> None:
    assert (explain_immovable_type(resource_type) == "") is is_movable


def test_a_new_logical_id_is_written_wherever_the_old_one_was_referred_to() -> None:
    (template,) = move_table("Data/Payments").values()
    expected = """\
Alerts:
  Type: AWS::SNS::Topic
  DependsOn: [Payments, Jobs]
  Properties:
    DisplayName: {Fn::Sub: "for ${Payments} and ${!Table}"}
    TopicName: {Fn::If: [IsProd, a, {Fn::GetAtt: [Jobs, QueueName]}]}
Jobs: {Type: AWS::SQS::Queue, DependsOn: [Payments], Properties: {VisibilityTimeout: 5}}
Payments: {Type: AWS::DynamoDB::Table, Properties: {TableName: {Fn::Sub: "table-${Environment}"}}}
"""
    assert template["Resources"] == yaml.safe_load(expected)
    assert template["Outputs"] == {
        "TableName": {"Value": {"Ref": "Payments"}},
        "TableArn": {"Value": {"Fn::GetAtt": ["Payments", "Arn"]}},
        "JobsUrl": {"Value": {"Ref": "Jobs"}},
    }


def test_a_variable_of_fn_sub_is_no_reference() -> None:
    data = DATA.replace('!Sub "for ${Table} and ${!Table}"', '!Sub ["${Table}${Jobs.Arn}", {Table: !Ref Table}]')
    (template,) = move_table("Data/Payments", data).values()
    name = template["Resources"]["Alerts"]["Properties"]["DisplayName"]
    assert name == {"Fn::Sub": ["${Table}${Jobs.Arn}", {"Table": {"Ref": "Payments"}}]}


def test_a_resource_moves_to_another_stack_and_leaves_the_values_of_its_outputs() -> None:
    data = DATA.replace("for ${Table} and ${!Table}", "x")
    templates = move_table("Storage/Payments", data)
    assert sorted(templates) == ["Data", "Storage"]
    assert list(templates["Storage"]["Resources"]) == ["Notes", "Payments"]
    assert list(templates["Data"]["Resources"]) == ["Alerts", "Jobs"]
    # The order of creation means nothing between existing resources.
    assert "DependsOn" not in templates["Data"]["Resources"]["Jobs"]
    assert templates["Data"]["Resources"]["Alerts"]["DependsOn"] == ["Jobs"]
    # The stack around it reads these outputs, and CloudFormation lets it not change.
    assert templates["Data"]["Outputs"] == {
        "TableName": {"Value": "table-dev"},
        "TableArn": {"Value": "arn:aws:dynamodb:eu-west-1:1:table/table-dev"},
        "JobsUrl": {"Value": {"Ref": "Jobs"}},
    }


UNREFERENCED = DATA.replace("for ${Table} and ${!Table}", "x")
REFUSALS = {
    "a resource that stays refers to it": ("Storage/Table", DATA, STORAGE, "Data/Alerts refers to it"),
    "it refers to a resource that stays": (
        "Storage/Table",
        UNREFERENCED.replace("table-${Environment}", "table-${Jobs.QueueName}"),
        STORAGE,
        "it refers to Data/Jobs; move that as well",
    ),
    "a parameter has another value": (
        "Storage/Table",
        UNREFERENCED.replace("table-${Environment}", "table-${Key}"),
        STORAGE,
        "it refers to the parameter Key, which Storage does not have with the same value; deploy it there first",
    ),
    "a condition is missing": (
        "Storage/Table",
        UNREFERENCED.replace("Type: AWS::DynamoDB::Table,", "Type: AWS::DynamoDB::Table, Condition: IsProd,"),
        STORAGE,
        "Storage does not have the same condition IsProd; deploy it there first",
    ),
    "a mapping is missing": (
        "Storage/Table",
        UNREFERENCED.replace('!Sub "table-${Environment}"', "!FindInMap [M, a, b]") + "Mappings: {M: {a: {b: c}}}\n",
        STORAGE,
        "Storage does not have the same mapping M; deploy it there first",
    ),
    "a pseudo parameter differs": (
        "Storage/Table",
        UNREFERENCED.replace("table-${Environment}", "${AWS::StackName}"),
        STORAGE,
        "it refers to AWS::StackName, which differs between the stacks",
    ),
    "the place is taken": ("Storage/Notes", UNREFERENCED, STORAGE, "there is a resource Storage/Notes already"),
    "the stack does not exist": (
        "Archive/Table",
        UNREFERENCED,
        STORAGE,
        "the stack Archive is not deployed; deploy it first, with any other resource in it",
    ),
    "a macro may change the template": (
        "Data/Payments",
        f"Transform: M\n{DATA}",
        STORAGE,
        "the template of Data has a transform",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_move_that_cannot_be_expressed_is_refused_in_one_line(case: str) -> None:
    destination, data, storage, reason = REFUSALS[case]
    with pytest.raises(UserError) as raised:
        move_table(destination, data, storage)
    assert str(raised.value).startswith(f"Data/Table cannot be moved to {destination}: {reason}")


def test_a_condition_is_the_same_only_with_the_same_parameters() -> None:
    conditional = UNREFERENCED.replace("Type: AWS::DynamoDB::Table,", "Type: AWS::DynamoDB::Table, Condition: IsProd,")
    same = "Conditions: {IsProd: !Equals [!Ref Environment, prod]}\n"
    assert "Condition" in move_table("Storage/Table", conditional, same + STORAGE)["Storage"]["Resources"]["Table"]
    by_key = conditional.replace("[!Ref Environment, prod]", "[!Ref Key, prod]")
    with pytest.raises(UserError, match="it refers to the parameter Key"):
        move_table("Storage/Table", by_key, same.replace("Environment", "Key") + STORAGE)


def test_resources_that_refer_to_each_other_move_together() -> None:
    moves = [
        Move("Data/Table", "Storage/Table", TABLE),
        Move("Data/Alerts", "Storage/Alerts", "AWS::SNS::Topic"),
        Move("Data/Jobs", "Storage/Queue", QUEUE),
    ]
    storage = STORAGE + "Conditions: {IsProd: !Equals [!Ref Environment, prod]}\n"
    data = DATA + "  Kept: {Value: x}\n"
    deployed = read_deployed(data.replace("  Jobs: {Type", "  Stays: {Type: AWS::SNS::Topic}\n  Jobs: {Type"), storage)
    templates = move_resources(deployed, moves, {})
    assert templates["Storage"]["Resources"]["Alerts"] == {
        "Type": "AWS::SNS::Topic",
        "DependsOn": ["Table", "Queue"],
        "Properties": {
            "DisplayName": {"Fn::Sub": "for ${Table} and ${!Table}"},
            "TopicName": {"Fn::If": ["IsProd", "a", {"Fn::GetAtt": ["Queue", "QueueName"]}]},
        },
    }
    with pytest.raises(UserError, match="Data would have no resource left, and CloudFormation has no empty stacks"):
        move_resources(read_deployed(DATA, storage), moves, {})


def test_the_obstacle_of_one_move_is_not_that_of_another() -> None:
    """Two queues get other logical ids, and a third leaves its stack, though a parameter that stays refers to it."""
    stack = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": "n"}}
    names = {name: {"Type": QUEUE, "Properties": {"QueueName": name}} for name in ("a", "x", "z")}
    parameter = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Fn::GetAtt": ["X", "Arn"]}}}
    before = Tree(
        {"Resources": {"A": names["a"], "X": names["x"], "K": parameter, "N": stack}},
        {"N": Tree({"Resources": {"Z": names["z"]}})},
    )
    after = Tree(
        {
            "Resources": {
                "B": names["a"],
                "K": {**parameter, "Properties": {"Type": "String", "Value": "y"}},
                "N": stack,
            }
        },
        {"N": Tree({"Resources": {"Z": names["z"], "X": names["x"]}})},
    )
    compared = compare_trees("s", (before, {}), (after, {}), PSEUDO)
    start = "X → N/X (AWS::SQS::Queue) is one resource, but it cannot be moved without being replaced: "
    assert list(compared.describe_moves("dev")) == [
        "A could be moved to B instead, without being replaced: scripts/deploy.sh refactor dev --move A=B",
        f"{start}X cannot be moved to N/X: K refers to it; move that as well, or deploy first templates in which it "
        "does not",
    ]
    (first, second) = compared.describe_moves("dev", {"N"})
    assert first.startswith("A could be moved to B")
    assert second == f"{start}N has a stack policy"


def test_two_resources_exchange_their_logical_ids() -> None:
    topics = "Resources: {A: {Type: AWS::SNS::Topic, Properties: {TopicName: a}}, B: {Type: AWS::SNS::Topic}}"
    tree = Tree(parse_template(topics))
    moves = [Move("A", "B", "AWS::SNS::Topic"), Move("B", "A", "AWS::SNS::Topic")]
    (template,) = move_resources(DeployedTree(tree, {}, evaluate(tree, {}, {})), moves, {}).values()
    assert template["Resources"]["B"]["Properties"] == {"TopicName": "a"}
    with pytest.raises(UserError, match="each resource and each place can be named only once"):
        move_resources(DeployedTree(tree, {}, evaluate(tree, {}, {})), [moves[0], moves[0]], {})


REPLACED = """
Resources:
  Topic: {{Type: AWS::SNS::Topic, Properties: {{TopicName: {topic}}}}}
  {name}: {{Type: AWS::SNS::Subscription, Properties: {{Protocol: sqs, Endpoint: e, TopicArn: !Ref Topic}}}}
"""


@pytest.mark.parametrize(("topic", "moves"), [("a", ["S → S2 (AWS::SNS::Subscription)"]), ("b", [])])
def test_a_resource_of_a_replaced_one_is_not_moved_because_it_is_replaced_too(topic: str, moves: list[str]) -> None:
    before, after = (
        Tree(parse_template(REPLACED.format(topic=name, name=logical_id)))
        for name, logical_id in (("a", "S"), (topic, "S2"))
    )
    compared = compare_trees("stack", (before, {}), (after, {}), {})
    assert list(map(str, compared.find_moves())) == moves
    if not moves:
        assert list(compared.describe_moves("dev")) == []
        with pytest.raises(UserError, match=r"would replace S because of TopicArn"):
            _read_moves(compared, ["S=S2"], "dev")


EXPORTED = """
Resources:
  Keep: {Type: AWS::SNS::Topic}
  A: {Type: AWS::SQS::Queue, Properties: {QueueName: q}}
Outputs: {O: {Value: x, Export: {Name: !Sub "${A}-name"}}}
"""


def test_the_name_of_an_export_follows_a_new_logical_id() -> None:
    tree = Tree(parse_template(EXPORTED))
    deployed = DeployedTree(tree, {}, evaluate(tree, {}, {}))
    (template,) = move_resources(deployed, [Move("A", "B", "AWS::SQS::Queue")], {}).values()
    assert template["Outputs"] == {"O": {"Value": "x", "Export": {"Name": {"Fn::Sub": "${B}-name"}}}}


def test_a_resource_that_names_an_export_does_not_leave_its_stack() -> None:
    root = parse_template("Resources: {N: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: u}}}")
    nested = Tree(parse_template("Resources: {Other: {Type: AWS::SNS::Topic}}"))
    tree = Tree({**root, "Resources": {**root["Resources"], **parse_template(EXPORTED)["Resources"]},
                 "Outputs": parse_template(EXPORTED)["Outputs"]}, {"N": nested})  # fmt: skip
    deployed = DeployedTree(tree, {}, evaluate(tree, {}, {}))
    with pytest.raises(UserError, match=r"A cannot be moved to N/B: the export of the output O is named after it"):
        move_resources(deployed, [Move("A", "N/B", "AWS::SQS::Queue")], {})

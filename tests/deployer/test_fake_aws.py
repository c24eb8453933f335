"""The simulated account is independent of the deployer, and evaluates templates."""

import re
from pathlib import Path

import pytest

from tests.deployer.aws import stacks, templates
from tests.emitted import ROOT

NESTED = """
Parameters: {Environment: {Type: String}, Alarms: {Type: String, Default: true}}
Conditions: {HasAlarms: !Equals [!Ref Alarms, 'true']}
Resources:
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub 'queue-${Environment}'}}
  Topic: {Type: AWS::SNS::Topic, Condition: HasAlarms}
Outputs: {QueueName: {Value: !GetAtt Queue.QueueName}, Topic: {Value: !Ref Topic, Condition: HasAlarms}}
"""
PARENT = """
Parameters: {Environment: {Type: String}}
Resources:
  Data:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: data.yaml, Parameters: {Environment: !Ref Environment, Alarms: %s}}
Outputs: {Place: {Value: !Sub '${AWS::Region} ${AWS::AccountId} ${Data.Outputs.QueueName}'}}
"""


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "deployer" / "aws").glob("*.py")), ids=lambda path: path.name)
def test_the_fake_does_not_import_what_it_examines(path: Path) -> None:
    assert (
        re.findall(r"^\s*(?:from|import) (?:scripts|stacks)\b.*", path.read_text(encoding="utf-8"), re.MULTILINE) == []
    )


def test_no_test_imports_a_private_name_of_the_fake() -> None:
    private = re.compile(r"^from tests\.deployer\.aws\S* import .*\b_[a-z]\w*|\baws\._[a-z]\w*", re.MULTILINE)
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path.parent.name != "aws"]
    assert [path.name for path in tests if private.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(("alarms", "resources"), [("true", ["Queue", "Topic"]), ("false", ["Queue"])])
def test_conditions_are_decided_by_parameters(alarms: str, resources: list[str]) -> None:
    assert list(templates.select_resources(NESTED, (("Alarms", alarms), ("Environment", "dev")))) == resources


def test_an_output_reads_the_nested_stack() -> None:
    parent = stacks.Stack("parent", "id", "CREATE_COMPLETE", text=PARENT % "true", parameters={"Environment": "dev"})
    parent.nested["Data"] = stacks.Stack("nested", "id", "CREATE_COMPLETE", text=NESTED)
    assert parent.outputs == {"Place": "eu-west-1 123456789012 queue-dev"}

"""Compares recorded change sets with the offline comparison, and with the plan that the deployer makes of AWS's answer.

The fields of a file in change_sets/:

title   the subject of its cases
source  the repository, commit, licence and folder of the recordings
cases   for each: a name, the recorded test and its date, the template ``before`` and ``after`` with their parameters,
        and AWS's two answers to DescribeChangeSet as they are, ``with_values`` of properties and ``without_values``:
        rows of type ResourceChange, without contexts and physical ids, with our names and values in place of the
        recorded ones. ``updated`` are the resources that were updated according to the events.
        ``between`` says what else happened between the two deployments
"""

from collections.abc import Container, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from scripts.common.templates import Tree
from scripts.deployer.change_set import create_change_set
from scripts.deployer.plan.danger import find_dangers
from scripts.deployer.plan.model import Change, StackChanges
from scripts.deployer.planning import Comparison, compare_trees
from scripts.deployer.stack import Stack
from tests.conformance.verdicts import Verdict
from tests.deployer.aws.changes import KNOWN_AFTER_APPLY
from tests.deployer.aws.client import make_client
from tests.deployer.aws.cloudformation import CloudFormation
from tests.deployer.aws.stacks import Stack as SimulatedStack

FOLDER = Path(__file__).parent / "change_sets"
NAME = "payments"
PSEUDO = {"AWS::Region": "eu-west-1", "AWS::AccountId": "123456789012", "AWS::Partition": "aws"}
_FIELDS = {"name", "test", "recorded", "before", "after", "parameters_before", "parameters_after", "between"} | {
    "with_values", "without_values", "updated",
}  # fmt: skip
# Types of the recorded resources of which AWS's own pages say that their data go with them.
_WITH_DATA = {
    *("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::Logs::LogGroup", "AWS::Kinesis::Stream"),
    *("AWS::KMS::Key", "AWS::StepFunctions::StateMachine"),
}
# From the weakest to the strongest.
_RECREATIONS = ("Never", "Conditionally", "Always")


@dataclass(frozen=True)
class Row:
    """What both answers together say of a resource."""

    action: str
    resource_type: str
    # False for an addition, whatever it has: CloudFormation documents a replacement for Modify only.
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChange.html
    replacement: str
    policy_action: str
    # The value before and after, None where no answer has it, and the recreation: of each property that changes.
    properties: dict[str, tuple[str | None, str | None, str]]

    def describe(self) -> tuple[str, str, str, str]:
        return self.action, self.resource_type, self.replacement, self.policy_action


@dataclass(frozen=True)
class RecordedChangeSet:
    name: str
    fields: dict[str, Any]

    def compare_templates(self) -> Comparison:
        before, after = (
            (Tree(self.fields[side]), self.fields.get(f"parameters_{side}", {})) for side in ("before", "after")
        )
        return compare_trees(NAME, before, after, PSEUDO)

    def list_rows(self) -> dict[str, Row]:
        """Return what AWS answered of each resource, by its logical id."""
        answers: dict[str, list[dict[str, Any]]] = {}
        for row in (*self.fields["with_values"], *self.fields["without_values"]):
            answers.setdefault(row["LogicalResourceId"], []).append(row)
        return {name: _join_rows(rows) for name, rows in answers.items()}


def _join_rows(rows: list[dict[str, Any]]) -> Row:
    """Return one row of those for a resource. No recording has two that contradict each other."""
    (action,), (kind,) = ({row[key] for row in rows} for key in ("Action", "ResourceType"))
    (replacement,) = {row["Replacement"] if action == "Modify" else "False" for row in rows}
    (policy_action,) = {row.get("PolicyAction", "") for row in rows}
    properties: dict[str, tuple[str | None, str | None, str]] = {}
    for target in (detail["Target"] for row in rows for detail in row["Details"]):
        before, after, recreation = properties.get(target["Name"], (None, None, "Never"))
        properties[target["Name"]] = (
            target.get("BeforeValue", before),
            target.get("AfterValue", after),
            max(recreation, target["RequiresRecreation"], key=_RECREATIONS.index),
        )
    return Row(action, kind, replacement, policy_action, properties)


def load_change_sets() -> Iterator[RecordedChangeSet]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for case in yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["cases"]:
            assert set(case) <= _FIELDS, f"{path.name}: {sorted(set(case) - _FIELDS)}"
            yield RecordedChangeSet(f"{path.stem}: {case['name']}", case)


def judge_comparisons() -> Iterator[Verdict]:
    """Compare the changes of the templates with those that AWS listed, and the values where both are known."""
    for recorded in load_change_sets():
        changes = recorded.compare_templates().changes
        compared = {change.logical_id: (change.action, change.replacement) for change in changes.changes}
        listed = {name: (row.action, row.replacement) for name, row in recorded.list_rows().items()}
        differences = [
            f"{name} is {listed.get(name, 'not listed')}; ours is {compared.get(name, 'no change')}"
            for name in sorted({*compared, *listed})
            if compared.get(name) != listed.get(name)
        ]
        yield Verdict(recorded.name, (*differences, *find_other_values(recorded, changes)))


def find_other_values(recorded: RecordedChangeSet, stack: StackChanges) -> Iterator[str]:
    """Yield each recorded value in whose place a comparison of the templates has another one, known to it."""
    rows = recorded.list_rows()
    for change in stack.changes:
        for prop in change.properties:
            values = rows[change.logical_id].properties.get(prop.name) if change.logical_id in rows else None
            for recorded_value, ours in zip(values or (), (prop.before, prop.after), strict=False):
                if _is_known(recorded_value) and _is_known(ours) and recorded_value != ours:
                    yield f"{change.logical_id}/{prop.name} is {recorded_value}; ours is {ours}"


def _is_known(value: str | None) -> bool:
    return value is not None and "${" not in value and KNOWN_AFTER_APPLY not in value


def judge_plans() -> Iterator[Verdict]:
    """Compare the plan of the recorded answer, which a simulated service gives, with the answer and the events."""
    for recorded in load_change_sets():
        answer = read_answer(recorded)
        plan = recorded.compare_templates().make_plan(answer, ())
        dangers = {danger.logical_id for danger in find_dangers(plan.stack)}
        differences = [
            *find_differences_of_rows(recorded, answer, "read"),
            *find_differences_of_rows(recorded, plan.stack, "planned"),
            *find_hidden_changes(recorded, {change.logical_id: change for change in plan.stack.changes}),
            *find_missing_dangers(recorded, dangers),
        ]
        yield Verdict(recorded.name, tuple(differences))


def find_differences_of_rows(recorded: RecordedChangeSet, stack: StackChanges, place: str) -> Iterator[str]:
    """Yield each recorded action, type, replacement, policy, value and recreation that the changes do not have.

    The plan may have a value that no answer has, which it takes from the comparison.
    """
    changes = {change.logical_id: change for change in stack.changes}
    for name, row in recorded.list_rows().items():
        change = changes.get(name)
        if change is None:
            yield f"{name} is {row.action}; ours is not {place}"
            continue
        ours = (change.action, change.resource_type, change.replacement, change.policy_action)
        if ours != row.describe():
            yield f"{name} is {row.describe()}; ours is {place} as {ours}"
        properties = {prop.name: (prop.before, prop.after, prop.recreation) for prop in change.properties}
        for path, values in row.properties.items():
            our_values = properties.get(path)
            is_filled = (
                place == "planned"
                and values[:2] == (None, None)
                and our_values is not None
                and our_values[2] == values[2]
            )
            if our_values != values and not is_filled:
                yield f"{name}/{path} is {values}; ours is {place} as {our_values}"


def find_missing_dangers(recorded: RecordedChangeSet, dangers: Container[str]) -> Iterator[str]:
    """Yield each recorded removal or replacement of a resource with data that the plan does not put first."""
    for name, row in recorded.list_rows().items():
        is_lost = row.action == "Remove" or (row.action == "Modify" and row.replacement != "False")
        if is_lost and row.resource_type in _WITH_DATA and name not in dangers:
            yield f"{name} loses its data on AWS; ours names no loss"


def find_hidden_changes(recorded: RecordedChangeSet, plan_changes: dict[str, Change]) -> Iterator[str]:
    for name, row in recorded.list_rows().items():
        is_hidden = name not in plan_changes or plan_changes[name].is_spurious
        if is_hidden and (row.action != "Modify" or name in recorded.fields.get("updated", [])):
            yield f"{name} is {row.action} on AWS; ours is said not to change"


def read_answer(recorded: RecordedChangeSet) -> StackChanges:
    """Return what the deployer reads of the answers with and without values."""
    with_values, without_values = (
        # The reader joins the answers in place.
        [{"Type": "Resource", "ResourceChange": deepcopy(row)} for row in recorded.fields[answer]]
        for answer in ("with_values", "without_values")
    )
    service = CloudFormation(
        objects={"template": "Resources: {}"},
        scripted_answers={"": lambda _: with_values},
        answers_without_values={"": without_values},
    )
    root = SimulatedStack(NAME, f"arn:{NAME}", "CREATE_COMPLETE")
    service.stacks[root.id] = root
    stack = Stack(NAME, id=root.id, status=root.status)
    client = make_client(service)
    # The simulated service advances with each poll, without time.
    with patch("time.sleep"), create_change_set(client, stack, {}, TemplateURL="https://bucket/template") as proposal:
        assert proposal is not None
        return proposal.changes

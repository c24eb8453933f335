"""Compares recorded change sets with the offline comparison, and with the plan that the deployer makes of AWS's answer.

The fields of a file in change_sets/:

title   the subject of its cases
source  the repository, commit, licence and folder of the recordings
cases   for each: a name, the recorded test and its date, the template ``before`` and ``after`` with their parameters,
        and what AWS answered: the resources ``listed``, the ``values`` of properties before and after, the resources
        that its answer with property values omits, and those that were ``updated`` according to the events.
        ``between`` says what else happened between the two deployments
"""

from collections.abc import Container, Iterator
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
from tests.deployer.aws.changes import describe_resource
from tests.deployer.aws.client import make_client
from tests.deployer.aws.cloudformation import CloudFormation
from tests.deployer.aws.stacks import Stack as SimulatedStack

FOLDER = Path(__file__).parent / "change_sets"
NAME = "payments"
PSEUDO = {"AWS::Region": "eu-west-1", "AWS::AccountId": "123456789012", "AWS::Partition": "aws"}
_FIELDS = {"name", "test", "recorded", "before", "after", "parameters_before", "parameters_after", "between"} | {
    "listed", "values", "omitted_with_values", "updated",
}  # fmt: skip
# Types of the recorded resources of which AWS's own pages say that their data go with them.
_WITH_DATA = {
    *("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::Logs::LogGroup", "AWS::Kinesis::Stream"),
    *("AWS::KMS::Key", "AWS::StepFunctions::StateMachine"),
}
_REPLACEMENTS = {"": "False", "with replacement": "True", "perhaps with replacement": "Conditional"}


@dataclass(frozen=True)
class RecordedChangeSet:
    name: str
    fields: dict[str, Any]

    def compare_templates(self) -> Comparison:
        before, after = (
            (Tree(self.fields[side]), self.fields.get(f"parameters_{side}", {})) for side in ("before", "after")
        )
        return compare_trees(NAME, before, after, PSEUDO)

    def list_rows(self) -> dict[str, tuple[str, str]]:
        """Return the action and the replacement of each resource that AWS listed."""
        rows = {}
        for logical_id, words in self.fields["listed"].items():
            action, _, replacement = words.partition(" ")
            rows[logical_id] = (action, _REPLACEMENTS[replacement])
        return rows

    def read_type(self, logical_id: str) -> str:
        templates = (self.fields[side].get("Resources", {}) for side in ("after", "before"))
        return next(
            (template[logical_id]["Type"] for template in templates if logical_id in template), "AWS::Lambda::Function"
        )


def load_change_sets() -> Iterator[RecordedChangeSet]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["cases"]:
            assert set(case) <= _FIELDS, f"{path.name}: {sorted(set(case) - _FIELDS)}"
            yield RecordedChangeSet(f"{path.stem}: {case['name']}", case)


def judge_comparisons() -> Iterator[Verdict]:
    """Compare the changes of the templates with those that AWS listed."""
    for recorded in load_change_sets():
        changes = recorded.compare_templates().changes
        compared = {change.logical_id: (change.action, change.replacement) for change in changes.changes}
        listed = recorded.list_rows()
        differences = [
            f"{name} is {listed.get(name, 'not listed')}; ours is {compared.get(name, 'no change')}"
            for name in sorted({*compared, *listed})
            if compared.get(name) != listed.get(name)
        ]
        yield Verdict(recorded.name, tuple(differences))


def judge_plans() -> Iterator[Verdict]:
    """Compare the plan of the recorded answer, which a simulated service gives, with the answer and the events."""
    for recorded in load_change_sets():
        answer = _read_answer(recorded)
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
    """Yield each recorded action, replacement and value that the changes do not have."""
    changes = {change.logical_id: change for change in stack.changes}
    for name, row in recorded.list_rows().items():
        change = changes.get(name)
        ours = (change.action, change.replacement) if change else "not listed"
        if ours != row:
            yield f"{name} is {row}; ours is {place} as {ours}"
        values = {prop.name: (prop.before, prop.after) for prop in change.properties} if change else {}
        for path, (before, after) in recorded.fields.get("values", {}).get(name, {}).items():
            if values.get(path) != (before, after):
                yield f"{name}/{path} is {before} → {after}; ours is {place} as {values.get(path)}"


def find_missing_dangers(recorded: RecordedChangeSet, dangers: Container[str]) -> Iterator[str]:
    """Yield each recorded removal or replacement of a resource with data that the plan does not put first."""
    for name, (action, replacement) in recorded.list_rows().items():
        is_lost = action == "Remove" or (action == "Modify" and replacement != "False")
        if is_lost and recorded.read_type(name) in _WITH_DATA and name not in dangers:
            yield f"{name} loses its data on AWS; ours names no loss"


def find_hidden_changes(recorded: RecordedChangeSet, plan_changes: dict[str, Change]) -> Iterator[str]:
    for name, (action, _) in recorded.list_rows().items():
        is_hidden = name not in plan_changes or plan_changes[name].is_spurious
        if is_hidden and (action != "Modify" or name in recorded.fields.get("updated", [])):
            yield f"{name} is {action} on AWS; ours is said not to change"


def _read_answer(recorded: RecordedChangeSet) -> StackChanges:
    """Return what the deployer reads of the answers with and without values."""
    changes = []
    for name, (action, replacement) in recorded.list_rows().items():
        details = [
            {
                "Target": {"Attribute": "Properties", "Name": path.split("/")[0], "Path": f"/Properties/{path}"}
                | {key: value for key, value in (("BeforeValue", before), ("AfterValue", after)) if value is not None}
            }
            for path, (before, after) in recorded.fields.get("values", {}).get(name, {}).items()
        ]
        attributes = {"Replacement": replacement} if action == "Modify" else {}
        # The same in every recording, but for the replacement of an addition, which 7 of 19 have.
        attributes |= {"Add": {"Replacement": "True"}, "Remove": {"PolicyAction": "Delete"}}.get(action, {})
        if replacement == "True":
            attributes["PolicyAction"] = "ReplaceAndDelete"
        changes.append(describe_resource(action, name, recorded.read_type(name), details, **attributes))
    service = CloudFormation(
        objects={"template": "Resources: {}"},
        without_values=set(recorded.fields.get("omitted_with_values", [])),
        scripted_answers={"": lambda _: changes},
    )
    root = SimulatedStack(NAME, f"arn:{NAME}", "CREATE_COMPLETE")
    service.stacks[root.id] = root
    stack = Stack(NAME, id=root.id, status=root.status)
    client = make_client(service)
    # The simulated service advances with each poll, without time.
    with patch("time.sleep"), create_change_set(client, stack, {}, TemplateURL="https://bucket/template") as proposal:
        assert proposal is not None
        return proposal.changes

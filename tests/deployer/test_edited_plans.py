"""A plan whose file was edited, with a digest that is right, is refused, or does just what its change sets show."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from scripts.deployer import deploy, saved_plan
from scripts.deployer.saved_plan import PlannedStack, SavedPlan
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.both_stacks import ARTIFACTS, EARLIER, PLATFORM, add_earlier_release, find_artifacts, list_ledgers
from tests.deployer.conftest import Command, add_bootstrap_stack, add_platform

# Each takes several deployments.
pytestmark = pytest.mark.nightly

PROD = "payment-platform-prod"
TABLES = ("dynamodb-transactions-prod", "dynamodb-payment-ledger-prod")
OF_STACK = [field.name for field in fields(PlannedStack)]
FIELDS = [
    *(field.name for field in fields(SavedPlan) if field.name != "digest"),
    *(f"{member}/{name}" for member in ("platform", "artifacts") for name in OF_STACK),
]
NAMES_OF_CHANGE_SETS = {"platform", "artifacts", "first_change_set_id"}


def edit(path: Path, text: str, name: str, value: Any) -> bool:
    """Write the plan with another value of a field, and a digest that is right; return whether it is a plan at all."""
    document = json.loads(text)
    *members, key = name.split("/")
    (document[members[0]] if members else document)[key] = value
    path.write_text(json.dumps(document))
    try:
        document["digest"] = saved_plan._digest_plan(saved_plan.load_plan(path))
    except saved_plan.UserError:
        return False
    path.write_text(json.dumps(document))
    return True


def list_edits(value: Any) -> list[Any]:
    """Return null, an empty value, and others of the same type."""
    if isinstance(value, dict):
        changed = [{name: f"{item}0" for name, item in value.items()}, {**value, "other": "value"}]
    elif isinstance(value, list):
        changed = [[*value, "another"]]
    elif isinstance(value, bool):
        changed = [not value]
    else:
        changed = [f"{value}0"]
    return [edited for edited in (None, type(value)(), *changed) if edited != value]


def lose_change_sets(aws: Service, text: str) -> None:
    """Delete the change sets that the plan does not name, as an execution of another one of their stacks does."""
    roots = [change_set for change_set in aws.change_sets.values() if change_set.stack.root is None]
    for change_set in roots:
        if change_set.id not in text:
            del aws.change_sets[change_set.id]


def list_executions(aws: Service) -> list[str]:
    """Return the stack of each change set that was executed."""
    stacks = {request["ChangeSetName"]: request["StackName"] for request in aws.find_requests("CreateChangeSet")}
    return [stacks[request["ChangeSetName"].split("/")[1]] for request in aws.find_requests("ExecuteChangeSet")]


def is_applied(command: Command, aws: Service, environment: str, name: str) -> bool:
    """Apply the plan with each value of a field until one is not refused, and return whether there is any."""
    path = command.folder / "plan.json"
    text = path.read_text()
    member, _, key = name.partition("/")
    value = json.loads(text)[member]
    value = value[key] if key else value
    for edited in list_edits(value):
        if not edit(path, text, name, edited):
            continue
        change_sets = dict(aws.change_sets)
        if name in NAMES_OF_CHANGE_SETS:
            lose_change_sets(aws, path.read_text())
        result = command("apply", environment, "plan.json", "--yes")
        aws.change_sets.update(change_sets if result.code else {})
        if result.code == 0:
            return True
        assert list_executions(aws) == [], (name, edited, result.output)
        assert result.stderr.startswith("deploy: plan.json: "), (name, edited)
    return False


@pytest.mark.parametrize("name", FIELDS)
def test_an_edited_update_of_both_stacks(command: Command, aws: Service, name: str) -> None:
    """The boundary gains a right before the platform, and loses one after it."""
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    has_applied = is_applied(command, aws, "dev", name)
    # Remarks are words, of which those about the execution are compared with it; what a plan has besides is not read.
    assert has_applied == name.endswith(("/remarks", "/plan"))
    if has_applied:
        assert list_executions(aws) == [ARTIFACTS, PLATFORM, ARTIFACTS]
        assert list_ledgers(find_artifacts(aws)) == ["dynamodb-payment-ledger"]


@pytest.mark.parametrize("name", [name for name in FIELDS if name.split("/")[0] != "artifacts"])
def test_an_edited_first_deployment(command: Command, aws: Service, name: str) -> None:
    """A second change set protects its tables."""
    add_bootstrap_stack(aws)
    command("plan", "prod", "--out", "plan.json", code=2)
    has_applied = is_applied(command, aws, "prod", name)
    # Without a change of the artifacts stack, what concerns that changes nothing.
    assert has_applied == name.endswith(
        ("/remarks", "/plan", "environments", "runs_before", "runs_after", "first_change_set_id")
    )
    if has_applied:
        assert [aws.holdings.resources["AWS::DynamoDB::Table", table].protected for table in TABLES] == [True, True]


def test_the_protection_of_new_tables_is_not_taken_out_of_a_plan(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    command("plan", "prod", "--out", "plan.json", code=2)
    path = command.folder / "plan.json"
    for name, value in {"late_parameters": {}, "late_paths": []}.items():
        assert edit(path, path.read_text(), name, value)
    refused = command("apply", "prod", "plan.json", "--yes", code=1).stderr
    assert f"the change set of {PROD} was made for another plan than the file has" in refused
    assert list_executions(aws) == []


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_plan_of_both_stacks_that_lost_one_takes_no_rights(command: Command, aws: Service, is_kept: bool) -> None:
    """Also if the steps are edited with it, and if the change set of the first step is still there."""
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    path = command.folder / "plan.json"
    changes: dict[str, Any] = {"platform": None, "runs_before": False}
    changes |= {} if is_kept else {"runs_after": False, "first_change_set_id": ""}
    for name, value in changes.items():
        assert edit(path, path.read_text(), name, value)
    lose_change_sets(aws, path.read_text())
    refused = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert f"the change set of {ARTIFACTS} was made for another plan than the file has" in refused
    assert list_ledgers(find_artifacts(aws)) == ["dynamodb-ledger"]


def test_a_plan_of_both_stacks_that_lost_the_other_is_not_deployed_without_its_rights(
    command: Command, aws: Service
) -> None:
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    path = command.folder / "plan.json"
    for name, value in {
        "artifacts": None, "runs_before": False, "runs_after": False, "first_change_set_id": "", "environments": {}
    }.items():  # fmt: skip
        assert edit(path, path.read_text(), name, value)
    lose_change_sets(aws, path.read_text())
    refused = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert f"the change set of {PLATFORM} was made for another plan than the file has" in refused
    assert list_executions(aws) == []


@pytest.mark.parametrize("name", ["artifacts_state", "environments", "platform/changed_at", "artifacts/changed_at"])
def test_what_has_changed_since_is_not_hidden_by_the_file(command: Command, aws: Service, name: str) -> None:
    """It says of what was deployed since that the plan had seen it."""
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    path = command.folder / "plan.json"
    before = json.loads(path.read_text())
    (dev,) = [stack for stack in aws.stacks.values() if stack.name == PLATFORM]
    changed = {"artifacts_state": find_artifacts(aws), "artifacts/changed_at": find_artifacts(aws)}.get(name, dev)
    changed.updated = changed.updated.replace(year=2027)
    path.unlink()
    command("plan", "dev", "--out", "plan.json", code=2)
    after = json.loads(path.read_text())
    text = json.dumps(before)
    for field in ("artifacts_state", "environments", "platform/changed_at", "artifacts/changed_at"):
        *members, key = field.split("/")
        value = after[members[0]][key] if members else after[key]
        assert edit(path, text, field, value)
        text = path.read_text()
    refused = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert "was made for another plan than the file has" in refused
    assert list_executions(aws) == []


def test_the_parts_of_two_plans_are_no_plan(command: Command, aws: Service) -> None:
    add_earlier_release(aws)
    path = command.folder / "plan.json"
    texts = []
    for _ in range(2):
        command("plan", "dev", "--out", "plan.json", code=2)
        texts.append(path.read_text())
        path.unlink()
    first, second = map(json.loads, texts)
    path.write_text(texts[0])
    assert edit(path, texts[0], "platform", second["platform"])
    assert first["platform"] != second["platform"]
    lose_change_sets(aws, path.read_text())
    refused = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert "its change sets are those of several plans" in refused
    assert list_executions(aws) == []


def test_a_plan_of_the_artifacts_stack_alone_is_applied(command: Command, aws: Service) -> None:
    """The platform is that of the new release, and needs nothing of what is taken away."""
    add_platform(aws)
    find_artifacts(aws).text = EARLIER
    command("plan", "dev", "--out", "plan.json", code=2)
    command("apply", "dev", "plan.json", "--yes", code=0)
    assert list_ledgers(find_artifacts(aws)) == ["dynamodb-payment-ledger"]


@pytest.mark.parametrize("name", [name for name in FIELDS if name.split("/")[0] != "platform"])
def test_an_edited_change_of_the_artifacts_stack_alone(command: Command, aws: Service, name: str) -> None:
    add_platform(aws)
    find_artifacts(aws).text = EARLIER
    command("plan", "dev", "--out", "plan.json", code=2)
    has_applied = is_applied(command, aws, "dev", name)
    of_platform = ("artifacts_state", "keeps_failed", "late_parameters", "late_paths", "late_template_url")
    assert has_applied == name.endswith(("/remarks", "/plan", *of_platform))
    if has_applied:
        assert list_executions(aws) == [ARTIFACTS]
        assert list_ledgers(find_artifacts(aws)) == ["dynamodb-payment-ledger"]


def test_a_plan_whose_platform_turned_out_to_stay_is_applied_alone(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CloudFormation finds nothing to change where the comparison does: the plan is one of the other stack alone."""
    add_platform(aws)
    find_artifacts(aws).text = EARLIER
    compare = deploy._compare_deployed
    monkeypatch.setattr(deploy, "_compare_deployed", lambda *arguments: (False, compare(*arguments)[1]))
    command("plan", "dev", "--out", "plan.json", code=2)
    assert len(aws.remaining_names) == 1
    command("apply", "dev", "plan.json", "--yes", code=0)
    assert list_executions(aws) == [ARTIFACTS]
    assert list_ledgers(find_artifacts(aws)) == ["dynamodb-payment-ledger"]

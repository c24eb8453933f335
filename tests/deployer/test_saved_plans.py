"""Plans that are saved to a file, and applied or discarded later."""

import errno
import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.common.errors import UserError
from scripts.deployer import saved_plan
from scripts.deployer.abandoned import describe_run
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import Fault
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.settings import REGION
from tests.deployer.aws.stacks import Stack
from tests.deployer.both_stacks import (
    ARTIFACTS,
    EARLIER,
    PLATFORM,
    add_earlier_release,
    add_earlier_release_of_two_environments,
    find_artifacts,
    list_ledgers,
)
from tests.deployer.conftest import BUCKET, LONGEST_SECONDS, Command, add_bootstrap_stack, add_platform
from tests.deployer.disturbed_runs import send_signal
from tests.deployer.releases import edit_harmlessly
from tests.deployer.test_leftovers import add_change_set

# Each takes several deployments.
pytestmark = pytest.mark.nightly

# The beginning of the locations of templates in the bucket.
PREFIX = f"https://s3.{REGION}.amazonaws.com/{BUCKET}/"
STILL_SAVED = "; the plan is still saved; delete it with scripts/deploy.sh discard dev plan.json\n"


def test_a_saved_plan_is_applied_exactly(command: Command, aws: Service, tmp_path: Path) -> None:
    stack = add_platform(aws, edit_harmlessly)
    planned = command("dev", "--plan", "--out", "plan.json", code=2)
    assert planned.stdout.endswith(
        "payment-platform-dev: the plan is saved; run scripts/deploy.sh apply dev plan.json, or "
        "scripts/deploy.sh discard dev plan.json\n"
    )
    (waiting,) = [change_set for change_set in aws.change_sets.values() if change_set.stack is stack]
    result = command("dev", "--apply", "plan.json", "--yes", code=0)
    (request,) = aws.find_requests("ExecuteChangeSet")
    assert request.pop("ClientRequestToken")
    assert request == {"ChangeSetName": waiting.id, "RetainExceptOnCreate": True}
    assert len(aws.find_requests("CreateChangeSet")) == 1
    assert not (tmp_path / "plan.json").exists()
    plan_text = planned.stdout[planned.stdout.index("payment-platform-dev\n├") : planned.stdout.index("Plan: ")]
    assert plan_text in result.stdout


@pytest.mark.parametrize("verb", ["apply", "discard"])
@pytest.mark.parametrize("key", ["environment", "account", "region", "stack_name"])
def test_a_plan_for_another_environment_account_or_region_is_refused(
    command: Command, aws: Service, tmp_path: Path, verb: str, key: str
) -> None:
    add_bootstrap_stack(aws)
    plan = tmp_path / "plan.json"
    command("plan", "dev", "--out", "plan.json", code=2)
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {key: "another"}))
    aws.calls.clear()
    refused = command(verb, "dev", "plan.json")
    assert f"plan.json: this plan is for {key.replace('_', ' ')} another, not " in refused.stderr
    assert (refused.code, aws.find_writes(), plan.exists()) == (1, [], True)


def test_a_plan_for_a_stack_without_the_owner_tag_is_applied_only_to_adopt_it(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_harmlessly)
    command("plan", "dev", "--out", "plan.json", code=2)
    stack.tags = []
    refused = command("apply", "dev", "plan.json", "--yes")
    assert "exists but does not have the tag ManagedBy=payment-platform, so it is not touched" in refused.stderr
    assert (refused.code, aws.find_requests("ExecuteChangeSet")) == (1, [])
    command("apply", "dev", "plan.json", "--yes", "--adopt", code=0)


def test_a_saved_plan_is_refused_after_a_change(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_harmlessly)
    command("plan", "dev", "--out", "plan.json", code=2)

    def refuse_plan() -> str:
        line = command("apply", "dev", "plan.json", "--yes", code=1).stderr.removeprefix("deploy: plan.json: ")
        message, ending, _ = line.partition(STILL_SAVED)
        assert ending
        return message

    nested = stack.nested["Data"]
    updated, nested.updated = nested.updated, nested.updated.replace(year=2027)
    assert refuse_plan() == "the stack or a nested stack has changed since the plan was made; create a new plan"
    nested.updated = updated

    (change_set,) = [change_set for change_set in aws.change_sets.values() if change_set.stack is stack]
    changes, change_set.changes = change_set.changes, change_set.changes[:1]
    assert refuse_plan() == "the change set no longer matches the plan, and nothing was changed; create a new plan"
    change_set.changes, change_set.execution = changes, "OBSOLETE"
    assert refuse_plan().startswith("its change set is OBSOLETE: another deployment has run since; nothing of this ")
    aws.change_sets.clear()
    assert refuse_plan() == "its change set no longer exists; create a new plan"
    assert aws.find_requests("ExecuteChangeSet") == []


def test_a_plan_whose_stack_is_gone_says_so(command: Command, aws: Service) -> None:
    """As after a restart of the emulator, or once somebody has deleted the stack."""
    add_platform(aws, edit_harmlessly)
    command("plan", "dev", "--out", "plan.json", code=2)
    aws.change_sets.clear()
    aws.stacks.clear()
    refused = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert refused.startswith(f"deploy: plan.json: neither {PLATFORM} nor its change set exists any more; create a new")


@pytest.mark.parametrize("answer", ["n", "Ctrl-C"])
def test_a_plan_that_is_not_confirmed_can_be_applied_later(command: Command, aws: Service, answer: str) -> None:
    add_platform(aws, edit_harmlessly)
    command("plan", "dev", "--out", "plan.json", code=2)
    how: dict[str, Any] = {"types": "n\n"} if answer == "n" else {"interrupts_at": "[y/N]"}
    terminal = command.run_on_terminal("apply", "dev", "plan.json", columns=250, **how)
    apply_again, discard = (f"scripts/deploy.sh {verb} dev plan.json" for verb in ("apply", "discard"))
    assert terminal.text.splitlines()[-1].endswith(f"; the plan is still saved; run {apply_again}, or {discard}")
    assert terminal.code == (1 if answer == "n" else 130)


@pytest.mark.parametrize("edited", ["plan", "remarks", "digest too"])
def test_an_edited_plan_is_refused(command: Command, aws: Service, tmp_path: Path, edited: str) -> None:
    """What is shown is made anew from the change set, so that not even an edited digest helps."""
    stack = add_platform(aws, edit_harmlessly)
    aws.alarms["alarm-payment-duration-dev"] = "ALARM"
    path = tmp_path / "plan.json"
    command("plan", "dev", "--out", "plan.json", code=2)
    document = json.loads(path.read_text())
    planned = document["platform"]
    assert any("it is already in ALARM" in remark for remark in planned["remarks"])
    if edited == "remarks":
        planned["remarks"] = []
    else:
        planned["plan"]["stack"]["changes"] = planned["plan"]["stack"]["changes"][:1]
    path.write_text(json.dumps(document))
    message = "the file was changed after the plan had been saved; create a new plan"
    if edited == "digest too":
        forged = saved_plan.load_plan(path)
        path.unlink()
        saved_plan.save_plan(path, forged)
        message = "the change set no longer matches the plan, and nothing was changed; create a new plan"
    refused = command("apply", "dev", "plan.json", "--yes", code=1)
    assert (refused.stderr, refused.stdout) == (f"deploy: plan.json: {message}{STILL_SAVED}", "")
    assert aws.find_requests("ExecuteChangeSet") == []
    assert stack.status == "UPDATE_COMPLETE"


def _forge_plan(path: Path, **changes: Any) -> None:
    """Save another plan in its place, with a digest that is right: anybody can compute it."""
    forged = replace(saved_plan.load_plan(path), **changes)
    path.unlink()
    saved_plan.save_plan(path, forged)


def test_a_plan_of_prod_is_not_applied_as_one_of_dev(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, edit_harmlessly, environment="prod")
    path = tmp_path / "plan.json"
    command("plan", "prod", "--out", "plan.json", code=2)
    _forge_plan(path, environment="dev", stack_name=PLATFORM)
    refused = command("apply", "dev", "plan.json", "--yes", code=1)
    assert refused.stderr == f"deploy: plan.json: this plan is for the stack payment-platform-prod, not {PLATFORM}\n"
    planned = saved_plan.load_plan(path).platform
    assert planned is not None
    _forge_plan(path, platform=replace(planned, stack_name=PLATFORM))
    refused = command("apply", "dev", "plan.json", "--yes", code=1)
    assert f"its ids are not those of {PLATFORM}, and nothing was changed" in refused.stderr
    assert aws.find_requests("ExecuteChangeSet") == []


def test_the_change_set_of_another_stack_is_not_discarded(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, edit_harmlessly)
    foreign = Stack("ledger-of-another-team", aws.make_arn("stack", "ledger-of-another-team"), "UPDATE_COMPLETE")
    aws.stacks[foreign.id] = foreign
    waiting = add_change_set(aws, foreign, "release-7", "")
    del aws.change_sets[waiting.id]
    waiting.id = aws.make_arn("changeSet", "release-7")
    aws.change_sets[waiting.id] = waiting
    path = tmp_path / "plan.json"
    command("plan", "dev", "--out", "plan.json", code=2)
    planned = saved_plan.load_plan(path).platform
    assert planned is not None
    _forge_plan(path, platform=replace(planned, change_set_id=waiting.id))
    command("discard", "dev", "plan.json")
    assert "release-7" in aws.remaining_names


@pytest.mark.parametrize(
    "changes",
    [
        {"runs_before": False},
        {"runs_after": False},
        {"first_change_set_id": ""},
        {"runs_after": False, "first_change_set_id": ""},
        {"first_change_set_id": "that of the end"},
    ],
    ids=str,
)
def test_an_edited_plan_takes_no_rights_away_before_the_platform_is_deployed(
    command: Command, aws: Service, tmp_path: Path, changes: dict[str, Any]
) -> None:
    add_earlier_release(aws)
    path = tmp_path / "plan.json"
    command("plan", "dev", "--out", "plan.json", code=2)
    planned = saved_plan.load_plan(path).artifacts
    assert planned is not None
    if changes.get("first_change_set_id"):
        changes = {"first_change_set_id": planned.change_set_id}
    _forge_plan(path, **changes)
    refused = command("apply", "dev", "plan.json", "--yes", code=1)
    assert f"{ARTIFACTS} would not be updated before and after {PLATFORM} as its templates require" in refused.stderr
    assert aws.find_requests("ExecuteChangeSet") == []


def test_an_edited_plan_takes_no_rights_from_an_environment_that_it_does_not_name(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    """When the plan was made, prod was not deployed, so nothing was kept for it."""
    artifacts = add_earlier_release_of_two_environments(aws)
    (prod,) = [stack for stack in aws.stacks.values() if stack.name == "payment-platform-prod"]
    del aws.stacks[prod.id]
    path = tmp_path / "plan.json"
    command("plan", "dev", "--out", "plan.json", code=2)
    aws.stacks[prod.id] = prod
    refused = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert "payment-platform-prod was deployed since the plan was made" in refused
    environments = saved_plan.load_plan(path).environments
    del environments["prod"]
    _forge_plan(path, environments=environments)
    refused = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert "it takes permissions away that payment-platform-prod may need, and nothing was changed" in refused
    assert list_ledgers(artifacts, "prod") == ["dynamodb-ledger"]


@pytest.mark.parametrize(("member", "rest"), [("platform", ARTIFACTS), ("artifacts", PLATFORM)])
def test_half_a_plan_is_not_applied(command: Command, aws: Service, tmp_path: Path, member: str, rest: str) -> None:
    """Alone, the artifacts stack would take rights from the release that runs, and the platform would lack its own."""
    add_earlier_release(aws)
    path = tmp_path / "plan.json"
    command("plan", "dev", "--out", "plan.json", code=2)
    _forge_plan(path, **{member: None})
    refused = command("apply", "dev", "plan.json", "--yes", code=1)
    reason = f"the change set of {rest} was made for another plan than the file has, and nothing was changed"
    assert refused.stderr == f"deploy: plan.json: {reason}; create a new plan{STILL_SAVED}"
    assert aws.find_requests("ExecuteChangeSet") == []


def test_a_value_of_another_type_is_no_plan(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, edit_harmlessly)
    path = tmp_path / "plan.json"
    command("plan", "dev", "--out", "plan.json", code=2)
    text = path.read_text()
    document = json.loads(text)
    names = [
        *document.keys() - {"version", "artifacts", "platform"},
        *(f"platform/{key}" for key in document["platform"]),
    ]
    for name in names:
        *members, key = name.split("/")
        for value in (None, "abc", [1], {"a": 1}, 1, True):
            edited = json.loads(text)
            part = edited[members[0]] if members else edited
            if isinstance(value, type(part[key])) and value not in ([1], {"a": 1}):
                continue
            part[key] = value
            path.write_text(json.dumps(edited))
            with pytest.raises(UserError, match="not a plan that --out has saved"):
                saved_plan.load_plan(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"keeps_failed": True},
        {"late_parameters": {"DeletionProtection": "false"}},
        {"late_paths": ["Data/Transactions"]},
        {"late_template_url": "https://elsewhere.example/template.yaml"},
    ],
    ids=str,
)
def test_what_an_edited_plan_adds_to_its_change_set_is_refused(
    command: Command, aws: Service, tmp_path: Path, changes: dict[str, Any]
) -> None:
    add_platform(aws, edit_harmlessly)
    command("plan", "dev", "--out", "plan.json", code=2)
    _forge_plan(tmp_path / "plan.json", **changes)
    command("apply", "dev", "plan.json", "--yes", code=1)
    assert aws.find_requests("ExecuteChangeSet") == []


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("https://elsewhere.example/template.yaml", f"https://elsewhere.example/template.yaml is not in s3://{BUCKET}"),
        (f"{PREFIX}deleted.yaml", f"s3://{BUCKET}/deleted.yaml does not exist"),
        (PREFIX, f"{PREFIX} is not in s3://{BUCKET}"),
    ],
    ids=["another place", "no such object", "the bucket itself"],
)
def test_a_template_of_another_place_is_refused_with_one_line(
    command: Command, aws: Service, tmp_path: Path, place: str, problem: str
) -> None:
    add_platform(aws, edit_harmlessly)
    command("plan", "dev", "--out", "plan.json", code=2)
    _forge_plan(tmp_path / "plan.json", late_template_url=place)
    refused = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert refused == (
        f"deploy: plan.json: its template {problem}, and nothing was changed; create a new plan{STILL_SAVED}"
    )


def test_a_template_in_the_bucket_that_is_not_what_its_key_names_is_refused(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    command("plan", "dev", "--out", "plan.json", code=2)
    for key in aws.objects:
        aws.objects[key] += "\n"
    refused = command("apply", "dev", "plan.json", "--yes", code=1)
    assert "does not match the checksum in its name; find out who uploaded it" in refused.stderr
    assert aws.find_requests("ExecuteChangeSet") == []


def test_a_saved_plan_is_discarded(command: Command, aws: Service, tmp_path: Path) -> None:
    add_bootstrap_stack(aws)
    command("dev", "--plan", "--out", "plan.json", code=2)
    assert len(aws.remaining_names) == 2  # the change set, and its stack in review
    command("dev", "--discard", "plan.json", code=0)
    assert aws.remaining_names == []
    assert not (tmp_path / "plan.json").exists()


def test_a_discard_that_is_interrupted_before_it_deletes_anything_has_changed_nothing(
    command: Command, aws: Service
) -> None:
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    aws.before["DescribeChangeSet"] = lambda: send_signal(signal.SIGINT)
    interrupted = command("discard", "dev", "plan.json", code=130).stderr
    assert interrupted == "deploy: interrupted; payment-platform-dev was not changed\n"
    assert "DeleteChangeSet" not in aws.find_writes()


@pytest.mark.parametrize("is_lost", [False, True])
def test_whoever_interrupts_a_discard_gets_the_command_that_deletes_the_rest(
    command: Command, aws: Service, tmp_path: Path, is_lost: bool
) -> None:
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    plan = aws.remaining_names[1] if is_lost else "plan.json"
    if is_lost:
        (tmp_path / "plan.json").unlink()

    def interrupt() -> None:
        if len(aws.find_requests("DeleteChangeSet")) == 2:
            aws.before.clear()
            send_signal(signal.SIGINT)

    aws.before["DeleteChangeSet"] = interrupt
    interrupted = command("discard", "dev", plan, code=1).stderr
    again = f"scripts/deploy.sh discard dev {plan}"
    assert interrupted == f"deploy: interrupted; the plan may be deleted in part; delete the rest: {again}\n"
    assert aws.remaining_names
    command("discard", "dev", plan, code=0)
    assert aws.remaining_names == []


def test_a_deletion_deletes_the_saved_plans_of_its_environment_and_no_others(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    add_earlier_release_of_two_environments(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    plan_of_dev = set(aws.remaining_names)
    command("plan", "prod", "--out", "prod.json", code=2)
    plan_of_prod = set(aws.remaining_names) - plan_of_dev
    deleted = command("dev", "--yes", "--destroys", PLATFORM, script="destroy", code=0).stdout
    plan = f"the saved plan of dev in {tmp_path / 'plan.json'}"
    assert f"Deleted the change sets of {plan}, which can no longer be applied\n" in deleted
    of_artifacts = {change_set.name for change_set in aws.change_sets.values() if change_set.stack.name == ARTIFACTS}
    assert of_artifacts & plan_of_dev == set()
    assert len(of_artifacts & plan_of_prod) == 2


@pytest.mark.parametrize("verb", ["apply", "discard"])
def test_of_a_link_the_file_is_deleted_and_the_link_can_be_used_again(
    command: Command, aws: Service, tmp_path: Path, verb: str
) -> None:
    add_platform(aws, edit_harmlessly)
    (tmp_path / "link.json").symlink_to(tmp_path / "plan.json")
    command("plan", "dev", "--out", "link.json", code=2)
    assert (tmp_path / "plan.json").is_file()
    command(verb, "dev", "link.json", *(["--yes"] if verb == "apply" else []), code=0)
    assert (aws.remaining_names, (tmp_path / "plan.json").exists()) == ([], False)
    assert (tmp_path / "link.json").is_symlink()


def list_plan_lines(command: Command) -> list[str]:
    lines = command("dev", script="status", code=0).stdout.splitlines()
    return [line for line in lines if line.startswith("the saved plan of ")]


def test_a_saved_plan_is_listed_by_its_environment_and_file_once(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    """It has three change sets: one of the platform, and two of the artifacts stack."""
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    (line,) = list_plan_lines(command)
    path = tmp_path / "plan.json"
    apply, discard = (f"scripts/deploy.sh {verb} dev {path}" for verb in ("apply", "discard"))
    assert re.sub(r", of 20.{14},", ",", line) == (
        f"the saved plan of dev in {path}, changes {ARTIFACTS} and {PLATFORM}; run {apply}, or {discard}"
    )
    (saved,) = json.loads(command("dev", "--json", script="status", code=0).stdout)["saved_plans"]
    assert (saved["environment"], saved["file"]) == ("dev", str(path))
    assert sorted(name for _, name in saved["change_sets"]) == sorted(aws.remaining_names)
    # Another plan in a file of that name is not this one.
    path.unlink()
    command("plan", "dev", "--out", "plan.json", code=2)
    assert sorted("; if the file is lost, " in line for line in list_plan_lines(command)) == [False, True]


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_a_lost_plan_is_deleted_by_the_name_of_any_of_its_change_sets(
    command: Command, aws: Service, tmp_path: Path, chosen: int
) -> None:
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    (tmp_path / "plan.json").unlink()
    (line,) = list_plan_lines(command)
    name = aws.remaining_names[chosen]
    listed = re.search(
        "; that is not on this machine; if the file is lost, delete the plan with scripts/deploy.sh discard dev (.+)",
        line,
    )
    assert listed
    assert listed[1] in aws.remaining_names
    assert command("discard", "dev", name, code=0).stdout == (
        f"{PLATFORM}: the saved plan of dev in {tmp_path / 'plan.json'} has been deleted, with its change sets of "
        f"{ARTIFACTS} and {PLATFORM}\n"
    )
    assert aws.remaining_names == []
    missing = command("discard", "dev", name, code=1).stderr
    assert f"deploy: {name}: neither a file nor a change set of a saved plan in {PLATFORM} or " in missing
    assert list_plan_lines(command) == []


@pytest.mark.parametrize("is_lost", [False, True])
def test_the_discarded_plan_of_the_artifacts_stack_alone_names_that_stack(
    command: Command, aws: Service, tmp_path: Path, is_lost: bool
) -> None:
    add_platform(aws)
    find_artifacts(aws).text = EARLIER
    command("plan", "dev", "--out", "plan.json", code=2)
    (name,) = aws.remaining_names
    if is_lost:
        (tmp_path / "plan.json").unlink()
    result = command("discard", "dev", name if is_lost else "plan.json", code=0).stdout
    assert result.startswith(f"{ARTIFACTS}: the saved plan ")
    assert result.endswith(f" has been deleted, with its change sets of {ARTIFACTS}\n")
    assert aws.remaining_names == []


def test_a_change_set_that_names_no_file_is_a_plan_of_its_own(command: Command, aws: Service) -> None:
    """As an earlier version of the deployer has described it."""
    stack = add_platform(aws)
    first, second = (add_change_set(aws, stack, f"deploy-0123456789a{n}", "a saved plan of dev") for n in (1, 2))
    assert list_plan_lines(command) == [
        f"the saved plan of dev, of {change_set.created:%Y-%m-%d %H:%M}, changes {PLATFORM}; if the file is lost, "
        f"delete the plan with scripts/deploy.sh discard dev {change_set.name}"
        for change_set in (first, second)
    ]
    command("discard", "dev", first.name, code=0)
    assert aws.remaining_names == [second.name]


def test_an_environment_does_not_list_or_delete_the_plans_of_another(command: Command, aws: Service) -> None:
    """The change sets of both are in the artifacts stack, which the environments share."""
    add_earlier_release(aws)
    command("plan", "prod", "--out", "prod.json", code=2)
    of_prod = [name for name in aws.remaining_names if name.startswith("deploy-")]
    listed = command("dev", "--json", script="status", code=0).stdout
    assert json.loads(listed)["saved_plans"] == []
    for name in of_prod:
        assert "neither a file nor a change set of a saved plan" in command("discard", "dev", name, code=1).stderr
    assert {*of_prod} <= {*aws.remaining_names}
    assert json.loads(command("prod", "--json", script="status", code=0).stdout)["saved_plans"]


def test_only_a_change_set_of_a_saved_plan_is_discarded_by_its_name(command: Command, aws: Service) -> None:
    stack = add_platform(aws)
    running = add_change_set(aws, stack, "deploy-0123456789ab", describe_run())
    command("discard", "dev", running.name, code=1)
    assert aws.remaining_names == [running.name]


def test_a_plan_of_which_nothing_was_executed_can_be_applied_again(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    add_platform(aws, edit_harmlessly)
    command("plan", "dev", "--out", "plan.json", code=2)
    aws.errors["ExecuteChangeSet"] = [Refused("AccessDenied", "no", 403)]
    stdout = command("apply", "dev", "plan.json", "--yes", code=1).stdout
    apply, discard = (f"scripts/deploy.sh {verb} dev plan.json" for verb in ("apply", "discard"))
    assert f"Not executed: the plan is still saved; run {apply}, or {discard}\n" in stdout
    command("apply", "dev", "plan.json", "--yes", code=0)
    assert (aws.remaining_names, (tmp_path / "plan.json").exists()) == ([], False)


@pytest.mark.parametrize("failing", ["resource", "request of the platform"])
def test_a_plan_that_was_begun_is_deleted_with_the_rest_of_its_change_sets(
    command: Command, aws: Service, tmp_path: Path, failing: str
) -> None:
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    if failing == "resource":
        aws.fails = {"Data/DeadLetters": "no"}
    else:
        # The artifacts stack is updated first.
        aws.before["ExecuteChangeSet"] = lambda: aws.errors.update(
            {"ExecuteChangeSet": [Refused("AccessDenied", "no", 403)]}
            if len(aws.find_requests("ExecuteChangeSet")) > 1
            else {}
        )
    stdout = command("apply", "dev", "plan.json", "--yes", code=1).stdout
    assert "Used up: the plan in plan.json, of which a change set was executed; the file was deleted\n" in stdout
    assert (aws.remaining_names, (tmp_path / "plan.json").exists()) == ([], False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "plan.json: cannot be read: No such file or directory"),
        ("nonsense", "plan.json: not JSON, so not a plan that --out has saved"),
        ("[]", "plan.json: not a plan that --out has saved"),
        ('{"version": 1}', "plan.json: not a plan that --out has saved"),
        ('{"version": 0}', "plan.json: written by another version of this program"),
    ],
)
def test_a_file_that_is_not_a_plan_is_refused(
    command: Command, aws: Service, tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "plan.json").write_text(content)
    advice = "save a plan with: scripts/deploy.sh plan ENVIRONMENT --out FILE"
    assert command("dev", "--apply", "plan.json", "--yes", code=1).stderr == f"deploy: {message}; {advice}\n"
    assert aws.calls == []


def test_the_deployment_record_contains_the_settings_of_the_saved_plan(
    command: Command, aws: Service, tmp_path: Path, settings_file: Any
) -> None:
    """The settings may have changed since the plan was saved."""
    add_platform(aws)
    path = settings_file("dev", log_retention_days=7)
    command("dev", "--plan", "--out", "plan.json", "--settings", path, code=2)
    command("dev", "--apply", "plan.json", "--yes", code=0)
    recorded = json.loads((tmp_path / "deployed" / "dev.json").read_text())
    assert recorded["parameters"]["LogRetentionDays"] == "7"


def test_a_plan_that_another_run_has_saved_in_the_same_file_meanwhile_stays(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    """Its change set would otherwise remain without a file that names it."""
    add_platform(aws, edit_harmlessly)
    command("plan", "dev", "--out", "first.json", code=2)
    (first,) = aws.remaining_names
    aws.before = {"CreateChangeSet": lambda: (tmp_path / "first.json").rename(tmp_path / "plan.json")}
    refused = command("plan", "dev", "--out", "plan.json", code=1)
    assert refused.stderr.startswith("deploy: plan.json: holds a plan already; run scripts/deploy.sh apply dev ")
    assert aws.remaining_names == [first]
    aws.before = {}
    command("apply", "dev", "plan.json", "--yes", code=0)


@pytest.mark.parametrize("changes_both", [False, True])
def test_an_interrupt_once_the_file_is_in_place_leaves_no_plan_without_its_change_sets(
    command: Command, aws: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes_both: bool
) -> None:
    if changes_both:
        add_earlier_release(aws)
    else:
        add_platform(aws, edit_harmlessly)
    replace_file = os.replace

    def replace_and_interrupt(source: str, destination: Path) -> None:
        replace_file(source, destination)
        if destination.name == "plan.json":
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace_and_interrupt)
    command("plan", "dev", "--out", "plan.json", code=130)
    assert ((tmp_path / "plan.json").exists(), aws.remaining_names) == (False, [])


@pytest.mark.parametrize("options", [(), ("--revert-drift",)])
@pytest.mark.parametrize(("changes_platform", "changes_artifacts"), [(True, False), (False, True), (True, True)])
def test_nothing_is_requested_once_a_plan_is_saved(
    command: Command,
    aws: Service,
    tmp_path: Path,
    changes_platform: bool,
    changes_artifacts: bool,
    options: tuple[str, ...],
) -> None:
    """An interrupt of such a request would end the plan without a word of the file."""
    add_release = add_earlier_release if changes_artifacts else add_platform
    add_release(aws, edit=edit_harmlessly if changes_platform else lambda _, text: text)
    plan, are_after_plan = tmp_path / "plan.json", list[bool]()
    aws.before = dict.fromkeys(
        ["CreateChangeSet", "DeleteChangeSet", "DescribeChangeSet"], lambda: are_after_plan.append(plan.exists())
    )
    command("plan", "dev", "--out", "plan.json", *options, code=2)
    assert plan.exists()
    assert set(are_after_plan) == {False}


def test_a_change_set_without_changes_that_cannot_be_deleted_is_named_once(command: Command, aws: Service) -> None:
    add_platform(aws, lambda _, text: text)
    aws.faults["DeleteChangeSet"] = Fault("denied")
    refused = command("plan", "dev", "--revert-drift", code=1)
    assert refused.stderr.count("could not be deleted: ") == 1


@pytest.mark.parametrize("command_name", ["apply", "discard"])
def test_a_pipe_is_no_plan(command: Command, aws: Service, tmp_path: Path, command_name: str) -> None:
    add_platform(aws, edit_harmlessly)
    os.mkfifo(tmp_path / "pipe")
    # With an end to write to, a reader waits for the text.
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    os.write(writer, b"{}")
    process = command.start(command_name, "dev", "pipe")
    try:
        _, error = process.communicate(timeout=LONGEST_SECONDS)
    finally:
        process.kill()
        os.close(writer)
    assert error == "deploy: pipe: not a regular file, so not a plan that --out has saved; name a file on the disk\n"


def test_a_plan_is_saved_in_a_file_with_a_long_name(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, edit_harmlessly)
    command("plan", "dev", "--out", "p" * 250, code=2)
    assert (tmp_path / ("p" * 250)).is_file()


def test_a_plan_that_cannot_be_written_says_what_was_changed(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_platform(aws, edit_harmlessly)

    def fill_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fchmod", fill_disk)
    assert command("plan", "dev", "--out", "plan.json", code=1).stderr == (
        "deploy: plan.json: cannot be written: No space left on device; no stack was changed; make room for it, or "
        "name another file, and plan again\n"
    )
    assert aws.remaining_names == []


def test_a_plan_that_is_used_up_says_that_its_file_stays_if_a_change_set_does(command: Command, aws: Service) -> None:
    """As after an outage: the next step deletes both."""
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    aws.before["ExecuteChangeSet"] = lambda: aws.faults.update(DescribeStackEvents=Fault("denied"))
    aws.before["DeleteChangeSet"] = lambda: aws.faults.update(DeleteChangeSet=Fault("denied"))
    stdout = command("apply", "dev", "plan.json", "--yes", code=3).stdout
    used_up = "Used up: the plan in plan.json, of which a change set was executed; change set "
    (line,) = [line for line in stdout.splitlines() if line.startswith(used_up)]
    assert line.endswith("; the file stays; then delete it with scripts/deploy.sh discard dev plan.json")
    assert (command.folder / "plan.json").exists()

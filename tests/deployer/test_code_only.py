"""code-only: code in the functions without a deployment, what says so, and how a deployment takes it back."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from scripts.deployer import live_functions
from scripts.deployer.abandoned import describe_run
from scripts.deployer.cli import deploy as cli
from stacks import names, settings
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import EXPIRED, RESET_AFTER, Fault
from tests.deployer.aws.functions import LATEST, OPERATIONS, Function
from tests.deployer.aws.settings import START
from tests.deployer.conftest import Command, CommandResult, add_platform
from tests.deployer.disturbed_runs import strike_from
from tests.deployer.releases import edit_harmlessly
from tests.deployer.test_leftovers import add_change_set
from tests.stacks.test_deployers import CODE_POLICIES, LOOK_POLICIES, list_actions

# Each takes several deployments.
pytestmark = pytest.mark.nightly

NAME = "payment-platform-dev"
EARLIER = "RELEASE = 1"
GATEWAY_KEY = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x"
# In the order of the templates.
FUNCTIONS = tuple(names.in_environment(function.name, "dev") for function in names.FUNCTIONS)
VALIDATION, PROCESSING = (
    names.in_environment(function.name, "dev") for function in (names.VALIDATION, names.PROCESSING)
)
UPDATED = (
    f"{len(FUNCTIONS)} functions have the code in lambda/; this is drift, which the next scripts/deploy.sh dev takes "
    "back before it deploys"
)
CHANGED = f"deploy.sh code-only has changed {', '.join(FUNCTIONS)}"
RESTORED = f"no changes; {len(FUNCTIONS)} functions have the code of the last deployment again"


def list_functions(aws: Service) -> list[Function]:
    return [aws.functions.functions[name] for name in FUNCTIONS]


def list_aliases(aws: Service) -> list[str]:
    return [function.aliases["live"] for function in list_functions(aws)]


def list_codes(aws: Service) -> set[str]:
    return {function.code for function in list_functions(aws)}


def list_published_codes(aws: Service) -> set[str]:
    """Return the code of the versions that the workflow calls."""
    return {function.versions[function.aliases["live"]][0] for function in list_functions(aws)}


def change_memory(name: str, text: str) -> str:
    """Return a template of a release whose functions have less memory."""
    text = text.replace("MemorySize: 256", "MemorySize: 128")
    # The description of a version names the function's properties by their digest.
    return re.sub(r"\bcode-[0-9a-f]{8}", "code-00000000", text)


def test_changed_code_is_live_at_once(command: Command, aws: Service) -> None:
    """Processing comes before validation, whose answers it must understand."""
    add_platform(aws, code=EARLIER)
    deployed = list_codes(aws)
    result = command("dev", "--code-only", code=0)
    *updated, last_line = result.stdout.splitlines()
    assert sorted(updated) == sorted(f"Updated {name}: live is {LATEST}" for name in FUNCTIONS)
    assert updated.index(f"Updated {PROCESSING}: live is {LATEST}") < updated.index(
        f"Updated {VALIDATION}: live is {LATEST}"
    )
    assert last_line == f"{NAME}: {UPDATED}"
    assert list_aliases(aws) == [LATEST] * len(FUNCTIONS)
    assert not list_codes(aws) & deployed
    assert [list(function.versions) for function in list_functions(aws)] == [["1"]] * len(FUNCTIONS)
    assert set(aws.find_writes()) <= {"lambda:UpdateAlias", "lambda:UpdateFunctionCode"}


def test_code_is_marked_before_it_changes(command: Command, aws: Service) -> None:
    """A command that ends in between leaves what the next deployment finds."""
    add_platform(aws, code=EARLIER)
    aws.faults["lambda:UpdateFunctionCode"] = Fault("denied")
    refused = command("dev", "--code-only", code=1)
    assert refused.stderr.startswith(
        f"deploy: not authorized: lambda:UpdateFunctionCode on {PROCESSING}; your role lacks this permission, or "
        "another policy denies it; already requested: lambda:UpdateAlias on "
    )
    assert all(f"lambda:UpdateAlias on {name}" in refused.stderr for name in FUNCTIONS)
    assert list_aliases(aws) == [LATEST] * len(FUNCTIONS)


def test_the_same_code_again_changes_nothing(command: Command, aws: Service) -> None:
    add_platform(aws, code=EARLIER)
    command("code-only", "dev", code=0)
    aws.calls.clear()
    assert command("dev", "code-only", code=0).stdout == f"{NAME}: no changes; nothing was done\n"
    assert aws.find_writes() == []


def test_the_deployed_code_changes_nothing(command: Command, aws: Service) -> None:
    add_platform(aws)
    assert command("dev", "--code-only", code=0).stdout == f"{NAME}: no changes; nothing was done\n"
    assert list_aliases(aws) == ["1"] * len(FUNCTIONS)


def change_code(aws: Service) -> None:
    """Put other code into the functions of a platform that is deployed as it is in this repository."""
    for function in list_functions(aws):
        function.aliases["live"], function.code = LATEST, "other code"


def test_code_that_is_reverted_is_live_again_at_its_version(command: Command, aws: Service) -> None:
    add_platform(aws)
    deployed = list_codes(aws)
    change_code(aws)
    result = command("dev", "--code-only", code=0)
    assert result.stdout.endswith(
        f"{NAME}: the functions run the code of the last deployment again, which is that of lambda/\n"
    )
    assert (list_aliases(aws), list_codes(aws)) == (["1"] * len(FUNCTIONS), deployed)


def test_plans_and_the_status_name_the_drift(command: Command, aws: Service) -> None:
    add_platform(aws)
    assert "code-only" not in command("dev", script="status", code=0).stdout
    change_code(aws)
    status = command("dev", script="status", code=2).stdout
    assert f"! {CHANGED}; scripts/deploy.sh dev takes that back before it deploys\n" in status
    assert json.loads(command("dev", "--json", script="status", code=2).stdout)["changed_functions"] == list(FUNCTIONS)
    planned = command("plan", "dev", "--out", "plan.json", code=2)
    notice = f"{CHANGED} (the alias live is at {LATEST}); a deployment first takes that back"
    assert f"! {notice} Plan: 0 to add, 0 to change, 0 to destroy." in join_lines(planned)
    assert planned.stdout.endswith(
        "nothing was changed, and no plan was saved; a deployment would only take back what deploy.sh code-only has "
        "changed\n"
    )
    assert not (command.folder / "plan.json").exists()
    plan, result = command("plan", "dev", "--json", code=2).read_records()
    assert (plan["plan"]["notices"], result["result"]) == ([notice], "planned")
    # A comment may show formulas, which begin with a dollar sign.
    written = notice.replace("$", "<span>$</span>")
    assert f"> - {written}\n" in command("plan", "dev", "--markdown", code=2).stdout
    assert list_aliases(aws) == [LATEST] * len(FUNCTIONS)


@pytest.mark.parametrize("options", [(), ("--revert-drift",)])
def test_a_deployment_without_changes_takes_the_code_back(
    command: Command, aws: Service, options: tuple[str, ...]
) -> None:
    add_platform(aws)
    deployed = list_codes(aws)
    change_code(aws)
    result = command("dev", "--yes", *options, code=0)
    # Validation goes back before processing.
    restored = [line for line in result.stdout.splitlines() if line.startswith("Restored ")]
    assert restored[0] == f"Restored {VALIDATION}: live is version 1 again"
    assert result.stdout.splitlines()[-1].endswith(RESTORED)
    assert (list_aliases(aws), list_codes(aws)) == (["1"] * len(FUNCTIONS), deployed)
    assert "ExecuteChangeSet" not in aws.find_writes()
    assert command("dev", "--yes", code=0).stdout.endswith("no changes; nothing was done\n")


def test_a_deployment_publishes_the_code_that_the_functions_have_already(command: Command, aws: Service) -> None:
    add_platform(aws, code=EARLIER)
    command("dev", "--code-only", code=0)
    changed = list_codes(aws)
    result = command("dev", "--yes", code=0)
    assert f"! {CHANGED} (the alias live is at {LATEST}); a deployment first takes that back" in join_lines(result)
    assert list_aliases(aws) == ["2"] * len(FUNCTIONS)
    assert list_published_codes(aws) == list_codes(aws) == changed
    assert [list(function.versions) for function in list_functions(aws)] == [["2"]] * len(FUNCTIONS)


@pytest.mark.parametrize("is_saved", [False, True])
def test_a_deployment_publishes_no_code_that_no_template_names(command: Command, aws: Service, is_saved: bool) -> None:
    """CloudFormation updates the memory alone, and would publish the changed code with it."""
    add_platform(aws, change_memory)
    deployed = list_codes(aws)
    change_code(aws)
    if is_saved:
        planned = command("plan", "dev", "--out", "plan.json", code=2)
        assert CHANGED in join_lines(planned)
        command("apply", "dev", "plan.json", "--yes", code=0)
    else:
        command("dev", "--yes", code=0)
    assert list_aliases(aws) == ["2"] * len(FUNCTIONS)
    assert list_published_codes(aws) == list_codes(aws) == deployed


def test_githubs_roles_may_do_exactly_what_plans_and_deployments_do(command: Command, aws: Service) -> None:
    def list_requested() -> set[str]:
        return {operation for operation, _ in aws.calls if operation.removeprefix("lambda:") in OPERATIONS}

    add_platform(aws, edit_harmlessly)
    change_code(aws)
    command("plan", "dev", code=2)
    assert list_requested() == {"lambda:GetAlias"} <= list_actions(*LOOK_POLICIES)
    command("dev", "--yes", code=0)
    # Lambda makes this request with the caller's rights.
    assert list_requested() | {"kms:CreateGrant"} == {"lambda:GetAlias"} | list_actions(*CODE_POLICIES)


def test_a_deployment_of_something_else_takes_the_code_back(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    deployed = list_codes(aws)
    change_code(aws)
    command("dev", "--yes", code=0)
    assert (list_aliases(aws), list_codes(aws)) == (["1"] * len(FUNCTIONS), deployed)


def test_a_version_that_equals_the_last_one_is_refused_by_lambda(command: Command, aws: Service) -> None:
    """Shows why no version is published by code-only: the deployment of that code could not publish it again."""
    add_platform(aws, code=EARLIER)
    command("dev", "--code-only", code=0)
    function = list_functions(aws)[0]
    function.publish_version()
    assert "A version for this Lambda function exists ( 2 )" in join_lines(command("dev", "--yes", code=1))


def test_a_deployment_that_fails_ends_with_the_deployed_code(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    deployed = list_codes(aws)
    change_code(aws)
    aws.fails = {"Data/DeadLetters": "MessageRetentionPeriod is not yours to set"}
    command("dev", "--yes", code=1)
    assert (list_aliases(aws), list_codes(aws)) == (["1"] * len(FUNCTIONS), deployed)


def test_a_deployment_that_is_overtaken_leaves_the_code_of_the_later_one(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = add_platform(aws, edit_harmlessly)

    def confirm(*_: object) -> bool:
        stack.updated += timedelta(seconds=90)
        change_code(aws)
        return True

    monkeypatch.setattr(cli, "confirm_deployment", confirm)
    result = command("dev", code=1)
    assert "was changed after it was read; nothing of this deployment was executed" in result.stderr
    assert list_aliases(aws) == [LATEST] * len(FUNCTIONS)


@pytest.mark.parametrize("operation", ["GetFunctionConfiguration", "UpdateFunctionCode", "UpdateAlias"])
def test_code_is_not_taken_back_under_a_deployment_that_begins_meanwhile(
    command: Command, aws: Service, operation: str
) -> None:
    """The alias would point to the version of before, and nothing would say so."""
    stack = add_platform(aws)
    change_code(aws)

    def deploy_release() -> None:
        del aws.before[f"lambda:{operation}"]
        stack.status, stack.updated = "UPDATE_IN_PROGRESS", stack.updated + timedelta(seconds=90)
        for function in list_functions(aws):
            function.code = "the next release"
            function.last_version, function.versions = 2, {**function.versions, "2": (function.code, "")}
            function.aliases["live"] = function.stack_version = function.alias_version = "2"

    aws.before[f"lambda:{operation}"] = deploy_release
    result = command("dev", "--yes", code=1)
    assert re.search("was (changed|moved) after it was read; ", result.stderr)
    assert (list_aliases(aws), list_codes(aws)) == (["2"] * len(FUNCTIONS), {"the next release"})


def test_the_mark_stays_until_the_code_is_taken_back(command: Command, aws: Service) -> None:
    add_platform(aws)
    change_code(aws)
    aws.faults["lambda:UpdateFunctionCode"] = Fault("denied")
    command("dev", "--yes", code=1)
    assert list_aliases(aws) == [LATEST] * len(FUNCTIONS)


def test_an_alias_at_the_deployed_code_is_not_moved_under_a_deployment(command: Command, aws: Service) -> None:
    """Such as after a deployment that was interrupted between code and alias."""
    stack = add_platform(aws)
    for function in list_functions(aws):
        function.aliases["live"] = LATEST

    def begin() -> None:
        del aws.before["lambda:GetFunctionConfiguration"]
        stack.status = "UPDATE_IN_PROGRESS"

    aws.before["lambda:GetFunctionConfiguration"] = begin
    result = command("dev", "--yes", code=1)
    assert "was changed after it was read; nothing of this deployment was executed" in result.stderr
    assert list_aliases(aws) == [LATEST] * len(FUNCTIONS)


def test_code_that_is_taken_back_while_it_is_put_is_not_left_without_its_mark(command: Command, aws: Service) -> None:
    """CloudFormation would publish it with the next version, and no plan would say so."""
    add_platform(aws, code=EARLIER)
    deployed = list_codes(aws)
    change_code(aws)

    def take_back() -> None:
        del aws.before["lambda:UpdateFunctionCode"]
        for function in list_functions(aws):
            function.aliases["live"], function.code = "1", function.versions["1"][0]

    aws.before["lambda:UpdateFunctionCode"] = take_back
    result = command("dev", "--code-only")
    assert result.stderr.startswith(
        f"deploy: the code of {PROCESSING} was changed after it was read; put the code again: "
    )
    unmarked = {function.code for function in list_functions(aws) if function.aliases["live"] != LATEST}
    assert unmarked <= deployed


def test_a_mark_that_is_removed_while_code_is_put_is_set_again(command: Command, aws: Service) -> None:
    add_platform(aws, code=EARLIER)
    change_code(aws)

    def remove_marks() -> None:
        # The second look at the function, once the first has begun to run the code.
        if len(aws.find_requests("lambda:UpdateFunctionCode")) == 1:
            del aws.before["lambda:GetFunctionConfiguration"]
            for function in list_functions(aws):
                function.aliases["live"] = "1"

    aws.before["lambda:GetFunctionConfiguration"] = remove_marks
    command("dev", "--code-only", code=0)
    assert list_aliases(aws) == [LATEST] * len(FUNCTIONS)


def test_code_that_is_put_while_it_is_taken_back_is_taken_back_as_well(command: Command, aws: Service) -> None:
    """code-only does not move an alias that is marked already."""
    add_platform(aws)
    deployed = list_codes(aws)
    change_code(aws)

    def put_again() -> None:
        del aws.before["lambda:UpdateAlias"]
        for function in list_functions(aws):
            function.code = "code of somebody else"

    aws.before["lambda:UpdateAlias"] = put_again
    command("dev", "--yes", code=0)
    assert (list_aliases(aws), list_codes(aws)) == (["1"] * len(FUNCTIONS), deployed)


def test_code_is_reported_if_the_answer_to_its_update_was_lost(command: Command, aws: Service) -> None:
    add_platform(aws, code=EARLIER)
    for function in list_functions(aws):
        function.aliases["live"] = LATEST
    operation = "lambda:UpdateFunctionCode"
    aws.faults[operation] = Fault(RESET_AFTER)
    aws.before[operation] = lambda: None if len(aws.find_requests(operation)) % 2 else aws.faults.clear()
    updated = command("dev", "--code-only", code=0)
    assert updated.stdout.endswith(f"{NAME}: {UPDATED}\n")


def test_a_change_whose_answer_was_lost_is_named_if_its_repetition_is_refused(command: Command, aws: Service) -> None:
    """A refusal says nothing of an earlier try."""
    add_platform(aws, edit_harmlessly)
    change_code(aws)
    strike_from(aws, "lambda:UpdateFunctionCode", RESET_AFTER, EXPIRED)
    failed = command("dev", "--yes", code=1)
    assert re.search(
        r"; already requested: lambda:UpdateFunctionCode on lambda-payment-\w+-dev; change set ", failed.stderr
    )
    assert "no stack was changed" not in failed.stderr


def test_a_deployment_that_is_overtaken_later_says_that_it_has_taken_code_back(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_harmlessly)
    change_code(aws)

    def begin_another_deployment() -> None:
        stack.status = "UPDATE_IN_PROGRESS"
        aws.change_sets.clear()

    aws.before["ExecuteChangeSet"] = begin_another_deployment
    result = command("dev", "--yes", code=1)
    assert "another deployment was faster" in result.stderr
    assert f"; {len(FUNCTIONS)} functions have the code of the last deployment again; plan again: " in result.stderr
    assert "nothing of this deployment was executed" not in result.stderr
    assert list_aliases(aws) == ["1"] * len(FUNCTIONS)


def test_a_deployment_that_finds_nothing_to_do_when_it_plans_again_says_what_it_has_done(
    command: Command, aws: Service
) -> None:
    stack = add_platform(aws, edit_harmlessly)
    change_code(aws)

    def deploy_the_same() -> None:
        del aws.before["ExecuteChangeSet"]
        add_platform(other := Service())
        (deployed,) = [deployed for deployed in other.stacks.values() if deployed.name == NAME]
        for path, nested in deployed.walk():
            dict(stack.walk())[path].text = nested.text
        stack.updated += timedelta(minutes=5)
        for change_set in aws.change_sets.values():
            change_set.execution = "OBSOLETE"

    aws.before["ExecuteChangeSet"] = deploy_the_same
    result = command("dev", "--yes", "--wait", code=0)
    assert result.stdout.splitlines()[-1].startswith(f"{NAME}: no changes any more; already requested: lambda:Update")


def test_a_deployment_that_is_refused_when_it_plans_again_says_what_it_has_done(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_harmlessly)
    change_code(aws)

    def delete_nested_stack() -> None:
        del aws.before["ExecuteChangeSet"]
        for change_set in aws.change_sets.values():
            change_set.execution = "OBSOLETE"
        stack.nested["Monitoring"].status = "DELETE_COMPLETE"

    aws.before["ExecuteChangeSet"] = delete_nested_stack
    refused = command("dev", "--yes", "--wait", code=1)
    assert list_aliases(aws) == ["1"] * len(FUNCTIONS)
    assert "was deleted without its parent" in refused.stderr
    assert "; already requested: lambda:UpdateAlias on " in refused.stderr
    assert "nothing was changed" not in refused.stderr


def test_a_deployment_that_is_not_confirmed_leaves_the_code(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    change_code(aws)
    command("dev", code=1)
    assert list_aliases(aws) == [LATEST] * len(FUNCTIONS)


@pytest.mark.parametrize(
    ("edit", "changes", "names"),
    [
        (change_memory, {}, "Compute/ValidationFunction, Compute/ProcessingFunction, .* differ"),
        (edit_harmlessly, {}, r"Data/DeadLetters, .* and \d+ more differ"),
        (None, {"function_log_level": "DEBUG"}, "Compute/ValidationFunction, .* differ"),
        (None, {"gateway": "stripe", "gateway_secret_arn": GATEWAY_KEY}, ".*Compute/StripeLayer.* differ"),
    ],
)
def test_anything_else_that_differs_needs_a_deployment(
    command: Command,
    aws: Service,
    settings_file: Callable[..., str],
    edit: Callable[[str, str], str] | None,
    changes: dict[str, str],
    names: str,
) -> None:
    add_platform(aws, edit, code=EARLIER)
    path = settings_file("dev", **changes)
    refused = command("dev", "--code-only", "--settings", path, code=1)
    assert re.fullmatch(
        f"deploy: code-only changes nothing but code, and {names} from what is deployed, too; nothing was changed; "
        rf"deploy: scripts/deploy\.sh dev --settings {re.escape(path)}\n",
        refused.stderr,
    )
    assert aws.find_writes() == []


@pytest.mark.parametrize(
    ("environment", "edit", "message"),
    [
        ("prod", ("", ""), "code-only is for development only: [prod.rollout] has termination_protection"),
        ("staging", ("", ""), "code-only is not allowed in staging; deploy without it, or set code_only = true in "),
        ("dev", ("code_only = true", "code_only = true\nstack_policy = true"), "code-only is for development only: "),
        ("dev", ("code_only = true", "code_only = false"), "code-only is not allowed in dev; "),
    ],
)
def test_the_settings_allow_it(
    command: Command, aws: Service, tmp_path: Path, environment: str, edit: tuple[str, str], message: str
) -> None:
    path = tmp_path / "environments.toml"
    path.write_text(settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8").replace(*edit, 1), encoding="utf-8")
    refused = command(environment, "--code-only", "--settings", str(path), code=1, AWS_DEFAULT_REGION="")
    assert refused.stderr.startswith(f"deploy: {message}")
    assert aws.calls == []


def test_where_it_is_not_allowed_nothing_is_read_of_functions(
    command: Command, aws: Service, settings_file: Callable[..., str]
) -> None:
    add_platform(aws, environment="staging")
    command("plan", "staging", code=0)
    command("staging", script="status", code=0)
    assert not [operation for operation, _ in aws.calls if operation.startswith("lambda:GetAlias")]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"tags": []}, f"{NAME} exists but does not have the tag ManagedBy=payment-platform"),
        ({"status": "UPDATE_IN_PROGRESS"}, f"{NAME} is UPDATE_IN_PROGRESS"),
        ({"status": "UPDATE_FAILED"}, f"{NAME} is UPDATE_FAILED, so what its functions should run is not certain"),
    ],
)
def test_a_stack_that_cannot_take_it_is_left_alone(
    command: Command, aws: Service, attributes: dict[str, object], message: str
) -> None:
    add_platform(aws, code=EARLIER, **attributes)
    assert command("dev", "--code-only", code=1).stderr.startswith(f"deploy: {message}")
    assert aws.find_writes() == []


def test_an_environment_that_is_not_deployed_has_no_functions(command: Command, aws: Service) -> None:
    refused = command("dev", "--code-only", "--json", code=1)
    message = f"{NAME} is not deployed; deploy it with scripts/deploy.sh dev"
    assert refused.stderr == f"deploy: {message}\n"
    assert (refused.read_records()[-1]["result"], refused.read_records()[-1]["message"]) == ("failed", message)


def test_the_record_for_programs(command: Command, aws: Service) -> None:
    add_platform(aws, code=EARLIER)
    record = command("dev", "--code-only", "--json", code=0).read_records()[-1]
    assert (record["result"], record["message"]) == ("code updated", UPDATED)


@pytest.mark.parametrize("is_slow", [False, True])
def test_code_that_cannot_be_taken_back_is_named_with_what_was_done(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch, *, is_slow: bool
) -> None:
    """Of three functions, the first one has the deployed code again."""
    add_platform(aws, edit_harmlessly, code=EARLIER)
    change_code(aws)
    monkeypatch.setattr(live_functions, "LONGEST_UPDATE_SECONDS", 0.3)

    def fail_second() -> None:
        if len(aws.find_requests("lambda:UpdateFunctionCode")) == 2:
            aws.functions.fails, aws.functions.slow = ("", 1_000_000) if is_slow else ("The KMS key is disabled", 0)

    aws.before["lambda:UpdateFunctionCode"] = fail_second
    failed = command("dev", "--yes", code=3 if is_slow else 1).stderr
    reason = "the update of lambda-payment-" if is_slow else "cannot run the deployed code: The KMS key is disabled; "
    assert reason in failed
    assert "the change set of payment-platform-dev was not executed; deploy again afterwards" in failed
    assert "; already requested: lambda:UpdateFunctionCode on lambda-payment-" in failed
    assert "new code" not in failed
    assert aws.find_requests("ExecuteChangeSet") == []


def test_code_that_lambda_cannot_run_is_named_with_the_way_back(command: Command, aws: Service) -> None:
    add_platform(aws, code=EARLIER)
    aws.functions.fails = "The KMS key is disabled"
    failed = command("dev", "--code-only", code=1)
    assert failed.stderr == (
        f"deploy: {PROCESSING} cannot run the new code: The KMS key is disabled; to go back to the deployed code: "
        "scripts/deploy.sh dev\n"
    )
    aws.functions.fails = ""
    command("dev", "--code-only", code=0)
    assert list_aliases(aws) == [LATEST] * len(FUNCTIONS)


def test_an_update_that_takes_too_long_is_no_longer_watched(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_platform(aws, code=EARLIER)
    aws.functions.slow = 1_000_000
    monkeypatch.setattr(live_functions, "LONGEST_UPDATE_SECONDS", 0.1)
    waited = command("dev", "--code-only", code=3)
    assert waited.stderr.startswith(f"deploy: the update of {PROCESSING} continues after 0.1 seconds; ")


def test_an_update_in_progress_is_waited_for(command: Command, aws: Service) -> None:
    add_platform(aws, code=EARLIER)
    list_functions(aws)[1].pending = 3
    command("dev", "--code-only", code=0)
    assert list_functions(aws)[1].aliases["live"] == LATEST


def test_a_deployment_at_the_same_time_is_reported(command: Command, aws: Service) -> None:
    stack = add_platform(aws, code=EARLIER)

    def begin() -> None:
        stack.status = "UPDATE_IN_PROGRESS"

    aws.before["lambda:UpdateFunctionCode"] = begin
    refused = command("dev", "--code-only", code=1)
    assert refused.stderr == (
        f"deploy: {NAME} was deployed at the same time (it is UPDATE_IN_PROGRESS), so its functions may have either "
        "code; put it again afterwards, so that the next deployment takes it back: scripts/deploy.sh code-only dev\n"
    )


def test_code_that_arrives_after_another_deployment_is_taken_back_after_the_advised_command(
    command: Command, aws: Service
) -> None:
    """That deployment has taken the marks back, and Lambda does not refuse the code, because it was not put anew."""
    stack = add_platform(aws, code=EARLIER)

    def deploy_meanwhile() -> None:
        del aws.before["lambda:UpdateFunctionCode"]
        for function in list_functions(aws):
            function.aliases["live"] = "1"
        stack.updated += timedelta(minutes=1)

    aws.before["lambda:UpdateFunctionCode"] = deploy_meanwhile
    refused = command("dev", "--code-only", code=1)
    advised = refused.stderr.strip().rpartition("scripts/deploy.sh ")[2]
    assert advised == "code-only dev"
    command(*advised.split(), code=0)
    assert list_aliases(aws) == [LATEST] * len(FUNCTIONS)


def test_a_plan_that_takes_code_back_is_refused_once_the_settings_do_not_allow_that(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    """It would publish, with what else it changes, the code that it promises to take back."""
    add_platform(aws, change_memory)
    change_code(aws)
    text = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8")
    (path := tmp_path / "environments.toml").write_text(text, encoding="utf-8")
    planned = command("plan", "dev", "--out", "plan.json", "--settings", str(path), code=2)
    assert CHANGED in planned.stdout
    path.write_text(text.replace("code_only = true", "code_only = false"), encoding="utf-8")
    refused = command("apply", "dev", "plan.json", "--yes", "--settings", str(path), code=1)
    assert "it takes back what deploy.sh code-only has changed, and the settings have code_only = false since" in (
        refused.stderr
    )
    assert aws.find_requests("ExecuteChangeSet") == []


@pytest.mark.parametrize("operation", ["ListChangeSets", "lambda:UpdateAlias"])
def test_code_is_not_put_while_a_deployment_may_execute_its_change_set(
    command: Command, aws: Service, operation: str
) -> None:
    """It has looked at the aliases, and CloudFormation would publish the code as that of the deployment."""
    stack = add_platform(aws, code=EARLIER)
    deployed = list_codes(aws)

    def create_change_set() -> None:
        del aws.before[operation]
        add_change_set(aws, stack, "deploy-0123456789ab", describe_run())

    aws.before[operation] = create_change_set
    refused = command("dev", "--code-only", code=1)
    is_marked = operation == "lambda:UpdateAlias"
    fate = "functions are at $LATEST, which the next deployment takes back" if is_marked else "nothing was changed"
    assert refused.stderr == (
        f"deploy: {NAME} is being planned or deployed (change set deploy-0123456789ab); {fate}; when that has ended: "
        "scripts/deploy.sh code-only dev; if no deploy.sh runs: aws cloudformation delete-change-set --stack-name "
        f"{NAME} --change-set-name deploy-0123456789ab\n"
    )
    assert list_codes(aws) == deployed
    assert list_aliases(aws) == [LATEST if is_marked else "1"] * len(FUNCTIONS)


def test_code_is_not_put_into_another_function_once_a_deployment_has_begun(command: Command, aws: Service) -> None:
    stack = add_platform(aws, code=EARLIER)

    def create_change_set() -> None:
        del aws.before["lambda:UpdateFunctionCode"]
        add_change_set(aws, stack, "deploy-0123456789ab", describe_run())

    aws.before["lambda:UpdateFunctionCode"] = create_change_set
    refused = command("dev", "--code-only", code=1)
    assert refused.stderr.startswith(f"deploy: {NAME} is being planned or deployed (change set deploy-0123456789ab); ")
    assert len(aws.find_requests("lambda:UpdateFunctionCode")) == 1


@pytest.mark.parametrize(
    ("description", "attributes", "can_be_deleted"),
    [
        ("a saved plan of dev", {"execution": "EXECUTE_IN_PROGRESS"}, False),
        (describe_run(), {"execution": "EXECUTE_IN_PROGRESS"}, False),
        (describe_run(), {"looks": 1}, True),
    ],
    ids=["saved and executed", "executed", "being created"],
)
def test_no_code_is_put_while_a_change_set_is_created_or_executed(
    command: Command, aws: Service, description: str, attributes: dict[str, Any], can_be_deleted: bool
) -> None:
    change_set = add_change_set(aws, add_platform(aws, code=EARLIER), "deploy-0123456789ab", description)
    aws.change_sets[change_set.id] = replace(change_set, **attributes)
    refused = command("dev", "--code-only", code=1)
    assert f"{NAME} is being planned or deployed" in refused.stderr
    assert ("delete-change-set" in refused.stderr) == can_be_deleted
    assert aws.find_writes() == []


@pytest.mark.parametrize(
    ("description", "attributes"),
    [
        ("a saved plan of dev; plan 0123456789ab in /plan.json", {}),
        (describe_run(), {"execution": "OBSOLETE"}),
        (describe_run(), {"reason": "A limit is exceeded."}),
        (describe_run(), {"deleting": 1}),
        (f"not saved; process {os.getpid()} on 0123456789ab", {"created": START - timedelta(days=2)}),
    ],
    ids=["saved", "obsolete", "failed", "being deleted", "old"],
)
def test_a_change_set_that_no_run_may_execute_stops_no_code(
    command: Command, aws: Service, description: str, attributes: dict[str, Any]
) -> None:
    change_set = add_change_set(aws, add_platform(aws, code=EARLIER), "deploy-0123456789ab", description)
    aws.change_sets[change_set.id] = replace(change_set, **attributes)
    command("dev", "--code-only", code=0)
    assert list_aliases(aws) == [LATEST] * len(FUNCTIONS)


def test_who_may_not_read_aliases_may_plan_and_not_deploy(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.faults["lambda:GetAlias"] = Fault("denied")
    planned = command("plan", "dev", code=2)
    assert (
        "! whether deploy.sh code-only has changed functions could not be read: not authorized: lambda:GetAlias"
        in join_lines(planned)
    )
    assert "code-only" not in command("dev", script="status", code=0).stdout
    refused = command("dev", "--yes", code=1)
    assert refused.stderr.startswith("deploy: not authorized: lambda:GetAlias")
    assert "ExecuteChangeSet" not in aws.find_writes()


def join_lines(result: CommandResult) -> str:
    return " ".join(result.stdout.split())


def test_a_function_deleted_by_hand_is_no_changed_one(command: Command, aws: Service) -> None:
    add_platform(aws)
    del aws.functions.functions[VALIDATION].aliases["live"]
    assert command("plan", "dev", code=0).stdout.endswith("no changes\n")

"""Complete deployments, and deployments that fail."""

import json
from typing import Any

import pytest

from tests.deployer.aws.changes import describe_property
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import Changes
from tests.deployer.conftest import BUCKET, OWNER_TAGS, Command, add_bootstrap_stack, add_platform, assert_golden
from tests.deployer.releases import edit_harmlessly


def test_a_first_deployment(command: Command, aws: Service) -> None:
    aws.events_per_page = 4
    assert_golden("first_deployment.txt", command("dev", "--yes", code=0).stdout)
    assert aws.remaining_names == []
    (platform,) = [stack for stack in aws.stacks.values() if stack.name == "payment-platform-dev"]
    assert platform.tags == OWNER_TAGS
    # All files belong to the environment, except the bootstrap template, and none of them is deleted.
    (bootstrap,) = [key for key in aws.objects if not key.startswith(f"{BUCKET}/payment-platform/dev/")]
    assert bootstrap.startswith(f"{BUCKET}/payment-platform/bootstrap/")
    assert aws.retired == set()


def test_a_deployment_without_changes_writes_nothing(command: Command, aws: Service) -> None:
    add_platform(aws)
    result = command("dev", "--yes", code=0)
    assert result.stdout.splitlines()[-1] == "payment-platform-dev: no changes; nothing was done"
    assert aws.find_writes() == []
    # After a deployment from another machine, this machine can compare with it offline.
    command("dev", "--plan", "--offline", code=0)


def test_a_deployment_without_changes_completes_the_record_of_an_interrupted_deployment(
    command: Command, aws: Service
) -> None:
    """An older record would let an offline plan show changes that are deployed."""
    add_platform(aws)
    path = command.folder / "deployed" / "dev.json"
    command("dev", "--yes", code=0)
    complete = json.loads(path.read_text())
    step = "Recorded what is deployed, for offline plans\n"
    assert step not in command("dev", "--yes", code=0).stdout
    assert json.loads(path.read_text()) == complete
    for stale in (complete | {"parameters": complete["parameters"] | {"LogRetentionDays": "5"}}, {"version": 1}):
        path.write_text(json.dumps(stale))
        assert step in command("dev", "--yes", code=0).stdout
        assert json.loads(path.read_text()) == complete | {"deployed_at": json.loads(path.read_text())["deployed_at"]}
    path.unlink()
    path.mkdir()
    assert "the record of what is deployed is not complete" in command("dev", "--yes", code=0).stdout


def _name_region_otherwise(name: str, text: str) -> str:
    """Return a template of a release that had another value of an output."""
    output = "  Region:\n    Value: !Ref AWS::Region\n"
    assert name != "parent.yaml" or output in text
    return edit_harmlessly(name, text.replace(output, "  Region:\n    Value: elsewhere\n"))


def test_the_outputs_are_printed_when_they_have_changed(command: Command, aws: Service) -> None:
    add_platform(aws, _name_region_otherwise)
    changed = command("dev", "--yes", code=0).stdout
    assert "\nRegion                                  eu-west-1\n" in changed
    assert "scripts/outputs.sh" not in changed


@pytest.mark.parametrize(("edit", "result"), [(edit_harmlessly, "deployed"), (None, "no changes; nothing was done")])
def test_outputs_that_have_not_changed_are_only_named_with_the_command_that_prints_them(
    command: Command, aws: Service, edit: Any, result: str
) -> None:
    add_platform(aws, edit)
    lines = command("dev", "--yes", "--region", "eu-west-1", code=0).stdout.splitlines()
    assert lines[-2:] == [
        "the outputs have not changed; scripts/outputs.sh dev --region eu-west-1 prints them",
        f"payment-platform-dev: {result}",
    ]
    assert not [line for line in lines if line.startswith("SnsTopicName")]


@pytest.mark.parametrize("edit", [edit_harmlessly, None])
def test_a_program_gets_the_outputs_whether_they_have_changed_or_not(command: Command, aws: Service, edit: Any) -> None:
    add_platform(aws, edit)
    record = json.loads(command("dev", "--yes", "--json", code=0).stdout.splitlines()[-1])
    assert record["outputs"]["Region"] == "eu-west-1"


def _describe_otherwise(name: str, text: str) -> str:
    """Return a template whose description and comments differ, and nothing else."""
    described = text.replace("Description: ", "Description: Earlier, ", 1).replace("Earlier, '", "'Earlier, ", 1)
    assert described != text
    return f"# An earlier {name}\n{described}"


def test_templates_that_say_the_same_in_other_words_are_nothing_to_do(command: Command, aws: Service) -> None:
    """CloudFormation does not update a description by itself, so that each run would find the same difference."""
    stack = add_platform(aws, _describe_otherwise)
    text = stack.text
    for arguments in (["dev", "--yes"], ["dev", "--yes"], ["plan", "dev"]):
        assert "payment-platform-dev: no changes" in command(*arguments, code=0).stdout
    assert (aws.find_writes(), stack.text) == ([], text)
    # A value that CloudFormation has to resolve may differ although no template does.
    stack.text = stack.text.replace("!Ref Environment", "'{{resolve:ssm:/environment}}'", 1)
    command("plan", "dev", code=2)


def test_the_location_of_a_nested_template_is_no_change_of_its_own(command: Command, aws: Service) -> None:
    """As AWS lists it: the key of a template is the digest of its content."""
    add_platform(aws, edit_harmlessly)

    def add_location(changes: Changes) -> Changes:
        for change in changes:
            old, new = (f"https://s3.amazonaws.com/{name}.yaml" for name in ("before", "after"))
            location = describe_property("TemplateURL", old, new, "Never", "Static")
            change["ResourceChange"]["Details"].append(location)
        return changes

    aws.scripted_answers = {"": add_location}
    result = command("plan", "dev", code=2)
    assert ("~ Data AWS::CloudFormation::Stack\n" in result.stdout, "TemplateURL" in result.stdout) == (True, False)


def test_the_alarms_of_the_platform_are_the_rollback_triggers_of_an_update(
    command: Command, aws: Service, settings_file: Any
) -> None:
    add_platform(aws, edit_harmlessly)
    aws.alarms["alarm-payment-duration-dev"] = "ALARM"
    del aws.alarms["alarm-lambda-validation-errors-dev"]
    settings_file("dev")
    result = command("dev", "--yes", code=0)
    (request,) = aws.find_requests("CreateChangeSet")
    watched = [trigger["Arn"].rsplit(":", 1)[-1] for trigger in request["RollbackConfiguration"]["RollbackTriggers"]]
    assert watched == [
        "alarm-sfn-failures-dev",
        "alarm-lambda-processing-errors-dev",
        "alarm-lambda-processing-throttles-dev",
    ]
    assert (
        "! alarm-payment-duration-dev is not a rollback trigger for this deployment: it is already in ALARM\n"
        in result.stdout
    )
    assert (
        "! alarm-lambda-validation-errors-dev is not a rollback trigger for this deployment: the alarm does not exist"
        in result.stdout
    )
    assert result.stdout.endswith("payment-platform-dev: deployed\n")


def test_an_alarm_that_rolls_a_deployment_back_is_named_as_the_cause(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.rings = "alarm-sfn-failures-dev"
    assert "Rollback triggered by alarm: alarm-sfn-failures-dev" in command("dev", "--yes", code=1).stderr
    assert aws.remaining_names == []


def test_a_failure_names_the_first_cause_and_its_line(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.fails = {"Data/DeadLetters": "Resource handler returned message: MessageRetentionPeriod is not yours to set"}
    result = command("dev", "--yes", code=1)
    assert_golden("failed_update.txt", result.stdout)
    assert result.stderr == (
        "deploy: payment-platform-dev ended UPDATE_ROLLBACK_COMPLETE: Data/DeadLetters (AWS::SQS::Queue): "
        "Resource handler returned message: MessageRetentionPeriod is not yours to set\n"
    )
    assert aws.remaining_names == []


def test_a_failure_as_json_names_its_cause_and_source_line(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.fails = {"Data/DeadLetters": "no"}
    records = command("dev", "--yes", "--json", code=1).read_records()
    assert {record["type"] for record in records} == {"step", "preflight", "plan", "event", "failure", "result"}
    assert records[-2]["cause"]["path"] == "Data/DeadLetters"
    assert records[-2]["declared"]["source"].startswith("stacks/data/stack.py:")


def test_the_next_deployment_deletes_the_remains_of_a_failed_creation(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    aws.fails = {"Security/SnsKey": "Policy contains a statement with one or more invalid principals"}
    result = command("dev", "--yes", code=1)
    assert "ROLLBACK_COMPLETE" in result.stderr
    assert "next: fix the cause, then run scripts/deploy.sh dev, which first deletes the remains\n" in result.stdout
    aws.fails = {}
    result = command("dev", "--yes", code=0)
    assert "Deleting payment-platform-dev, left over from a failed creation\n" in result.stdout


def test_a_failed_creation_without_the_owner_tag_is_not_deleted(command: Command, aws: Service) -> None:
    add_platform(aws, status="ROLLBACK_COMPLETE", tags=[])
    result = command("dev", "--yes", code=1)
    assert aws.find_writes() == []
    assert "exists but does not have the tag ManagedBy=payment-platform, so it is not touched" in result.stderr


def test_artifacts_that_no_release_needs_are_deleted(command: Command, aws: Service) -> None:
    """The artifacts of the previous release are kept for a rollback; those of earlier releases are deleted."""
    add_platform(aws, edit_harmlessly)
    before = dict(aws.objects)
    aws.objects[f"{BUCKET}/payment-platform/dev/{'0' * 64}.zip"] = "of long ago"
    aws.objects[f"{BUCKET}/payment-platform/prod/{'0' * 64}.zip"] = "somebody else's"
    command("dev", "--yes", code=0)
    assert f"{BUCKET}/payment-platform/dev/{'0' * 64}.zip" in aws.retired
    assert f"{BUCKET}/payment-platform/prod/{'0' * 64}.zip" not in aws.retired
    # Only the root template of the previous release is deleted, because CloudFormation stores it.
    (root,) = before.keys() & aws.retired
    assert "AWS::CloudFormation::Stack" in before[root]


def test_the_rollback_triggers_of_the_last_deployment_are_cleared(command: Command, aws: Service) -> None:
    """Without this parameter, CloudFormation uses the triggers of the last deployment."""
    add_platform(aws, edit_harmlessly)
    aws.alarms = dict.fromkeys(aws.alarms, "ALARM")
    command("dev", "--yes", code=0)
    (request,) = aws.find_requests("CreateChangeSet")
    assert request["RollbackConfiguration"] == {"RollbackTriggers": [], "MonitoringTimeInMinutes": 0}


def test_an_artifact_that_does_not_match_its_checksum_is_not_deployed(command: Command, aws: Service) -> None:
    """A caller who may only plan can upload objects as well."""
    add_platform(aws, edit_harmlessly)
    (code,) = [key for key in aws.objects if key.endswith(".zip")]
    aws.checksums[code] = "somethingElse"
    result = command("dev", "--yes", code=1)
    assert (
        f"s3://{code} does not match the checksum in its name; find out who uploaded it, and delete it: aws s3api"
        in result.stderr
    )
    assert aws.find_requests("CreateChangeSet") == []


def test_a_stack_without_the_owner_tag_is_not_updated_until_it_is_adopted(command: Command, aws: Service) -> None:
    """An adopted stack keeps its tags and gets the owner tag, even if nothing else changes."""
    cost_tag = {"Key": "CostCenter", "Value": "42"}
    stack = add_platform(aws, tags=[cost_tag])
    result = command("dev", "--yes", code=1)
    assert aws.find_writes() == []
    assert result.stderr.endswith("if it is this platform, deployed by another tool, add --adopt\n")
    command("dev", "--yes", "--adopt", code=0)
    assert stack.tags == [cost_tag, *OWNER_TAGS]


@pytest.mark.parametrize("operation", ["GetTemplate", "DeleteObject"])
def test_a_follow_up_step_that_fails_does_not_fail_the_deployment(
    command: Command, aws: Service, operation: str
) -> None:
    add_platform(aws, edit_harmlessly)
    aws.objects[f"{BUCKET}/payment-platform/dev/{'0' * 64}.zip"] = "of long ago"

    def refuse_operation() -> None:
        aws.errors[operation] = [Refused("AccessDenied", "not you", 403)] * 20

    aws.before = {"ExecuteChangeSet": refuse_operation}
    result = command("dev", "--yes", code=0)
    assert "Deployed, but a follow-up step failed: not authorized: " in result.stdout

"""Plans as text, JSON and Markdown, from nested change sets."""

import re
from typing import Any

from scripts.deployer.plan.model import Plan, StackChanges, StatementChange
from scripts.deployer.report import markdown
from tests.deployer.aws.changes import describe_property, describe_resource
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import Changes
from tests.deployer.conftest import BUCKET, Command, add_bootstrap_stack, add_platform, assert_golden, interrupt_when
from tests.deployer.releases import edit_with_loss


def test_the_plan_of_a_replacement_in_a_nested_stack_names_the_data_that_is_lost(
    command: Command, aws: Service
) -> None:
    add_platform(aws, edit_with_loss)
    assert_golden("plan_with_loss.txt", command("dev", "--plan", code=2).stdout)
    assert aws.find_requests("ExecuteChangeSet") == []
    assert aws.remaining_names == []


def test_the_plan_contains_every_page_of_every_nested_change_set(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    aws.changes_per_page = 3
    aws.slow = {"": 2, "Data": 3, "Monitoring": 1}
    assert_golden("plan_first.txt", command("dev", "--plan", code=2).stdout)
    # The change set created a stack in review, which is deleted with it.
    assert aws.remaining_names == []
    assert [name for name, _ in aws.calls if name == "DeleteStack"] == ["DeleteStack"]


def test_spurious_changes_are_marked(command: Command, aws: Service, settings_file: Any) -> None:
    """CloudFormation lists every resource that reads another stack's outputs; only thresholds and retention change."""
    add_platform(aws)
    path = settings_file("dev", log_retention_days=7, function_errors_threshold=9)
    planned = command("dev", "--plan", "--settings", path, code=2).stdout
    assert_golden("plan_phantoms.txt", planned.replace(path, "FILE"))


def test_a_new_version_names_each_part_of_its_description_that_differs(
    command: Command, aws: Service, settings_file: Any
) -> None:
    """A description is a digest and bare values, such as "code-7f538053d21dbd6c 50 USD=5000 USD=10000 false 4 INFO"."""
    add_platform(aws, code="# as it was")
    path = settings_file("dev", fraud_score_limit=60, function_log_level="DEBUG")
    lines = command("plan", "dev", "--settings", path, code=2).stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if "ValidationVersion AWS::Lambda::Version" in line)
    shown = [line.split("── ")[1] for line in lines[start + 1 : start + 4]]
    assert re.fullmatch(
        r"Description/digest of code and configuration: code-0{8}\w{8} → code-\w{16} \(forces replacement\)", shown[0]
    )
    assert shown[1:] == [
        "Description/FraudScoreLimit: 50 → 60 (forces replacement)",
        "Description/FunctionLogLevel: INFO → DEBUG (forces replacement)",
    ]


def test_a_plan_without_changes_ends_with_0_and_creates_no_change_set(command: Command, aws: Service) -> None:
    add_platform(aws)
    assert command("dev", "--plan", code=0).stdout == "payment-platform-dev: no changes\n"
    assert aws.find_writes() == []


def test_no_changes_are_reported_if_cloudformation_sees_none(command: Command, aws: Service) -> None:
    """The stored template differs only in its text, not in its meaning."""
    stack = add_platform(aws)
    stack.text = stack.text + "\n# by hand\n"
    aws.refuses = {"": "No updates are to be performed."}
    assert command("dev", "--plan", code=0).stdout.splitlines()[-1] == "payment-platform-dev: no changes"
    assert aws.remaining_names == []


def make_validation(mode: str, name: str, reason: str, path: str) -> dict[str, str]:
    """Return the event of a failed early validation of the stack Data."""
    return {
        "EventId": "1",
        "EventType": "VALIDATION_ERROR",
        "ValidationFailureMode": mode,
        "ValidationStatus": "FAILED",
        "ValidationName": f"AWS::EarlyValidation::{name}",
        "ValidationStatusReason": reason,
        "ValidationPath": path,
        "_in": "Data",
    }


def test_warnings_and_hooks_of_a_valid_change_set_are_shown(command: Command, aws: Service) -> None:
    add_platform(aws, edit_with_loss)
    reason = "2,490 of 2,500 tables are in use"
    schema = "#/KeySchema/0: required key [KeyType] not found"
    aws.validations = [
        make_validation("WARN", "ServiceQuota", reason, "/Resources/PaymentLedger"),
        make_validation("WARN", "PropertyCheck", schema, "/Resources/PaymentLedger/Properties/KeySchema/0"),
        make_validation("WARN", "TemplateCheck", "too many outputs", "/Outputs"),
    ]
    target = {"LogicalResourceId": "Data", "ResourceType": "AWS::CloudFormation::Stack", "ResourceAction": "Modify"}
    aws.hooks = [
        {
            "TypeName": "Corp::Guard::Hook",
            "FailureMode": "FAIL",
            "TargetDetails": {"TargetType": "RESOURCE", "ResourceTargetDetails": target},
        }
    ]
    result = command("dev", "--plan")
    assert "! ServiceQuota warning: 2,490 of 2,500 tables are in use (Data/PaymentLedger)\n" in result.stdout
    assert f"! PropertyCheck warning: {schema} (Data/PaymentLedger, KeySchema/0)\n" in result.stdout
    assert "! TemplateCheck warning: too many outputs (Data, /Outputs)\n" in result.stdout
    assert "! hook Corp::Guard::Hook runs on Data (Modify) and stops the deployment if it fails\n" in result.stdout


def test_a_plan_reports_that_the_caller_may_not_read_the_validations(command: Command, aws: Service) -> None:
    add_platform(aws, edit_with_loss)
    aws.errors = {"DescribeEvents": [Refused("AccessDenied", "not you", 403)] * 6}
    result = command("dev", "--plan", code=2)
    assert "validations could not be read: not authorized: cloudformation:DescribeEvents on arn:" in result.stdout


def test_a_refused_change_set_names_the_nested_stack_that_caused_it(command: Command, aws: Service) -> None:
    """The root fails before the siblings are created; the command waits for all of them and deletes them."""
    add_platform(aws, edit_with_loss)
    aws.slow = {"Security": 4}
    aws.refuses = {"Data": "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]."}
    reason = "Resource of type AWS::SQS::Queue with identifier payment-dlq-dev already exists"
    aws.validations = [make_validation("FAIL", "ResourceExistenceCheck", reason, "/Resources/DeadLetters")]
    assert command("dev", "--plan", code=1).stderr == (
        "deploy: CloudFormation refuses the change set: Data: The following hook(s)/validation failed: "
        "[AWS::EarlyValidation::ResourceExistenceCheck]; ResourceExistenceCheck error: Resource of type "
        "AWS::SQS::Queue with identifier payment-dlq-dev already exists (Data/DeadLetters); no stack was changed\n"
    )
    assert aws.remaining_names == []


def test_a_resource_with_an_unknown_new_name_may_be_replaced(command: Command, aws: Service) -> None:
    add_platform(aws, edit_with_loss)

    def add_replacement(changes: Changes) -> Changes:
        detail = describe_property("QueueName", "a", "b", "Conditionally", "Dynamic")
        attributes = {"Replacement": "Conditional", "PolicyAction": "ReplaceAndDelete"}
        return [*changes, describe_resource("Modify", "DeadLetters", "AWS::SQS::Queue", [detail], **attributes)]

    aws.scripted_answers = {"Data": add_replacement}
    result = command("dev", "--plan")
    assert (
        "! Data/DeadLetters (AWS::SQS::Queue) may be replaced by an empty one: its messages will be lost"
        in result.stdout
    )
    assert "~ DeadLetters AWS::SQS::Queue KmsMasterKeyId (may be replaced)" in result.stdout


def test_without_nested_change_sets_the_plan_comes_from_a_comparison(command: Command, aws: Service) -> None:
    """The plan says that it compares the templates."""
    add_platform(aws, edit_with_loss)
    aws.nested_sets = False
    assert_golden("plan_by_comparison.txt", command("dev", "--plan", code=2).stdout)


def test_a_plan_as_json_counts_the_changes_and_lists_the_dangers(command: Command, aws: Service) -> None:
    add_platform(aws, edit_with_loss)
    result = command("dev", "--plan", "--json", code=2)
    assert result.stderr == ""
    records = result.read_records()
    (plan,) = [record for record in records if record["type"] == "plan"]
    assert plan["count"] == {
        **{"add": 1, "change": 6, "destroy": 1, "phantom": 38, "import": 0, "recorded": 0},
        "retained": 1,
    }
    assert [(danger["path"], danger["lost"]) for danger in plan["dangers"]] == [
        ("Data/PaymentLedger", ""),
        ("Data/AuditTrail", "its messages"),
    ]
    assert records[-1]["result"] == "planned"


def test_a_plan_as_markdown_is_a_comment_for_a_pull_request(command: Command, aws: Service) -> None:
    add_platform(aws, edit_with_loss)
    result = command("dev", "--plan", "--markdown", code=2)
    # The comment may be cut; the log has the whole plan.
    assert "PaymentLedger" in result.stderr
    assert_golden("plan_with_loss.md", result.stdout)


def test_a_plan_as_markdown_says_that_nothing_changes(command: Command, aws: Service) -> None:
    add_platform(aws)
    result = command("dev", "--plan", "--markdown", code=0)
    assert result.stdout == "<!-- payment-platform plan -->\n### Deployment of `payment-platform-dev`\n\nNo changes.\n"


def test_a_plan_without_the_artifact_bucket_shows_what_is_deployed_first(command: Command, aws: Service) -> None:
    result = command("dev", "--plan", code=2)
    assert (
        "! payment-artifacts does not exist yet: payment-platform-dev can be planned after it; scripts/deploy.sh dev "
        "asks for one after the other\nPlan: 8 to add, 0 to change, 0 to destroy.\npayment-artifacts\n├── + AccessLogs "
    ) in result.stdout
    assert result.stdout.endswith("payment-platform-dev: nothing was changed\n")
    assert command("dev", "--plan", "--out", "plan.json", code=1).stderr == (
        "deploy: payment-artifacts does not exist yet, so no plan can be saved; deploy once without --out\n"
    )
    assert aws.find_writes() == []


def test_ctrl_c_during_a_plan_leaves_no_change_set(command: Command, aws: Service) -> None:
    add_platform(aws, edit_with_loss)
    aws.slow = {"": 7}
    process = command.start("dev", "--plan")
    result = interrupt_when(process, lambda: len(aws.find_requests("DescribeChangeSet")) > 2)
    assert (result.code, result.stderr) == (130, "deploy: interrupted; payment-platform-dev was not changed\n")
    assert aws.remaining_names == []


def test_throttling_and_broken_connections_are_retried(command: Command, aws: Service) -> None:
    add_platform(aws, edit_with_loss)
    aws.errors = {
        "DescribeStacks": [Refused("Throttling", "Rate exceeded")],
        "GetTemplate": [Refused("ServiceUnavailable", "later", 503)],
        "CreateChangeSet": [None],
        "DescribeChangeSet": [Refused("Throttling", "Rate exceeded"), None],
        "DeleteChangeSet": [None],
    }
    command("dev", "--plan", code=2)
    assert aws.remaining_names == []


def test_expired_credentials_are_explained(command: Command, aws: Service) -> None:
    add_platform(aws, edit_with_loss)
    aws.errors = {"CreateChangeSet": [Refused("ExpiredToken", "The security token is expired", 403)]}
    result = command("dev", "--plan", code=1)
    assert result.stderr.endswith("The security token is expired; sign in again; no stack was changed\n")
    assert len(result.stderr.splitlines()) == 1


def test_a_plan_uploads_only_templates_under_keys_that_no_deployment_reads(command: Command, aws: Service) -> None:
    """An object under a key of the next release would stop its deployment. A saved plan may be the next release."""
    add_platform(aws, edit_with_loss)
    before = set(aws.objects)
    command("dev", "--plan", code=2)
    planned = set(aws.objects) - before
    assert len(planned) == 6
    assert all(re.fullmatch(rf"{BUCKET}/payment-plans/dev/[0-9a-f]{{64}}\.yaml", key) for key in planned)
    command("dev", "--plan", "--out", "plan.json", code=2)
    saved = set(aws.objects) - before - planned
    assert len(saved) == 3
    assert all(key.startswith(f"{BUCKET}/payment-platform/dev/") for key in saved)


def test_a_shorter_retention_period_is_shown_as_data_loss(command: Command, aws: Service) -> None:
    add_platform(aws, lambda _, text: text.replace("RetentionPeriod: 1209600", "RetentionPeriod: 1209601"))
    result = command("dev", "--plan")
    assert (
        "! Data/DeadLetters (AWS::SQS::Queue) has a shorter retention period: older data will be lost\n"
        in result.stdout
    )


def test_a_fixed_name_cannot_be_replaced_and_the_plan_says_so(command: Command, aws: Service) -> None:
    def edit_key_schema(name: str, text: str) -> str:
        return text.replace("sequence\n        KeyType", "step\n        KeyType") if name == "data.yaml" else text

    add_platform(aws, edit_key_schema)
    result = command("dev", "--plan")
    fixed = "Data/PaymentLedger has the fixed name dynamodb-payment-ledger-dev: CloudFormation cannot replace it"
    assert f"! {fixed} unless the name changes as well\n" in result.stdout


def test_a_plan_on_an_ascii_terminal_contains_no_box_characters(command: Command, aws: Service) -> None:
    add_platform(aws, edit_with_loss)
    result = command("dev", "--plan", code=2, PYTHONIOENCODING="ascii")
    assert "~ Data AWS::CloudFormation::Stack" in result.stdout
    assert "├" not in result.stdout


def test_markdown_shows_each_action_and_condition_of_a_statement_on_a_line_of_its_own() -> None:
    statement = StatementChange(
        added=True,
        holder="Security/ValidationPolicy",
        kind="managed policy",
        effect="Allow",
        actions=("dynamodb:BatchGetItem", "dynamodb:DescribeTable"),
        resource="<table>",
        condition='{"StringEquals": {"a": "b"}, "Bool": {"c": "d"}}',
    )
    comment = markdown.render_plan(Plan(StackChanges("payment-platform-dev"), (statement,)), "title")
    assert (
        "| dynamodb:BatchGetItem<br>dynamodb:DescribeTable | &lt;table&gt; | StringEquals a b<br>Bool c d |" in comment
    )

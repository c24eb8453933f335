"""Checks of names that exist outside the stack."""

import re
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from scripts.common.templates import parse_template
from scripts.deployer.preflight.examine import collect_findings
from scripts.deployer.preflight.existing_names import find_imported_resources
from scripts.deployer.preflight.name_lookups import LOOKUPS, _has_bucket
from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.settings import ACCOUNT, REGION
from tests.deployer.conftest import add_platform
from tests.deployer.preflight.conftest import (
    EXPECTED_NAMES,
    FOREIGN_TAGS,
    FUNCTIONS,
    PLATFORM_TAGS,
    Reader,
    findings_of,
    not_passed,
    occupy_all_names,
)
from tests.emitted import ROOT


def test_every_name_that_exists_outside_the_stack_is_found(
    situation_of: Reader, aws: Service, account: Account
) -> None:
    occupy_all_names(aws, account, {})
    names = [text.split(" ")[0] for verdict, text, _ in findings_of("names", situation_of()) if verdict == "failure"]
    assert sorted(names) == sorted(EXPECTED_NAMES)
    assert len(EXPECTED_NAMES) > 50


def test_resources_of_the_stack_itself_do_not_block_their_names(
    situation_of: Reader, aws: Service, account: Account
) -> None:
    add_platform(aws, environment="prod")
    occupy_all_names(aws, account, {})
    assert not_passed(collect_findings(situation_of())) == []


@pytest.mark.parametrize("status", ["UPDATE_COMPLETE", "ROLLBACK_COMPLETE"])
def test_a_resource_that_the_stack_retained_takes_its_name(
    situation_of: Reader, aws: Service, account: Account, status: str
) -> None:
    """An update removed the resource, which is still listed, or a failed creation left it."""
    add_platform(aws, environment="prod", status=status)
    if status == "ROLLBACK_COMPLETE":
        aws.holdings.resources.clear()
        aws.alarms = {}
    aws.skipped, account.existing = {"DeadLetters"}, {"payment-dlq-prod": PLATFORM_TAGS}
    ((verdict, text, _),) = findings_of("names", situation_of())
    assert (verdict, text.split(" ")[0]) == ("failure", "payment-dlq-prod")


_LEFT_OVER = ("an earlier stack of this platform left it", "delete it with its data (scripts/destroy.sh prod --purge)")
_ACCOUNT_WIDE = ("an earlier stack or another Region has it", "delete it if no Region of this account uses it: aws")


@pytest.mark.parametrize(
    ("name", "tags", "words", "step"),
    [
        ("payment-dlq-prod", PLATFORM_TAGS, *_LEFT_OVER),
        (
            "payment-dlq-prod",
            FOREIGN_TAGS,
            "it is not this platform's",
            "choose another environment name, or delete it",
        ),
        ("alias/cloudwatch-logs-prod", {}, "outside payment-platform-prod", "choose another environment name, or"),
        (
            "role-lambda-validation-prod",
            PLATFORM_TAGS,
            "an earlier stack or another Region has it",
            "choose another environment name for this Region, or delete it if no Region of this account uses it: aws "
            "iam delete-role --role-name role-lambda-validation-prod",
        ),
        ("role-lambda-validation-prod", FOREIGN_TAGS, "it is not this platform's", _ACCOUNT_WIDE[1]),
        # CloudFormation puts no tags on a policy.
        ("policy-lambda-validation-prod", {}, *_ACCOUNT_WIDE),
        ("dashboard-payments-prod", {}, *_ACCOUNT_WIDE),
        # On the second page of the list.
        ("backup-vault-payments-prod", PLATFORM_TAGS, *_LEFT_OVER),
    ],
)
def test_the_advice_depends_on_the_owner_of_the_existing_resource(
    situation_of: Reader, account: Account, name: str, tags: dict[str, str], words: str, step: str
) -> None:
    account.existing = {"backup-vault-another": {}, name: tags}
    ((verdict, text, next_step),) = findings_of("names", situation_of())
    assert (verdict, words in text, step in next_step) == ("failure", True, True)


def test_a_leftover_without_data_is_to_be_deleted(situation_of: Reader, account: Account) -> None:
    name = FUNCTIONS[0]
    account.existing, account.functions = {name: PLATFORM_TAGS}, {name: None}
    ((_, _, step),) = findings_of("names", situation_of())
    assert step == f"delete it: aws lambda delete-function --function-name {name}"


def test_a_purge_is_conditional_if_the_tags_cannot_be_read(situation_of: Reader, account: Account) -> None:
    account.existing, account.denied = {"payment-dlq-prod": PLATFORM_TAGS}, {"sqs:ListQueueTags"}
    ((_, _, step),) = findings_of("names", situation_of())
    assert step.startswith("if an earlier stack left it: scripts/destroy.sh prod --purge; otherwise choose")


def test_an_existing_identity_provider_is_to_be_named_in_the_settings(situation_of: Reader, account: Account) -> None:
    account.existing = {"token.actions.githubusercontent.com": {}}
    findings = findings_of(
        "names", situation_of(with_bootstrap=True, ServiceRole="true", GithubRepository="us/payments")
    )
    assert [step.split(" in ")[0] for _, _, step in findings] == ["set github_oidc_provider_arn"]


@pytest.mark.parametrize("tags", [PLATFORM_TAGS, FOREIGN_TAGS])
def test_no_advice_takes_down_what_another_region_uses(
    situation_of: Reader, aws: Service, account: Account, tags: dict[str, str]
) -> None:
    """Names in IAM and of dashboards are unique in an account, so the environment may exist in another Region."""
    occupy_all_names(aws, account, tags)
    findings = findings_of("names", situation_of(ServiceRole="true"))
    account_wide = [step for _, text, step in findings if re.search(r"\(AWS::(IAM|CloudWatch::Dashboard)", text)]
    assert len(account_wide) > 10
    assert {step.split(":")[0].rpartition(", or ")[2] for step in account_wide} == {
        "delete it if no Region of this account uses it"
    }


@pytest.mark.parametrize("tags", [PLATFORM_TAGS, FOREIGN_TAGS])
def test_no_advice_takes_down_an_environment_that_runs(
    situation_of: Reader, aws: Service, account: Account, tags: dict[str, str]
) -> None:
    """For example, the name of a vault that was retained when backups were switched off is taken later."""
    add_platform(aws, environment="prod")
    aws.holdings.resources.clear()
    aws.skipped = {item.path.rpartition("/")[2] for item in situation_of().resources if item.is_retained}
    occupy_all_names(aws, account, tags)
    findings = findings_of("names", situation_of())
    assert len(findings) > 5
    assert not [step for _, _, step in findings if "--purge" in step or "another environment name" in step]
    steps = {text.split(" ")[0]: step for _, text, step in findings}
    imported = "take it in (scripts/deploy.sh import prod), or " if tags is PLATFORM_TAGS else ""
    assert steps["backup-vault-payments-prod"] == (
        f"{imported}delete it if nothing uses it: aws backup delete-backup-vault --backup-vault-name "
        "backup-vault-payments-prod"
    )


@pytest.mark.parametrize("imports_existing", [False, True])
def test_the_old_name_of_a_renamed_resource_is_no_import(
    situation_of: Reader, aws: Service, account: Account, imports_existing: bool
) -> None:
    """The first renaming has retained the table; back to its name, the stack would replace the second table."""
    add_platform(aws, lambda _, text: text.replace("dynamodb-payment-ledger", "dynamodb-ledger"), environment="prod")
    path, name = "Data/PaymentLedger", "dynamodb-payment-ledger-prod"
    account.existing = {name: PLATFORM_TAGS}
    situation = situation_of(imports_existing=imports_existing)
    ((verdict, text, step),) = findings_of("names", situation)
    assert (verdict, text.split(" ")[0]) == ("failure", name)
    assert step == (
        f"payment-platform-prod has {path} as dynamodb-ledger-prod, which would be replaced: keep that name, or delete "
        f"it if nothing uses it: aws dynamodb delete-table --table-name {name}"
    )
    assert find_imported_resources(situation) == ()


def test_tags_are_read_only_where_cloudformation_sets_them() -> None:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    for kind, lookup in LOOKUPS.items():
        tagging = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["tagging"]
        assert lookup.read_tags is None or tagging["taggable"], kind


def test_an_import_takes_down_nothing_that_another_region_uses(
    situation_of: Reader, aws: Service, account: Account
) -> None:
    occupy_all_names(aws, account, PLATFORM_TAGS)
    steps = {text.split(" ")[0]: step for _, text, step in findings_of("names", situation_of(imports_existing=True))}
    assert "dynamodb-payment-ledger-prod" not in {name for name, step in steps.items() if "delete it" in step}
    role = "role-lambda-validation-prod"
    assert steps[role] == (
        "delete it if no Region of this account uses it, and this creates it again (docs/importing.md): aws iam "
        f"delete-role --role-name {role}"
    )
    assert "write down its subscriptions, then delete it if nothing uses it" in steps["sns-payment-notifications-prod"]


def test_names_of_the_bootstrap_stack_are_found_before_the_first_deployment(
    situation_of: Reader, account: Account
) -> None:
    account.existing = {f"payment-artifacts-{ACCOUNT}-{REGION}": {}, "policy-payment-boundary-prod": {}}
    findings = findings_of("names", situation_of(with_bootstrap=True))
    assert {text.split(" ")[0] for _, text, _ in findings} == set(account.existing)
    (boundary,) = [step for _, text, step in findings if text.startswith("policy-")]
    assert boundary.startswith("if another Region has it, see docs/deploying.md#accounts-and-regions; otherwise ")
    assert findings_of("names", situation_of()) != findings


def test_every_type_with_a_fixed_name_is_looked_up_or_may_share_it() -> None:
    """The types that may share a name are listed here, with the reason."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    may_share = {
        "AWS::Backup::BackupSelection": "within its plan",
        "AWS::CodeDeploy::DeploymentGroup": "within its application",
        "AWS::Lambda::Alias": "within its function",
        "AWS::Logs::MetricFilter": "within its log group",
        "AWS::Lambda::LayerVersion": "each version has it",
        "AWS::CloudFormation::Stack": "made by CloudFormation",
    }
    types = {
        (resource["Type"], key)
        for path in (ROOT / "templates").glob("*.yaml")
        for resource in parse_template(path.read_text(encoding="utf-8"))["Resources"].values()
        for key in resource.get("Properties", {})
    }
    for kind, key in sorted(types):
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        fixed = {path.removeprefix("/properties/") for path in schema.get("createOnlyProperties", [])}
        is_reference = kind in ("AWS::Lambda::Version", "AWS::Lambda::Permission") and key == "FunctionName"
        if key.endswith("Name") and key in fixed and not is_reference:
            assert kind in LOOKUPS or kind in may_share, (kind, key)


def test_the_resources_of_the_stack_must_be_readable(situation_of: Reader, aws: Service) -> None:
    add_platform(aws, environment="prod")
    aws.errors = {"ListStackResources": [Refused("AccessDenied", "not you", 403)]}
    ((verdict, _, step),) = findings_of("names", situation_of())
    assert (verdict, step) == ("unknown", "grant cloudformation:ListStackResources")


@pytest.mark.parametrize(
    ("status", "headers", "exists"),
    [
        (404, {}, False),
        # Another account's, and one in another Region.
        (403, {"x-amz-bucket-region": "eu-west-1"}, True),
        (301, {"x-amz-bucket-region": "us-east-1"}, True),
        # Only that the caller may not ask.
        (403, {}, None),
    ],
)
def test_the_name_of_any_account_s_bucket_is_taken(status: int, headers: dict[str, str], exists: bool | None) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html"""
    client = boto3.client("s3", REGION, aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        meta = {"HTTPHeaders": headers}
        stubber.add_client_error("head_bucket", str(status), http_status_code=status, response_meta=meta)
        if exists is None:
            with pytest.raises(ClientError):
                _has_bucket(client, "payment-statements")
        else:
            assert _has_bucket(client, "payment-statements") is exists


def test_the_name_of_an_application_is_taken_if_codedeploy_has_it() -> None:
    """https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_GetApplication.html"""
    client = boto3.client("codedeploy", REGION, aws_access_key_id="x", aws_secret_access_key="x")
    lookup, names = LOOKUPS["AWS::CodeDeploy::Application"], ["codedeploy-payments-dev", "codedeploy-payments-prod"]
    situation: Any = SimpleNamespace(client=lambda _service: client, place={})
    with Stubber(client) as stubber:
        stubber.add_client_error("get_application", "ApplicationDoesNotExistException")
        stubber.add_response("get_application", {"application": {}}, {"applicationName": names[1]})
        assert lookup.find(situation, names[:1]) == set()
        assert lookup.find(situation, names[1:]) == {names[1]}

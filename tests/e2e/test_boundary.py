"""The two settings of [bootstrap] that bound who deploys and what is deployed, switched on: payments still complete.

The tables have deletion protection, too; at the end, the environment is purged and deployed again.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from scripts.common.paths import TEMPLATES
from scripts.deployer.destroy import DeletionOptions, destroy
from scripts.deployer.purge.search import Purge
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.local import server, target
from stacks import names
from tests.e2e.conftest import ENVIRONMENT, Platform, deploy_platform

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

BOUNDARY = f"arn:aws:iam::{server.ACCOUNT}:policy/{names.in_environment(names.BOUNDARY_POLICY, ENVIRONMENT)}"
ROLES = (names.WORKFLOW_ROLE, names.VALIDATION.role, names.PROCESSING.role, names.RECONCILIATION.role)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with server.run_server(wait_scale=0.02) as running:
        bootstrap = {"ServiceRole": "true", "PermissionsBoundary": "platform"}
        yield deploy_platform(
            target.emulator_target(running), bootstrap, PermissionsBoundary="platform", DeletionProtection="true"
        )


def test_payments_complete_with_every_role_under_the_boundary(platform: Platform) -> None:
    iam = platform.client("iam")
    for name in ROLES:
        role = iam.get_role(RoleName=names.in_environment(name, ENVIRONMENT))["Role"]
        assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == BOUNDARY
    _, story = platform.pay()
    assert (story.status, story.states[-1]) == ("SUCCEEDED", "PaymentComplete")


def test_a_role_that_is_given_everything_still_does_no_more_than_the_platform(platform: Platform) -> None:
    """An attacker has taken over the role: its trust policy allows everybody."""
    iam, name = platform.client("iam"), names.in_environment(names.VALIDATION.role, ENVIRONMENT)
    open_trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{server.ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
    }
    role = iam.get_role(RoleName=name)["Role"]
    iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.update_assume_role_policy(
        RoleName=name, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [open_trust]})
    )
    session = platform.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="taken")["Credentials"]

    def client(service: str) -> Any:
        endpoint = platform.client(service).meta.endpoint_url
        keys = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
        return boto3.Session(*keys, region_name=server.REGION).client(service, endpoint_url=endpoint)

    key = {"transaction_id": {"S": "T-1"}}
    assert "Item" not in client("dynamodb").get_item(TableName=platform.outputs["DynamodbTableName"], Key=key)
    for refused in (
        lambda: client("dynamodb").delete_table(TableName=platform.outputs["DynamodbTableName"]),
        lambda: client("dynamodb").scan(TableName=platform.outputs["DynamodbTableName"]),
        lambda: client("iam").create_user(UserName="mallory"),
        lambda: client("iam").delete_role_permissions_boundary(RoleName=name),
        lambda: client("kms").schedule_key_deletion(KeyId=platform.outputs["KmsKeyDynamodbId"]),
        lambda: client("s3").list_buckets(),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()


def test_an_environment_is_purged_and_deployed_again_twice(platform: Platform) -> None:
    """Fails with a purge that leaves the deletion protection of the tables on."""
    dynamodb, kms = platform.client("dynamodb"), platform.client("kms")
    tables = [names.in_environment(name, ENVIRONMENT) for name in (names.TABLE, names.LEDGER_TABLE)]
    purge = Purge(ENVIRONMENT, platform.parameters, TEMPLATES)
    options = DeletionOptions(ENVIRONMENT, f"payment-platform-{ENVIRONMENT}", purge=purge)
    report = ConsoleReporter(Console(file=io.StringIO(), width=200))
    for _ in range(2):
        for name in tables:
            assert dynamodb.describe_table(TableName=name)["Table"]["DeletionProtectionEnabled"] is True
        assert destroy(options, platform.target, report, lambda _: True)
        assert dynamodb.list_tables()["TableNames"] == []
        assert platform.client("logs").describe_log_groups()["logGroups"] == []
        keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] for key in kms.list_keys()["Keys"]]
        assert set(keys) == {"PendingDeletion"}
        assert platform.deploy().endswith("changed")
    _, story = platform.pay()
    assert story.status == "SUCCEEDED"

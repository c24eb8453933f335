"""The policies of docs/operators.md let each group run its commands, and not those of the others.

IAM is enforced here, but for keys: tests/stacks/test_operator_policies.py asks for those.
"""

import json

import boto3
import pytest
from click.testing import CliRunner, Result
from payments.payment import Status

from scripts.common.target import Target
from scripts.local import server
from scripts.operator import cli
from scripts.operator.cli import common
from scripts.operator.platform import Platform as Operated
from tests.e2e.conftest import ENVIRONMENT, Platform
from tests.e2e.situations import HOUR, put_abandoned_payment
from tests.operator_policies import policies

pytestmark = pytest.mark.e2e

KEY_IDS = dict.fromkeys(("TABLES_KEY_ID", "QUEUES_KEY_ID", "WORKFLOW_KEY_ID"), "0b1d5a34-8f8e-4ad7-9a1c-8a0a4d0c1f11")
POLICIES = policies({"ENVIRONMENT": ENVIRONMENT, "REGION": server.REGION, "ACCOUNT_ID": server.ACCOUNT} | KEY_IDS)
TRUST = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{server.ACCOUNT}:root"}, "Action": "sts:AssumeRole"}


def make_operator(platform: Platform, section: str) -> Operated:
    """Return the platform as reached with a role that has the policy of this section and nothing else."""
    iam, name = platform.client("iam"), f"operators-{section.replace(' ', '-')}"
    trust = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
    document = json.dumps(POLICIES[section])
    # On AWS, the permission for one message covers the batch; the AWS emulator checks a permission for the batch.
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
    action = '"sqs:ChangeMessageVisibility"'
    document = document.replace(action, f'{action}, "sqs:ChangeMessageVisibilityBatch"')
    # With a qualifier, AWS checks the permission for the qualified function, the AWS emulator for the function.
    # https://docs.aws.amazon.com/lambda/latest/dg/access-control-resources.html
    document = document.replace("reconciliation-local:live", "reconciliation-local")
    iam.put_role_policy(RoleName=name, PolicyName="operators", PolicyDocument=document)
    session = platform.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="alice")["Credentials"]
    keys = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    target = Target(boto3.Session(*keys, region_name=server.REGION), endpoint_url=platform.target.endpoint_url)
    return Operated(ENVIRONMENT, target, "alice")


@pytest.mark.parametrize("section", POLICIES)
def test_a_group_runs_its_commands_and_no_others(
    section: str, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    operated = make_operator(platform, section)
    monkeypatch.setattr(common, "reach_platform", lambda *_: operated)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli.main, ["--env", ENVIRONMENT, *arguments])

    request, _ = platform.pay(payment_amount=150.03)
    failed = request["transaction_id"]
    paid = platform.pay()[0]["transaction_id"]
    open_ = put_abandoned_payment(platform, Status.PENDING, 0, HOUR)
    new = ("start", f"{failed}-2", "--amount", "150", "--method", "credit_card", "--customer", "CUST-12345")
    commands = {
        "Start payments": [new],
        "List and show payments": [("list",), ("list", "--open"), ("list", "--failed"), ("show", failed)],
        "Handle dead letters": [("dlq", "list"), ("dlq", "explain", failed), ("dlq", "redrive", failed)],
        "Act on payments": [
            ("refund", paid, "--yes"),
            ("erase", paid, "--yes"),
            ("reconcile",),
        ],
    }
    for line in commands[section]:
        result = run(*line)
        assert (result.exit_code, "not authorized" in result.output) == (0, False), (line, result.output)
    # Handling dead letters needs the permissions of the other groups.
    forbidden = set(commands) - {section} if section != "Handle dead letters" else set()
    for first, *_ in (commands[title] for title in forbidden):
        result = run(*first)
        assert result.exit_code != 0, first
        assert "not authorized" in result.output, (first, result.output)
    platform.client("dynamodb").delete_item(
        TableName=platform.outputs["DynamodbTableName"], Key={"transaction_id": {"S": open_}}
    )

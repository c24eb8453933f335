"""What gaps.py says of the commands of deploy.sh is still so: a failure means that its entry can be deleted."""

import functools
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from scripts.local import gaps, server

TABLE: dict[str, Any] = {
    "TableName": "payments",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
}


@pytest.fixture
def cloudformation() -> Iterator[Any]:
    with server.run_server() as running:
        session = boto3.Session(region_name=server.REGION, **server.CREDENTIALS)
        yield session.client("cloudformation", endpoint_url=running.url)


def test_the_emulator_has_no_stack_refactors(cloudformation: Any) -> None:
    assert "refactor" in gaps.COMMANDS
    with pytest.raises(ClientError, match="Unknown action: CreateStackRefactor"):
        cloudformation.create_stack_refactor(StackDefinitions=[{"StackName": "a"}, {"StackName": "b"}])


def test_the_emulator_imports_nothing_into_nested_stacks() -> None:
    """It finds an existing table in the same template without nesting, so the change set is one that could import."""
    assert "import" in gaps.COMMANDS
    with server.run_server() as running:
        session = boto3.Session(region_name=server.REGION, **server.CREDENTIALS)
        client = functools.partial(session.client, endpoint_url=running.url)
        client("dynamodb").create_table(**TABLE)
        client("s3").create_bucket(Bucket="templates")
        resource = {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Retain", "Properties": TABLE}
        flat = json.dumps({"Resources": {"Payments": resource}})
        client("s3").put_object(Bucket="templates", Key="data.json", Body=flat)
        location = {"TemplateURL": f"{running.url}/templates/data.json"}
        nested = {"Type": "AWS::CloudFormation::Stack", "Properties": location}
        parent = json.dumps({"Resources": {"Data": nested}})
        cloudformation = client("cloudformation")
        actions = [list_actions(cloudformation, name, body) for name, body in (("flat", flat), ("deep", parent))]
    assert actions == [{"Payments": "Import"}, {"Data": "Add"}]


def list_actions(cloudformation: Any, stack_name: str, body: str) -> dict[str, str]:
    """Return the actions of a change set that imports what exists, in the root stack and in nested ones."""
    change_set = cloudformation.create_change_set(
        StackName=stack_name,
        ChangeSetName="import",
        ChangeSetType="CREATE",
        TemplateBody=body,
        ImportExistingResources=True,
        IncludeNestedStacks=True,
    )
    cloudformation.get_waiter("change_set_create_complete").wait(ChangeSetName=change_set["Id"])
    pending, actions = [change_set["Id"]], {}
    for change_set_id in pending:
        for change in cloudformation.describe_change_set(ChangeSetName=change_set_id)["Changes"]:
            resource = change["ResourceChange"]
            actions[resource["LogicalResourceId"]] = resource["Action"]
            pending += [resource["ChangeSetId"]] if resource.get("ChangeSetId") else []
    return actions

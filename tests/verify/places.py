"""A place with clients of the test's making, in an account and a Region of its own."""

from types import SimpleNamespace
from typing import Any

from scripts.deployer.rollout import Rollout
from scripts.deployer.stack import OWNER_TAG, Stack, StackTree
from scripts.verify.expected import Expected
from scripts.verify.place import Place

ACCOUNT, REGION = "123456789012", "eu-west-1"
ROOT = "payment-platform-dev"


def place_of(clients: dict[str, Any], *resources: Expected, tree: StackTree | None = None) -> Place:
    target = SimpleNamespace(
        gaps={},
        account=ACCOUNT,
        region=REGION,
        endpoint_url=None,
        pseudo_parameters=lambda: {"AWS::Partition": "aws"},
    )
    platform = SimpleNamespace(
        environment="dev", client=clients.get, target=target, outputs={"StepFunctionsStateMachineArn": "arn:machine"}
    )
    settings = {"BackupRetentionDays": "0", "Gateway": "simulator", "MaximumAmounts": "USD=10000"}
    place = Place(platform, settings, Rollout())  # type: ignore[arg-type]
    place.__dict__["expected"] = {resource.path: resource for resource in resources}
    place.__dict__["tree"] = tree or StackTree(Stack(ROOT, "UPDATE_COMPLETE", "arn:root", owned=True))
    return place


class CloudFormation:
    """The root stack and a nested one, each in a state of its own; a ``list_stack_resources`` paginator as boto3's."""

    def __init__(self, root: str = "UPDATE_COMPLETE", nested: str = "UPDATE_COMPLETE") -> None:
        self._statuses = {ROOT: root, "arn:nested": nested}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        stack = {"StackName": StackName, "StackId": f"arn:{StackName}", "Tags": [OWNER_TAG]}
        return {"Stacks": [stack | {"StackStatus": self._statuses[StackName]}]}

    def get_paginator(self, _: str) -> Any:
        nested = {
            "ResourceType": "AWS::CloudFormation::Stack",
            "LogicalResourceId": "Data",
            "PhysicalResourceId": "arn:nested",
        }
        return SimpleNamespace(
            paginate=lambda StackName: [{"StackResourceSummaries": [nested] if StackName == f"arn:{ROOT}" else []}]
        )

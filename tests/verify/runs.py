"""Verification runs with simulated clients."""

from types import SimpleNamespace
from typing import Any

from scripts.deployer.deployment_options import Rollout
from scripts.deployer.stack import OWNER_TAG, Stack, StackTree
from scripts.verify.expected import Expected
from scripts.verify.run import Run

ACCOUNT, REGION = "123456789012", "eu-west-1"
ROOT = "payment-platform-dev"


def make_run(clients: dict[str, Any], *resources: Expected, tree: StackTree | None = None, **settings: str) -> Run:
    target = SimpleNamespace(
        gaps={}, account=ACCOUNT, region=REGION, endpoint_url=None, pseudo_parameters=lambda: {"AWS::Partition": "aws"}
    )
    platform = SimpleNamespace(
        environment="dev",
        client=clients.get,
        target=target,
        outputs={"StepFunctionsStateMachineArn": "arn:machine"},
        dead_letter_queue_url="https://queue/payment-dlq-dev",
    )
    parameters = {"BackupRetentionDays": "35", "Gateway": "simulator", "MaximumAmounts": "USD=10000"} | settings
    run = Run(platform, parameters, Rollout())  # type: ignore[arg-type]
    run.__dict__["expected"] = {resource.path: resource for resource in resources}
    run.__dict__["tree"] = tree or StackTree(Stack(ROOT, "UPDATE_COMPLETE", "arn:root", owned=True))
    return run


class CloudFormation:
    """A root stack and a nested one, each with a status."""

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
            "ResourceStatus": "CREATE_COMPLETE",
        }
        return SimpleNamespace(
            paginate=lambda StackName: [{"StackResourceSummaries": [nested] if StackName == f"arn:{ROOT}" else []}]
        )

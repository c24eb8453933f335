"""Finds the stack that holds a resource. Tables, queues and keys do not have the tags of CloudFormation itself."""

from collections.abc import Collection
from functools import cache

from botocore.exceptions import ClientError

from scripts.common.clients import CloudFormationClient
from scripts.common.errors import concerns_every_request, describe_error

from .stack import RELEASED, describe_stack


class StackHolders:
    """Finds the stacks that hold resources, except ``deleted_stacks`` (ids), and describes each of them once."""

    def __init__(self, cloudformation: CloudFormationClient, deleted_stacks: Collection[str]) -> None:
        self._cloudformation, self._deleted_stacks = cloudformation, deleted_stacks
        self._describe_stack = cache(lambda stack_id: describe_stack(cloudformation, stack_id))

    def find_reason_to_keep(self, physical_id: str) -> str:
        """Return why a resource is not a leftover, as the end of a sentence; empty if no remaining stack holds it.

        CloudFormation finds the stack until 90 days after its deletion. If it cannot tell, the resource is not a
        leftover.
        https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResources.html
        """
        try:
            resources = self._cloudformation.describe_stack_resources(PhysicalResourceId=physical_id)["StackResources"]
            released = {
                resource["StackId"]
                for resource in resources
                if resource.get("PhysicalResourceId") == physical_id and resource["ResourceStatus"] in RELEASED
            }
            stack_ids = dict.fromkeys(resource["StackId"] for resource in resources)
            stacks = [self._describe_stack(stack_id) for stack_id in stack_ids if stack_id not in self._deleted_stacks]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
                return ""
            if concerns_every_request(error):
                raise
            return f"may belong to a stack: {describe_error(error)}"
        for stack in stacks:
            if stack.status not in ("", "DELETE_COMPLETE") and stack.id not in released:
                return f"belongs to the stack {stack.name}, which exists"
        return ""

"""Finds the stack that holds a resource, by asking CloudFormation.

CloudFormation's own tags do not answer this: tables, queues and keys do not get them
(``tagging.cloudFormationSystemTags`` is false in their resource schemas).
"""

from collections.abc import Collection

from botocore.exceptions import ClientError

from scripts.common.clients import CloudFormationClient
from scripts.common.errors import describe_aws_error

from ..stack import describe_stack

_RELEASED = ("DELETE_COMPLETE", "DELETE_SKIPPED")


def find_reason_to_keep(cloudformation: CloudFormationClient, physical_id: str, deleted_stacks: Collection[str]) -> str:
    """Return why a resource is not a leftover, as the end of a sentence; empty if no remaining stack holds it.

    ``deleted_stacks`` are the ids of the stacks that are about to be deleted. A resource whose stack cannot be
    determined is not a leftover.

    The service lists up to 100 resources of the stack that the resource belongs to, until 90 days after the stack's
    deletion:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResources.html
    """
    try:
        resources = cloudformation.describe_stack_resources(PhysicalResourceId=physical_id)["StackResources"]
        statuses = {
            resource["StackId"]: describe_stack(cloudformation, resource["StackId"]).status
            for resource in resources
            if resource["StackId"] not in deleted_stacks
        }
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return ""
        return f"may belong to a stack: {describe_aws_error(error)}"
    names = {resource["StackId"]: resource["StackName"] for resource in resources}
    released = {
        resource["StackId"]
        for resource in resources
        if resource.get("PhysicalResourceId") == physical_id and resource["ResourceStatus"] in _RELEASED
    }
    for stack_id, status in statuses.items():
        if status not in ("", "DELETE_COMPLETE") and stack_id not in released:
            return f"belongs to the stack {names[stack_id]}, which exists"
    return ""

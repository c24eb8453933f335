"""Reads CloudFormation's checks of a change set: failed early validations, and the hooks that will run.

Early validations that only warn, and hooks, do not appear in the description of the change set.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import ClientError

from scripts.common.clients import CloudFormationClient
from scripts.common.errors import describe_aws_error

from .stack import WORKERS

# The error codes of a service that does not support the operation.
_UNKNOWN = ("InvalidAction", "UnknownOperationException")


def read_notices(cloudformation: CloudFormationClient, change_set_ids: list[str]) -> tuple[str, ...]:
    """Return a line for each failed validation and each hook of the change sets, without duplicates."""

    def read_lines(change_set_id: str) -> list[str]:
        hooks = _explain_denial("hooks", _describe_hooks(cloudformation, change_set_id))
        return [*read_failed_validations(cloudformation, change_set_id), *hooks]

    with ThreadPoolExecutor(WORKERS) as pool:
        return tuple(dict.fromkeys(line for lines in pool.map(read_lines, change_set_ids) for line in lines))


def read_failed_validations(cloudformation: CloudFormationClient, change_set_id: str) -> list[str]:
    """Return a line for each failed early validation; warnings come last."""
    return _explain_denial("early validations", _describe_failures(cloudformation, change_set_id))


def _explain_denial(kind: str, lines: Iterator[str]) -> list[str]:
    """Return the lines, or one line that says why they could not be read."""
    try:
        return list(lines)
    except ClientError as error:
        if error.response["Error"]["Code"] in _UNKNOWN:
            return []
        return [f"the {kind} could not be read: {describe_aws_error(error)}"]


def _describe_failures(cloudformation: CloudFormationClient, change_set_id: str) -> Iterator[str]:
    pages = cloudformation.get_paginator("describe_events").paginate(ChangeSetName=change_set_id)
    failures = [
        event
        for page in pages
        for event in page["OperationEvents"]
        if event.get("EventType") == "VALIDATION_ERROR" and event.get("ValidationStatus") != "SKIPPED"
    ]
    for event in sorted(failures, key=lambda event: event.get("ValidationFailureMode") == "WARN"):
        severity = "warning" if event.get("ValidationFailureMode") == "WARN" else "error"
        name = event.get("ValidationName", "early validation").removeprefix("AWS::EarlyValidation::")
        place = event.get("ValidationPath") or event.get("LogicalResourceId", "")
        line = f"{name} {severity}: {event.get('ValidationStatusReason', 'no reason given')}"
        yield f"{line} ({place})" if place else line


def _describe_hooks(cloudformation: CloudFormationClient, change_set_id: str) -> Iterator[str]:
    token: dict[str, str] = {}
    while True:
        page = cloudformation.describe_change_set_hooks(ChangeSetName=change_set_id, **token)
        for hook in page.get("Hooks", []):
            target = hook.get("TargetDetails", {}).get("ResourceTargetDetails", {})
            resource = f" on {target['LogicalResourceId']} ({target['ResourceAction']})" if target else ""
            mode = "stops the deployment if it fails" if hook.get("FailureMode") == "FAIL" else "only warns"
            yield f"hook {hook['TypeName']} runs{resource} and {mode}"
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}

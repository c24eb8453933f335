"""Reads CloudFormation's checks of a change set: failed early validations, and the hooks that will run.

Early validations that only warn, and hooks, do not appear in the description of the change set.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html
"""

from collections.abc import Iterator
from itertools import chain

from botocore.exceptions import ClientError

from scripts.common.clients import CloudFormationClient
from scripts.common.errors import describe_error
from scripts.common.printable import join_lines
from scripts.common.threads import map_in_threads

# The error codes of a service that does not support the operation.
_UNKNOWN = ("InvalidAction", "UnknownOperationException")


def read_notices(cloudformation: CloudFormationClient, change_set_paths: dict[str, str]) -> tuple[str, ...]:
    """Return a line for each failed validation and each hook of the change sets, without duplicates.

    ``change_set_paths`` has the path of the stack from the root, which is empty for the root, by the change set's id.
    """

    def read_lines(change_set_id: str) -> list[str]:
        hooks = _explain_denial("hooks", _describe_hooks(cloudformation, change_set_id))
        return [*read_failed_validations(cloudformation, change_set_id, change_set_paths[change_set_id]), *hooks]

    return tuple(dict.fromkeys(chain.from_iterable(map_in_threads(read_lines, change_set_paths))))


def read_failed_validations(cloudformation: CloudFormationClient, change_set_id: str, stack_path: str) -> list[str]:
    """Return a line for each failed early validation; warnings come last. ``stack_path`` is the stack's from the root.

    A line ends with the resource's path from the root and the property's path within the resource, as far as they are
    reported: ``(Data/Transactions, KeySchema/0)``.
    """
    return _explain_denial("early validations", _describe_failures(cloudformation, change_set_id, stack_path))


def _explain_denial(kind: str, lines: Iterator[str]) -> list[str]:
    """Return the lines, or one line that says why they could not be read."""
    try:
        return list(lines)
    except ClientError as error:
        if error.response["Error"]["Code"] in _UNKNOWN:
            return []
        return [f"the {kind} could not be read: {describe_error(error)}"]


def _describe_failures(cloudformation: CloudFormationClient, change_set_id: str, stack_path: str) -> Iterator[str]:
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
        place = _locate_failure(event.get("ValidationPath", ""), event.get("LogicalResourceId", ""), stack_path)
        line = f"{name} {severity}: {join_lines(event.get('ValidationStatusReason', 'no reason given'))}"
        yield f"{line} ({place})" if place else line


def _locate_failure(validation_path: str, logical_id: str, stack_path: str) -> str:
    """Return ``Data/Transactions, KeySchema/0`` for ``/Resources/Transactions/Properties/KeySchema/0`` in ``Data``."""
    section, _, location = validation_path.removeprefix("/").partition("/")
    if section != "Resources":
        return ", ".join(filter(None, ("/".join(filter(None, (stack_path, logical_id))), validation_path)))
    validated_id, _, within = location.partition("/")
    return ", ".join(filter(None, (f"{stack_path}/{validated_id}".lstrip("/"), within.removeprefix("Properties/"))))


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

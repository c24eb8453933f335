"""Reads CloudFormation's checks of a change set: failed early validations, and the hooks that will run.

Early validations that only warn, and hooks, do not appear in the description of the change set.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

from botocore.exceptions import ClientError

from scripts.common.errors import describe_aws_error

from .stack import WORKERS

# The error codes of a service that does not support the operation.
_UNKNOWN = ("InvalidAction", "UnknownOperationException")


def read_notices(cloudformation: Any, change_set_ids: list[str]) -> tuple[str, ...]:
    """Return a line for each failed validation and each hook of the change sets, without duplicates."""
    calls = list(product(change_set_ids, (read_failed_validations, _read_hooks)))
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = pool.map(lambda call: call[1](cloudformation, call[0]), calls)
    return tuple(dict.fromkeys(line for lines in answers for line in lines))


def read_failed_validations(cloudformation: Any, change_set_id: str) -> list[str]:
    """Return a line for each failed early validation; those that only warn come last."""
    return _explain_denial(_sort_failures, "early validations", cloudformation, change_set_id)


def _read_hooks(cloudformation: Any, change_set_id: str) -> list[str]:
    return _explain_denial(_describe_hooks, "hooks", cloudformation, change_set_id)


def _explain_denial(read_lines: Any, kind: str, cloudformation: Any, change_set_id: str) -> list[str]:
    """Return the lines that ``read`` yields, or one that says why they could not be read."""
    try:
        return list(read_lines(cloudformation, change_set_id))
    except ClientError as error:
        if error.response["Error"]["Code"] in _UNKNOWN:
            return []
        return [f"the {kind} could not be read: {describe_aws_error(error)}"]


def _sort_failures(cloudformation: Any, change_set_id: str) -> list[str]:
    lines = list(_find_failed_validations(cloudformation, change_set_id))
    return [line for mode in ("FAIL", "WARN") for line_mode, line in lines if line_mode == mode]


def _find_failed_validations(cloudformation: Any, change_set_id: str) -> Iterator[tuple[str, str]]:
    """Yield the mode, FAIL or WARN, and the line of each failed validation."""
    for page in cloudformation.get_paginator("describe_events").paginate(ChangeSetName=change_set_id):
        for event in page["OperationEvents"]:
            if event.get("EventType") != "VALIDATION_ERROR" or event.get("ValidationStatus") == "SKIPPED":
                continue
            mode = "WARN" if event.get("ValidationFailureMode") == "WARN" else "FAIL"
            warning = "warning" if mode == "WARN" else "error"
            name = event.get("ValidationName", "early validation").removeprefix("AWS::EarlyValidation::")
            place = event.get("ValidationPath") or event.get("LogicalResourceId", "")
            line = f"{name} {warning}: {event.get('ValidationStatusReason', 'no reason given')}"
            yield mode, f"{line} ({place})" if place else line


def _describe_hooks(cloudformation: Any, change_set_id: str) -> Iterator[str]:
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

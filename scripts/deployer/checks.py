"""What CloudFormation checked while it made a change set: its early validations, and the hooks that will run.

Early validations that only warn, and hooks, are in the answers of calls of their own, however well the change set went.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from scripts.common.errors import describe_aws_error

from .stack import WORKERS

# Where the service is too old to know the question, there is nothing to tell.
_UNKNOWN = ("InvalidAction", "UnknownOperationException")


def remarks(cloudformation: Any, change_set_ids: list[str]) -> tuple[str, ...]:
    """A line for each validation that failed and each hook that will run, over all of a tree's change sets."""
    questions = [(ask, one) for one in change_set_ids for ask in (failures, _hooks)]
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = pool.map(lambda question: question[0](cloudformation, question[1]), questions)
    return tuple(dict.fromkeys(line for lines in answers for line in lines))


def failures(cloudformation: Any, change_set_id: str) -> list[str]:
    """The early validations of one change set that failed, those that only warn after the others."""
    return _told(_failures, "early validations", cloudformation, change_set_id)


def _hooks(cloudformation: Any, change_set_id: str) -> list[str]:
    return _told(_hook_lines, "hooks", cloudformation, change_set_id)


def _told(ask: Any, what: str, cloudformation: Any, change_set_id: str) -> list[str]:
    """Who may deploy need not be allowed to ask: then that is said."""
    try:
        return list(ask(cloudformation, change_set_id))
    except ClientError as error:
        if error.response["Error"]["Code"] in _UNKNOWN:
            return []
        return [f"the {what} could not be read: {describe_aws_error(error)}"]


def _failures(cloudformation: Any, change_set_id: str) -> list[str]:
    """Sorted by mode; each mode in the order of the events."""
    lines = list(_validations(cloudformation, change_set_id))
    return [line for mode in ("FAIL", "WARN") for line_mode, line in lines if line_mode == mode]


def _validations(cloudformation: Any, change_set_id: str) -> Iterator[tuple[str, str]]:
    """The failure mode, FAIL or WARN, and the line of each failed validation."""
    for page in cloudformation.get_paginator("describe_events").paginate(ChangeSetName=change_set_id):
        for event in page["OperationEvents"]:
            if event.get("EventType") != "VALIDATION_ERROR" or event.get("ValidationStatus") == "SKIPPED":
                continue
            mode = "WARN" if event.get("ValidationFailureMode") == "WARN" else "FAIL"
            warning = "warning" if mode == "WARN" else "error"
            name = event.get("ValidationName", "early validation").removeprefix("AWS::EarlyValidation::")
            where = event.get("ValidationPath") or event.get("LogicalResourceId", "")
            told = f"{name} {warning}: {event.get('ValidationStatusReason', 'no reason given')}"
            yield mode, f"{told} ({where})" if where else told


def _hook_lines(cloudformation: Any, change_set_id: str) -> Iterator[str]:
    token: dict[str, str] = {}
    while True:
        page = cloudformation.describe_change_set_hooks(ChangeSetName=change_set_id, **token)
        for hook in page.get("Hooks", []):
            target = hook.get("TargetDetails", {}).get("ResourceTargetDetails", {})
            what = f" on {target['LogicalResourceId']} ({target['ResourceAction']})" if target else ""
            mode = "stops the deployment if it fails" if hook.get("FailureMode") == "FAIL" else "only warns"
            yield f"hook {hook['TypeName']} runs{what} and {mode}"
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}

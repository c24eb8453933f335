"""What a command has requested of AWS: names the action and the resource of a refusal, and what may have changed.

An error of the SDK names the operation, but neither its resource nor the action that a policy has to allow; the answer
of S3 to a HEAD request does not even have a reason, because it has no body.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import re
import threading
from typing import Any

from .errors import REFUSED
from .wording import join_names

# Where the action is not called like the operation, and where its prefix is not the name that requests are signed for.
_ACTIONS = {
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "lambda:Invoke": "lambda:InvokeFunction",
}
_PREFIXES = {"monitoring": "cloudwatch", "tagging": "tag"}
# What a service that works answers at once.
_QUICK_READS = ("Describe", "Get", "List", "Head")
_READS = (*_QUICK_READS, "Detect", "Simulate", "Query", "Scan", "Filter", "Batch")
# What prepares a deployment, and changes no stack.
_PREPARATIONS = {
    "cloudformation:CreateChangeSet",
    "cloudformation:DeleteChangeSet",
    "cloudformation:CreateStackRefactor",
    "s3:PutObject",
}
# What begins an operation of a stack, apart from ``ExecuteChangeSet``.
_OPERATIONS = {
    "cloudformation:CancelUpdateStack",
    "cloudformation:ContinueUpdateRollback",
    "cloudformation:DeleteStack",
    "cloudformation:ExecuteStackRefactor",
    "cloudformation:RollbackStack",
}
# What puts a release into force, or takes it back.
CODE_CHANGES = ("lambda:UpdateAlias", "lambda:UpdateFunctionCode")
EXECUTION = "cloudformation:ExecuteChangeSet"
_EXECUTIONS = {EXECUTION, *CODE_CHANGES}
# Sending these again does nothing twice: they set what they name, delete it, or hide messages for a while.
_REPEATABLE = (
    *("PutObject", "SetStackPolicy", "UpdateTerminationProtection", "DeleteChangeSet", "StartExecution"),
    *("UpdateAlias", "UpdateFunctionCode"),
    *("ReceiveMessage", "ChangeMessageVisibility", "DeleteMessage"),
)
# The parameters by which a service knows a request that was sent before.
_TOKENS = {"ClientRequestToken", "ClientToken", "IdempotencyToken"}
_MOST_NAMES = 3
# What the SDK takes for a transient error, whatever the status.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_TIMEOUTS = ("RequestTimeout", "RequestTimeoutException")
# The types of a web page.
_PAGES = ("text/html", "application/xhtml")
# The name of the root element of a document in XML.
_ROOT = re.compile(rb"\s*(?:<\?.*?\?>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*<(?:[\w.-]+:)?([\w.-]+)", re.DOTALL)
# Of an answer in the query protocol, by whether it is a refusal, which may be an exception alone.
_ANSWERS = {False: (b"Response",), True: (b"Response", b"Exception")}
# In the context of a request.
_LOST_ANSWER = "has_lost_answer"
NOTHING, NO_STACK = "nothing was changed", "no stack was changed"


class RequestLog:
    """Follows the requests of clients through the SDK's events.

    https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
    """

    def __init__(self) -> None:
        # How many requests may have changed something, by action and resource, the latest last: a file of payments may
        # start any number of executions.
        self._writes: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        # The stacks whose operations were seen to end.
        self._ended: set[str] = set()
        # The stacks that were seen in review, by their ids: nothing is in them.
        self._reviews: set[str] = set()
        # The stack of each change set, whose id does not name it.
        self._stacks: dict[str, str] = {}

    def watch(self, client: Any) -> None:
        """Follow a new client: its errors get ``Action`` and ``Resource`` beside ``Code`` and ``Message``."""
        events = client.meta.events
        events.register("provide-client-params.*.*", _keep_parameters)
        events.register("before-call.*.*", self._note_write)
        events.register("needs-retry.*.*", _note_lost_answer)
        events.register("before-parse.*.*", _refuse_web_page)
        events.register("after-call.*.*", self._explain_refusal)
        events.register("after-call.cloudformation.CreateChangeSet", self._note_stack)
        events.register("after-call.cloudformation.DescribeChangeSet", self._note_stack)
        for operation in ("DescribeStacks", "ListStacks"):
            events.register(f"after-call.cloudformation.{operation}", self._note_reviews)
        events.register_first("needs-retry.cloudformation", _stop_retrying_limit)

    def describe_changes(self) -> str:
        """Return what the requests so far have changed, as the end of a sentence."""
        writes = self._select_changes()
        if not writes:
            return NO_STACK if self._writes else NOTHING
        named_writes = [(action, self._stacks.get(resource, resource)) for action, resource in writes]
        names = [" on ".join(filter(None, write)) for write in dict.fromkeys(reversed(named_writes))]
        return f"already requested: {join_names(names, _MOST_NAMES)}"

    @property
    def may_have_changed_stacks(self) -> bool:
        return bool(self._select_changes())

    @property
    def may_have_begun_operation(self) -> bool:
        """Whether an operation of a stack may be running that the command does not report itself.

        Whoever executes a change set reports whether it goes on.
        """
        return any(action in _OPERATIONS and resource not in self._ended for action, resource in self._select_changes())

    @property
    def has_executed(self) -> bool:
        """Whether anything of a release was put into force."""
        return any(action in _EXECUTIONS for action, _ in self._select_changes())

    def has_requested(self, action: str) -> bool:
        """Whether a request of the action was sent, and not refused."""
        return any(name == action for name, _ in tuple(self._writes))

    def note_end(self, stack_id: str) -> None:
        """Note that the operation which was requested of a stack has been seen to end."""
        self._ended.add(stack_id)

    def _select_changes(self) -> list[tuple[str, str]]:
        """Return the writes that change a stack, or another resource; the deletion of a stack in review does not.

        Each stack is deleted by its id, after it was described or listed.
        """
        return [
            (action, resource)
            for action, resource in tuple(self._writes)
            if action not in _PREPARATIONS
            and not (action == "cloudformation:DeleteStack" and resource in self._reviews)
        ]

    def _note_reviews(self, parsed: dict[str, Any], **_: Any) -> None:
        for stack in (*parsed.get("StackSummaries", ()), *parsed.get("Stacks", ())):
            note = self._reviews.add if stack["StackStatus"] == "REVIEW_IN_PROGRESS" else self._reviews.discard
            note(stack["StackId"])

    def _note_stack(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        change_set = parsed.get("Id") or parsed.get("ChangeSetId")
        name = parsed.get("StackName") or context.get("resource")
        if change_set and name:
            self._stacks[change_set] = name

    def _note_write(self, model: Any, context: dict[str, Any], **_: Any) -> None:
        if not model.name.startswith(_READS):
            self._count_write((_name_action(model), context.get("resource", "")), 1)

    def _explain_refusal(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        status = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status < 300:
            return
        # Where a service answers in another form than its own errors have.
        parsed.setdefault("Error", {"Code": str(status), "Message": "the answer names no error"})
        action, resource = _name_action(model), context.get("resource", "")
        is_refused = not _is_uncertain(status, parsed) and not context.get(_LOST_ANSWER)
        parsed["Error"] |= {"Action": action, "Resource": resource, REFUSED: is_refused}
        if is_refused:
            self._count_write((action, resource), -1)

    def _count_write(self, write: tuple[str, str], difference: int) -> None:
        with self._lock:
            count = self._writes.pop(write, 0) + difference
            if count > 0:
                self._writes[write] = count


def is_repeatable(model: Any, params: dict[str, Any]) -> bool:
    """Whether a request may be sent again although the service may have carried it out before its answer was lost."""
    # The SDK fills in the token of an operation whose model marks one.
    has_token = bool(model.idempotent_members or _TOKENS & params.keys())
    return has_token or model.name.startswith((*_READS, *_REPEATABLE))


def is_quick_read(model: Any) -> bool:
    """Whether a request only reads, and is answered at once by a service that works."""
    return bool(model.name.startswith(_QUICK_READS))


def _name_action(model: Any) -> str:
    """Return the action of a policy that allows the operation, such as ``s3:GetObject``."""
    prefix = model.service_model.signing_name
    name = f"{_PREFIXES.get(prefix, prefix)}:{model.name}"
    return _ACTIONS.get(name, name)


def _keep_parameters(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
    if "Bucket" in params:
        context["resource"] = "s3://" + "/".join(filter(None, (params["Bucket"], params.get("Key"))))
        return
    names = [name for name in model.input_shape.members if name in params] if model.input_shape else []
    identifiers = [name for name in names if name.lower().endswith(("name", "arn", "id", "url")) and name != "RoleARN"]
    context["resource"] = next((str(params[name]) for name in identifiers if isinstance(params[name], str)), "")


def _note_lost_answer(
    request_dict: dict[str, Any],
    response: tuple[Any, dict[str, Any]] | None = None,
    caught_exception: Exception | None = None,
    **_: Any,
) -> None:
    """Note, for the answer to a later try, that nobody knows whether the service has carried out this one.

    Its own errors say no more than a lost answer: a later try that is refused does not mean that nothing was done.
    """
    if caught_exception is not None or (response and _is_uncertain(response[0].status_code, response[1])):
        request_dict["context"][_LOST_ANSWER] = True


def _refuse_web_page(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Raise ``ResponseParserError`` for the page of a proxy or of another server, which the SDK takes for XML.

    A page of an error of the server is left to the SDK, which repeats the request.
    """
    status, content_type = response_dict["status_code"], response_dict["headers"].get("Content-Type", "")
    if status >= 500 or operation_model.has_streaming_output:
        return
    is_page = any(kind in content_type.lower() for kind in _PAGES)
    if operation_model.service_model.protocol == "query":
        # The root of an answer is named after its operation, and that of a refusal is ErrorResponse.
        # https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
        root = _ROOT.match(response_dict["body"])
        is_page |= bool(response_dict["body"]) and (root is None or not root[1].endswith(_ANSWERS[status >= 300]))
    if is_page:
        from botocore.parsers import ResponseParserError

        raise ResponseParserError(
            f"the answer to {operation_model.name} is a web page (HTTP {status}), so it is not AWS's; check the proxy, "
            "and AWS_ENDPOINT_URL if it is set"
        )


def _is_uncertain(status: int, parsed: dict[str, Any]) -> bool:
    return status >= 500 or parsed.get("Error", {}).get("Code") in _TIMEOUTS


def _stop_retrying_limit(response: tuple[Any, dict[str, Any]] | None = None, **_: Any) -> None:
    """Give CloudFormation's refusal for a quota a code that the SDK does not take for throttling, which it repeats.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
    """
    error = response[1].get("Error", {}) if response else {}
    if error.get("Code") == "LimitExceededException":
        error["Code"] = "LimitExceeded"

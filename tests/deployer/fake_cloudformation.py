"""A CloudFormation for the deployer's tests, as a client: what it is asked is remembered, what it answers is scripted.

A fake and not a mock: it has stacks, change sets and events, and moves them as the service does. In particular:
a change set is made, and deleted, some time after it was asked for, and cannot be deleted before it is made; a
deployment goes on for several polls, and at first looks as the last one ended; events come newest first, in pages.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from botocore.paginate import Paginator

NAME = "payment-platform-dev"
ARN = f"arn:{NAME}"
STACK = "AWS::CloudFormation::Stack"
START = datetime(2026, 1, 1, tzinfo=UTC)
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."

# Stack, logical id, type, status, reason, physical id.
Happening = tuple[str, str, str, str, str, str]


def change(action: str, logical_id: str, kind: str = "AWS::SQS::Queue", **more: Any) -> dict[str, Any]:
    return {"ResourceChange": {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind, **more}}


def ended(status: str) -> Happening:
    """The root stack's own event."""
    return (NAME, NAME, STACK, status, "", ARN)


@dataclass
class _Pages:
    pages: list[dict[str, Any]]

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return self.pages


@dataclass
class FakeCloudFormation:
    # Pages of changes by change set id; "root" is the one that create_change_set makes.
    pages: dict[str, list[list[dict[str, Any]]]] = field(default_factory=dict)
    # Resources that are left out where values are asked for, as the service does with some.
    without_values: set[str] = field(default_factory=set)
    # Status and reason by change set id; CREATE_COMPLETE where nothing is said.
    failed: dict[str, str] = field(default_factory=dict)
    # How often a change set is still being created when asked.
    slow: dict[str, int] = field(default_factory=dict)
    stacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    script: list[Happening] = field(default_factory=lambda: [ended("CREATE_COMPLETE")])
    # Nested stacks that exist before the deployment, by stack.
    nested: dict[str, list[str]] = field(default_factory=dict)
    # Errors by operation, raised one by one.
    errors: dict[str, list[Exception]] = field(default_factory=dict)
    # Other change sets of the stack.
    others: list[str] = field(default_factory=list)
    # Early validations of every change set; None for a service that is too old for them.
    validations: list[dict[str, Any]] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _change_set: str = ""
    _execution: str = "AVAILABLE"
    _deleting: int = -1
    _running: list[Happening] = field(default_factory=list)

    def called(self, name: str) -> list[dict[str, Any]]:
        return [arguments for called, arguments in self.calls if called == name]

    @property
    def left(self) -> list[str]:
        """What of it is left behind: change sets, and stacks in review."""
        review = [name for name, stack in self.stacks.items() if stack["StackStatus"] == "REVIEW_IN_PROGRESS"]
        return [self._change_set] * bool(self._change_set) + review

    def happened(self, *happenings: Happening) -> "FakeCloudFormation":
        """Let these be in the history already."""
        for one in happenings:
            self._happen(one)
        return self

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        self._call("describe_stacks", StackName=StackName)
        for stack in self.stacks.values():
            if StackName in (stack["StackName"], stack["StackId"]):
                return {"Stacks": [stack]}
        raise error("ValidationError", f"Stack with id {StackName} does not exist")

    def describe_stack_resources(self, StackName: str) -> dict[str, Any]:
        name = StackName.removeprefix("arn:")
        nested = self.nested.get(name, [])
        return {"StackResources": [{"ResourceType": STACK, "PhysicalResourceId": f"arn:{one}"} for one in nested]}

    def get_template(self, StackName: str, TemplateStage: str) -> dict[str, Any]:
        assert TemplateStage == "Original"
        return {"TemplateBody": self.templates[StackName]}

    def create_change_set(self, **arguments: Any) -> dict[str, Any]:
        name = arguments["StackName"]
        self._change_set, self._execution, self._deleting = arguments["ChangeSetName"], "AVAILABLE", -1
        if arguments["ChangeSetType"] == "CREATE":
            self.stacks.setdefault(name, stack(name, "REVIEW_IN_PROGRESS"))
        self._call("create_change_set", **arguments)  # an error here is an answer that got lost
        return {"Id": "root", "StackId": self.stacks[name]["StackId"]}

    def describe_change_set(
        self,
        ChangeSetName: str,
        NextToken: str = "0",
        StackName: str | None = None,
        IncludePropertyValues: bool = False,
    ) -> dict[str, Any]:
        self._call("describe_change_set", ChangeSetName=ChangeSetName)
        if StackName is not None or ChangeSetName == "root":
            ChangeSetName = "root"
            if self._deleting > 0:
                self._deleting -= 1
            elif self._deleting == 0:
                self._change_set = ""
            if not self._change_set:
                raise error("ChangeSetNotFound", "ChangeSet does not exist")
        pages = self.pages.get(ChangeSetName, [[]])
        page = int(NextToken)
        answer: dict[str, Any] = {
            "ChangeSetId": ChangeSetName,
            "StackName": NAME if ChangeSetName == "root" else f"nested-{ChangeSetName}",
            "Status": "DELETE_IN_PROGRESS" if self._deleting >= 0 and ChangeSetName == "root" else "CREATE_COMPLETE",
            "ExecutionStatus": self._execution,
            "Changes": pages[page],
        }
        if IncludePropertyValues and self.without_values:
            kept = [c for c in pages[page] if c["ResourceChange"]["LogicalResourceId"] not in self.without_values]
            answer |= {"StatusReason": "[WARN] --include-property-values left some out", "Changes": kept}
        if page + 1 < len(pages):
            answer["NextToken"] = str(page + 1)
        if self.slow.get(ChangeSetName, 0) > 0:
            self.slow[ChangeSetName] -= 1
            answer |= {"Status": "CREATE_IN_PROGRESS", "Changes": []}
            answer.pop("NextToken", None)
        elif ChangeSetName in self.failed and self._deleting < 0:
            answer |= {"Status": "FAILED", "StatusReason": self.failed[ChangeSetName]}
        return answer

    def list_change_sets(self, StackName: str) -> dict[str, Any]:
        self._call("list_change_sets", StackName=StackName)
        return {"Summaries": [{"ChangeSetName": one} for one in self.others]}

    def delete_change_set(self, **arguments: Any) -> None:
        self._call("delete_change_set", **arguments)
        if self.slow.get("root", 0) > 0:
            raise error("InvalidChangeSetStatus", "Cannot delete ChangeSet in status CREATE_IN_PROGRESS")
        self._deleting = 2

    def delete_stack(self, StackName: str) -> None:
        self._call("delete_stack", StackName=StackName)
        assert not self._change_set, "the change set was still there"
        self.stacks = {name: s for name, s in self.stacks.items() if StackName not in (name, s["StackId"])}

    def execute_change_set(self, **arguments: Any) -> None:
        self._call("execute_change_set", **arguments)
        self._execution, self._change_set = "EXECUTE_IN_PROGRESS", ""
        self._running = list(self.script)

    def get_paginator(self, operation: str) -> Any:
        if operation == "describe_events":
            self._call(operation)
            if self.validations is None:
                raise error("InvalidAction", "an older service")
            return _Pages([{"OperationEvents": self.validations}])
        if operation == "describe_change_set":
            tokens = {"input_token": "NextToken", "output_token": "NextToken", "result_key": "Changes"}
            return Paginator(self.describe_change_set, tokens, None)
        assert operation == "describe_stack_events"
        return self

    def describe_change_set_hooks(self, **_: str) -> dict[str, Any]:
        raise error("InvalidAction", "an older service")

    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:
        """Newest first, two events a page. Each look at the root lets one more event happen."""
        self._call("describe_stack_events", StackName=StackName)
        name = StackName.removeprefix("arn:")
        found = [event for event in reversed(self.events) if event["StackName"] == name]
        if self._running and name == NAME:
            self._happen(self._running.pop(0))
        for at in range(0, len(found), 2):
            yield {"StackEvents": found[at : at + 2]}

    def _happen(self, one: Happening) -> None:
        stack_name, logical_id, kind, status, reason, physical_id = one
        at = len(self.events)
        self.events.append(
            {
                "EventId": str(at),
                "Timestamp": START + timedelta(seconds=at // 3),  # several in one instant
                "StackId": f"arn:{stack_name}",
                "StackName": stack_name,
                "LogicalResourceId": logical_id,
                "ResourceType": kind,
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
                "PhysicalResourceId": physical_id,
            }
        )
        if logical_id == NAME:
            self.stacks[NAME] = {**self.stacks.get(NAME, stack(NAME, status)), "StackStatus": status}

    def _call(self, name: str, **arguments: Any) -> None:
        self.calls.append((name, arguments))
        if self.errors.get(name):
            raise self.errors[name].pop(0)


def stack(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {"StackName": name, "StackId": f"arn:{name}", "StackStatus": status, **more}


def error(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")

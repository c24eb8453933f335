"""A CloudFormation that behaves as AWS's documentation, and the issue trackers of its users, say that it does.

It reads the templates that it is given, has a change set for each nested stack, lists three changes a page, and takes
the siblings of a failed one at their own pace. A parameter that another stack's output feeds is not known, so whatever
reads it is listed. Deployments go on in events. What goes wrong is set before: ``refuses``, ``fails``, ``errors``...

It provisions what deletion policies retain, in an account (holdings.py), so that names are taken and tables protected;
nothing else. Deletion policies have the meaning that AWS documents:
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
Whether the rollback of a creation counts a nested stack that was complete as never created, or as deleted, AWS does not
say; ``complete_counts_as_deleted`` sets it.
"""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from scripts.common import templates
from scripts.common.evaluate import TOKEN, evaluate
from scripts.common.templates import STACK
from scripts.deployer.plan.model import KNOWN_AFTER_APPLY
from tests.deployer.aws.data_services import DataServices
from tests.deployer.aws.holdings import (
    NAMES,
    Holdings,
    Refused,
    has_system_tags,
    own_tags,
    physical_id,
    physical_name,
    resolved,
)

ACCOUNT, REGION = "123456789012", "eu-west-1"
START = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)
PAGE = 3
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
UNSUPPORTED = "Nested change set {} was not successfully created: Currently in FAILED."
ALIAS = "AWS::KMS::Alias"
# What replaces a resource of the platform, as far as the tests change it.

REPLACED_BY = {
    "AWS::DynamoDB::Table": ("TableName", "KeySchema"),
    "AWS::SQS::Queue": ("QueueName",),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::Lambda::Version": ("Description",),
    "AWS::CloudWatch::Alarm": ("AlarmName",),
}

Changes = list[dict[str, Any]]


@dataclass
class Stack:
    name: str
    id: str
    status: str
    # The nested stack's logical id; empty for a root.
    logical_id: str = ""
    text: str = "{}"
    parameters: dict[str, str] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)
    nested: dict[str, "Stack"] = field(default_factory=dict)
    updated: datetime = START
    protected: bool = False
    policy: str = ""
    reason: str = ""
    drift: str = "NOT_CHECKED"
    root: "Stack | None" = None

    @property
    def template(self) -> templates.Template:
        return templates.parse_template(self.text)

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Those that its conditions let be."""
        return _resources(self.text, tuple(sorted(self.parameters.items())))

    def outputs(self) -> dict[str, str]:
        stack = evaluate(self.tree(), self.parameters, _PSEUDO)

        def physical(token: re.Match[str]) -> str:
            *above, logical_id = token[1].split("/")
            there = stack
            for name in above:
                there = there.nested[name]
            properties = there.resources[logical_id].properties
            name = next((value for key, value in properties.items() if key.endswith("Name")), logical_id)
            return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}" if "Alarm" in logical_id else name

        return {name: TOKEN.sub(physical, str(value)) for name, value in stack.outputs.items()}

    def tree(self) -> templates.Tree:
        return templates.Tree(self.template, {name: one.tree() for name, one in self.nested.items()})

    def walk(self, path: str = "") -> list[tuple[str, "Stack"]]:
        below = [one for name, child in self.nested.items() for one in child.walk(f"{path}/{name}" if path else name)]
        return [(path, self), *below]


@dataclass
class ChangeSet:
    id: str
    name: str
    stack: Stack
    changes: Changes
    # Looks until it has been made.
    looks: int = 0
    reason: str = ""
    execution: str = "AVAILABLE"
    deleting: int = -1
    nested: list["ChangeSet"] = field(default_factory=list)
    proposed: Stack | None = None
    given: dict[str, Any] = field(default_factory=dict)


@dataclass
class CloudFormation:
    """What is set before a command is run; and ``calls``, to look at afterwards."""

    # By the logical id of the nested stack, "" for the root: looks until its change set is made, why it is refused,
    # and what to make of its changes.
    slow: dict[str, int] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)
    says: dict[str, Callable[[Changes], Changes]] = field(default_factory=dict)
    # Whether nested change sets are made at all; an emulator may not.
    nested_sets: bool = True
    validations: list[dict[str, Any]] = field(default_factory=list)
    hooks: list[dict[str, Any]] = field(default_factory=list)
    # Resources that fail, by path, with the reason; those that then cannot be rolled back; an alarm that rings.
    fails: dict[str, str] = field(default_factory=dict)
    stuck: dict[str, str] = field(default_factory=dict)
    rings: str = ""
    # What a rolled-back creation makes of a nested stack that was complete: one that is deleted keeps what it retains.
    complete_counts_as_deleted: bool = False
    holdings: Holdings = field(default_factory=Holdings)
    # Looks at the root for which a deployment goes on silently before it ends.
    silent: int = 0
    # Errors by operation, one by one; None is a connection that breaks.
    errors: dict[str, list[Refused | None]] = field(default_factory=dict)
    # Called before an operation is done, by operation.
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    alarms: dict[str, str] = field(default_factory=dict)
    # Logical ids of resources that their stack has let go.
    skipped: set[str] = field(default_factory=set)

    stacks: dict[str, Stack] = field(default_factory=dict)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)
    # Of objects that are not what their keys say.
    checksums: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.RLock)
    _waiting: list[Callable[[], None]] = field(default_factory=list)
    _count: int = 0
    # Of the deployment that runs: what fails, by path, and what it has created, with its stack and logical id.
    _failing: dict[str, str] = field(default_factory=dict)
    _created: list[tuple[Stack, str]] = field(default_factory=list)
    _retain_except_on_create: bool = False

    @property
    def data(self) -> DataServices:
        return DataServices(self.holdings)

    def called(self, operation: str, given: dict[str, Any]) -> None:
        self.calls.append((operation, given))
        if operation in self.before:
            self.before[operation]()
        if self.errors.get(operation):
            wrong = self.errors[operation].pop(0)
            if wrong is None:
                raise ConnectionAbortedError
            raise wrong

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [given for name, given in self.calls if name == operation]

    @property
    def left(self) -> list[str]:
        """What a command has left behind: change sets, and stacks in review."""
        review = [stack.name for stack in self.stacks.values() if stack.status == "REVIEW_IN_PROGRESS"]
        return [one.name for one in self.change_sets.values() if one.stack.root is None] + review

    def writes(self) -> list[str]:
        """Operations that change something."""
        reads = ("Describe", "Get", "List", "Head", "Detect", "Simulate")
        return [name for name, _ in self.calls if not name.rpartition(":")[2].startswith(reads)]

    # Operations

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        stack = self._stack(StackName)
        if stack.status == "DELETE_IN_PROGRESS" and self._waiting:
            self._waiting.pop(0)()
        told: dict[str, Any] = {
            "StackName": stack.name,
            "StackId": stack.id,
            "StackStatus": stack.status,
            "CreationTime": START,
            "LastUpdatedTime": stack.updated,
            "EnableTerminationProtection": stack.protected,
            "Tags": stack.tags,
            "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in stack.parameters.items()],
            "DriftInformation": {"StackDriftStatus": stack.drift},
        }
        if stack.reason:
            told["StackStatusReason"] = stack.reason
        if stack.status.endswith("_COMPLETE") and stack.root is None:
            told["Outputs"] = [{"OutputKey": k, "OutputValue": v} for k, v in stack.outputs().items()]
        return {"Stacks": [told]}

    def get_template(self, StackName: str, TemplateStage: str) -> dict[str, Any]:
        assert TemplateStage == "Original"
        return {"TemplateBody": self._stack(StackName).text}

    def list_stack_resources(self, StackName: str, NextToken: str = "0") -> dict[str, Any]:
        stack = self._stack(StackName)
        found = []
        for logical_id, resource in stack.resources.items():
            nested = stack.nested.get(logical_id)
            physical = nested.id if nested else _physical_id(logical_id, resource, stack)
            summary = {
                "LogicalResourceId": logical_id,
                "ResourceType": resource["Type"],
                "ResourceStatus": "DELETE_SKIPPED" if logical_id in self.skipped else "CREATE_COMPLETE",
            }
            found.append({**summary, "PhysicalResourceId": physical, "LastUpdatedTimestamp": START})
        return _page("StackResourceSummaries", found, NextToken, size=20)

    def describe_stack_resources(self, PhysicalResourceId: str) -> dict[str, Any]:
        """Those of the stack that a resource belongs to, the first hundred; of a deleted stack, too.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResources.html
        """
        held = self.holdings.resources.values()
        ids = [one.stack_id for one in held if physical_id(one.kind, one.name) == PhysicalResourceId]
        if not ids or not ids[0]:
            raise Refused("ValidationError", f"Stack for {PhysicalResourceId} does not exist")
        stack = self._stack(ids[0])
        found = []
        for logical_id, resource in list(stack.resources.items())[:100]:
            kind, status = resource["Type"], "CREATE_COMPLETE"
            if kind in NAMES:
                physical = physical_id(kind, self._name(stack, logical_id))
            else:
                physical = _physical_id(logical_id, resource, stack)
            if logical_id in self.skipped or stack.status == "DELETE_COMPLETE":
                status = "DELETE_SKIPPED"
            one = {"StackName": stack.name, "StackId": stack.id, "LogicalResourceId": logical_id, "ResourceType": kind}
            found.append({**one, "PhysicalResourceId": physical, "ResourceStatus": status, "Timestamp": START})
        return {"StackResources": found}

    def create_change_set(self, **given: Any) -> dict[str, Any]:
        name = given["StackName"]
        stack = next((one for one in self.stacks.values() if one.name == name and _is_there(one)), None)
        if stack is None:
            assert given["ChangeSetType"] == "CREATE"
            stack = Stack(name, self._arn("stack", name), "REVIEW_IN_PROGRESS", tags=given["Tags"])
            self.stacks[stack.id] = stack
        elif stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS":
            raise Refused("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html
        if len(given.get("TemplateBody", "").encode()) > 51_200:
            raise Refused(
                "ValidationError",
                "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have "
                "length less than or equal to 51200",
            )
        previous = stack.text if given.get("UsePreviousTemplate") else None
        text = previous or given.get("TemplateBody") or self._object(given["TemplateURL"])
        parameters = {one["ParameterKey"]: one["ParameterValue"] for one in given.get("Parameters", [])}
        declared = templates.parse_template(text).get("Parameters", {})
        defaults = {key: str(one["Default"]) for key, one in declared.items() if "Default" in one}
        after = self._proposed(stack, name, text, {**defaults, **parameters})
        after.tags = given["Tags"]
        before = stack if stack.status != "REVIEW_IN_PROGRESS" else None
        made = self._change_set(given["ChangeSetName"], stack, before, after, "", unknown=set())
        made.proposed, made.given = after, given
        return {"Id": made.id, "StackId": stack.id}

    def describe_change_set(
        self,
        ChangeSetName: str,
        StackName: str = "",
        NextToken: str = "0",
        IncludePropertyValues: bool = False,
    ) -> dict[str, Any]:
        one = self._find(ChangeSetName, StackName)
        told: dict[str, Any] = {
            "ChangeSetId": one.id,
            "ChangeSetName": one.name,
            "StackId": one.stack.id,
            "StackName": one.stack.name,
            "ExecutionStatus": one.execution,
            "Status": "CREATE_COMPLETE",
        }
        if one.deleting >= 0:
            one.deleting -= 1
            if one.deleting < 0:
                self._forget(one)
            return told | {"Status": "DELETE_IN_PROGRESS"}
        for nested in one.nested:
            nested.looks = max(nested.looks - 1, 0)  # each at its own pace, whoever looks
        if one.looks > 0:
            one.looks -= 1
            return told | {"Status": "CREATE_IN_PROGRESS", "ExecutionStatus": "UNAVAILABLE"}
        if reason := self._reason(one):
            return told | {"Status": "FAILED", "StatusReason": reason, "ExecutionStatus": "UNAVAILABLE"}
        if one.stack.root is not None:
            told |= {"ExecutionStatus": "UNAVAILABLE", "StatusReason": "Only executable from the root change set."}
        changes = one.changes if IncludePropertyValues else [_without_values(change) for change in one.changes]
        return told | _page("Changes", changes, NextToken)

    def describe_events(self, ChangeSetName: str, NextToken: str = "0") -> dict[str, Any]:
        one = self._find(ChangeSetName)
        own = [event for event in self.validations if event.get("_in", "") == one.stack.logical_id]
        told = [{key: value for key, value in event.items() if key != "_in"} for event in own]
        return _page("OperationEvents", told, NextToken)

    def describe_change_set_hooks(self, ChangeSetName: str, NextToken: str = "0") -> dict[str, Any]:
        one = self._find(ChangeSetName)
        return _page("Hooks", self.hooks if one.stack.root is None else [], NextToken)

    def delete_change_set(self, ChangeSetName: str, StackName: str = "") -> None:
        one = self._find(ChangeSetName, StackName)
        if one.stack.root is not None:
            raise Refused("InvalidChangeSetStatus", "Only the root change set can be deleted")
        if any(each.looks > 0 for each in [one, *one.nested]):
            raise Refused("InvalidChangeSetStatus", "ChangeSet cannot be deleted in status CREATE_IN_PROGRESS")
        one.deleting = 1

    def list_change_sets(self, StackName: str) -> dict[str, Any]:
        stack = self._stack(StackName)
        return {"Summaries": [{"ChangeSetName": o.name} for o in self.change_sets.values() if o.stack is stack]}

    def execute_change_set(self, ChangeSetName: str, RetainExceptOnCreate: bool = False) -> None:
        self._retain_except_on_create = RetainExceptOnCreate
        one = self._find(ChangeSetName)
        if one.stack.root is not None or one.execution != "AVAILABLE":
            raise Refused("InvalidChangeSetStatus", f"ChangeSet [{one.id}] cannot be executed in its current status")
        for other in [each for each in self.change_sets.values() if each.stack is one.stack]:
            self._forget(other)
        self._run(one)

    def describe_stack_events(self, StackName: str, NextToken: str = "0") -> dict[str, Any]:
        """Newest first. A look at a root lets some more happen."""
        stack = self._stack(StackName)
        if stack.root is None and NextToken == "0" and self._waiting:
            if self.silent > 0 and len(self._waiting) == 1:
                self.silent -= 1
            else:
                self._waiting.pop(0)()
        return _page("StackEvents", list(reversed(self.events.get(stack.id, []))), NextToken, size=4)

    def delete_stack(self, StackName: str) -> None:
        stack = self._stack(StackName)
        if stack.protected:
            raise Refused(
                "ValidationError", f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            )
        if stack.status == "REVIEW_IN_PROGRESS":
            assert not [one for one in self.change_sets.values() if one.stack is stack], "it still has change sets"
            del self.stacks[stack.id]
            return
        self._event(stack, "", STACK, "DELETE_IN_PROGRESS", "User Initiated")

        def gone() -> None:
            for _, nested in reversed([pair for pair in stack.walk()[1:] if _is_there(pair[1])]):
                for logical_id in nested.resources:
                    self._remove(nested, logical_id, retains=("Retain", "RetainExceptOnCreate"))
                self._event(nested, "", STACK, "DELETE_COMPLETE")
                self._event(stack, nested.logical_id, STACK, "DELETE_COMPLETE", physical=nested.id)
            if stack.name in self.fails:
                self._event(stack, "", STACK, "DELETE_FAILED", self.fails[stack.name])
            else:
                self._event(stack, "", STACK, "DELETE_COMPLETE")

        self._waiting = [gone]

    def update_termination_protection(self, StackName: str, EnableTerminationProtection: bool) -> dict[str, Any]:
        stack = self._stack(StackName)
        stack.protected = EnableTerminationProtection
        return {"StackId": stack.id}

    def set_stack_policy(self, StackName: str, StackPolicyBody: str) -> None:
        self._stack(StackName).policy = StackPolicyBody

    def get_stack_policy(self, StackName: str) -> dict[str, Any]:
        policy = self._stack(StackName).policy
        return {"StackPolicyBody": policy} if policy else {}

    def cancel_update_stack(self, StackName: str) -> None:
        stack = self._stack(StackName)
        self._event(stack, "", STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        self._waiting = [lambda: self._event(stack, "", STACK, "UPDATE_ROLLBACK_COMPLETE")]

    def continue_update_rollback(self, StackName: str, ResourcesToSkip: list[str] | None = None) -> None:
        stack = self._stack(StackName)
        known = {f"{one.name}.{n}" if path else n for path, one in stack.walk() for n in one.resources}
        for skipped in ResourcesToSkip or []:
            if skipped not in known:
                raise Refused("ValidationError", f"ResourcesToSkip: {skipped} is not in a state that can be skipped")
        names = [path.replace("/", ".") for path in self.stuck]
        skipped = {one.split("-")[3] + "." + one.split(".")[1] for one in ResourcesToSkip or [] if "." in one}
        self._event(stack, "", STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        end = "UPDATE_ROLLBACK_COMPLETE" if set(names) <= skipped else "UPDATE_ROLLBACK_FAILED"
        self._waiting = [lambda: self._event(stack, "", STACK, end)]

    def detect_stack_drift(self, StackName: str) -> dict[str, Any]:
        stack = self._stack(StackName)
        if stack.drift == "NOT_CHECKED":
            stack.drift = "IN_SYNC"
        return {"StackDriftDetectionId": stack.id}

    def describe_stack_drift_detection_status(self, StackDriftDetectionId: str) -> dict[str, Any]:
        return {
            "StackId": StackDriftDetectionId,
            "StackDriftDetectionId": "d",
            "DetectionStatus": "DETECTION_COMPLETE",
            "Timestamp": START,
        }

    def describe_stack_resource_drifts(
        self, StackName: str, StackResourceDriftStatusFilters: list[str], NextToken: str = "0"
    ) -> dict[str, Any]:
        assert "MODIFIED" in StackResourceDriftStatusFilters
        stack = self._stack(StackName)
        found = [
            {
                "StackId": stack.id,
                "LogicalResourceId": logical_id,
                "ResourceType": resource["Type"],
                "StackResourceDriftStatus": "MODIFIED",
                "Timestamp": START,
                "PropertyDifferences": [
                    {
                        "PropertyPath": "/Tags/0/Value",
                        "ExpectedValue": "a",
                        "ActualValue": "b",
                        "DifferenceType": "NOT_EQUAL",
                    }
                ],
            }
            for logical_id, resource in list(stack.resources.items())[:1]
        ]
        return _page("StackResourceDrifts", found, NextToken)

    # How it gets there

    def _stack(self, name: str) -> Stack:
        for root in self.stacks.values():
            for _, stack in root.walk():
                # One that has been deleted is still found by its id.
                if name == stack.id or (name == stack.name and _is_there(stack)):
                    return stack
        raise Refused("ValidationError", f"Stack with id {name} does not exist")

    def _find(self, name: str, stack_name: str = "") -> ChangeSet:
        for one in self.change_sets.values():
            if name == one.id or (name == one.name and stack_name in (one.stack.name, one.stack.id)):
                return one
        raise Refused("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)

    def _forget(self, one: ChangeSet) -> None:
        for each in [one, *one.nested]:
            self.change_sets.pop(each.id, None)

    def _object(self, url: str) -> str:
        key = url.split("/", 3)[3]
        if key not in self.objects:
            raise Refused("ValidationError", f"S3 error: The specified key does not exist: {key}")
        return self.objects[key]

    def _arn(self, kind: str, name: str) -> str:
        self._count += 1
        return f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:{kind}/{name}/{self._count:08}"

    def _proposed(self, there: Stack | None, name: str, text: str, parameters: dict[str, str]) -> Stack:
        """The stack as it will be, with the nested stacks that the templates behind the URLs describe."""
        after = Stack(name, there.id if there else self._arn("stack", name), "", text=text, parameters=parameters)
        for logical_id, resource in after.template["Resources"].items():
            if resource["Type"] != STACK:
                continue
            old = there.nested.get(logical_id) if there else None
            url = resource["Properties"]["TemplateURL"]
            given = {k: _given(v, parameters) for k, v in resource["Properties"].get("Parameters", {}).items()}
            below = old.name if old else f"{name}-{logical_id}-1A2B"
            nested = self._proposed(old, below, self._object(url), given)
            nested.logical_id, nested.root = logical_id, after
            after.nested[logical_id] = nested
        return after

    def _change_set(
        self, name: str, stack: Stack, before: Stack | None, after: Stack, logical_id: str, unknown: set[str]
    ) -> ChangeSet:
        changes: Changes = []
        below: list[ChangeSet] = []
        old = before.resources if before else {}
        new = after.resources
        changed = {k for k, v in after.parameters.items() if before and before.parameters.get(k) != v}
        listed: set[str] = set()
        replaced: set[str] = set()
        for one in [*new, *(each for each in old if each not in new)]:
            change = _change(one, old.get(one), new.get(one), before, after, changed, unknown, listed, replaced)
            if one in after.nested and (change or before):
                was = before.nested.get(one) if before else None
                nested_unknown = {
                    key
                    for key, value in new[one]["Properties"].get("Parameters", {}).items()
                    if before and any(_reads(value, each) for each in listed)
                }
                if not change and not nested_unknown and self._same(before, after, one):
                    continue
                nested = self._change_set(name, was or after.nested[one], was, after.nested[one], one, nested_unknown)
                if not nested.changes:
                    self.change_sets.pop(nested.id)
                    continue
                below.append(nested)
                change = change or _resource_change("Modify", one, STACK, [])
                if self.nested_sets:
                    change["ResourceChange"]["ChangeSetId"] = nested.id
            if change:
                listed.add(one)
                replaced |= {one} if change["ResourceChange"].get("Replacement", "False") != "False" else set()
                changes.append(change)
        made = ChangeSet(self._arn("changeSet", name), name, stack, self.says.get(logical_id, list)(changes))
        made.looks = self.slow.get(logical_id, 0)
        made.reason = self.refuses.get(logical_id, "")
        made.nested = [each for one in below for each in [one, *one.nested]]
        if not changes and not logical_id and before and (before.text, before.tags) == (after.text, after.tags):
            made.reason = made.reason or NO_CHANGES
        self.change_sets[made.id] = made
        return made

    def _same(self, before: Stack | None, after: Stack, one: str) -> bool:
        old = before.nested.get(one) if before else None
        new = after.nested[one]
        return old is not None and old.text == new.text and old.parameters == new.parameters

    def _reason(self, one: ChangeSet) -> str:
        """A root fails as soon as one nested set has failed, whether its siblings are made or not."""
        failed = next((each for each in one.nested if each.reason and each.looks == 0), None)
        return one.reason or (UNSUPPORTED.format(failed.id) if failed else "")

    def _run(self, one: ChangeSet) -> None:
        """What will happen, in pieces that each look at the root's events lets go on."""
        stack, after = one.stack, one.proposed
        assert after is not None
        self._created, self._failing = [], self.fails | self._collisions(one, after)
        verb = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        self._event(stack, "", STACK, f"{verb}_IN_PROGRESS", "User Initiated")
        if verb == "CREATE":
            # The nested stacks appear as they are made.
            stack.nested = {name: self._bare(nested, stack) for name, nested in after.nested.items()}
        pieces: list[Callable[[], None]] = []
        for change in one.changes:
            pieces.append(lambda change=change: self._do(one, change["ResourceChange"], verb))
        pieces.append(lambda: self._end(stack, after, verb, one.given))
        self._waiting = pieces

    def _bare(self, nested: Stack, root: Stack) -> Stack:
        bare = Stack(nested.name, nested.id, "CREATE_IN_PROGRESS", nested.logical_id, text=nested.text, root=root)
        bare.parameters = nested.parameters
        return bare

    def _do(self, one: ChangeSet, resource: dict[str, Any], verb: str) -> None:
        stack, logical_id = one.stack, resource["LogicalResourceId"]
        if stack.reason == "failed":
            return
        nested = stack.nested.get(logical_id)
        if nested is None:
            self._resource(stack, resource, verb, logical_id)
            return
        self._event(stack, logical_id, STACK, f"{verb}_IN_PROGRESS", physical=nested.id)
        inner = next((each for each in one.nested if each.stack.logical_id == logical_id), None)
        bad = [path for path in self._failing if path.startswith(f"{logical_id}/")]
        for change in inner.changes if inner else []:
            below = change["ResourceChange"]
            self._resource(nested, below, verb, f"{logical_id}/{below['LogicalResourceId']}")
        if bad:
            told = f"Embedded stack {nested.id} was not successfully {verb.lower()}d: " + (
                "The following resource(s) failed to " + f"{verb.lower()}: [{bad[0].split('/')[1]}]."
            )
            self._event(stack, logical_id, STACK, f"{verb}_FAILED", told, physical=nested.id)
            stack.reason = "failed"
        else:
            self._event(stack, logical_id, STACK, f"{verb}_COMPLETE", physical=nested.id)

    def _resource(self, stack: Stack, resource: dict[str, Any], verb: str, path: str) -> None:
        logical_id, kind = resource["LogicalResourceId"], resource["ResourceType"]
        self._event(stack, logical_id, kind, f"{verb}_IN_PROGRESS")
        above = path.rpartition("/")[0]
        if path in self._failing:
            self._event(stack, logical_id, kind, f"{verb}_FAILED", self._failing[path])
            if not above:
                stack.reason = "failed"
        elif any(other.rpartition("/")[0] == above for other in self._failing):
            self._event(stack, logical_id, kind, f"{verb}_FAILED", f"Resource {verb.lower()} cancelled")
        else:
            if resource["Action"] == "Add":
                self._create(stack, logical_id)
            self._event(stack, logical_id, kind, f"{verb}_COMPLETE")

    def _end(self, stack: Stack, after: Stack, verb: str, given: dict[str, Any]) -> None:
        if stack.reason == "failed" or self.rings:
            stack.reason = ""
            back = "ROLLBACK" if verb == "CREATE" else "UPDATE_ROLLBACK"
            why = f"Rollback triggered by alarm: {self.rings}" if self.rings else "The following resource(s) failed"
            self._event(stack, "", STACK, f"{back}_IN_PROGRESS", why)
            self._waiting = [lambda: self._roll_back(stack, verb, back)]
            return
        policies = {path: nested.policy for path, nested in stack.walk()}
        stack.text, stack.parameters, stack.tags = after.text, after.parameters, given.get("Tags", [])
        stack.nested = after.nested
        for path, nested in after.walk()[1:]:
            nested.status, nested.root = f"{verb}_COMPLETE", stack
            nested.policy = policies.get(path, "")
        self._protect_tables(stack)
        if verb == "UPDATE":
            self._event(stack, "", STACK, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        self._event(stack, "", STACK, f"{verb}_COMPLETE")

    def _roll_back(self, stack: Stack, verb: str, back: str) -> None:
        for path, nested in stack.walk()[1:]:
            if any(failed.startswith(f"{path}/") for failed in self.stuck):
                name, told = next((p.split("/")[1], t) for p, t in self.stuck.items() if p.startswith(f"{path}/"))
                self._event(nested, name, "AWS::DynamoDB::Table", "UPDATE_FAILED", told)
            elif any(failed.startswith(f"{path}/") for failed in self._failing):
                for name, resource in list(nested.resources.items())[:2]:
                    done = "DELETE_COMPLETE" if verb == "CREATE" else "UPDATE_COMPLETE"
                    self._event(nested, name, resource["Type"], done)
        left = [
            created for created in reversed(self._created) if not self._remove(*created, self._retained(created[0]))
        ]
        if verb == "CREATE":
            for _, nested in reversed(stack.walk()[1:]):
                end = "DELETE_FAILED" if any(nested is owner for owner, _ in left) else "DELETE_COMPLETE"
                self._event(nested, "", STACK, end)
                self._event(stack, nested.logical_id, STACK, end, physical=nested.id)
        # What an update cannot clean up does not fail its rollback.
        fails = self.stuck or (left and verb == "CREATE")
        self._event(stack, "", STACK, f"{back}_FAILED" if fails else f"{back}_COMPLETE")

    def _retained(self, stack: Stack) -> tuple[str, ...]:
        """The policies that keep what the operation that rolls back has created in a stack."""
        complete = not any(path.rpartition("/")[0] == stack.logical_id for path in self._failing)
        if complete and stack.root is not None and self.complete_counts_as_deleted:
            return ("Retain", "RetainExceptOnCreate")
        return () if self._retain_except_on_create else ("Retain",)

    def provision(self, root: Stack) -> None:
        """What a stack that is there already has."""
        for _, stack in root.walk():
            for logical_id in stack.resources:
                self._create(stack, logical_id)

    def _collisions(self, one: ChangeSet, after: Stack) -> dict[str, str]:
        """By path, the resources to be created whose names are taken."""
        found = {}
        for each in [one, *one.nested]:
            path = each.stack.logical_id
            stack = next(proposed for _, proposed in after.walk() if proposed.logical_id == path)
            for change in each.changes:
                logical_id = change["ResourceChange"]["LogicalResourceId"]
                resource = stack.resources.get(logical_id, {})
                if change["ResourceChange"]["Action"] != "Add" or resource["Type"] not in NAMES:
                    continue
                name = physical_name(logical_id, resource, stack.parameters, stack.name)
                if resource["Type"] != "AWS::KMS::Key" and self.holdings.holds(resource["Type"], name):
                    found[f"{path}/{logical_id}".lstrip("/")] = (
                        f"Resource of type '{resource['Type']}' with identifier '{name}' already exists."
                    )
        return found

    def _create(self, stack: Stack, logical_id: str) -> None:
        resource = stack.resources.get(logical_id, {})
        if resource.get("Type") == ALIAS:
            key = resource["Properties"]["TargetKeyId"]["Ref"]
            self.holdings.aliases[self._alias(stack, logical_id)] = self._name(stack, key)
            self._created.append((stack, logical_id))
        if resource.get("Type") not in NAMES:
            return
        root = stack.root or stack
        system = {"stack-name": stack.name, "stack-id": stack.id, "logical-id": logical_id}
        tags = {tag["Key"]: tag["Value"] for tag in root.tags} | own_tags(resource, stack.parameters)
        if has_system_tags(resource["Type"]):
            tags |= {f"aws:cloudformation:{key}": value for key, value in system.items()}
        created = self.holdings.create(
            resource["Type"], self._name(stack, logical_id), tags, _is_protected(resource, stack.parameters)
        )
        created.stack_id = stack.id
        created.description = str(resource.get("Properties", {}).get("Description", ""))
        self._created.append((stack, logical_id))

    def _name(self, stack: Stack, logical_id: str) -> str:
        """A key's is of its stack: each creation makes another."""
        name = physical_name(logical_id, stack.resources[logical_id], stack.parameters, stack.name)
        return f"{name}-{stack.id[-8:]}" if stack.resources[logical_id]["Type"] == "AWS::KMS::Key" else name

    def _alias(self, stack: Stack, logical_id: str) -> str:
        return str(resolved(stack.resources[logical_id]["Properties"]["AliasName"], stack.parameters))

    def _remove(self, stack: Stack, logical_id: str, retains: tuple[str, ...]) -> bool:
        """Delete a resource unless its policy is one of ``retains``; whether that succeeded."""
        resource = stack.resources[logical_id]
        if resource["Type"] == ALIAS:
            self.holdings.aliases.pop(self._alias(stack, logical_id), None)
        if resource["Type"] not in NAMES or not self.holdings.holds(resource["Type"], self._name(stack, logical_id)):
            return True
        name, kind = self._name(stack, logical_id), resource["Type"]
        if resource.get("DeletionPolicy") in retains:
            self._event(stack, logical_id, kind, "DELETE_SKIPPED", physical=name)
            return True
        try:
            self.holdings.delete(kind, name)
        except Refused as refused:
            self._event(stack, logical_id, kind, "DELETE_FAILED", str(refused), physical=name)
            return False
        self._event(stack, logical_id, kind, "DELETE_COMPLETE", physical=name)
        return True

    def _protect_tables(self, root: Stack) -> None:
        for _, stack in root.walk():
            for logical_id, resource in stack.resources.items():
                there = (resource["Type"], self._name(stack, logical_id)) if resource["Type"] in NAMES else None
                if there in self.holdings.resources:
                    self.holdings.resources[there].protected = _is_protected(resource, stack.parameters)

    def _event(
        self, stack: Stack, logical_id: str, kind: str, status: str, reason: str = "", physical: str = ""
    ) -> None:
        self._count += 1
        at = START + timedelta(seconds=sum(map(len, self.events.values())) // 3)  # several in one instant
        own = not logical_id
        if own:
            stack.status, stack.updated = status, at
        event: dict[str, Any] = {
            "EventId": f"event-{self._count}",
            "Timestamp": at,
            "StackId": stack.id,
            "StackName": stack.name,
            "LogicalResourceId": stack.name if own else logical_id,
            "PhysicalResourceId": stack.id if own else physical or f"{stack.name}-{logical_id}",
            "ResourceType": kind,
            "ResourceStatus": status,
        }
        self.events.setdefault(stack.id, []).append(event | ({"ResourceStatusReason": reason} if reason else {}))


_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}


@lru_cache(maxsize=64)
def _resources(text: str, parameters: tuple[tuple[str, str], ...]) -> dict[str, dict[str, Any]]:
    template = templates.parse_template(text)
    there = evaluate(templates.Tree(template), dict(parameters), _PSEUDO).resources
    return {name: one for name, one in template.get("Resources", {}).items() if name in there}


def _is_protected(resource: dict[str, Any], parameters: dict[str, str]) -> bool:
    value = resource.get("Properties", {}).get("DeletionProtectionEnabled", False)
    return str(resolved(value, parameters)).lower() == "true"


def _is_there(stack: Stack) -> bool:
    return stack.status != "DELETE_COMPLETE"


def _page(name: str, items: list[Any], token: str, size: int = PAGE) -> dict[str, Any]:
    first = int(token)
    rest = {"NextToken": str(first + size)} if first + size < len(items) else {}
    return {name: items[first : first + size], **rest}


def _physical_id(logical_id: str, resource: dict[str, Any], stack: Stack) -> str:
    named = [v for k, v in resource.get("Properties", {}).items() if k.endswith("Name") and isinstance(v, dict)]
    environment = stack.name.split("-")[2] if stack.name.count("-") > 1 else ""
    if named and "Fn::Sub" in named[0] and isinstance(named[0]["Fn::Sub"], str):
        return str(named[0]["Fn::Sub"]).replace("${Environment}", environment)
    return f"{stack.name}-{logical_id}"


def _reads(value: Any, name: str, *, attributes: bool = False) -> bool:
    """Whether an expression refers to a resource or a parameter; or, of a resource, to its attributes only."""
    text = json.dumps(value)
    if f'"Fn::GetAtt": ["{name}"' in text or f"${{{name}." in text:
        return True
    return not attributes and (f'"Ref": "{name}"' in text or f"${{{name}}}" in text)


def _resource_change(action: str, logical_id: str, kind: str, details: Changes, **more: Any) -> dict[str, Any]:
    change = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind, "Details": details, **more}
    return {"Type": "Resource", "ResourceChange": change}


def _change(
    logical_id: str,
    old: dict[str, Any] | None,
    new: dict[str, Any] | None,
    before: Stack | None,
    after: Stack,
    changed: set[str],
    unknown: set[str],
    listed: set[str],
    replaced: set[str],
) -> dict[str, Any] | None:
    """What the service says of one resource."""
    if old is None and new is not None:
        return _resource_change("Add", logical_id, new["Type"], [])
    if new is None and old is not None:
        kept = str(old.get("DeletionPolicy", "Delete")).startswith("Retain")
        return _resource_change("Remove", logical_id, old["Type"], [], PolicyAction="Retain" if kept else "Delete")
    assert old is not None
    assert new is not None
    assert before is not None
    kind = new["Type"]
    replacing = REPLACED_BY.get(kind, ())
    details, replacement = [], "False"
    for name in {**old.get("Properties", {}), **new.get("Properties", {})}:
        was, now = old.get("Properties", {}).get(name), new.get("Properties", {}).get(name)
        # An attribute of a resource that changes is not known; a reference only where another takes its place.
        sources = {one for one in unknown | replaced if _reads(now, one)}
        sources |= {one for one in listed if _reads(now, one, attributes=True)}
        if was != now or any(_reads(now, one) for one in changed):
            if name == "TemplateURL":
                continue
            always = name in replacing
            replacement = "True" if always else replacement
            details.append(
                _detail(name, _shown(was, before), _shown(now, after), "Always" if always else "Never", "Static")
            )
        elif sources and kind != STACK:
            may = name in replacing
            replacement = "Conditional" if may and replacement == "False" else replacement
            known = _shown(was, before)
            details.append(_detail(name, known, KNOWN_AFTER_APPLY, "Conditionally" if may else "Never", "Dynamic"))
    if not details:
        return None
    more = {}
    if replacement != "False":
        more["PolicyAction"] = f"ReplaceAnd{new.get('UpdateReplacePolicy', 'Delete')}"
    return _resource_change("Modify", logical_id, kind, details, Replacement=replacement, **more)


def _given(expression: Any, parameters: dict[str, str]) -> str:
    """What a nested stack is given: a parameter's value, or some text that stands for an output."""
    if isinstance(expression, dict) and "Ref" in expression:
        return parameters.get(expression["Ref"], expression["Ref"])
    return "-".join(re.findall(r"\w+", json.dumps(expression))).replace("Fn-GetAtt-", "")


def _shown(value: Any, stack: Stack) -> str:
    """A property's value with the stack's parameters in it, as far as they are texts."""
    if isinstance(value, dict) and isinstance(value.get("Fn::Sub"), str):
        value = value["Fn::Sub"]
    text = value if isinstance(value, str) else json.dumps(value)
    for name, given in stack.parameters.items():
        reference = f'{{"Ref": "{name}"}}'
        text = given if text == reference else text.replace(reference, json.dumps(given)).replace(f"${{{name}}}", given)
    return text


def _detail(name: str, before: str, after: str, recreation: str, evaluation: str) -> dict[str, Any]:
    target = {
        "Attribute": "Properties",
        "Name": name,
        "Path": f"/Properties/{name}",
        "RequiresRecreation": recreation,
        "BeforeValue": before,
        "AfterValue": after,
    }
    return {"Target": target, "Evaluation": evaluation, "ChangeSource": "DirectModification"}


def _without_values(change: dict[str, Any]) -> dict[str, Any]:
    resource = change["ResourceChange"]
    bare = [
        {**one, "Target": {k: v for k, v in one["Target"].items() if k not in ("BeforeValue", "AfterValue")}}
        for one in resource["Details"]
    ]
    return {**change, "ResourceChange": {**resource, "Details": bare}}

"""The execution of a change set: its events, its end or rollback, and the resources that it provisions."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from tests.deployer.aws.drift import Drifts
from tests.deployer.aws.functions import Functions
from tests.deployer.aws.holdings import (
    NAMES,
    Holdings,
    Refused,
    has_system_tags,
    physical_name,
    read_tags,
    resolve_parameters,
)
from tests.deployer.aws.operations import Operations
from tests.deployer.aws.settings import START
from tests.deployer.aws.stacks import STACK, ChangeSet, Stack

ALIAS = "AWS::KMS::Alias"


class Deployments(Drifts):
    """The half of the service that executes change sets. ``CloudFormation`` contains the state that tests set."""

    fails: dict[str, str]
    stuck: dict[str, str]
    rings: str
    complete_counts_as_deleted: bool
    holdings: Holdings
    functions: Functions
    events: dict[str, list[dict[str, Any]]]
    waiting: list[Callable[[], None]]
    _count: int
    _lateness: timedelta
    _failing: dict[str, str]
    _created: list[tuple[Stack, str]]
    _retain_except_on_create: bool
    _preserves: bool
    operations: Operations
    find_immutable_updates: Callable[[ChangeSet], dict[str, str]]
    preserve_stack: Callable[[Stack, Stack, str, set[str]], None]

    def run_change_set(self, change_set: ChangeSet) -> None:
        """Schedule the steps of a deployment. Each poll of the root's events performs one of them."""
        stack, after = change_set.stack, change_set.proposed
        assert after is not None
        if not stack.status.endswith("_FAILED"):
            self._created = []
        self._failing = self.fails | self._find_collisions(change_set, after) | self.find_immutable_updates(change_set)
        self._failing |= self.functions.find_refusals(after)
        verb = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        self.add_event(stack, "", STACK, f"{verb}_IN_PROGRESS", "User Initiated")
        if verb == "CREATE":
            # Nested stacks are visible, without resources, as soon as the creation begins.
            stack.nested = {name: self._copy_empty(nested, stack) for name, nested in after.nested.items()}
        self.waiting = [
            *(
                partial(self._change_resource, change_set, change["ResourceChange"], verb)
                for change in change_set.changes
            ),
            partial(self._end_deployment, change_set, after, verb),
        ]

    def _copy_empty(self, nested: Stack, root: Stack) -> Stack:
        bare = Stack(nested.name, nested.id, "CREATE_IN_PROGRESS", nested.logical_id, text=nested.text, root=root)
        bare.parameters = nested.parameters
        return bare

    def _change_resource(self, change_set: ChangeSet, resource: dict[str, Any], verb: str) -> None:
        stack, logical_id = change_set.stack, resource["LogicalResourceId"]
        if stack.reason == "failed":
            return
        nested = stack.nested.get(logical_id)
        if nested is None:
            self._report_resource(stack, resource, verb, logical_id)
            return
        self.add_event(stack, logical_id, STACK, f"{verb}_IN_PROGRESS", physical=nested.id)
        inner = next((candidate for candidate in change_set.nested if candidate.stack.logical_id == logical_id), None)
        bad = [path for path in self._failing if path.startswith(f"{logical_id}/")]
        # Of an update, only the new template declares what is created.
        after = change_set.proposed
        proposed = after.nested.get(logical_id) if after and verb == "UPDATE" else None
        for change in inner.changes if inner else []:
            below = change["ResourceChange"]
            path = f"{logical_id}/{below['LogicalResourceId']}"
            self._report_resource(nested, below, verb, path, declaring=proposed)
        if bad:
            cause = f"The following resource(s) failed to {verb.lower()}: [{bad[0].split('/')[1]}]."
            description = f"Embedded stack {nested.id} was not successfully {verb.lower()}d: {cause}"
            self.add_event(stack, logical_id, STACK, f"{verb}_FAILED", description, physical=nested.id)
            stack.reason = "failed"
        else:
            self.add_event(stack, logical_id, STACK, f"{verb}_COMPLETE", physical=nested.id)

    def _report_resource(
        self, stack: Stack, resource: dict[str, Any], verb: str, path: str, declaring: Stack | None = None
    ) -> None:
        logical_id, kind = resource["LogicalResourceId"], resource["ResourceType"]
        if resource["Action"] == "SyncWithActual":
            return
        verb = {"Add": "CREATE", "Import": "IMPORT"}.get(resource["Action"], verb)
        self.add_event(stack, logical_id, kind, f"{verb}_IN_PROGRESS")
        above = path.rpartition("/")[0]
        if path in self._failing:
            self.add_event(stack, logical_id, kind, f"{verb}_FAILED", self._failing[path])
            if not above:
                stack.reason = "failed"
        elif any(failed.rpartition("/")[0] == above for failed in self._failing):
            self.add_event(stack, logical_id, kind, f"{verb}_FAILED", f"Resource {verb.lower()} cancelled")
        else:
            if resource["Action"] == "Add":
                self._create_resource(declaring or stack, logical_id)
            elif resource["Action"] == "Import":
                self.holdings.resources[kind, resource["PhysicalResourceId"]].stack_id = stack.id
                # AWS does not document whether a rollback treats what it has imported as created. Here it does.
                self._created.append((stack, logical_id))
            self.add_event(stack, logical_id, kind, f"{verb}_COMPLETE")

    def _end_deployment(self, change_set: ChangeSet, after: Stack, verb: str) -> None:
        stack, request = change_set.stack, change_set.request
        if stack.reason == "failed" or self.rings:
            stack.reason = ""
            if self._preserves:
                self.preserve_stack(stack, after, verb, set(self._failing))
                return
            back = "ROLLBACK" if verb == "CREATE" else "UPDATE_ROLLBACK"
            reason = f"Rollback triggered by alarm: {self.rings}" if self.rings else "The following resource(s) failed"
            self.add_event(stack, "", STACK, f"{back}_IN_PROGRESS", reason)
            self.waiting = [lambda: self._roll_back(stack, verb, back)]
            return
        policies = {path: nested.policy for path, nested in stack.walk()}
        stack.text, stack.parameters, stack.tags = after.text, after.parameters, request.get("Tags", [])
        stack.nested, stack.missing, stack.stable = after.nested, set(), None
        for path, nested in after.walk()[1:]:
            nested.status, nested.root = f"{verb}_COMPLETE", stack
            nested.policy = policies.get(path, "")
        self._protect_tables(stack)
        self.functions.deploy_stacks(stack)
        self.revert_drift(change_set)
        if verb == "UPDATE":
            self.add_event(stack, "", STACK, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        self.add_event(stack, "", STACK, f"{verb}_COMPLETE")

    def _roll_back(self, stack: Stack, verb: str, back: str) -> None:
        for path, nested in stack.walk()[1:]:
            self._restore_resources(path, nested, "DELETE_COMPLETE" if verb == "CREATE" else "UPDATE_COMPLETE")
        kept_stacks = [
            owner
            for owner, logical_id in reversed(self._created)
            if not self.remove_resource(owner, logical_id, self._select_retaining_policies(owner))
        ]
        if verb == "CREATE":
            for _, nested in reversed(stack.walk()[1:]):
                end = "DELETE_FAILED" if any(nested is owner for owner in kept_stacks) else "DELETE_COMPLETE"
                self.add_event(nested, "", STACK, end)
                self.add_event(stack, nested.logical_id, STACK, end, physical=nested.id)
        # A resource that the rollback of an update cannot delete does not fail the rollback.
        fails = self.stuck or (kept_stacks and verb == "CREATE")
        self.add_event(stack, "", STACK, f"{back}_FAILED" if fails else f"{back}_COMPLETE")

    def _restore_resources(self, path: str, nested: Stack, status: str) -> None:
        """Report the resource that cannot be rolled back, or the first two resources of a stack with a failure."""
        for stuck, reason in self.stuck.items():
            if stuck.startswith(f"{path}/"):
                return self.add_event(nested, stuck.split("/")[1], "AWS::DynamoDB::Table", "UPDATE_FAILED", reason)
        if any(failed.startswith(f"{path}/") for failed in self._failing):
            for name, resource in list(nested.resources.items())[:2]:
                self.add_event(nested, name, resource["Type"], status)
        return None

    def _select_retaining_policies(self, stack: Stack) -> tuple[str, ...]:
        """Return the deletion policies that retain the resources which the rolled-back operation created in a stack."""
        complete = not any(path.rpartition("/")[0] == stack.logical_id for path in self._failing)
        if complete and stack.root is not None and self.complete_counts_as_deleted:
            return ("Retain", "RetainExceptOnCreate")
        return () if self._retain_except_on_create else ("Retain",)

    def provision_resources(self, root: Stack) -> None:
        """Create the resources of a stack that is deployed already."""
        for _, stack in root.walk():
            for logical_id in stack.resources:
                self._create_resource(stack, logical_id)
        self.functions.deploy_stacks(root)

    def _find_collisions(self, change_set: ChangeSet, after: Stack) -> dict[str, str]:
        """Return the error of each resource, by its path, whose name is taken."""
        collisions = {}
        for member in [change_set, *change_set.nested]:
            path = member.stack.logical_id
            stack = next(proposed for _, proposed in after.walk() if proposed.logical_id == path)
            for change in member.changes:
                logical_id = change["ResourceChange"]["LogicalResourceId"]
                resource = stack.resources.get(logical_id, {})
                if change["ResourceChange"]["Action"] != "Add" or resource["Type"] not in NAMES:
                    continue
                name = physical_name(logical_id, resource, stack.parameters, stack.name)
                if resource["Type"] != "AWS::KMS::Key" and self.holdings.holds(resource["Type"], name):
                    collisions[f"{path}/{logical_id}".lstrip("/")] = (
                        f"Resource of type '{resource['Type']}' with identifier '{name}' already exists."
                    )
        return collisions

    def _create_resource(self, stack: Stack, logical_id: str) -> None:
        resource = stack.resources.get(logical_id, {})
        if resource.get("Type") == ALIAS:
            key = resource["Properties"]["TargetKeyId"]["Ref"]
            self.holdings.aliases[self._read_alias(stack, logical_id)] = self.name_resource(stack, key)
            self._created.append((stack, logical_id))
        if resource.get("Type") not in NAMES:
            return
        root = stack.root or stack
        system = {"stack-name": stack.name, "stack-id": stack.id, "logical-id": logical_id}
        tags = {tag["Key"]: tag["Value"] for tag in root.tags} | read_tags(resource, stack.parameters)
        if has_system_tags(resource["Type"]):
            tags |= {f"aws:cloudformation:{key}": value for key, value in system.items()}
        created = self.holdings.create_resource(
            resource["Type"], self.name_resource(stack, logical_id), tags, _is_protected(resource, stack.parameters)
        )
        created.stack_id = stack.id
        properties = resource.get("Properties", {})
        created.key = {name: properties[name] for name in ("KeySchema", "AttributeDefinitions") if name in properties}
        created.description = str(resource.get("Properties", {}).get("Description", ""))
        self._created.append((stack, logical_id))

    def name_resource(self, stack: Stack, logical_id: str) -> str:
        """Return the name of a resource. That of a key contains its stack's id: each creation makes a new key."""
        name = physical_name(logical_id, stack.resources[logical_id], stack.parameters, stack.name)
        return f"{name}-{stack.id[-8:]}" if stack.resources[logical_id]["Type"] == "AWS::KMS::Key" else name

    def _read_alias(self, stack: Stack, logical_id: str) -> str:
        return str(resolve_parameters(stack.resources[logical_id]["Properties"]["AliasName"], stack.parameters))

    def remove_resource(self, stack: Stack, logical_id: str, retains: tuple[str, ...]) -> bool:
        """Delete a resource unless its policy is one of ``retains``. Returns False if the deletion fails."""
        resource = stack.resources[logical_id]
        if resource["Type"] == ALIAS:
            self.holdings.aliases.pop(self._read_alias(stack, logical_id), None)
        kind = resource["Type"]
        name = self.name_resource(stack, logical_id) if kind in NAMES else ""
        if not self.holdings.holds(kind, name):
            return True
        if resource.get("DeletionPolicy") in retains:
            self.add_event(stack, logical_id, kind, "DELETE_SKIPPED", physical=name)
            return True
        try:
            self.holdings.delete_resource(kind, name)
        except Refused as refused:
            self.add_event(stack, logical_id, kind, "DELETE_FAILED", str(refused), physical=name)
            return False
        self.add_event(stack, logical_id, kind, "DELETE_COMPLETE", physical=name)
        return True

    def _protect_tables(self, root: Stack) -> None:
        for _, stack in root.walk():
            for logical_id, resource in stack.resources.items():
                key = (resource["Type"], self.name_resource(stack, logical_id)) if resource["Type"] in NAMES else None
                if key in self.holdings.resources:
                    self.holdings.resources[key].protected = _is_protected(resource, stack.parameters)

    def let_a_minute_pass(self) -> None:
        """Separate the following events from the earlier ones."""
        self._lateness += timedelta(minutes=1)

    def add_event(
        self, stack: Stack, logical_id: str, kind: str, status: str, reason: str = "", physical: str = ""
    ) -> None:
        self._count += 1
        # Several in one instant.
        at = START + self._lateness + timedelta(seconds=sum(map(len, self.events.values())) // 3)
        is_stack = not logical_id
        if is_stack:
            stack.status = status
            # Of an update only, from its beginning: neither its end nor a deletion changes it.
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Stack.html
            if status == "UPDATE_IN_PROGRESS":
                stack.updated = at
            if stack.root is None:
                self.operations.begin_operation(stack.id, status)
        event: dict[str, Any] = {
            "EventId": f"event-{self._count}",
            "Timestamp": at,
            "StackId": stack.id,
            "StackName": stack.name,
            "LogicalResourceId": stack.name if is_stack else logical_id,
            "PhysicalResourceId": stack.id if is_stack else physical or f"{stack.name}-{logical_id}",
            "ResourceType": kind,
            "ResourceStatus": status,
            **self.operations.identify_event(stack.id, (stack.root or stack).id),
        }
        self.events.setdefault(stack.id, []).append(event | ({"ResourceStatusReason": reason} if reason else {}))


def _is_protected(resource: dict[str, Any], parameters: dict[str, str]) -> bool:
    value = resource.get("Properties", {}).get("DeletionProtectionEnabled", False)
    return str(resolve_parameters(value, parameters)).lower() == "true"

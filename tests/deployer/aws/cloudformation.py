"""A CloudFormation that behaves as AWS's documentation, and the issue trackers of its users, say that it does.

It reads the given templates, creates a change set for each nested stack, and returns three changes a page. The siblings
of a failed change set finish independently. A parameter with the output of another stack is unknown, so that each
resource that reads it is listed as changed. A deployment advances by one step with each poll of its events. A test sets
the failures in advance: ``refuses``, ``fails``, ``errors``...

Of the resources, only those are provisioned whose types deletion policies retain (holdings.py): their names are taken,
and tables are protected. Deletion policies have the documented meaning:
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
AWS does not document whether the rollback of a creation treats a completed nested stack as never created or as deleted;
``complete_counts_as_deleted`` selects one of them.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from botocore import xform_name

from tests.deployer.aws import templates
from tests.deployer.aws.changes import Comparison, describe_resource, leave_out_values, pass_on
from tests.deployer.aws.data_services import DataServices
from tests.deployer.aws.drift import REVERT_DRIFT, ActualState, summarize_drift
from tests.deployer.aws.faults import Fault
from tests.deployer.aws.functions import Functions
from tests.deployer.aws.holdings import NAMES, Holdings, Refused, physical_id
from tests.deployer.aws.imports import Imports
from tests.deployer.aws.operations import Operations
from tests.deployer.aws.refactors import StackRefactor, StackRefactors
from tests.deployer.aws.settings import ACCOUNT, REGION, START
from tests.deployer.aws.stack_failures import StackFailures, read_deployment_config
from tests.deployer.aws.stacks import STACK, Changes, ChangeSet, Stack, make_page

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
UNSUPPORTED = "Nested change set {} was not successfully created: Currently in FAILED."


@dataclass
class CloudFormation(StackFailures, Imports, StackRefactors):
    """The state of the service. A test sets it before it runs a command, and reads ``calls`` afterwards."""

    # By the logical id of the nested stack, "" for the root: the polls until its change set is created, the reason why
    # it is refused, and the function that replaces its changes. ``slow["refactor"]`` is that of stack refactors, and
    # ``slow["settling"]`` that of their stacks afterwards.
    slow: dict[str, int] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)
    scripted_answers: dict[str, Callable[[Changes], Changes]] = field(default_factory=dict)
    # Large enough for most answers; the tests of pages make them smaller.
    changes_per_page: int = 100
    events_per_page: int = 100
    # Resources that an answer with property values omits, as AWS was recorded to do (tests/conformance), and whether it
    # says so; and whether a refused change set lists its changes.
    without_values: set[str] = field(default_factory=set)
    # By the logical id of the nested stack, "" for the root: an answer without values that is not the other one's rest.
    answers_without_values: dict[str, Changes] = field(default_factory=dict)
    says_what_it_omits: bool = False
    lists_refused: bool = False
    # What somebody changed by hand.
    actual: ActualState = field(default_factory=ActualState)
    # The steps of the next deployment, which replace those of its change set.
    scripted_steps: list[Callable[[], None]] = field(default_factory=list)
    # False for a service, such as an emulator, that creates no nested change sets.
    nested_sets: bool = True
    validations: list[dict[str, Any]] = field(default_factory=list)
    hooks: list[dict[str, Any]] = field(default_factory=list)
    # Reasons by path, of resources that fail and of resources that cannot be rolled back; the alarm that goes off.
    fails: dict[str, str] = field(default_factory=dict)
    stuck: dict[str, str] = field(default_factory=dict)
    rings: str = ""
    # Whether the rollback of a creation deletes a completed nested stack, so that its resources are retained.
    complete_counts_as_deleted: bool = False
    holdings: Holdings = field(default_factory=Holdings)
    operations: Operations = field(default_factory=Operations)
    # The polls of the root stack's events for which a deployment reports nothing before it ends.
    silent: int = 0
    # By operation, the errors of its next calls; None breaks the connection.
    errors: dict[str, list[BaseException | None]] = field(default_factory=dict)
    # By operation, what happens to each of its calls (faults.py).
    faults: dict[str, Fault] = field(default_factory=dict)
    # Called before each call, with its operation.
    before_call: Callable[[str], None] | None = None
    # By operation, a function that is called before each call.
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    # The state of each alarm by its name, and what else is described of some.
    alarms: dict[str, str] = field(default_factory=dict)
    alarm_members: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Logical ids of resources that their stack has retained outside of it.
    skipped: set[str] = field(default_factory=set)

    # Reasons by type, of resources that a stack refactor cannot move although it was created; and its other actions.
    immovable: dict[str, str] = field(default_factory=dict)
    additional_actions: list[dict[str, Any]] = field(default_factory=list)

    stacks: dict[str, Stack] = field(default_factory=dict)
    refactors: dict[str, StackRefactor] = field(default_factory=dict)
    # The ids of stacks whose refactor is complete, once for each description until they are complete themselves.
    settling: list[str] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    # By bucket and key, when an object was written, if that was not long ago.
    written_at: dict[str, datetime] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)
    # Checksums of objects that do not match their keys.
    checksums: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.RLock)
    waiting: list[Callable[[], None]] = field(default_factory=list)
    _count: int = 0
    _lateness: timedelta = timedelta()
    # Of the current deployment: the reasons of failures by path, and the stack and logical id of each created resource.
    _failing: dict[str, str] = field(default_factory=dict)
    _created: list[tuple[Stack, str]] = field(default_factory=list)
    _retain_except_on_create: bool = False
    _preserves: bool = False
    _was_stable: bool = True
    # Of the change set that is being created.
    _is_importing: bool = False
    _import_refusals: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.functions = Functions(self.objects)

    @property
    def data_services(self) -> DataServices:
        return DataServices(self.holdings)

    def record_call(self, operation: str, request: dict[str, Any]) -> None:
        self.calls.append((operation, request))
        if self.before_call:
            self.before_call(operation)
        if operation in self.before:
            self.before[operation]()
        if self.errors.get(operation):
            raise self.errors[operation].pop(0) or ConnectionAbortedError
        if fault := self.faults.get(operation):
            fault.strike(operation)

    def answer_request(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Perform an operation. Raises the next error in ``errors``, or ``Refused``."""
        with self.lock:
            self.record_call(operation, request)
            method = getattr(self, xform_name(operation), None)
            if method is None:
                raise Refused("InvalidAction", f"Could not find operation {operation}")
            return method(**request) or {}

    def find_requests(self, operation: str) -> list[dict[str, Any]]:
        return [request for name, request in self.calls if name == operation]

    @property
    def remaining_names(self) -> list[str]:
        """The names of the root change sets and of the stacks in review."""
        review = [stack.name for stack in self.stacks.values() if stack.status == "REVIEW_IN_PROGRESS"]
        return [change_set.name for change_set in self.change_sets.values() if change_set.stack.root is None] + review

    def find_writes(self) -> list[str]:
        """Return the operations that change something."""
        reads = ("Describe", "Get", "List", "Head", "Detect", "Simulate")
        return [name for name, _ in self.calls if not name.rpartition(":")[2].startswith(reads)]

    # Operations

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        stack = self.find_stack(StackName)
        if stack.status == "DELETE_IN_PROGRESS" and self.waiting:
            self.waiting.pop(0)()
        description: dict[str, Any] = {
            "StackName": stack.name,
            "StackId": stack.id,
            "StackStatus": stack.status,
            "CreationTime": stack.created,
            "LastUpdatedTime": stack.updated,
            "EnableTerminationProtection": stack.protected,
            "Tags": stack.tags,
            "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in stack.parameters.items()],
            "DriftInformation": {"StackDriftStatus": stack.drift},
        }
        if self.operations.are_reported and stack.id in self.operations.last:
            description["LastOperations"] = self.operations.last[stack.id]
        if stack.reason:
            description["StackStatusReason"] = stack.reason
        if stack.status.endswith("_COMPLETE"):
            description["Outputs"] = [{"OutputKey": k, "OutputValue": v} for k, v in stack.outputs.items()]
        self.settle_stack(stack)
        return {"Stacks": [description]}

    def list_stacks(self, StackStatusFilter: list[str], NextToken: str = "0") -> dict[str, Any]:
        summaries = [
            {
                "StackName": stack.name,
                "StackId": stack.id,
                "StackStatus": stack.status,
                "CreationTime": stack.created,
                **({"RootId": stack.root.id, "ParentId": stack.root.id} if stack.root else {}),
            }
            for stack in self.stacks.values()
            if stack.status in StackStatusFilter
        ]
        return make_page("StackSummaries", summaries, NextToken)

    def get_template(self, StackName: str, TemplateStage: str, ChangeSetName: str = "") -> dict[str, Any]:
        assert TemplateStage == "Original"
        if ChangeSetName:
            proposed = self._find_change_set(ChangeSetName, StackName).proposed
            assert proposed is not None, "the change set of a nested stack"
            return {"TemplateBody": proposed.text}
        return {"TemplateBody": self.find_stack(StackName).text}

    def list_stack_resources(self, StackName: str, NextToken: str = "0") -> dict[str, Any]:
        stack = self.find_stack(StackName)
        summaries = [
            {
                "LogicalResourceId": logical_id,
                "ResourceType": resource["Type"],
                "ResourceStatus": stack.released.get(
                    logical_id, "DELETE_SKIPPED" if logical_id in self.skipped else "CREATE_COMPLETE"
                ),
                "PhysicalResourceId": self.functions.identify_resource(stack, logical_id)
                or identify_resource(logical_id, resource, stack),
                "LastUpdatedTimestamp": START,
            }
            for logical_id, resource in stack.resources.items()
            if logical_id not in stack.missing
        ]
        return make_page("StackResourceSummaries", summaries, NextToken, size=20)

    def describe_stack_resources(self, PhysicalResourceId: str) -> dict[str, Any]:
        """Describe the first hundred resources of the stack that a resource belongs to, even if the stack is deleted.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResources.html
        """
        holdings = self.holdings.resources.values()
        ids = [item.stack_id for item in holdings if physical_id(item.kind, item.name) == PhysicalResourceId]
        if not ids or not ids[0]:
            raise Refused("ValidationError", f"Stack for {PhysicalResourceId} does not exist")
        stack = self.find_stack(ids[0])
        is_deleted = stack.status == "DELETE_COMPLETE"
        resources = [
            {
                "StackName": stack.name,
                "StackId": stack.id,
                "LogicalResourceId": logical_id,
                "ResourceType": resource["Type"],
                "ResourceStatus": "DELETE_SKIPPED" if is_deleted or logical_id in self.skipped else "CREATE_COMPLETE",
                "PhysicalResourceId": physical_id(resource["Type"], self.name_resource(stack, logical_id))
                if resource["Type"] in NAMES
                else identify_resource(logical_id, resource, stack),
                "Timestamp": START,
            }
            for logical_id, resource in list(stack.resources.items())[:100]
        ]
        return {"StackResources": resources}

    def create_change_set(self, **request: Any) -> dict[str, Any]:
        stack = self._find_stack_to_change(request)
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html
        if len(request.get("TemplateBody", "").encode()) > 51_200:
            raise Refused(
                "ValidationError",
                "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have "
                "length less than or equal to 51200",
            )
        previous = stack.text if request.get("UsePreviousTemplate") else None
        text = previous or request.get("TemplateBody") or self.read_object(request["TemplateURL"])
        parameters = {item["ParameterKey"]: item["ParameterValue"] for item in request.get("Parameters", [])}
        declared = templates.parse_template(text).get("Parameters", {}).items()
        defaults = {name: str(parameter["Default"]) for name, parameter in declared if "Default" in parameter}
        after = self.propose_stack(stack, stack.name, text, {**defaults, **parameters})
        after.tags = request["Tags"]
        before = stack if stack.status != "REVIEW_IN_PROGRESS" else None
        self._is_importing, self._import_refusals = bool(request.get("ImportExistingResources")), {}
        change_set = self._create_change_set(request["ChangeSetName"], stack, self.compare(request, before, after))
        change_set.proposed, change_set.request = after, request
        return {"Id": change_set.id, "StackId": stack.id}

    def _find_stack_to_change(self, request: dict[str, Any]) -> Stack:
        """Return the stack of a request, which is created if it does not exist."""
        name = request["StackName"]
        stack = next((stack for stack in self.stacks.values() if stack.name == name and stack.is_there), None)
        if stack is None:
            assert request["ChangeSetType"] == "CREATE"
            stack = Stack(name, self.make_arn("stack", name), "REVIEW_IN_PROGRESS", tags=request["Tags"])
            self.stacks[stack.id] = stack
        elif stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS":
            raise Refused("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack

    def describe_change_set(
        self, ChangeSetName: str, StackName: str = "", NextToken: str = "0", IncludePropertyValues: bool = False
    ) -> dict[str, Any]:
        change_set = self._find_change_set(ChangeSetName, StackName)
        description: dict[str, Any] = {
            "ChangeSetId": change_set.id,
            "ChangeSetName": change_set.name,
            "StackId": change_set.stack.id,
            "StackName": change_set.stack.name,
            "ExecutionStatus": change_set.execution,
            "Status": "CREATE_COMPLETE",
            "Description": change_set.request.get("Description", ""),
            "DeploymentConfig": read_deployment_config(change_set.request),
        }
        description |= _describe_parameters(change_set)
        if change_set.drift:
            description |= {"DeploymentMode": REVERT_DRIFT, "StackDriftStatus": change_set.drift}
        if change_set.deleting >= 0:
            change_set.deleting -= 1
            if change_set.deleting < 0:
                self._remove_change_set(change_set)
            return description | {"Status": "DELETE_IN_PROGRESS"}
        for nested in change_set.nested:
            nested.looks = max(nested.looks - 1, 0)  # a poll of any change set advances all of them
        if change_set.looks > 0:
            change_set.looks -= 1
            return description | {"Status": "CREATE_IN_PROGRESS", "ExecutionStatus": "UNAVAILABLE"}
        if reason := self._find_reason(change_set):
            description |= {"Status": "FAILED", "StatusReason": reason, "ExecutionStatus": "UNAVAILABLE"}
            return description | (make_page("Changes", change_set.changes, NextToken) if self.lists_refused else {})
        if change_set.stack.root is not None:
            description |= {
                "ExecutionStatus": "UNAVAILABLE",
                "StatusReason": "Only executable from the root change set.",
            }
        changes = change_set.changes
        if not IncludePropertyValues:
            bare = [leave_out_values(change) for change in changes]
            changes = self.answers_without_values.get(change_set.stack.logical_id, bare)
        else:
            if self.says_what_it_omits:
                description["StatusReason"] = "[WARN] --include-property-values omits resources"
            changes = [c for c in changes if c["ResourceChange"]["LogicalResourceId"] not in self.without_values]
        return description | make_page("Changes", changes, NextToken, self.changes_per_page)

    def describe_events(self, ChangeSetName: str, NextToken: str = "0") -> dict[str, Any]:
        change_set = self._find_change_set(ChangeSetName)
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html
        is_disabled = any(
            root.request.get("DisableValidation") for root in self.change_sets.values() if root.name == change_set.name
        )
        validations = [] if is_disabled else self.validations
        events = [event for event in validations if event.get("_in", "") == change_set.stack.logical_id]
        description = [{key: value for key, value in event.items() if key != "_in"} for event in events]
        return make_page("OperationEvents", description, NextToken)

    def describe_change_set_hooks(self, ChangeSetName: str, NextToken: str = "0") -> dict[str, Any]:
        change_set = self._find_change_set(ChangeSetName)
        return make_page("Hooks", self.hooks if change_set.stack.root is None else [], NextToken)

    def delete_change_set(self, ChangeSetName: str, StackName: str = "") -> None:
        change_set = self._find_change_set(ChangeSetName, StackName)
        if change_set.stack.root is not None:
            raise Refused("InvalidChangeSetStatus", "Only the root change set can be deleted")
        if any(member.looks > 0 for member in [change_set, *change_set.nested]):
            raise Refused("InvalidChangeSetStatus", "ChangeSet cannot be deleted in status CREATE_IN_PROGRESS")
        change_set.deleting = 1

    def _read_creation_status(self, change_set: ChangeSet) -> str:
        if change_set.deleting >= 0:
            return "DELETE_IN_PROGRESS"
        if change_set.looks > 0:
            return "CREATE_IN_PROGRESS"
        return "FAILED" if self._find_reason(change_set) else "CREATE_COMPLETE"

    def list_change_sets(self, StackName: str, NextToken: str = "0") -> dict[str, Any]:
        stack = self.find_stack(StackName)
        summaries = [
            {
                "ChangeSetId": change_set.id,
                "ChangeSetName": change_set.name,
                "StackName": stack.name,
                "Status": (status := self._read_creation_status(change_set)),
                "ExecutionStatus": change_set.execution if status == "CREATE_COMPLETE" else "UNAVAILABLE",
                "CreationTime": change_set.created,
                "Description": change_set.request.get("Description", ""),
            }
            for change_set in self.change_sets.values()
            if change_set.stack is stack
        ]
        return make_page("Summaries", summaries, NextToken)

    def execute_change_set(
        self,
        ChangeSetName: str,
        RetainExceptOnCreate: bool = False,
        DisableRollback: bool | None = None,
        ClientRequestToken: str = "",
    ) -> None:
        self._retain_except_on_create = RetainExceptOnCreate
        change_set = self._find_change_set(ChangeSetName)
        if change_set.stack.root is not None or change_set.execution != "AVAILABLE":
            raise Refused(
                "InvalidChangeSetStatus", f"ChangeSet [{change_set.id}] cannot be executed in its current status"
            )
        self.choose_failure_option(change_set, DisableRollback)
        self.operations.token = ClientRequestToken
        for sibling in [candidate for candidate in self.change_sets.values() if candidate.stack is change_set.stack]:
            self._remove_change_set(sibling)
        if self.scripted_steps:
            self.waiting = list(self.scripted_steps)
        else:
            self.run_change_set(change_set)

    def describe_stack_events(self, StackName: str, NextToken: str = "0") -> dict[str, Any]:
        """Return events, newest first. The first page of a root stack advances its deployment by a step."""
        stack = self.find_stack(StackName)
        if stack.root is None and NextToken == "0" and self.waiting:
            if self.silent > 0 and len(self.waiting) == 1:
                self.silent -= 1
            else:
                self.waiting.pop(0)()
        return make_page("StackEvents", list(reversed(self.events.get(stack.id, []))), NextToken, self.events_per_page)

    def delete_stack(self, StackName: str, ClientRequestToken: str = "") -> None:
        stack = self.find_stack(StackName)
        if stack.status in ("DELETE_IN_PROGRESS", "DELETE_COMPLETE"):
            return
        if stack.protected:
            raise Refused(
                "ValidationError", f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            )
        if stack.status == "REVIEW_IN_PROGRESS":
            assert not self.list_change_sets(stack.id)["Summaries"], "it still has change sets"
            del self.stacks[stack.id]
            return
        self.operations.token = ClientRequestToken
        self.add_event(stack, "", STACK, "DELETE_IN_PROGRESS", "User Initiated")

        def finish_deletion() -> None:
            for _, nested in reversed([pair for pair in stack.walk()[1:] if pair[1].is_there]):
                for logical_id in nested.resources:
                    self.remove_resource(nested, logical_id, retains=("Retain", "RetainExceptOnCreate"))
                self.add_event(nested, "", STACK, "DELETE_COMPLETE")
                self.add_event(stack, nested.logical_id, STACK, "DELETE_COMPLETE", physical=nested.id)
            if stack.name in self.fails:
                self.add_event(stack, "", STACK, "DELETE_FAILED", self.fails[stack.name])
            else:
                self.add_event(stack, "", STACK, "DELETE_COMPLETE")

        self.waiting = [finish_deletion]

    def update_termination_protection(self, StackName: str, EnableTerminationProtection: bool) -> dict[str, Any]:
        stack = self.find_stack(StackName)
        stack.protected = EnableTerminationProtection
        return {"StackId": stack.id}

    def set_stack_policy(self, StackName: str, StackPolicyBody: str) -> None:
        self.find_stack(StackName).policy = StackPolicyBody

    def get_stack_policy(self, StackName: str) -> dict[str, Any]:
        policy = self.find_stack(StackName).policy
        return {"StackPolicyBody": policy} if policy else {}

    def cancel_update_stack(self, StackName: str, ClientRequestToken: str = "") -> None:
        stack = self.find_stack(StackName)
        if stack.status != "UPDATE_IN_PROGRESS":
            raise Refused(
                "ValidationError", f"CancelUpdateStack cannot be called from current stack status {stack.status}"
            )
        self.operations.token = ClientRequestToken
        self.add_event(stack, "", STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        self.waiting = [lambda: self.add_event(stack, "", STACK, "UPDATE_ROLLBACK_COMPLETE")]

    def continue_update_rollback(
        self, StackName: str, ResourcesToSkip: list[str] | None = None, ClientRequestToken: str = ""
    ) -> None:
        stack = self.find_stack(StackName)
        if stack.status != "UPDATE_ROLLBACK_FAILED":
            raise Refused("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be rolled back.")
        self.operations.token = ClientRequestToken
        paths = {
            f"{nested.name}.{logical_id}" if path else logical_id: f"{path}/{logical_id}".lstrip("/")
            for path, nested in stack.walk()
            for logical_id in nested.resources
        }
        for skipped in ResourcesToSkip or []:
            if skipped not in paths:
                raise Refused("ValidationError", f"ResourcesToSkip: {skipped} is not in a state that can be skipped")
        skipped_paths = {paths[skipped] for skipped in ResourcesToSkip or []}
        self.add_event(stack, "", STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        end = "UPDATE_ROLLBACK_COMPLETE" if set(self.stuck) <= skipped_paths else "UPDATE_ROLLBACK_FAILED"
        self.waiting = [lambda: self.add_event(stack, "", STACK, end)]

    # Helpers

    def find_stack(self, name: str) -> Stack:
        for root in self.stacks.values():
            for _, stack in root.walk():
                # A deleted stack is still found by its id.
                if name == stack.id or (name == stack.name and stack.is_there):
                    return stack
        raise Refused("ValidationError", f"Stack with id {name} does not exist")

    def _find_change_set(self, name: str, stack_name: str = "") -> ChangeSet:
        for change_set in self.change_sets.values():
            if name == change_set.id or (
                name == change_set.name and stack_name in (change_set.stack.name, change_set.stack.id)
            ):
                return change_set
        raise Refused("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)

    def _remove_change_set(self, change_set: ChangeSet) -> None:
        for member in [change_set, *change_set.nested]:
            self.change_sets.pop(member.id, None)

    def read_object(self, url: str) -> str:
        key = url.split("/", 3)[3]
        if key not in self.objects:
            raise Refused("ValidationError", f"S3 error: The specified key does not exist: {key}")
        return self.objects[key]

    def make_arn(self, kind: str, name: str) -> str:
        self._count += 1
        return f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:{kind}/{name}/{self._count:08}"

    def propose_stack(self, before: Stack | None, name: str, text: str, parameters: dict[str, str]) -> Stack:
        """Return the stack after the change, with the nested stacks of the templates behind the URLs."""
        after = Stack(name, before.id if before else self.make_arn("stack", name), "", text=text, parameters=parameters)
        for logical_id, resource in after.template["Resources"].items():
            if resource["Type"] != STACK:
                continue
            old = before.nested.get(logical_id) if before else None
            url = resource["Properties"]["TemplateURL"]
            request = {k: pass_on(v, parameters) for k, v in resource["Properties"].get("Parameters", {}).items()}
            below = old.name if old else f"{name}-{logical_id}-1A2B"
            nested = self.propose_stack(old, below, self.read_object(url), request)
            nested.logical_id, nested.root = logical_id, after
            after.nested[logical_id] = nested
        return after

    def _create_change_set(self, name: str, stack: Stack, comparison: Comparison) -> ChangeSet:
        before, after = comparison.before, comparison.after
        changes: Changes = []
        nested_sets: list[ChangeSet] = []
        for logical_id in dict.fromkeys([*comparison.new, *comparison.old]):
            change = self.offer_import(after, comparison.describe_change(logical_id))
            if logical_id in after.nested and (change or before):
                nested = self._create_nested_change_set(name, comparison, logical_id, change)
                if nested is None:
                    continue
                nested_sets += [nested, *nested.nested]
                change = change or describe_resource("Modify", logical_id, STACK, [])
                if self.nested_sets:
                    change["ResourceChange"]["ChangeSetId"] = nested.id
            if change:
                comparison.add_change(change)
                changes.append(change)
        answer = self.scripted_answers.get(after.logical_id, list)(changes)
        change_set = ChangeSet(self.make_arn("changeSet", name), name, stack, answer, nested=nested_sets)
        change_set.looks = self.slow.get(after.logical_id, 0)
        change_set.reason = self.refuses.get(after.logical_id, self._import_refusals.get(after.logical_id, ""))
        change_set.drift = summarize_drift(comparison, changes)
        is_same = before is not None and (before.text, before.tags) == (after.text, after.tags)
        if not changes and not after.logical_id and is_same:
            change_set.reason = change_set.reason or NO_CHANGES
        self.change_sets[change_set.id] = change_set
        return change_set

    def _create_nested_change_set(
        self, name: str, comparison: Comparison, logical_id: str, change: dict[str, Any] | None
    ) -> ChangeSet | None:
        """Return the change set of a nested stack, or None if nothing changes in it."""
        before = comparison.before.nested.get(logical_id) if comparison.before else None
        after, unknown = comparison.after.nested[logical_id], comparison.find_unknown_parameters(logical_id)
        is_same = before is not None and (before.text, before.parameters) == (after.text, after.parameters)
        is_same = is_same and before is not None and not before.missing
        if is_same and not change and not unknown and not comparison.is_drift_aware:
            return None
        change_set = self._create_change_set(name, before or after, comparison.enter_stack(logical_id, unknown))
        change_set.path = f"{comparison.path}{logical_id}"
        if change_set.changes:
            return change_set
        del self.change_sets[change_set.id]
        return None

    def _find_reason(self, change_set: ChangeSet) -> str:
        """Return why a change set failed. A root fails with its first nested set, even before its siblings exist."""
        failed = next((nested for nested in change_set.nested if nested.reason and nested.looks == 0), None)
        return change_set.reason or (UNSUPPORTED.format(failed.id) if failed else "")


def identify_resource(logical_id: str, resource: dict[str, Any], stack: Stack) -> str:
    if logical_id in stack.nested:
        return stack.nested[logical_id].id
    literal = resource.get("Properties", {}).get(NAMES.get(resource["Type"], ""))
    if isinstance(literal, str):
        # Of the copy of a template that imports.
        return literal
    names = [v for k, v in resource.get("Properties", {}).items() if k.endswith("Name") and isinstance(v, dict)]
    environment = stack.name.split("-")[2] if stack.name.count("-") > 1 else ""
    if names and "Fn::Sub" in names[0] and isinstance(names[0]["Fn::Sub"], str):
        return str(names[0]["Fn::Sub"]).replace("${Environment}", environment)
    return f"{stack.name}-{logical_id}"


def _describe_parameters(change_set: ChangeSet) -> dict[str, Any]:
    """Return the parameters of the stack after the execution, in the answer about a root change set."""
    if change_set.proposed is None:
        return {}
    values = change_set.proposed.parameters.items()
    return {"Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in values]}

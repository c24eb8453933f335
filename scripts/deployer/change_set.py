"""Creates, executes and deletes a change set for the whole tree of stacks."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError

from scripts.common.clients import (
    CloudFormationClient,
    CreateChangeSetOutputTypeDef,
    DeleteChangeSetInputTypeDef,
    DescribeChangeSetOutputTypeDef,
)
from scripts.common.errors import (
    AWS_ERRORS,
    StillRunning,
    UserError,
    describe_error,
    is_denied,
    is_refusal,
    raise_both,
)
from scripts.common.suggestion import complete_aws_commands
from scripts.common.threads import map_in_threads
from scripts.common.waiting import poll_with_backoff

from . import abandoned
from .change_set_reader import (
    CREATING,
    REVERT_DRIFT,
    find_refusals,
    is_drift_aware,
    is_without_changes,
    read_changes,
    wait_until_created,
)
from .change_set_validations import read_notices
from .plan.model import StackChanges
from .request_tokens import make_token
from .stack import OWNER_TAG, Stack, StackTree, describe_stack
from .statuses import STATUSES

CLEANUP_SECONDS = 60
NEW_ROLE_SECONDS = 30


NO_LONGER = "its change set no longer exists; create a new plan"
NOT_EXECUTED = "nothing of this deployment was executed"
_BUSY = re.compile(r"is in (\w+_IN_PROGRESS) state and can ?not be updated")


class Overtaken(UserError):
    """Another deployment has changed the stack, so that nothing of this one was executed; it can be planned again."""


def describe_obstacle(error: BaseException) -> str:
    """Return the cause of an error, without what ``Overtaken`` says of the deployment: another step may have run."""
    return describe_error(error).replace(f"; {NOT_EXECUTED}", "")


class UnknownExecution(StillRunning):
    """Whether the execution of a change set has begun could not be read."""


class Incomplete(UserError):
    """The platform is deployed, and what follows is not complete; the message says what of it is."""

    names_changes = True


class RefusedChangeSet(UserError):
    """CloudFormation has found the change set impossible, so that there is nothing to execute."""


@dataclass(frozen=True)
class ExecutionOptions:
    """How CloudFormation executes the change set."""

    # The role that CloudFormation assumes. If empty, it uses the role of the last operation, or the caller's rights.
    role_arn: str = ""
    # ARNs of the alarms that roll the deployment back, and the minutes to monitor them after it.
    alarms: tuple[str, ...] = ()
    monitoring_minutes: int = 0
    # Whether the deployment is complete before the resources are ready.
    is_express: bool = False
    # Whether early validation is left out.
    skips_validation: bool = False
    # Whether a failure rolls nothing back; requested when the change set is executed.
    keeps_failed: bool = False
    # Whether to import the existing resources that have a literal name in the template.
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-automatically.html
    imports_existing: bool = False
    # Whether to compare with the actual state of each resource, and to revert what was changed outside CloudFormation.
    revert_drift: bool = False
    # The description of the saved plan that keeps the change set for a later ``apply``; empty without such a plan.
    saved_plan: str = ""

    def to_arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"RoleARN": self.role_arn} if self.role_arn else {}
        # Required even if empty: by default CloudFormation monitors the alarms of the last deployment.
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackConfiguration.html
        arguments["RollbackConfiguration"] = {
            "RollbackTriggers": [{"Arn": arn, "Type": "AWS::CloudWatch::Alarm"} for arn in self.alarms],
            "MonitoringTimeInMinutes": self.monitoring_minutes if self.alarms else 0,
        }
        if self.is_express:
            # Explicit, because express mode rolls nothing back by default, and RollbackStack does not support it.
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-express-mode.html
            # https://github.com/aws/aws-cdk-cli/pull/1745
            arguments["DeploymentConfig"] = {"Mode": "EXPRESS", "DisableRollback": False}
        if self.skips_validation:
            arguments["DisableValidation"] = True
        if self.imports_existing:
            arguments["ImportExistingResources"] = True
        if self.revert_drift:
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/drift-aware-change-sets.html
            arguments["DeploymentMode"] = REVERT_DRIFT
        return arguments


@dataclass
class Proposal:
    """A change set, which can be executed once."""

    cloudformation: CloudFormationClient
    stack_id: str
    change_set_id: str
    changes: StackChanges
    # Notices of CloudFormation about a change set that it accepted.
    notices: tuple[str, ...] = ()
    # Of the stack after the execution.
    parameters: dict[str, str] = field(default_factory=dict)
    is_executed: bool = False
    # Whether nobody knows if it is executed; then ``is_executed`` is true, too.
    is_unknown: bool = False
    # Whether it creates the stack, which is in review until then.
    is_creation: bool = False
    # Whether to keep the change set, for a later `apply`.
    is_saved: bool = False
    is_express: bool = False
    # Whether a failure of the execution rolls nothing back.
    keeps_failed: bool = False
    description: str = ""
    # What the events of the execution are known by, and what makes a repeated request harmless.
    token: str = field(default_factory=lambda: make_token("execute"))

    def execute(self) -> None:
        """Start the execution. After an error or Ctrl-C, ``is_executed`` tells whether it started nevertheless.

        A rollback deletes the resources that the operation has created, even those with the deletion policy ``Retain``.
        https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ExecuteChangeSet.html
        It is not documented whether a resource that the operation imports counts as created by it. So an operation that
        imports deletes only what has another policy, and what it imports has ``Retain`` (imports.py).
        """
        deletes_created = all(change.action != "Import" for _, change in self.changes.walk())
        # Of a failure that rolls nothing back, RollbackStack later deletes what was created.
        on_failure: dict[str, Any] = (
            {"DisableRollback": True} if self.keeps_failed else {"RetainExceptOnCreate": deletes_created}
        )
        try:
            self.cloudformation.execute_change_set(
                ChangeSetName=self.change_set_id, ClientRequestToken=self.token, **on_failure
            )
            self.is_executed = True
        except (*AWS_ERRORS, KeyboardInterrupt) as error:
            self.is_executed = self._has_begun(error)
            if not self.is_executed:
                self._raise_if_overtaken(error)
            if not self.is_executed or isinstance(error, KeyboardInterrupt):
                raise

    def _has_begun(self, error: BaseException) -> bool:
        """Whether the execution has begun in spite of the error. Raises ``UnknownExecution`` if that cannot be read."""
        if is_refusal(error):
            # Whatever can be read is of another request, as when two apply the same plan.
            return False
        try:
            status = self._read_execution_status()
            # A change set that was executed, this one or another, may be deleted; the events name the request.
            return self._has_event() if status in ("", "OBSOLETE") else status.startswith("EXECUTE_")
        except (*AWS_ERRORS, KeyboardInterrupt) as second:
            # It may be: the change set must not be deleted.
            self.is_executed = self.is_unknown = True
            command = complete_aws_commands(f"aws cloudformation describe-stack-events --stack-name {self.stack_id}")
            unread = f"whether the deployment began could not be read: {describe_error(second)}; see {command}"
            stack_name, name = read_name(self.stack_id), read_name(self.change_set_id)
            rest = f"if it has not, change set {name} of {stack_name} stays; "
            rest += _suggest_removal(stack_name, name, is_creation=self.is_creation)
            raise UnknownExecution(f"{describe_error(error)}; {unread}; {rest}") from error

    def _read_execution_status(self) -> str:
        """Return the status, or an empty string if the change set does not exist."""
        try:
            return str(self.cloudformation.describe_change_set(ChangeSetName=self.change_set_id)["ExecutionStatus"])
        except ClientError as error:
            if is_missing(error):
                return ""
            raise

    def _has_event(self) -> bool:
        events = self.cloudformation.describe_stack_events(StackName=self.stack_id)["StackEvents"]
        return any(event.get("ClientRequestToken") == self.token for event in events)

    def _raise_if_overtaken(self, error: BaseException) -> None:
        """Raise ``Overtaken`` if CloudFormation has refused the execution because of another one."""
        if not isinstance(error, ClientError):
            return
        try:
            execution = self._read_execution_status()
            stack = describe_stack(self.cloudformation, self.stack_id)
        except AWS_ERRORS:
            # What ends this command, such as expired credentials, is the refusal itself.
            return
        state = f"its change set is {execution or 'deleted'}, and the stack {stack.status or 'is deleted'}"
        if execution in ("", "OBSOLETE") or execution.startswith("EXECUTE_") or stack.is_busy:
            raise Overtaken(f"{stack.name}: another deployment was faster: {state}; {NOT_EXECUTED}") from error


@contextmanager
def create_change_set(
    cloudformation: CloudFormationClient,
    stack: Stack,
    parameters: dict[str, str],
    options: ExecutionOptions = ExecutionOptions(),
    **template: str | bool,
) -> Iterator[Proposal | None]:
    """Create a change set, and yield it, or None if nothing would change; delete it unless it is executed or saved.

    ``template`` is ``TemplateURL``, ``TemplateBody``, or ``UsePreviousTemplate`` for the deployed one. Raises
    ``UserError`` if CloudFormation refuses the change set.
    """
    name = f"deploy-{uuid.uuid4().hex[:12]}"
    created: CreateChangeSetOutputTypeDef | None = None
    proposal: Proposal | None = None
    try:
        created = _request_change_set(
            cloudformation,
            StackName=stack.name,
            ChangeSetName=name,
            ChangeSetType="UPDATE" if stack.exists else "CREATE",
            # A repeated request does not create a second change set.
            ClientToken=name,
            Description=options.saved_plan or abandoned.describe_run(),
            IncludeNestedStacks=True,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            # They replace all tags of the stack.
            Tags=[*(tag for tag in stack.tags if tag["Key"] != OWNER_TAG["Key"]), OWNER_TAG],
            **options.to_arguments(),
            **template,
        )
        proposal = _await_proposal(cloudformation, created, options)
        if proposal is not None:
            proposal.is_creation = not stack.exists
            yield proposal
    except BaseException as error:
        if not _must_stay(proposal):
            is_refused = created is None and any(map(is_refusal, filter(None, (error, error.__cause__))))
            _clean_up(cloudformation, stack, name, error, is_refused=is_refused)
        raise
    if not _must_stay(proposal):
        delete_change_set(cloudformation, stack, name)
    if proposal is None:
        # After the deletion: a plan of another stack that is saved now ends with its file, and not with a request.
        yield None


def _clean_up(
    cloudformation: CloudFormationClient, stack: Stack, name: str, error: BaseException, *, is_refused: bool
) -> None:
    """Delete the change set after an error; of a refused one, there is only the stack in review that it was to create.

    Raises the error with what could not be deleted.
    """
    try:
        if not is_refused:
            delete_change_set(cloudformation, stack, name)
        elif stack.status == "REVIEW_IN_PROGRESS":
            _delete_empty_review(cloudformation, stack)
    except UserError as leftover:
        raise_both(error, str(leftover))


def _await_proposal(
    cloudformation: CloudFormationClient, created: CreateChangeSetOutputTypeDef, options: ExecutionOptions
) -> Proposal | None:
    """Return the change set once it is created, or None if nothing would change. Raises ``UserError`` if it fails."""
    try:
        change_set = wait_until_created(cloudformation, created["Id"])
        if change_set["Status"] == "FAILED" and not is_without_changes(change_set):
            refusals = "; ".join(find_refusals(cloudformation, change_set, created["Id"]))
            raise RefusedChangeSet(f"CloudFormation refuses the change set: {refusals}")
        if options.revert_drift and not is_drift_aware(change_set):
            raise UserError(
                "--revert-drift: this CloudFormation does not compare with actual resources (its change set has no "
                "DeploymentMode REVERT_DRIFT); nothing was changed; deploy without --revert-drift"
            )
        if change_set["Status"] == "FAILED":
            return None
        proposal = _read_proposal(cloudformation, change_set, created["Id"], created["StackId"])
    except ClientError as error:
        if not is_missing(error):
            raise
        name = read_name(created["StackId"])
        raise Overtaken(f"{name}: another deployment has deleted the change set; {NOT_EXECUTED}") from error
    proposal.keeps_failed = options.keeps_failed
    return proposal


def _must_stay(proposal: Proposal | None) -> bool:
    return proposal is not None and (proposal.is_executed or proposal.is_saved)


def _request_change_set(cloudformation: CloudFormationClient, **arguments: Any) -> CreateChangeSetOutputTypeDef:
    """Request the change set, repeatedly until CloudFormation can assume a role that has just been created.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
    """
    for _ in poll_with_backoff(NEW_ROLE_SECONDS):
        try:
            return cloudformation.create_change_set(**arguments)
        except ClientError as error:
            if busy := _BUSY.search(str(error)):
                meaning = STATUSES[busy[1]].meaning if busy[1] in STATUSES else "another operation is running"
                raise Overtaken(f"{arguments['StackName']} is {busy[1]}: {meaning}; {NOT_EXECUTED}") from error
            if "is invalid or cannot be assumed" not in str(error):
                if arguments.get("DeploymentMode") and error.response["Error"]["Code"] == "ValidationError":
                    raise UserError(
                        f"--revert-drift: CloudFormation refuses a drift-aware change set of {arguments['StackName']} "
                        f"and its nested stacks: {describe_error(error)}; deploy without it, and revert by hand "
                        "what scripts/status.sh --drift lists"
                    ) from error
                raise
            refusal = error
    raise UserError(describe_error(refusal)) from refusal


def read_change_set(cloudformation: CloudFormationClient, change_set_id: str) -> Proposal:
    """Return an existing change set; raises ``UserError`` if it can no longer be executed."""
    try:
        change_set = wait_until_created(cloudformation, change_set_id)
    except ClientError as error:
        if is_missing(error):
            raise UserError(NO_LONGER) from None
        raise
    status, execution = change_set["Status"], change_set["ExecutionStatus"]
    if execution == "OBSOLETE":
        raise Overtaken(
            f"its change set is OBSOLETE: another deployment has run since; {NOT_EXECUTED}; create a new plan"
        )
    if (status, execution) != ("CREATE_COMPLETE", "AVAILABLE"):
        raise UserError(f"its change set is {status} and {execution}; plan again")
    return _read_proposal(cloudformation, change_set, change_set_id, change_set["StackId"])


def _read_proposal(
    cloudformation: CloudFormationClient, change_set: DescribeChangeSetOutputTypeDef, change_set_id: str, stack_id: str
) -> Proposal:
    change_set_paths = {change_set_id: ""}
    changes = read_changes(cloudformation, change_set, change_set_paths)
    notices = read_notices(cloudformation, change_set_paths)
    is_express = change_set.get("DeploymentConfig", {}).get("Mode") == "EXPRESS"
    parameters = {item["ParameterKey"]: item["ParameterValue"] for item in change_set.get("Parameters", [])}
    return Proposal(
        cloudformation,
        stack_id,
        change_set_id,
        changes,
        notices,
        parameters,
        is_express=is_express,
        description=change_set.get("Description", ""),
    )


def read_proposed_template(proposal: Proposal) -> Any:
    """Return the template that a change set was created with: a string, or a dictionary if it is JSON.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_GetTemplate.html
    """
    template = proposal.cloudformation.get_template(
        StackName=proposal.stack_id, ChangeSetName=proposal.change_set_id, TemplateStage="Original"
    )
    return template["TemplateBody"]


def read_name(arn: str) -> str:
    """Return the name of a stack or a change set, which is the second part of its ARN; a name is returned as it is."""
    return arn.split("/")[1] if "/" in arn else arn


def suggest_deletion(stack_name: str, name: str) -> str:
    """Return the AWS CLI's command that deletes the change set with this name."""
    return complete_aws_commands(
        f"aws cloudformation delete-change-set --stack-name {stack_name} --change-set-name {name}"
    )


def _suggest_review_deletion(stack_name: str) -> str:
    return complete_aws_commands(f"aws cloudformation delete-stack --stack-name {stack_name}")


def _suggest_removal(stack_name: str, name: str, *, is_creation: bool) -> str:
    """Return how to delete a change set, and the stack in review of one that was to create its stack."""
    rest = f"delete it with: {suggest_deletion(stack_name, name)}"
    if not is_creation:
        return rest
    review = _suggest_review_deletion(stack_name)
    return f"{rest}; then the stack, if it is empty and still in REVIEW_IN_PROGRESS: {review}"


def delete_change_set(cloudformation: CloudFormationClient, before: Stack, name: str) -> bool:
    """Delete the change set and the empty stack in review that it created; raises ``UserError`` if that fails.

    Returns whether there may have been one. CloudFormation refuses to delete a change set while it is being created,
    and deletes it asynchronously.
    """
    change_set: DeleteChangeSetInputTypeDef = {"StackName": before.name, "ChangeSetName": name}
    rest = _suggest_removal(before.name, name, is_creation=not before.exists)
    try:
        status, has_existed = _wait_until_deleted(cloudformation, change_set)
        if status is not None:
            raise UserError(f"change set {name} of {before.name} could not be deleted; it is {status}; {rest}")
    except (*AWS_ERRORS, KeyboardInterrupt) as error:
        reason = describe_error(error)
        raise UserError(f"change set {name} of {before.name} could not be deleted: {reason}; {rest}") from error
    if not before.exists:
        _delete_empty_review(cloudformation, before)
    return has_existed


def _delete_empty_review(cloudformation: CloudFormationClient, stack: Stack) -> None:
    """Delete the stack if it is in review without change sets. Raises ``UserError`` if that fails."""
    try:
        if review := _find_empty_review(cloudformation, stack.name):
            cloudformation.delete_stack(StackName=review)
    except (*AWS_ERRORS, KeyboardInterrupt) as error:
        reason, command = describe_error(error), _suggest_review_deletion(stack.name)
        raise UserError(
            f"the stack {stack.name} was not deleted: {reason}; if it is empty and still in REVIEW_IN_PROGRESS, delete "
            f"it with: {command}"
        ) from error


def _wait_until_deleted(
    cloudformation: CloudFormationClient, change_set: DeleteChangeSetInputTypeDef
) -> tuple[str | None, bool]:
    """Delete the change set, and return its status after a while, which is None if it is gone, and if it was there."""
    status: str | None = ""
    has_existed = False
    for _ in poll_with_backoff(CLEANUP_SECONDS):
        try:
            status = _read_status(cloudformation, change_set)
        except ClientError as error:
            if not is_denied(error):
                raise
            # What may not be read may be deleted nevertheless; CloudFormation then says whether it could be.
            has_existed = True
            if _request_deletion(cloudformation, change_set):
                return None, has_existed
            continue
        if status is None:
            break
        has_existed = True
        if status not in CREATING and not status.startswith("DELETE_"):
            _request_deletion(cloudformation, change_set)
    return status, has_existed


def check_unchanged(cloudformation: CloudFormationClient, read: StackTree) -> None:
    """Raise ``Overtaken`` if a stack has changed since it was read: a plan compares with what was read.

    A stack refactor changes nested stacks without their parent. A stack that was deleted, and perhaps created again, is
    DELETE_COMPLETE by its id.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
    """
    stacks = [stack for _, stack in read.walk() if stack.exists]
    current = map_in_threads(lambda stack: describe_stack(cloudformation, stack.id), stacks)
    if any((now.status, now.state) != (stack.status, stack.state) for now, stack in zip(current, stacks, strict=True)):
        raise Overtaken(f"{read.stack.name} was changed after it was read; {NOT_EXECUTED}")


def remove_abandoned(
    cloudformation: CloudFormationClient, stack: Stack, *, reports_denial: bool = True
) -> Iterator[str]:
    """Delete what runs have left behind of a stack; yield a line for each deletion, or why there is none.

    That is change sets, and the empty nested stacks in review of those that were to create them. The stack itself, if
    it is in review, is created by the next change set, or deleted with it.
    """
    try:
        summaries = abandoned.list_change_sets(cloudformation, stack.name) if stack.status else []
        for name in [summary["ChangeSetName"] for summary in summaries if abandoned.is_abandoned(summary)]:
            delete_change_set(cloudformation, replace(stack, status="UPDATE_COMPLETE"), name)
            yield f"change set {name} of {stack.name}, which an interrupted deployment has left behind"
        for name, stack_id in abandoned.find_empty_reviews(cloudformation, stack.name):
            cloudformation.delete_stack(StackName=stack_id)
            yield f"the empty stack {name} (REVIEW_IN_PROGRESS), which an interrupted deployment has left behind"
    except (*AWS_ERRORS, UserError) as error:
        if not reports_denial and is_denied(error):
            return
        yield f"nothing that interrupted deployments may have left: {describe_error(error)}"


def _request_deletion(cloudformation: CloudFormationClient, change_set: DeleteChangeSetInputTypeDef) -> bool:
    """Request the deletion, and return whether it is accepted, or there is nothing to delete.

    A refusal is tolerated: nested change sets of a failed root may still be being created.
    """
    try:
        cloudformation.delete_change_set(**change_set)
    except ClientError as error:
        if is_missing(error):
            return True
        if error.response["Error"]["Code"] not in ("InvalidChangeSetStatus", "InvalidChangeSetStatusException"):
            raise
        return False
    return True


def _read_status(cloudformation: CloudFormationClient, change_set: DeleteChangeSetInputTypeDef) -> str | None:
    """Return the status of the change set, or None if it does not exist."""
    try:
        return str(cloudformation.describe_change_set(**change_set)["Status"])
    except ClientError as error:
        if is_missing(error):
            return None
        raise


def is_missing(error: ClientError) -> bool:
    """Whether a change set does not exist, or its stack."""
    code = error.response["Error"]["Code"]
    return code in ("ChangeSetNotFound", "ChangeSetNotFoundException") or "does not exist" in str(error)


def _find_empty_review(cloudformation: CloudFormationClient, name: str) -> str:
    """Return the id of the stack if it is in review without change sets, so that deleting it loses no saved plan.

    It is described again after they are listed: those of another run are gone once it executes one.
    """
    for has_listed in (False, True):
        stack = describe_stack(cloudformation, name)
        if stack.status != "REVIEW_IN_PROGRESS":
            return ""
        if not has_listed and abandoned.list_change_sets(cloudformation, name):
            return ""
    return stack.id

"""Operations that fail without a rollback, what is done with their stacks afterwards, and express mode.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-express-mode.html
"""

import copy
from typing import Any

from tests.deployer.aws.deployments import Deployments
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import STACK, ChangeSet, Stack

PRESERVING = ("CREATE_FAILED", "UPDATE_FAILED")


def read_deployment_config(request: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a change set. Express mode rolls nothing back unless the request says so."""
    config = request.get("DeploymentConfig", {})
    is_express = config.get("Mode") == "EXPRESS"
    return {
        "Mode": "EXPRESS" if is_express else "STANDARD",
        "DisableRollback": config.get("DisableRollback", is_express),
    }


class StackFailures(Deployments):
    """The part of the service that executes a change set without rollback, and rolls back later."""

    _preserves: bool
    _was_stable: bool

    def choose_failure_option(self, change_set: ChangeSet, disables_rollback: bool | None) -> None:
        """Decide whether a failure rolls nothing back. Raises ``Refused`` for a stack that then cannot be updated."""
        stack, config = change_set.stack, read_deployment_config(change_set.request)
        if disables_rollback is not None and "DeploymentConfig" in change_set.request:
            raise Refused("ValidationError", "DisableRollback cannot be specified with a DeploymentConfig")
        self._preserves = config["DisableRollback"] if disables_rollback is None else disables_rollback
        # The refusal as reported in https://github.com/aws/aws-cdk/issues/30546
        if stack.status in PRESERVING and not self._preserves:
            raise Refused(
                "ValidationError", f"This stack is currently in a non-terminal [{stack.status}] state: disable rollback"
            )
        stack.mode = config["Mode"]
        self._was_stable = stack.status.endswith("_COMPLETE")

    def find_immutable_updates(self, change_set: ChangeSet) -> dict[str, str]:
        """Return the error of each resource, by its path, that cannot be replaced because rollback is disabled."""
        if not self._preserves:
            return {}
        return {
            f"{member.stack.logical_id}/{change['ResourceChange']['LogicalResourceId']}".lstrip("/"): (
                "Replacement type updates not supported on stack with disable-rollback."
            )
            for member in [change_set, *change_set.nested]
            for change in member.changes
            if (change["ResourceChange"]["Action"], change["ResourceChange"].get("Replacement")) == ("Modify", "True")
        }

    def preserve_stack(self, stack: Stack, after: Stack, verb: str, failing: set[str]) -> None:
        """End an operation with what succeeded. Of a creation, what has failed or was not begun is missing."""
        # A state that a failure has kept is none to return to, but the one before it is.
        if self._was_stable and verb == "UPDATE":
            stack.stable = copy.deepcopy(stack)
        stack.text, stack.parameters = after.text, after.parameters
        for logical_id, proposed in after.nested.items():
            has_failed = any(path.startswith(f"{logical_id}/") for path in failing)
            nested = stack.nested.get(logical_id)
            if nested is None or (verb == "CREATE" and not self.events_mention(stack, logical_id)):
                stack.nested.pop(logical_id, None)
                stack.missing.add(logical_id)
            elif has_failed:
                nested.status = f"{verb}_FAILED"
                if verb == "CREATE":
                    failed = [event for event in self.events[nested.id] if event["ResourceStatus"] == "CREATE_FAILED"]
                    nested.missing = {event["LogicalResourceId"] for event in failed}
            else:
                proposed.status, proposed.root, proposed.policy = f"{verb}_COMPLETE", stack, nested.policy
                stack.nested[logical_id] = proposed
        self.add_event(stack, "", STACK, f"{verb}_FAILED", "The following resource(s) failed")

    def events_mention(self, stack: Stack, logical_id: str) -> bool:
        return any(event["LogicalResourceId"] == logical_id for event in self.events.get(stack.id, []))

    def rollback_stack(
        self, StackName: str, RetainExceptOnCreate: bool = False, ClientRequestToken: str = ""
    ) -> dict[str, Any]:
        """Roll back to the last stable state; delete a stack that has none.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackStack.html
        Express mode is refused: https://github.com/aws/aws-cdk-cli/pull/1745
        """
        stack = self.find_stack(StackName)
        if stack.status not in PRESERVING:
            raise Refused("ValidationError", f"Stack [{stack.name}] is in {stack.status} and cannot be rolled back")
        if stack.mode == "EXPRESS":
            raise Refused("ValidationError", "RollbackStack is not supported for a stack in EXPRESS mode")
        self._retain_except_on_create, self.operations.token = RetainExceptOnCreate, ClientRequestToken
        verb = "DELETE" if stack.stable is None else "UPDATE_ROLLBACK"
        self.add_event(stack, "", STACK, f"{verb}_IN_PROGRESS", "User Initiated")
        self.waiting = [lambda: self._return_to_stable_state(stack)]
        return {"StackId": stack.id, "OperationId": self.operations.last[stack.id][0]["OperationId"]}

    def _return_to_stable_state(self, stack: Stack) -> None:
        for owner, logical_id in reversed(self._created):
            self.remove_resource(owner, logical_id, () if self._retain_except_on_create else ("Retain",))
        if stack.stable is None:
            for _, nested in reversed(stack.walk()[1:]):
                self.add_event(nested, "", STACK, "DELETE_COMPLETE")
            self.add_event(stack, "", STACK, "DELETE_COMPLETE")
            return
        stable, stack.stable = stack.stable, None
        stack.text, stack.parameters, stack.nested, stack.missing = stable.text, stable.parameters, stable.nested, set()
        for nested in stack.nested.values():
            nested.root = stack
        self.add_event(stack, "", STACK, "UPDATE_ROLLBACK_COMPLETE")

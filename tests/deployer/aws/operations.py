"""The operations of stacks, whose ids and request tokens the events have.

Recorded on AWS: DescribeStacks lists the last operation of a stack with its id, a UUID, and its type (LocalStack's
snapshots of 4 February 2026, in tests of change sets with mappings); after a failed update, the rollback first and then
the update (https://github.com/awslabs/mcp/issues/4275). A nested stack's operation is its own:
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeEvents.html
"""

import uuid
from dataclasses import dataclass, field

TYPES = {
    "CREATE_IN_PROGRESS": "CREATE_STACK",
    "UPDATE_IN_PROGRESS": "UPDATE_STACK",
    "DELETE_IN_PROGRESS": "DELETE_STACK",
    "ROLLBACK_IN_PROGRESS": "ROLLBACK",
    "UPDATE_ROLLBACK_IN_PROGRESS": "ROLLBACK",
}


@dataclass
class Operations:
    """The operations of all stacks, in order. A test switches them off for a service that has none."""

    are_reported: bool = True
    # The token of the request that is being performed.
    token: str = ""
    last: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def begin_operation(self, stack_id: str, status: str) -> None:
        """Begin the operation that a status of the root stack reports, if it reports one."""
        if status in TYPES:
            operation = {"OperationType": TYPES[status], "OperationId": str(uuid.uuid4())}
            earlier = self.last.get(stack_id, [])
            self.last[stack_id] = [operation, *earlier[:1]] if operation["OperationType"] == "ROLLBACK" else [operation]

    def identify_event(self, stack_id: str, root_id: str) -> dict[str, str]:
        """Return what an event of a stack, or of a nested stack of the root, has of its operation."""
        if not self.are_reported or root_id not in self.last:
            return {}
        operation_id = self.last[root_id][0]["OperationId"]
        token = {"ClientRequestToken": self.token} if self.token else {}
        if stack_id == root_id:
            return {"OperationId": operation_id, **token}
        return {"OperationId": str(uuid.uuid5(uuid.UUID(operation_id), stack_id)), **token}

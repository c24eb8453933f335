"""Makes the tokens by which CloudFormation knows a repeated request, which the SDK sends when an answer is lost.

CreateStackRefactor, ExecuteStackRefactor, DeleteChangeSet and SetStackPolicy accept none: what they did is read back.
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackStack.html
"""

import uuid


def make_token(operation: str) -> str:
    """Return a new token, such as ``rollback-0c6e…``: at most 128 letters, digits and hyphens, a letter first."""
    return f"{operation}-{uuid.uuid4().hex}"

"""The keys that the operators' policies allow; tests/e2e tests the services.

The keys that the services use, and their encryption contexts:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
"""

from typing import Any

import pytest

from tests.operator_policies import TEXT, policies
from tests.stacks.access import ACCOUNT, REGION, World, directly, foreign_role, key_arn, kms_via
from tests.stacks.test_access import NOTIFICATION_QUEUE, QUEUE, STATE_MACHINE
from tests.stacks.test_access_keys import DELIVERY, KEYS

TABLES = {f"{name}-prod": kms_via("dynamodb", {"aws:dynamodb:tableName": f"{name}-prod"}) for name in (
    "dynamodb-transactions", "dynamodb-payment-ledger",
)}  # fmt: skip
QUEUES = [kms_via("sqs", {"aws:sqs:arn": queue}) for queue in (QUEUE, NOTIFICATION_QUEUE)]
EXECUTIONS = [
    directly({"aws:states:stateMachineArn": machine})
    for machine in (STATE_MACHINE, STATE_MACHINE.replace("payment-workflow", "payment-express"))
]
READ_WRITE = {"kms:Decrypt", "kms:GenerateDataKey"}
# Section -> key -> the actions that the services need for the section's commands.
KEY_USES: dict[str, dict[str, set[str]]] = {
    "Start payments": {"DynamodbKey": {"kms:Decrypt"}, "WorkflowKey": READ_WRITE},
    "List and show payments": {"DynamodbKey": {"kms:Decrypt"}, "WorkflowKey": {"kms:Decrypt"}},
    "Handle dead letters": {"DynamodbKey": {"kms:Decrypt"}, "QueueKey": {"kms:Decrypt"}, "WorkflowKey": READ_WRITE},
    "Act on payments": {"DynamodbKey": {"kms:Decrypt"}},
}
CONTEXTS: dict[str, list[dict[str, Any]]] = {
    "DynamodbKey": list(TABLES.values()),
    "QueueKey": QUEUES,
    "WorkflowKey": EXECUTIONS,
    "SnsKey": [kms_via("sns")],
    "LogsKey": [kms_via("logs")],
    "FunctionsKey": [kms_via("lambda")],
}
KEY_IDS = {
    placeholder: key_arn(title).split("/")[1]
    for placeholder, title in (
        ("TABLES_KEY_ID", "DynamodbKey"), ("QUEUES_KEY_ID", "QueueKey"), ("WORKFLOW_KEY_ID", "WorkflowKey"),
    )
}  # fmt: skip
POLICIES = policies({"ENVIRONMENT": "prod", "REGION": REGION, "ACCOUNT_ID": ACCOUNT} | KEY_IDS)


def test_every_group_of_operators_has_a_policy_without_wildcards() -> None:
    assert set(POLICIES) == set(KEY_USES)
    # Keys are named by id, because an alias as a resource matches nothing.
    # https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html
    for policy in POLICIES.values():
        resources = [resource for statement in policy["Statement"] for resource in statement["Resource"]]
        assert resources
        assert not [resource for resource in resources if ":alias/" in resource or resource == "*"]
        assert not [action for statement in policy["Statement"] for action in statement["Action"] if "*" in action]
    assert all(f"`{placeholder}`" in TEXT for placeholder in KEY_IDS)


@pytest.mark.parametrize("section", KEY_USES)
def test_a_group_uses_only_the_keys_that_its_commands_need(section: str, world: World) -> None:
    operator = foreign_role(POLICIES[section])
    for title in KEYS:
        for context in CONTEXTS[title]:
            for action in ("kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt"):
                may = world.may(operator, action, key_arn(title), context)
                assert may == (action in KEY_USES[section].get(title, set())), (title, action, context)
        # Neither directly nor in the context of the log delivery.
        for context in (directly(), directly({"SourceArn": DELIVERY["SourceArn"][0]})):
            assert not world.may(operator, "kms:Decrypt", key_arn(title), context), title

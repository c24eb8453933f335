"""Who may use which key, for what, and through which service. No emulator evaluates key policies for other services."""

from typing import Any

import pytest

from tests.stacks.access import (
    ACCOUNT,
    ALL_RIGHTS,
    ANOTHER_ACCOUNT,
    DEFAULT_KEY_POLICY,
    FUNCTIONS,
    PLACE,
    ROOT,
    Principal,
    World,
    directly,
    foreign_role,
    key_arn,
    kms_via,
    may_all,
    service,
)
from tests.stacks.test_access import (
    ALARM,
    ALARMS,
    BACKUP,
    EVENTS,
    FUNCTION,
    NOTIFICATION_QUEUE,
    PLATFORM_ROLES,
    PROCESSING,
    QUEUE,
    RECONCILIATION,
    SECRET,
    SNS,
    STATE_MACHINE,
    TOPIC,
    VALIDATION,
    WORKFLOW,
    source_of,
)

KEYS = {
    title: key_arn(title) for title in ("DynamodbKey", "SnsKey", "LogsKey", "QueueKey", "FunctionsKey", "WorkflowKey")
}
TABLES_KEY, TOPIC_KEY, LOGS_KEY, QUEUE_KEY, FUNCTIONS_KEY, WORKFLOW_KEY = KEYS.values()
SECRETS_KEY = f"arn:aws:kms:{PLACE}:key/0b1d5a34-8f8e-4ad7-9a1c-8a0a4d0c1f11"

DECRYPT, READ_WRITE = ("kms:Decrypt",), ("kms:Decrypt", "kms:GenerateDataKey")
TABLE_NAMES = {"aws:dynamodb:tableName": ("dynamodb-transactions-prod", "dynamodb-payment-ledger-prod")}
THE_QUEUE = {"aws:sqs:arn": (QUEUE,)}
THE_TOPIC = {"aws:sns:topicArn": (TOPIC,)}
DELIVERY = {"SourceArn": (f"arn:aws:logs:{PLACE}:*",)}
ALL_OF_KMS = ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo")
ROOT_USER = Principal(ROOT, (ALL_RIGHTS,))


def _function(name: str) -> dict[str, Any]:
    return {"aws:lambda:FunctionArn": (f"{FUNCTION}lambda-payment-{name}-prod",)}


PROCESSING_FUNCTION = _function("processing")
# The statements about keys of each role: (role, Sid) -> actions, key, service, and encryption context.
USES: dict[tuple[str, str], tuple[tuple[str, ...], str, str, dict[str, tuple[str, ...]]]] = {
    **{
        (role, sid): use
        for role, name in ((f"{title}Role", title.lower()) for title in FUNCTIONS)
        for sid, use in {
            "UseTableKeyThroughDynamoDB": (DECRYPT, TABLES_KEY, "dynamodb", TABLE_NAMES),
            "UseFunctionsKeyThroughLambda": (DECRYPT, FUNCTIONS_KEY, "lambda", _function(name)),
            "UseQueueKeyThroughSQS": (READ_WRITE, QUEUE_KEY, "sqs", THE_QUEUE),
        }.items()
    },
    **{
        (role, "UseSecretKeyThroughSecretsManager"): (
            DECRYPT, SECRETS_KEY, "secretsmanager", {"SecretARN": (SECRET,)},
        )
        for role in (PROCESSING, RECONCILIATION)
    },
    (WORKFLOW, "UseTopicKeyThroughSNS"): (READ_WRITE, TOPIC_KEY, "sns", THE_TOPIC),
    (RECONCILIATION, "UseTopicKeyThroughSNS"): (READ_WRITE, TOPIC_KEY, "sns", THE_TOPIC),
    (WORKFLOW, "UseQueueKeyThroughSQS"): (READ_WRITE, QUEUE_KEY, "sqs", THE_QUEUE),
    # Step Functions calls KMS as the role itself, and not through a service.
    # https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
    (WORKFLOW, "UseWorkflowKeyForOwnExecutions"): (
        READ_WRITE, WORKFLOW_KEY, "", {"aws:states:stateMachineArn": (STATE_MACHINE,)},
    ),
    (WORKFLOW, "UseWorkflowKeyForLogDelivery"): (("kms:GenerateDataKey",), WORKFLOW_KEY, "", DELIVERY),
    (BACKUP, "UseTableKeyThroughDynamoDB"): (READ_WRITE, TABLES_KEY, "dynamodb", TABLE_NAMES),
    (BACKUP, "UseVaultKeyThroughAWSBackup"): (READ_WRITE, TABLES_KEY, "backup", {}),
    (BACKUP, "FindVaultKey"): (("kms:DescribeKey",), TABLES_KEY, "", {}),
}  # fmt: skip


def _use_through(via: str, context: dict[str, str], account: str = ACCOUNT) -> dict[str, Any]:
    return kms_via(via, context, account) if via else directly(context, account)


def test_every_statement_about_keys_is_in_the_table(world: World) -> None:
    statements = {
        (role, statement["Sid"]): tuple(statement["Action"])
        for role in PLATFORM_ROLES
        for policy in world.roles[role].policies
        for statement in policy["Statement"]
        if any(action.startswith("kms:") for action in statement["Action"])
    }
    assert statements == {key: actions for key, (actions, *_) in USES.items()}


@pytest.mark.parametrize(("role", "sid"), USES)
def test_a_role_uses_a_key_only_through_its_service_and_for_its_resource(role: str, sid: str, world: World) -> None:
    """The key of the secret belongs to the account; its policy is assumed to be the default one."""
    actions, key, via, context = USES[role, sid]
    world = world.with_policy(SECRETS_KEY, DEFAULT_KEY_POLICY)
    rights = [{name: values[index % len(values)] for name, values in context.items()} for index in range(2)]
    for action in actions:
        for right in rights:
            assert world.may(role, action, key, _use_through(via, right)), (action, right)
            wrong = [_use_through(via, right, ANOTHER_ACCOUNT)]
            if via:
                wrong += [_use_through("ec2", right), directly(right)]
            for name in right:
                without = {key_name: value for key_name, value in right.items() if key_name != name}
                wrong += [_use_through(via, without), _use_through(via, {**right, name: f"{right[name]}-2"})]
            for request in wrong:
                assert not world.may(role, action, key, request), (action, request)
                # The key's policy denies it as well, but the policies must not rely on each other.
                assert not world.policies_allow(role, action, key, request), (action, request)
    for action in set(ALL_OF_KMS) - set(actions):
        assert not world.may(role, action, key, _use_through(via, rights[0])), action


# Services that use a key for themselves, by the key's policy alone


def test_the_delivery_of_the_workflows_log_decrypts_with_its_key(world: World) -> None:
    """The role generates the data key (above), and the delivery service decrypts with it.

    https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
    """
    delivery, right = service("delivery.logs"), {"SourceArn": DELIVERY["SourceArn"][0]}
    assert world.may(delivery, "kms:Decrypt", WORKFLOW_KEY, directly(right))
    for context in ({}, {"SourceArn": right["SourceArn"].replace(ACCOUNT, ANOTHER_ACCOUNT)}):
        assert not world.may(delivery, "kms:Decrypt", WORKFLOW_KEY, directly(context))
    assert not world.may(delivery, "kms:GenerateDataKey", WORKFLOW_KEY, directly(right))
    assert not world.may(service("logs"), "kms:Decrypt", WORKFLOW_KEY, directly(right))


def test_only_alarms_of_this_account_reach_the_encrypted_topic(world: World) -> None:
    context = directly({"aws:sns:topicArn": TOPIC})
    wrong = (
        source_of(ALARM, ANOTHER_ACCOUNT) | context,
        source_of(ALARM) | directly({"aws:sns:topicArn": f"{TOPIC}-2"}),
        source_of(ALARM) | directly(),
        context,
    )
    check_service(world, ALARMS, TOPIC_KEY, source_of(ALARM) | context, wrong)


def test_the_schedule_reaches_the_encrypted_queue(world: World) -> None:
    """EventBridge passes no source to KMS: the queue's policy denies other rules, and the key's other queues.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    """
    wrong = (directly(), directly({"aws:sqs:arn": f"{QUEUE}-2"}))
    check_service(world, EVENTS, QUEUE_KEY, directly({"aws:sqs:arn": QUEUE}), wrong)


def test_sns_puts_undelivered_notices_into_the_encrypted_queue(world: World) -> None:
    """https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html"""
    wrong = (directly(), directly({"aws:sqs:arn": QUEUE}), directly({"aws:sqs:arn": f"{QUEUE}-2"}))
    check_service(world, SNS, QUEUE_KEY, directly({"aws:sqs:arn": NOTIFICATION_QUEUE}), wrong)


def check_service(
    world: World, principal: Principal, key: str, right: dict[str, Any], wrong: tuple[dict[str, Any], ...]
) -> None:
    """Check that only this service uses a key to read and write, and only in the right context."""
    for action in READ_WRITE:
        assert world.may(principal, action, key, right)
        for context in wrong:
            assert not world.may(principal, action, key, context), context
        for wrong_principal in {ALARMS, EVENTS, SNS, service("s3")} - {principal}:
            assert not world.may(wrong_principal, action, key, right), wrong_principal
    for action in set(ALL_OF_KMS) - set(READ_WRITE):
        assert not world.may(principal, action, key, right), action


def test_cloudwatch_logs_uses_its_key_for_our_log_groups_only(world: World) -> None:
    logs = service("logs.eu-central-1")
    groups = [
        f"arn:aws:logs:{PLACE}:log-group:{p['LogGroupName']}" for p in world.of_type("AWS::Logs::LogGroup").values()
    ]
    assert len(groups) == len(FUNCTIONS) + 2, "of each function, and of both state machines"
    use = (*ALL_OF_KMS, "kms:DescribeKey")
    for group in groups:
        for action in use:
            assert world.may(logs, action, LOGS_KEY, directly({"aws:logs:arn": group})), (group, action)
            for wrong_group in (f"{group}-2", group.replace("-prod", "-dev"), group.replace(ACCOUNT, ANOTHER_ACCOUNT)):
                assert not world.may(logs, action, LOGS_KEY, directly({"aws:logs:arn": wrong_group})), wrong_group
    for action in use:
        assert not world.may(logs, action, LOGS_KEY, directly())
        for region in ("logs", "logs.us-east-1"):
            assert not world.may(service(region), action, LOGS_KEY, directly({"aws:logs:arn": groups[0]}))


# All other principals


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_nobody_else_uses_a_key(key: str, worlds: list[World]) -> None:
    """Whatever the policy of a principal allows, a key can be used only through its services."""
    resources = TABLE_NAMES | THE_QUEUE | THE_TOPIC | PROCESSING_FUNCTION
    contexts: list[dict[str, str]] = [{}, *({name: values[0]} for name, values in resources.items())]
    stranger = foreign_role(ALL_RIGHTS, account=ANOTHER_ACCOUNT)
    for world in worlds:
        for action in ALL_OF_KMS:
            for context in contexts:
                # Directly, as somebody with the key's ARN would.
                for principal in (foreign_role(), foreign_role(may_all("kms:*")), ROOT_USER, stranger):
                    for request in ({}, directly(context), kms_via("ec2", context), kms_via("s3", context)):
                        assert not world.may(principal, action, key, request), (principal.arn, action, request)
                # Through a service of the key.
                for via in ("dynamodb", "sns", "sqs", "lambda", "backup"):
                    assert not world.may(foreign_role(), action, key, kms_via(via, context)), (
                        "without a policy of its own"
                    )
                    for account in (ACCOUNT, ANOTHER_ACCOUNT):
                        assert not world.may(stranger, action, key, kms_via(via, context, account)), "another account"


@pytest.mark.parametrize(
    ("key", "via", "context"),
    [
        (TABLES_KEY, "dynamodb", {"aws:dynamodb:tableName": "another-table"}),
        (TABLES_KEY, "backup", {}),
        (QUEUE_KEY, "sqs", {"aws:sqs:arn": QUEUE}),
        (QUEUE_KEY, "sqs", {"aws:sqs:arn": NOTIFICATION_QUEUE}),
        (FUNCTIONS_KEY, "lambda", {"aws:lambda:FunctionArn": f"{FUNCTION}lambda-payment-validation-prod"}),
        (WORKFLOW_KEY, "", {"aws:states:stateMachineArn": STATE_MACHINE}),
    ],
    ids=("tables", "vault", "queue", "notices", "functions", "workflow"),
)
def test_a_policy_of_the_account_allows_a_key_only_through_its_service(
    key: str, via: str, context: dict[str, str], world: World
) -> None:
    """The key delegates this to identity policies, so that operators can read what they may read."""
    may = foreign_role(may_all("kms:*"))
    assert world.may(may, "kms:Decrypt", key, _use_through(via, context))
    assert not world.may(foreign_role(), "kms:Decrypt", key, _use_through(via, context))
    for wrong_service in ("ec2", "s3", "ssm") if via else ():
        assert not world.may(may, "kms:Decrypt", key, kms_via(wrong_service, context))
    assert not world.may(may, "kms:Decrypt", key, _use_through(via, context, ANOTHER_ACCOUNT))
    # For a table, the policy of the principal restricts the name.
    for name in context if key != TABLES_KEY else ():
        assert not world.may(may, "kms:Decrypt", key, _use_through(via, {name: f"{context[name]}-2"}))


def test_only_two_named_roles_use_the_topics_key(world: World) -> None:
    context = kms_via("sns", {"aws:sns:topicArn": TOPIC})
    for action in READ_WRITE:
        for role in (WORKFLOW, RECONCILIATION):
            assert world.may(role, action, TOPIC_KEY, context)
        for role in (VALIDATION, PROCESSING, BACKUP):
            open_ = Principal(world.roles[role].arn, (ALL_RIGHTS,))
            assert not world.may(open_, action, TOPIC_KEY, context), role
        assert not world.may(foreign_role(ALL_RIGHTS), action, TOPIC_KEY, context)
        assert not world.may(ROOT_USER, action, TOPIC_KEY, context)


ADMINISTRATION = (
    "PutKeyPolicy", "GetKeyPolicy", "ScheduleKeyDeletion", "CancelKeyDeletion", "EnableKey", "DisableKey",
    "EnableKeyRotation", "DescribeKey", "ListGrants", "RevokeGrant", "TagResource", "UpdateAlias",
)  # fmt: skip


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_the_account_administers_every_key_without_using_it(key: str, worlds: list[World]) -> None:
    """A key without its account is lost. https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html"""
    root = ROOT_USER
    worlds_with_key = [world for world in worlds if key in world.resource_policies]
    assert worlds_with_key
    for world in worlds_with_key:
        for action in ADMINISTRATION:
            assert world.may(root, f"kms:{action}", key), action
            assert world.may(foreign_role(may_all(f"kms:{action}")), f"kms:{action}", key), f"{action} is not delegated"
            assert not world.may(foreign_role(), f"kms:{action}", key)
            assert not world.may(foreign_role(ALL_RIGHTS, account=ANOTHER_ACCOUNT), f"kms:{action}", key)
        for action in ALL_OF_KMS:
            assert not world.may(root, action, key), action


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_only_a_service_creates_grants(key: str, worlds: list[World]) -> None:
    """https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-grant-is-for-aws-resource"""
    by_service = {TABLES_KEY: ("dynamodb", "backup"), FUNCTIONS_KEY: ("lambda",)}
    context = {"aws:lambda:FunctionArn": f"{FUNCTION}lambda-payment-processing-prod"}
    administrator = foreign_role(may_all("kms:*"))
    for world in worlds:
        # dev has other functions and no backups.
        for via in by_service.get(key, ()) if world is worlds[0] else ():
            request = kms_via(via, context)
            for value in ("true", "false"):
                grant = {"kms:GrantIsForAWSResource": value}
                assert world.may(administrator, "kms:CreateGrant", key, request | grant) == (value == "true")
        for principal in (administrator, ROOT_USER, *world.roles.values()):
            for request in ({}, directly(), kms_via("dynamodb"), kms_via("lambda", context), kms_via("backup")):
                for grant in ({}, {"kms:GrantIsForAWSResource": "false"}):
                    assert not world.may(principal, "kms:CreateGrant", key, request | grant), (principal.arn, request)

"""The customer-managed keys: one for each kind of stored data, each with its own policy."""

from dataclasses import dataclass
from typing import Any

from awacs.aws import Statement
from troposphere import Template
from troposphere.kms import Alias, Key

from .. import names, references
from ..policies import key_administration, only_services_grant, policy_document
from ..wiring import RETAINED, Value, platform_tags
from . import key_policies

# The logical id. A change to it replaces the key, so the functions' version digests include it.
FUNCTIONS_KEY = "FunctionsKey"


@dataclass(frozen=True, kw_only=True)
class Keys:
    # Encrypts the tables, and their backup vault if there is one.
    dynamodb: Key
    sns: Key
    logs: Key
    queue: Key
    # Encrypts the functions' environment variables.
    functions: Key
    # Encrypts the executions' input, output and history. Exists only under the condition ``HasWorkflowKey``.
    workflow: Key


def add_keys(template: Template, window_days: Value) -> Keys:
    """Add every key with its alias, and return the keys.

    The template needs the conditions ``HasWorkflowKey`` and ``HasServiceRole``. A key outlives its stack, so that the
    data it encrypts stays readable.
    """

    def add_key(title: str, description: str, alias: str, *uses: Statement, **condition: Any) -> Key:
        by_account = key_administration(), only_services_grant()
        key: Key = template.add_resource(
            Key(
                title,
                Description=description,
                EnableKeyRotation=True,
                PendingWindowInDays=window_days,
                KeyPolicy=policy_document(*by_account, *uses, key_policies.allow_administration()),
                Tags=platform_tags(),
                **RETAINED,
                **condition,
            )
        )
        template.add_resource(
            Alias(f"{title}Alias", AliasName=references.in_template(alias), TargetKeyId=key.ref(), **condition)
        )
        return key

    return Keys(
        dynamodb=add_key(
            "DynamodbKey", "Encrypts the tables of payments", names.DYNAMODB_KEY_ALIAS, *key_policies.allow_dynamodb()
        ),
        sns=add_key("SnsKey", "Encrypts the payment notices", names.SNS_KEY_ALIAS, *key_policies.allow_sns()),
        logs=add_key("LogsKey", "Encrypts the log groups", names.LOGS_KEY_ALIAS, key_policies.allow_logs()),
        queue=add_key(
            "QueueKey",
            "Encrypts the dead letters of payments and of notices",
            names.QUEUE_KEY_ALIAS,
            *key_policies.allow_queues(),
        ),
        functions=add_key(
            FUNCTIONS_KEY,
            "Encrypts the environment variables of the functions",
            names.FUNCTIONS_KEY_ALIAS,
            *key_policies.allow_functions(),
        ),
        workflow=add_key(
            "WorkflowKey",
            "Encrypts the executions of the workflow: their input, output and history",
            names.WORKFLOW_KEY_ALIAS,
            *key_policies.allow_workflow(),
            Condition="HasWorkflowKey",
        ),
    )

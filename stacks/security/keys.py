"""The customer-managed keys: one for each kind of stored data, each with its own policy."""

from dataclasses import dataclass
from typing import Any

from awacs.aws import PolicyDocument, Statement
from troposphere import Template
from troposphere.kms import Alias, Key

from .. import names
from ..policies import key_administration, only_services_grant, policy_document
from ..wiring import Value, platform_tags
from . import key_policies

# The logical id. A change of it replaces the key, so the functions' versions include it.
FUNCTIONS_KEY = "FunctionsKey"


@dataclass(frozen=True, kw_only=True)
class Keys:
    # Of the tables, and of the vault of their backups where there is one.
    dynamodb: Key
    sns: Key
    logs: Key
    queue: Key
    # Of the functions' environment variables.
    functions: Key
    # Where its setting asks for it (condition ``HasWorkflowKey``): of the executions' input, output and history.
    workflow: Key


def add_keys(template: Template, window_days: Value) -> Keys:
    """Add all keys. The template needs the conditions ``HasWorkflowKey`` and ``HasServiceRole``."""

    def key(title: str, description: str, alias: str, policy: PolicyDocument, **condition: Any) -> Key:
        return _add_key(template, title, description, alias, policy, window_days, **condition)

    return Keys(
        dynamodb=key(
            "DynamodbKey",
            "Encrypts the tables of payments",
            names.DYNAMODB_KEY_ALIAS,
            _key_policy(*key_policies.allow_dynamodb()),
        ),
        sns=key("SnsKey", "Encrypts the payment notices", names.SNS_KEY_ALIAS, _key_policy(*key_policies.allow_sns())),
        logs=key("LogsKey", "Encrypts the log groups", names.LOGS_KEY_ALIAS, _key_policy(key_policies.allow_logs())),
        queue=key(
            "QueueKey",
            "Encrypts the dead letters of payments and of notices",
            names.QUEUE_KEY_ALIAS,
            _key_policy(*key_policies.allow_queues()),
        ),
        functions=key(
            FUNCTIONS_KEY,
            "Encrypts the environment variables of the functions",
            names.FUNCTIONS_KEY_ALIAS,
            _key_policy(*key_policies.allow_functions()),
        ),
        workflow=key(
            "WorkflowKey",
            "Encrypts the executions of the workflow: their input, output and history",
            names.WORKFLOW_KEY_ALIAS,
            _key_policy(*key_policies.allow_workflow()),
            Condition="HasWorkflowKey",
        ),
    )


def _key_policy(*uses: Statement) -> PolicyDocument:
    return policy_document(key_administration(), only_services_grant(), *uses, key_policies.allow_administration())


def _add_key(
    template: Template,
    title: str,
    description: str,
    alias: str,
    policy: PolicyDocument,
    window_days: Value,
    **condition: Any,
) -> Key:
    """Add a key, which outlives its stack so that encrypted data stays readable."""
    key: Key = template.add_resource(
        Key(
            title,
            Description=description,
            EnableKeyRotation=True,
            PendingWindowInDays=window_days,
            KeyPolicy=policy,
            Tags=platform_tags(),
            DeletionPolicy="RetainExceptOnCreate",
            UpdateReplacePolicy="Retain",
            **condition,
        )
    )
    template.add_resource(
        Alias(f"{title}Alias", AliasName=names.in_template(alias), TargetKeyId=key.ref(), **condition)
    )
    return key

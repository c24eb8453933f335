"""Short words for what the policies of all deployers say."""

import re
from collections.abc import Sequence
from types import ModuleType

from awacs.aws import Action, Statement
from troposphere import AWSHelperFn, Template
from troposphere.iam import ManagedPolicy

from .. import names
from ..policies import document
from ..suppressions import suppress


def actions(module: ModuleType, words: str) -> list[Action]:
    """``awacs`` knows each; a misspelt one is an AttributeError."""
    return [getattr(module, word) for word in words.split()]


def stacks() -> AWSHelperFn:
    return names.arn("cloudformation", "stack/payment-platform-*")


def policy(template: Template, title: str, condition: str, statements: Sequence[Statement]) -> ManagedPolicy:
    made: ManagedPolicy = template.add_resource(
        ManagedPolicy(
            f"{title}Policy",
            ManagedPolicyName=f"policy-payment-{hyphens(title)}",
            PolicyDocument=document(*statements),
            Condition=condition,
        )
    )
    suppress(
        made,
        "One role for all environments of the account, whose names end in the environment's",
        nag=("AwsSolutions-IAM5",),
    )
    if condition == "HasServiceRole":
        # With the role that it belongs to.
        made.resource |= {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    return made


def hyphens(title: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", title.replace("GitHub", "Github")).lower()

"""A log group as every stack has it: under the platform's key, kept for its days, masked, and never lost."""

from typing import Any

from troposphere import Equals, If, Ref, Sub, Template
from troposphere.logs import LogGroup

from . import names
from .wiring import Value, platform_tags

# What identifies a customer or a card should reach no log. Where it does, by a defect, nobody reads it.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/protect-sensitive-log-data-types.html
IDENTIFIERS = (
    "CreditCardNumber",
    "CreditCardExpiration",
    "CreditCardSecurityCode",
    "EmailAddress",
    *(f"BankAccountNumber-{country}" for country in ("DE", "ES", "FR", "GB", "IT", "US")),
)


def add_log_group(
    template: Template, title: str, name: str, *, key_arn: Value, retention_days: Value, masked: Value
) -> LogGroup:
    """``masked`` says whether a data protection policy hides what looks like a card, an account or an address."""
    template.conditions.setdefault("MasksLogs", Equals(masked, "true"))
    group: LogGroup = template.add_resource(
        LogGroup(
            title,
            LogGroupName=names.in_template(name),
            RetentionInDays=retention_days,
            KmsKeyId=key_arn,
            DataProtectionPolicy=If("MasksLogs", _masking_policy(), Ref("AWS::NoValue")),
            Tags=platform_tags(),
            DeletionPolicy="RetainExceptOnCreate",
            UpdateReplacePolicy="Retain",
        )
    )
    return group


def _masking_policy() -> dict[str, Any]:
    """Both operations are asked for, with the same identifiers.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/mask-sensitive-log-data.html
    """
    identifiers = [Sub(f"arn:${{AWS::Partition}}:dataprotection::aws:data-identifier/{name}") for name in IDENTIFIERS]
    operations: dict[str, Any] = {
        "Count": {"Audit": {"FindingsDestination": {}}},
        "Hide": {"Deidentify": {"MaskConfig": {}}},
    }
    return {
        "Name": "payment-data",
        "Version": "2021-06-01",
        "Statement": [
            {"Sid": sid, "DataIdentifier": identifiers, "Operation": operation} for sid, operation in operations.items()
        ],
    }

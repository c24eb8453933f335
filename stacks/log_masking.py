"""The data protection policy that masks data of customers and cards in a log group."""

from typing import Any

from troposphere import Sub

# The code logs none of these; CloudWatch Logs masks them if a defect does.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/protect-sensitive-log-data-types.html
IDENTIFIERS = (
    "CreditCardNumber",
    "CreditCardExpiration",
    "CreditCardSecurityCode",
    "EmailAddress",
    *(f"BankAccountNumber-{country}" for country in ("DE", "ES", "FR", "GB", "IT", "US")),
)


def masking_policy() -> dict[str, Any]:
    """Return the policy. CloudWatch Logs requires both operations, with the same identifiers.

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

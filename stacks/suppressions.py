"""Rules of others that a resource breaks on purpose, each with its reason, where those who check look for them.

checkov: https://www.checkov.io/2.Basics/Suppressing%20and%20Skipping%20Policies.html
cdk-nag: https://github.com/cdklabs/cdk-nag
cfn-guard: https://docs.aws.amazon.com/controltower/latest/controlreference/hooks-rule-exceptions.html
"""

from typing import Any

from troposphere import AWSObject


def in_packs(rule: str) -> tuple[str, ...]:
    """cdk-nag's rule in each of the packs that have it under this name."""
    return tuple(f"{pack}-{rule}" for pack in ("PCI.DSS.321", "NIST.800.53.R5", "HIPAA.Security"))


def suppress(
    resource: AWSObject,
    reason: str,
    *,
    checkov: tuple[str, ...] = (),
    nag: tuple[str, ...] = (),
    guard: tuple[str, ...] = (),
) -> None:
    """Add rules to what the resource's Metadata suppresses, all for one reason. May be called again for others."""
    metadata: dict[str, Any] = resource.resource.setdefault("Metadata", {})
    if checkov:
        metadata.setdefault("checkov", {}).setdefault("skip", []).extend(
            {"id": rule, "comment": reason} for rule in checkov
        )
    if nag:
        metadata.setdefault("cdk_nag", {}).setdefault("rules_to_suppress", []).extend(
            {"id": rule, "reason": reason} for rule in nag
        )
    if guard:
        rules = metadata.setdefault("guard", {})
        rules.setdefault("SuppressedRules", []).extend(guard)
        # cfn-guard has no place for a reason; it reads over this one.
        rules.setdefault("Reasons", {}).update(dict.fromkeys(guard, reason))

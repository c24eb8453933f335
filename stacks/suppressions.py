"""Suppressions of linter rules that a resource violates on purpose, each with its reason, in the resource's metadata.

checkov: https://www.checkov.io/2.Basics/Suppressing%20and%20Skipping%20Policies.html
cdk-nag: https://github.com/cdklabs/cdk-nag
cfn-guard: https://docs.aws.amazon.com/controltower/latest/controlreference/hooks-rule-exceptions.html
"""

from typing import Any

from troposphere import AWSHelperFn, AWSObject

# This rule of cdk-nag reports each wildcard as a separate finding, and a suppression names the findings that it covers.
# https://github.com/cdklabs/cdk-nag/blob/v2.36.0/README.md#suppressing-a-rule
_WILDCARDS = "AwsSolutions-IAM5"


def in_packs(rule: str) -> tuple[str, ...]:
    """Return the names of a cdk-nag rule in the rule packs that contain it."""
    return tuple(f"{pack}-{rule}" for pack in ("PCI.DSS.321", "NIST.800.53.R5", "HIPAA.Security"))


def suppress(
    resource: AWSObject,
    reason: str,
    *,
    checkov: tuple[str, ...] = (),
    nag: tuple[str, ...] = (),
    guard: tuple[str, ...] = (),
) -> None:
    """Suppress rules for a resource, all for one reason. Further calls add further rules."""
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
        # cfn-guard has no field for a reason, and ignores this one.
        rules.setdefault("Reasons", {}).update(dict.fromkeys(guard, reason))


def suppress_wildcards(policy: AWSObject, reason: str, *resources: str | AWSHelperFn) -> None:
    """Accept the wildcards in exactly these ``resources`` of the statements of ``policy``."""
    rules = policy.resource.setdefault("Metadata", {}).setdefault("cdk_nag", {}).setdefault("rules_to_suppress", [])
    findings = [f"Resource::{flatten_for_nag(resource)}" for resource in resources]
    rules.append({"id": _WILDCARDS, "reason": reason, "applies_to": findings})


def flatten_for_nag(value: str | AWSHelperFn) -> str:
    """Return a value as cdk-nag writes it: a reference is ``<LogicalId>``, an attribute ``<LogicalId.Attribute>``.

    Raises ``KeyError`` for a function other than ``Ref``, ``Fn::Sub`` and ``Fn::GetAtt``.
    """
    if isinstance(value, str):
        return value.replace("${", "<").replace("}", ">")
    ((function, argument),) = value.to_dict().items()
    texts = {"Ref": "${{{0}}}", "Fn::Sub": "{0}", "Fn::GetAtt": "${{{0[0]}.{0[1]}}}"}
    return flatten_for_nag(texts[function].format(argument))

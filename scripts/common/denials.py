"""Describes a denial of AWS: the action, the resource, the kind of policy at fault, and what helps against it.

AWS names the kind of policy, and the policy itself if it is one of the same account or organization. A further
permission of the role helps only where no identity-based policy allows the action; elsewhere it would only widen it.
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
https://aws.amazon.com/blogs/security/enhanced-access-denied-error-messages-with-policy-arns
"""

import re

# The resource may be an ARN, in quotation marks in S3's messages, or two words in IAM's, such as "role payments".
_DENIED = re.compile(
    r"not authorized to perform:? (?P<action>[\w-]+:\w+)"
    r"(?: on (?:resource:? )?\"?(?P<resource>.+?)\"?)?"
    r"(?=[.,]? (?:because|with an explicit deny|Encoded authorization)\b|[.,]?$)"
)
_EXPLICIT = re.compile(r"(?P<deny>with an explicit deny in an? (?P<kind>[\w -]*\w)(?:: arn:[^\s,]*[^\s,.])?)")
_IMPLICIT = re.compile(r"because no (?P<kind>[\w -]+?) allows? the ")
# Another reason than a policy that allows or denies: it ends with its sentence.
_OTHER = re.compile(r"\bbecause (?P<reason>.+?)\.?(?: Encoded authorization.*)?$")
_GRANTS = "identity-based policy"
_ORGANIZATION = "ask an administrator of your organization to allow it"
# By the kind of policy: who can change it.
_REMEDIES = {
    _GRANTS: "change that policy of your role",
    "permissions boundary": "change the permissions boundary of your role",
    "session policy": "start the session with another session policy",
    "service control policy": _ORGANIZATION,
    "resource control policy": _ORGANIZATION,
    "VPC endpoint policy": "change the policy of the VPC endpoint that the request passes",
    "resource-based policy": "change the policy of the resource",
    "role trust policy": "change the trust policy of that role",
}


def describe_denial(message: str, action: str, resource: str) -> str:
    """Return one line about a denial with AWS's ``message``; ``action`` and ``resource`` are used if it has none."""
    text = " ".join(message.split())
    denied = _DENIED.search(text)
    if denied:
        action = denied["action"]
        if denied["resource"] not in (None, "this resource"):
            resource = denied["resource"]
    place = f"{action} on {resource}" if resource else action
    return f"not authorized: {place}; {_describe_reason(text)}"


def _describe_reason(text: str) -> str:
    if explicit := _EXPLICIT.search(text):
        remedy = _REMEDIES.get(explicit["kind"], "change that policy")
        return f"it is denied {explicit['deny']}; {remedy}"
    if implicit := _IMPLICIT.search(text):
        if implicit["kind"] == _GRANTS:
            return "your role needs this permission"
        remedy = _REMEDIES.get(implicit["kind"], "change that policy")
        return f"no {implicit['kind']} allows it; {remedy}"
    if other := _OTHER.search(text):
        return other["reason"]
    return "your role lacks this permission, or another policy denies it"

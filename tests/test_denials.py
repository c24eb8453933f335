"""A denial of AWS is described by the policy at fault: no advice grants what would not help."""

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from scripts.common.errors import describe_error

# The kinds of policies, and words of the advice: who or what has to change.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
REMEDIES = {
    "identity-based policy": "of your role",
    "resource-based policy": "of the resource",
    "permissions boundary": "of your role",
    "session policy": "start the session with another",
    "service control policy": "an administrator of your organization",
    "resource control policy": "an administrator of your organization",
    "VPC endpoint policy": "of the VPC endpoint",
    "role trust policy": "of that role",
}
# https://aws.amazon.com/blogs/security/enhanced-access-denied-error-messages-with-policy-arns
CONTROL_POLICY = "arn:aws:organizations::987654321098:policy/o-qv5af4abcd/service_control_policy/p-2kgnabcd"
DENIED = "User: arn:aws:iam::123456789012:user/a is not authorized to perform: kms:Sign"


def describe(message: str, code: str = "AccessDenied", **details: str) -> str:
    response = {"Error": {"Code": code, "Message": message, **details}}
    return describe_error(ClientError(response, "CallService"))  # type: ignore[arg-type] # details are ours


def list_denials() -> Iterator[tuple[str, str, str]]:
    """Yield AWS's words for each kind of policy, what the line has of them, and a word of the advice."""
    for kind, remedy in REMEDIES.items():
        article = "an" if kind[0] == "i" else "a"
        deny = f"with an explicit deny in {article} {kind}"
        yield f" {deny}", f"it is denied {deny}; ", remedy
        yield f" {deny}: {CONTROL_POLICY}", f"it is denied {deny}: {CONTROL_POLICY}; ", remedy
        if kind != "identity-based policy":
            yield f" because no {kind} allows the kms:Sign action", f"; no {kind} allows it; ", remedy
            # Some services end the sentence.
            yield f" because no {kind} allows the kms:Sign action.", f"; no {kind} allows it; ", remedy


@pytest.mark.parametrize("place", ["", " on resource: arn:aws:kms:x:1:key/k", ' on resource: "arn:aws:kms:x:1:key/k"'])
@pytest.mark.parametrize(("words", "reason", "remedy"), [*list_denials()])
def test_a_denial_names_the_policy_at_fault_and_who_can_change_it(
    words: str, reason: str, remedy: str, place: str
) -> None:
    line = describe(DENIED + place + words)
    assert line.startswith("not authorized: kms:Sign" + (" on arn:aws:kms:x:1:key/k; " if place else "; "))
    assert reason in line
    assert remedy in line.split(reason)[1]
    assert "permission" not in line.split(reason)[1].replace("permissions boundary", "")


@pytest.mark.parametrize("end", ["", ".", ". Encoded authorization failure message: aBc-1"])
def test_a_missing_permission_is_advised_where_no_identity_based_policy_allows_the_action(end: str) -> None:
    words = f"{DENIED} on resource: key k because no identity-based policy allows the kms:Sign action{end}"
    assert describe(words) == "not authorized: kms:Sign on key k; your role needs this permission"


@pytest.mark.parametrize("message", ["Access Denied", DENIED, "User: a is not authorized to access this resource"])
def test_a_denial_without_a_reason_gets_none(message: str) -> None:
    line = describe(message, Action="kms:Sign", Resource="arn:aws:kms:x:1:key/k")
    assert line == (
        "not authorized: kms:Sign on arn:aws:kms:x:1:key/k; your role lacks this permission, or another policy denies "
        "it"
    )


@pytest.mark.parametrize(
    "reason",
    [
        # KMS, which does not tell an account of others whether its key exists.
        "the resource does not exist in this Region, no resource-based policies allow access, or a resource-based "
        "policy explicitly denies access",
        "public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access",
    ],
)
def test_another_reason_is_given_in_the_words_of_aws(reason: str) -> None:
    line = describe(f"{DENIED} on this resource because {reason}", Resource="arn:aws:kms:x:1:key/k")
    assert line == f"not authorized: kms:Sign on arn:aws:kms:x:1:key/k; {reason}"


def test_a_line_break_in_the_message_does_not_hide_the_policy() -> None:
    assert describe(f"{DENIED}\n because no session\n policy allows the kms:Sign action").endswith("session policy")


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        ("SignatureDoesNotMatch", "Signature expired: 1 is now earlier than 2 (3 - 5 min.)", "set the clock"),
        ("InvalidSignatureException", "Signature not yet current: 3 is still later than 2", "set the clock"),
        ("SignatureDoesNotMatch", "The request signature we calculated does not match", "check the secret access key"),
        ("RequestTimeTooSkewed", "The difference is too large.", "set the clock of this machine"),
        ("RequestExpired", "Request has expired.", "set the clock of this machine"),
        ("InvalidClientTokenId", "The security token is invalid.", "check the access key and its session token"),
        ("UnrecognizedClientException", "The security token is invalid.", "that the account has enabled the Region"),
    ],
)
def test_a_request_that_aws_cannot_authenticate_has_a_next_step(code: str, message: str, advice: str) -> None:
    assert advice in describe(message, code).split(message.rstrip("."))[1]


@pytest.mark.parametrize("code", ["AccessDenied", "LimitExceededException", "ValidationError", "ServiceQuotaExceeded"])
def test_an_error_of_aws_is_one_line(code: str) -> None:
    line = describe("Properties validation failed:\n#/Name:\r\n  too long\u2028\x85", code)
    assert len(line.splitlines()) == 1

"""After a refusal of AWS, a command names the action, the resource, the right or limit, and what was changed."""

import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import EXPIRED, Fault
from tests.deployer.aws.holdings import Refused
from tests.deployer.conftest import BUCKET, Command, add_platform
from tests.deployer.releases import edit_harmlessly

NAME = "payment-platform-dev"
DENIED = Refused("AccessDenied", "no", 403)
# By the operation of a deployment: the action of a policy, the beginning of the resource, and what has changed by then.
NEEDED = {
    "DescribeStacks": ("cloudformation:DescribeStacks", "payment-artifacts", "nothing was changed"),
    "GetTemplate": ("cloudformation:GetTemplate", "payment-artifacts", "nothing was changed"),
    "ListStackResources": ("cloudformation:ListStackResources", "arn:", "nothing was changed"),
    "HeadObject": ("s3:GetObject", f"s3://{BUCKET}/payment-platform/dev/", "nothing was changed"),
    "CreateChangeSet": ("cloudformation:CreateChangeSet", NAME, "no stack was changed"),
}


@pytest.mark.parametrize("operation", NEEDED)
def test_a_denial_names_the_action_the_resource_and_what_was_changed(
    command: Command, aws: Service, operation: str
) -> None:
    add_platform(aws, edit_harmlessly)
    aws.errors[operation] = [DENIED] * 50
    action, resource, changes = NEEDED[operation]
    (line,) = command("dev", "--yes", code=1).stderr.splitlines()
    assert line.startswith(f"deploy: not authorized: {action} on {resource}"), line
    assert line.endswith(f"; your role lacks this permission, or another policy denies it; {changes}"), line
    assert set(aws.find_writes()) <= ({"PutObject", "CreateChangeSet"} if changes.startswith("no stack") else set())


def test_a_denied_upload_names_the_object(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.errors["PutObject"] = [DENIED] * 50
    (line,) = command("dev", "--yes", code=1).stderr.splitlines()
    assert line.startswith(f"deploy: not authorized: s3:PutObject on s3://{BUCKET}/payment-platform/dev/")
    assert line.endswith("; nothing was changed")


@pytest.mark.parametrize("operation", [*NEEDED, "PutObject"])
def test_expired_credentials_are_renewed_by_signing_in(command: Command, aws: Service, operation: str) -> None:
    """S3 answers a HEAD request without saying that they have expired."""
    add_platform(aws, edit_harmlessly)
    aws.faults[operation] = Fault(EXPIRED)
    (line,) = command("dev", "--yes", code=1).stderr.splitlines()
    assert "sign in again" in line, line


def test_an_upload_that_conflicts_with_another_one_is_repeated(command: Command, aws: Service) -> None:
    """S3 answers so while another upload or a deletion of the same key goes on; then nothing may be there.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    add_platform(aws, edit_harmlessly)
    aws.errors["PutObject"] = [Refused("ConditionalRequestConflict", "in progress", 409)] * 2
    command("dev", "--yes", code=0)


def test_an_error_after_the_uploads_does_not_say_that_nothing_was_changed(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.errors["CreateChangeSet"] = [Refused("InternalFailure", "try later", 500)] * 50
    (line,) = command("dev", "--yes", code=1, AWS_MAX_ATTEMPTS="1").stderr.splitlines()
    assert aws.find_requests("PutObject")
    assert line.endswith("; no stack was changed")


def test_an_explicit_denial_is_not_called_a_missing_permission(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    reason = "with an explicit deny in a service control policy"
    words = f"User: me is not authorized to perform: cloudformation:CreateChangeSet on resource: arn:x {reason}"
    aws.errors["CreateChangeSet"] = [Refused("AccessDenied", words, 403)]
    line = command("dev", "--yes", code=1).stderr
    assert f"not authorized: cloudformation:CreateChangeSet on arn:x; it is denied {reason}; " in line


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (f"ChangeSet limit exceeded for stack {NAME}", "delete change sets of that stack: see aws cloudformation"),
        ("Limit for stack has been exceeded", "free what is not needed, or request more in Service Quotas"),
    ],
)
def test_a_limit_is_named_and_not_tried_again(command: Command, aws: Service, message: str, advice: str) -> None:
    """The SDK takes LimitExceededException for throttling, and would repeat the request for a minute.

    The messages are those of https://github.com/awslabs/seed-farmer/issues/441 and
    https://github.com/aws-amplify/amplify-cli/issues/5221.
    """
    add_platform(aws, edit_harmlessly)
    aws.errors["CreateChangeSet"] = [Refused("LimitExceededException", message)] * 20
    (line,) = command("dev", "--yes", code=1).stderr.splitlines()
    assert line.startswith(f"deploy: a limit is reached: cloudformation:CreateChangeSet on {NAME}: {message}; {advice}")
    assert len(aws.find_requests("CreateChangeSet")) == 1


def test_a_refused_change_set_ends_with_what_was_changed(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.refuses[""] = "no such alarm"
    line = command("dev", "--yes", code=1).stderr
    assert line == f"deploy: CloudFormation refuses the change set: {NAME}: no such alarm; no stack was changed\n"


def test_the_first_error_comes_before_what_is_left_and_what_was_changed(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.refuses[""] = "no such alarm"
    aws.errors["DeleteChangeSet"] = [DENIED] * 50
    (line,) = command("dev", "--yes", code=1).stderr.splitlines()
    leftover, removal = (
        line.index(" could not be deleted: not authorized: "),
        line.index("aws cloudformation delete-change-set"),
    )
    assert line.index("no such alarm") < leftover < removal < line.index("; no stack was changed")


def test_a_saved_document_ends_with_the_same_words(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.errors["GetTemplate"] = [DENIED] * 50
    records = command("dev", "--yes", "--json", code=1).read_records()
    assert records[-1]["message"].endswith(
        "your role lacks this permission, or another policy denies it; nothing was changed"
    )


@pytest.mark.parametrize("place", ["a change set", "a resource"])
def test_a_reason_of_several_lines_is_told_in_one(command: Command, aws: Service, place: str) -> None:
    add_platform(aws, edit_harmlessly)
    reasons = {
        "Data/DeadLetters" if place == "a resource" else "Data": "Validation failed:\n#/Name: too\u2028long\x85."
    }
    aws.fails, aws.refuses = (reasons, {}) if place == "a resource" else ({}, reasons)
    (line,) = command("dev", "--yes", code=1).stderr.splitlines()
    assert "Validation failed: #/Name: too long" in line

"""No operation that changes something, or that returns credentials, counts as a read."""

import re

import boto3

from scripts.verify import read_only

SERVICES = (
    *("backup", "cloudformation", "cloudwatch", "dynamodb", "events", "iam", "kms", "lambda", "logs"),
    *("s3", "secretsmanager", "sns", "sqs", "stepfunctions", "sts", "xray"),
)
# Reviewed against the access levels of the Service Authorization Reference: Read and List.
# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
READ_NAMES = re.compile(r"(BatchGet|Describe|Get|List)[A-Z]\w+|FilterLogEvents|Query|DetectStackDrift")
NOT_READ = {
    *("GetActivityTask", "GetSecretValue"),
    *("GetDelegatedAccessToken", "GetFederationToken", "GetSessionToken", "GetWebIdentityToken"),
}


def list_operations() -> set[str]:
    """Return all operations of the services that this command calls."""
    session = boto3.Session("none", "none", region_name="eu-west-1")
    return {name for service in SERVICES for name in session.client(service).meta.service_model.operation_names}


def test_of_all_operations_only_reads_are_allowed() -> None:
    allowed = {name for name in list_operations() if read_only.is_read(name)}
    assert {name for name in allowed if not READ_NAMES.fullmatch(name)} == set()
    assert allowed & NOT_READ == set()
    # The list includes writes that are named like reads.
    assert {"BatchWriteItem", "BatchExecuteStatement", "GetActivityTask", "GetSecretValue"} <= list_operations()
    assert {"GetTopicAttributes", "BatchGetTraces", "DetectStackDrift", "FilterLogEvents"} <= allowed

"""No operation that changes something, or that hands out credentials, passes for a read."""

import re

import boto3

from scripts.verify import read_only
from scripts.verify.place import SERVICES

# Reviewed against the access levels of the Service Authorization Reference: Read and List.
# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
READ = re.compile(r"(BatchGet|Describe|Get|List)[A-Z]\w+|FilterLogEvents|Query|DetectStackDrift")
NOT_READ = {
    *("GetActivityTask", "GetSecretValue"),
    *("GetDelegatedAccessToken", "GetFederationToken", "GetSessionToken", "GetWebIdentityToken"),
}


def operations() -> set[str]:
    """All that the services of this command have, and Secrets Manager."""
    session = boto3.Session("none", "none", region_name="eu-west-1")
    return {
        name
        for service in (*SERVICES, "secretsmanager")
        for name in session.client(service).meta.service_model.operation_names
    }


def test_of_all_operations_only_reads_are_let_through() -> None:
    let_through = {name for name in operations() if read_only.is_read(name)}
    assert {name for name in let_through if not READ.fullmatch(name)} == set()
    assert let_through & NOT_READ == set()
    # The check sees the writes that are named much like a read.
    assert {"BatchWriteItem", "BatchExecuteStatement", "GetActivityTask", "GetSecretValue"} <= operations()
    assert {"GetTopicAttributes", "BatchGetTraces", "DetectStackDrift", "FilterLogEvents"} <= let_through

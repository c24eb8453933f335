"""Refuses calls that are not reads before they leave this machine.

Reads are the operations with the access levels Read and List, recognized by their verbs, and DetectStackDrift:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudformation.html
"""

from typing import Any

import boto3

VERBS = ("BatchGet", "Describe", "Filter", "Get", "List", "Query")
OTHER_READS = ("DetectStackDrift",)
# Named like reads, but they return credentials or a secret, or take the task of an activity.
REFUSED = (
    *("GetDelegatedAccessToken", "GetFederationToken", "GetSessionToken", "GetWebIdentityToken"),
    *("GetActivityTask", "GetSecretValue"),
)


class WriteRefused(BaseException):
    """A bug of this command: a write in a read-only run. Not an ``Exception``, so that no check catches it."""


def refuse_writes(session: boto3.Session) -> None:
    """Refuse writes by every client that is created from ``session`` from now on."""
    session.events.register("before-call", _refuse_write)


def is_read(operation: str) -> bool:
    return operation not in REFUSED and (operation.startswith(VERBS) or operation in OTHER_READS)


def _refuse_write(model: Any, **_: Any) -> None:
    if not is_read(model.name):
        raise WriteRefused(f"{model.service_model.service_name}:{model.name} is not a read")

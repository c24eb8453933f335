"""A guard for prod: every call that is not a read is refused before it leaves this machine.

The operations are those with the access levels Read and List, by their names: AWS gives its reads a few verbs.
DetectStackDrift is a read: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudformation.html
"""

from typing import Any

import boto3

VERBS = ("BatchGet", "Describe", "Filter", "Get", "List", "Query")
OTHERS = ("DetectStackDrift",)
# Named like a read, and hands out credentials or a secret, or takes a task of an activity away.
REFUSED = (
    *("GetDelegatedAccessToken", "GetFederationToken", "GetSessionToken", "GetWebIdentityToken"),
    *("GetActivityTask", "GetSecretValue"),
)


class WriteRefused(BaseException):
    """A defect of this command: it asked for a write in a run that must not write. No check may catch it."""


def guard(session: boto3.Session) -> None:
    """Refuse writes by every client that is made from ``session`` from now on."""
    session.events.register("before-call", _check)


def is_read(operation: str) -> bool:
    return operation not in REFUSED and (operation.startswith(VERBS) or operation in OTHERS)


def _check(model: Any, **_: Any) -> None:
    if not is_read(model.name):
        raise WriteRefused(f"{model.service_model.service_name}:{model.name} is not a read")

"""A boto3 client of the simulated CloudFormation that works in the same process, without HTTP."""

from types import SimpleNamespace
from typing import Any

import boto3

from tests.deployer.aws import wire
from tests.deployer.aws.cloudformation import CloudFormation
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.settings import REGION


def make_client(cloudformation: CloudFormation) -> Any:
    """Return a client that checks its arguments and pages as boto3 does, but repeats no failed request."""

    def answer_call(model: Any, params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        request = wire.parse_arguments(model.input_shape, {key: str(value) for key, value in params["body"].items()})
        try:
            return SimpleNamespace(status_code=200), cloudformation.answer_request(model.name, request)
        except Refused as refusal:
            error = {"Error": {"Code": refusal.code, "Message": str(refusal)}}
            return SimpleNamespace(status_code=refusal.http_status), error

    client = boto3.client("cloudformation", region_name=REGION)
    client.meta.events.register("before-call.cloudformation", answer_call)
    return client

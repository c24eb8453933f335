"""The account's quotas, as answers of the form of the SDK's service models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from scripts.capacity import account
from scripts.capacity.headroom import Available
from scripts.capacity.limits import Limits, load_limits
from scripts.common.target import Target

REGION = "us-east-1"
QUOTAS = [
    (key, limit.service_code, limit.quota_code)
    for key, limit in load_limits(REGION).rows.items()
    if limit.quota_code and limit.service_code != "lambda"
]


class StubbedTarget(Target):
    """A target whose clients answer what ``stub`` has told their stubbers."""

    @classmethod
    def create(cls, stub: Callable[[dict[str, Stubber]], None]) -> "StubbedTarget":
        session = boto3.Session("test", "test", region_name=REGION)
        target = cls(session)
        clients = {name: session.client(name) for name in ("service-quotas", "lambda", "dynamodb")}  # type: ignore[call-overload]
        stubbers = {name: Stubber(client) for name, client in clients.items()}
        stub(stubbers)
        for stubber in stubbers.values():
            stubber.activate()
        object.__setattr__(target, "stubbed", clients)
        return target

    def _find_client(self, service: Any, config: Any = None) -> Any:  # noqa: ARG002 - as its base has it
        return self.stubbed[service]  # type: ignore[attr-defined]


def stub_quotas(stubber: Stubber, value: float) -> None:
    for _, service_code, quota_code in QUOTAS:
        request = {"ServiceCode": service_code, "QuotaCode": quota_code}
        if quota_code == "L-1B55A735":  # as if it had never been changed
            stubber.add_client_error(
                "get_service_quota", "NoSuchResourceException", http_status_code=400, expected_params=request
            )
            stubber.add_response("get_aws_default_service_quota", {"Quota": {"Value": value + 1}}, request)
        else:
            stubber.add_response("get_service_quota", {"Quota": {"Value": value}}, request)


def stub_others(stubbers: dict[str, Stubber]) -> None:
    stubbers["lambda"].add_response("get_account_settings", {"AccountLimit": {"ConcurrentExecutions": 10}}, {})
    index = {"IndexName": "open-payments", "WarmThroughput": {"WriteUnitsPerSecond": 8000}}
    table = {"WarmThroughput": {"ReadUnitsPerSecond": 15_000}, "GlobalSecondaryIndexes": [index]}
    stubbers["dynamodb"].add_response("describe_table", {"Table": table}, {"TableName": "dynamodb-transactions-dev"})


@pytest.fixture
def limits() -> Limits:
    return load_limits(REGION)


def test_the_account_tells_its_values(limits: Limits) -> None:
    def stub(stubbers: dict[str, Stubber]) -> None:
        stub_quotas(stubbers["service-quotas"], 777)
        stub_others(stubbers)

    readings = account.read_account(StubbedTarget.create(stub), "dev", limits)
    assert readings.obstacles == []
    assert readings.values["step_functions_starts"] == Available(778, "Service Quotas")
    assert readings.values["kms_requests"] == Available(777, "Service Quotas")
    assert readings.values["lambda_concurrency"] == Available(10, "Lambda")
    assert readings.values["lambda_requests"] == Available(100, "Lambda")
    assert readings.values["dynamodb_warm_index"] == Available(8000, "DynamoDB")
    assert readings.values["dynamodb_warm_reads"] == Available(15_000, "DynamoDB")
    # The table has not told it.
    assert "dynamodb_warm_writes" not in readings.values


def test_a_refusal_of_one_service_leaves_the_others(limits: Limits) -> None:
    def stub(stubbers: dict[str, Stubber]) -> None:
        denial = "User: arn:aws:iam::123456789012:user/a is not authorized to perform: servicequotas:GetServiceQuota"
        stubbers["service-quotas"].add_client_error("get_service_quota", "AccessDeniedException", denial, 400)
        stub_others(stubbers)

    readings = account.read_account(StubbedTarget.create(stub), "dev", limits)
    assert set(readings.values) == {
        "lambda_concurrency",
        "lambda_requests",
        "dynamodb_warm_index",
        "dynamodb_warm_reads",
    }
    (obstacle,) = readings.obstacles
    assert obstacle.startswith("Service Quotas could not be read: ")
    assert "servicequotas:GetServiceQuota" in obstacle


def test_an_environment_that_is_not_deployed_has_no_warm_throughput(limits: Limits) -> None:
    def stub(stubbers: dict[str, Stubber]) -> None:
        stub_quotas(stubbers["service-quotas"], 1)
        stubbers["lambda"].add_response("get_account_settings", {"AccountLimit": {"ConcurrentExecutions": 10}}, {})
        stubbers["dynamodb"].add_client_error("describe_table", "ResourceNotFoundException", http_status_code=400)

    readings = account.read_account(StubbedTarget.create(stub), "dev", limits)
    assert readings.obstacles == []
    assert not [key for key in readings.values if "warm" in key]


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"])
def test_credentials_are_seen_without_asking(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert not account.has_credentials(None)
    assert account.has_credentials("a-profile")
    monkeypatch.setenv(variable, "some-value")
    assert account.has_credentials(None)
    monkeypatch.delenv(variable)
    (tmp_path / "none").write_text("[default]\nregion = eu-west-1\n")
    assert not account.has_credentials(None)
    (tmp_path / "none").write_text("[profile payments]\nregion = eu-west-1\nsso_session = company\n")
    assert account.has_credentials(None)


def test_an_account_that_cannot_be_reached_is_asked_once(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []

    def refuse(*_: Any) -> None:
        requests.append(1)
        raise EndpointConnectionError(endpoint_url="https://servicequotas.us-east-1.amazonaws.com")

    for name in ("_read_quotas", "_read_concurrency", "_read_tables"):
        monkeypatch.setattr(account, name, refuse)
    readings = account.read_account(StubbedTarget.create(lambda _: None), "dev", limits)
    assert len(requests) == 1
    assert len(readings.obstacles) == 1

"""What the account has: its quotas and the settings of its tables and functions, as AWS tells them.

https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.common.errors import AWS_ERRORS, describe_error
from stacks import names

from .headroom import Available
from .limits import Limits

if TYPE_CHECKING:
    from scripts.common.target import Target

SERVICE_QUOTAS, LAMBDA, DYNAMODB = "Service Quotas", "Lambda", "DynamoDB"
# How many requests a second Lambda accepts for each environment that may run at once.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
REQUESTS_OF_AN_ENVIRONMENT = 10
# Seconds until an answer is given up: the defaults of the Region are as good for a first look.
_LONGEST_SECONDS = 5


@dataclass
class Readings:
    """The values that could be read, by the key of the limit, and why others could not."""

    values: dict[str, Available] = field(default_factory=dict)
    # One line for each service that did not answer.
    obstacles: list[str] = field(default_factory=list)


# The settings of a configuration file that lead to credentials; others, such as a Region, do not.
# https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
_CREDENTIAL_SETTINGS = re.compile(
    r"^\s*(aws_access_key_id|credential_process|credential_source|login_session|role_arn|sso_session|sso_start_url"
    r"|web_identity_token_file)\s*=",
    re.MULTILINE,
)


def has_credentials(profile: str | None) -> bool:
    """Whether the environment or the AWS configuration names credentials. Nothing is requested to find out."""
    variables = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
    containers = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if profile or any(os.environ.get(name) for name in (*variables, *containers)):
        return True
    files = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}
    return any(_names_credentials(os.environ.get(variable, default)) for variable, default in files.items())


def _names_credentials(path: str) -> bool:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return _CREDENTIAL_SETTINGS.search(text) is not None


def read_account(target: "Target", environment: str, limits: Limits) -> Readings:
    """Return what the account tells. A service that refuses is an obstacle and no error, and the others are asked.

    If one cannot be reached, none is asked any more: each would take as long.
    """
    from botocore.config import Config

    readings = Readings()
    config = Config(
        connect_timeout=_LONGEST_SECONDS, read_timeout=_LONGEST_SECONDS, retries={"mode": "standard", "max_attempts": 2}
    )
    for service, read_values in ((SERVICE_QUOTAS, _read_quotas), (LAMBDA, _read_concurrency), (DYNAMODB, _read_tables)):
        try:
            readings.values |= read_values(target, config, environment, limits)
        except AWS_ERRORS as error:
            readings.obstacles.append(f"{service} could not be read: {describe_error(error)}")
            if not hasattr(error, "response"):
                break
    return readings


def _read_quotas(target: "Target", config: Any, _environment: str, limits: Limits) -> dict[str, Available]:
    client: Any = target.client
    quotas = client("service-quotas", config=config)
    values = {}
    for key, limit in limits.rows.items():
        if limit.quota_code and limit.service_code != "lambda":
            value = _read_quota(quotas, limit.service_code, limit.quota_code)
            values[key] = Available(value, SERVICE_QUOTAS)
    return values


def _read_quota(quotas: Any, service_code: str, quota_code: str) -> float:
    """Return the applied value, or the default of a quota that was never changed."""
    arguments = {"ServiceCode": service_code, "QuotaCode": quota_code}
    try:
        answer = quotas.get_service_quota(**arguments)
    except quotas.exceptions.NoSuchResourceException:
        answer = quotas.get_aws_default_service_quota(**arguments)
    return float(answer["Quota"]["Value"])


def _read_concurrency(target: "Target", config: Any, _environment: str, _limits: Limits) -> dict[str, Available]:
    account = target.client("lambda", config=config).get_account_settings()["AccountLimit"]
    concurrency = float(account["ConcurrentExecutions"])
    return {
        "lambda_concurrency": Available(concurrency, LAMBDA),
        "lambda_requests": Available(REQUESTS_OF_AN_ENVIRONMENT * concurrency, LAMBDA),
    }


def _read_tables(target: "Target", config: Any, environment: str, _limits: Limits) -> dict[str, Available]:
    """Return the warm throughput; nothing if the environment is not deployed, or its place does not tell."""
    dynamodb = target.client("dynamodb", config=config)
    try:
        table: Mapping[str, Any] = dynamodb.describe_table(TableName=names.in_environment(names.TABLE, environment))[
            "Table"
        ]
    except dynamodb.exceptions.ResourceNotFoundException:
        return {}
    warm = table.get("WarmThroughput", {})
    throughput = {
        "dynamodb_warm_writes": warm.get("WriteUnitsPerSecond"),
        "dynamodb_warm_reads": warm.get("ReadUnitsPerSecond"),
    }
    for index in table.get("GlobalSecondaryIndexes", []):
        if index["IndexName"] == names.OPEN_INDEX:
            throughput["dynamodb_warm_index"] = index.get("WarmThroughput", {}).get("WriteUnitsPerSecond")
    return {key: Available(float(value), DYNAMODB) for key, value in throughput.items() if value}

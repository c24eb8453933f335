"""Builds the adapters that the function's environment variables select."""

import os
from typing import TYPE_CHECKING

from payments.errors import InternalError

from adapters import dynamodb

if TYPE_CHECKING:
    from payments.ports import Gateway


def read_variable(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise InternalError(f"the environment variable {name} is not set") from None


def notifies_outcomes() -> bool:
    """Whether subscribers are notified of outcomes without a charge: the setting ``notify_business_outcomes``."""
    return read_variable("NOTIFY_BUSINESS_OUTCOMES") == "true"


def read_customer_data_seconds() -> float:
    """Return after how long without a step a finished payment loses its customer; 0 for never."""
    return int(read_variable("CUSTOMER_DATA_DAYS")) * 24 * 60 * 60


def build_ledger(operator: str | None = None) -> dynamodb.DynamoDBLedger:
    """Return the ledger. Its steps record this function with its version, and the ``operator`` if there is one."""
    function = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "unknown")
    version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "unknown")
    actor = f"{function}:{version}" if operator is None else f"{operator} by way of {function}:{version}"
    tables = read_variable("DYNAMODB_TABLE_NAME"), read_variable("LEDGER_TABLE_NAME")
    return dynamodb.DynamoDBLedger(
        *tables,
        dynamodb.create_client(),
        actor,
        int(read_variable("OPEN_SHARDS")),
        erases_customers=read_customer_data_seconds() > 0,
    )


def build_gateway() -> "Gateway":
    """Return the gateway that the variable GATEWAY names, with its calls measured.

    Only its module is imported, and none for validation, because customers wait for imports. Raises
    ``GatewayUnavailable`` if its API key cannot be read now, and ``InternalError`` if a retry cannot help.
    """
    from adapters.measured_gateway import MeasuredGateway

    return MeasuredGateway(_select_gateway())


def _select_gateway() -> "Gateway":
    match read_variable("GATEWAY"):
        case "simulator":
            from adapters.simulator import Simulator

            return Simulator()
        case "stripe":
            # Its library is in a layer that is deployed only with this gateway.
            from adapters.stripe_gateway import connect_with_secret

            return connect_with_secret(
                read_variable("GATEWAY_SECRET_ARN"), read_variable("ENVIRONMENT"), os.environ.get("GATEWAY_URL")
            )
    raise InternalError("the environment variable GATEWAY names no gateway")

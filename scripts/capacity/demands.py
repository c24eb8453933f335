"""What a payment takes: the measured calls, units, bytes and milliseconds of each outcome, and their mean."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.common.errors import UserError
from scripts.common.files import write_file

DEMANDS_FILE = Path(__file__).with_name("demands.json")
REFERENCE_FILE = Path(__file__).with_name("reference.json")
OUTCOMES = ("charged", "declined", "failed")
# How much a new measurement may differ from the file: of counts nothing, of bytes a part, because ids and times vary in
# length. Durations are those of the machine that measures, and not compared.
BYTES_TOLERANCE = 0.1


@dataclass(frozen=True)
class Mix:
    """The shares of the payments with each outcome. The rest is charged."""

    declined: float
    failed: float

    @property
    def shares(self) -> dict[str, float]:
        return {"charged": 1 - self.declined - self.failed, "declined": self.declined, "failed": self.failed}


@dataclass(frozen=True)
class Usage:
    """What one payment takes, or one run of reconciliation; the mean of several if it is a mix."""

    # By service and operation, such as "dynamodb:GetItem".
    calls: Mapping[str, float]
    transitions: float
    # By table, "transactions" or "ledger", and for reads also "index".
    read_units: Mapping[str, float]
    write_units: Mapping[str, float]
    index_write_units: float
    stored_bytes: float
    # By function. The milliseconds are those of all invocations together, without the gateway's time.
    invocations: Mapping[str, float]
    milliseconds: Mapping[str, float]
    # By operation, such as "charge".
    gateway_calls: Mapping[str, float]
    function_log_bytes: float
    # The log of the state machine, and what is added to it if it contains the execution data.
    workflow_log_bytes: float
    workflow_data_bytes: float

    @property
    def total_gateway_calls(self) -> float:
        return sum(self.gateway_calls.values())

    @property
    def total_invocations(self) -> float:
        return sum(self.invocations.values())

    def busy_seconds(self, function: str, gateway_seconds: float) -> float:
        """Return how long invocations of the function run, of which a gateway call takes ``gateway_seconds``."""
        # Only processing calls the gateway for a payment.
        gateway = self.total_gateway_calls * gateway_seconds if function == "processing" else 0.0
        return self.milliseconds.get(function, 0.0) / 1000 + gateway


def load_document(path: Path = DEMANDS_FILE) -> dict[str, Any]:
    """Return the document of the demands. Raises ``UserError`` if the file cannot be read."""
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}; measure it with `make demands`") from None
    return document


def format_document(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    write_file(path, format_document(document).encode())


def read_usage(measured: Mapping[str, Any]) -> Usage:
    tables = measured["tables"]
    return Usage(
        calls=measured["calls"],
        transitions=measured["transitions"],
        read_units={name: table["read_units"] for name, table in tables.items()},
        write_units={name: table["write_units"] for name, table in tables.items()},
        index_write_units=measured["index_write_units"],
        stored_bytes=sum(table["stored_bytes"] for table in tables.values()),
        invocations=measured["invocations"],
        milliseconds=measured["milliseconds"],
        gateway_calls=measured["gateway_calls"],
        function_log_bytes=measured["function_log_bytes"],
        workflow_log_bytes=measured["workflow_log_bytes"],
        workflow_data_bytes=measured["workflow_data_bytes"],
    )


def average_usage(document: Mapping[str, Any], mix: Mix) -> Usage:
    """Return what a payment takes in the mean of the outcomes, weighted by their shares."""
    return read_usage(_sum_up([(document["outcomes"][outcome], share) for outcome, share in mix.shares.items()]))


def _sum_up(parts: list[tuple[Mapping[str, Any], float]]) -> dict[str, Any]:
    """Add up the numbers of nested mappings, each multiplied by its weight; a missing one is zero."""
    total: dict[str, Any] = {}
    for key in dict.fromkeys(key for mapping, _ in parts for key in mapping):
        values = [(mapping[key], weight) for mapping, weight in parts if key in mapping]
        if isinstance(values[0][0], Mapping):
            total[key] = _sum_up(values)
        else:
            total[key] = sum(value * weight for value, weight in values)
    return total

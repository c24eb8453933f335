"""Makes COUNT payments by one of the two sides and prints its figures as JSON.

Prints ``ready`` when its connections are open, and begins when it reads a line.

``python -m scripts.bench.worker ours|reference FOLDER COUNT``, with the functions' variables in the environment.
"""

import importlib
import json
import random
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from botocore.httpsession import URLLib3Session

from scripts.local.examples import EXAMPLES

calls = {"calls": 0, "bytes": 0}


def main(side: str, folder: str, count: int) -> None:
    sys.path.insert(0, folder)
    _count_calls()
    # The reference's gateway sleeps and fails at random; neither is compared.
    time.sleep = lambda _: None
    random.random = lambda: 0.5
    pay = {"ours": make_platform_payer, "reference": make_reference_payer}[side]()
    pay()  # open the connections
    print("ready", flush=True)
    sys.stdin.readline()
    calls.update(calls=0, bytes=0)
    milliseconds, cpu, started = [], time.process_time(), time.perf_counter()
    for _ in range(count):
        before = time.perf_counter()
        pay()
        milliseconds.append((time.perf_counter() - before) * 1000)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    averages = {"cpu_ms": cpu / count * 1000, **{name: value / count for name, value in calls.items()}}
    print(json.dumps({**averages, "seconds": seconds, "milliseconds": milliseconds}))


def make_platform_payer() -> Callable[[], None]:
    validation, processing = (importlib.import_module(name) for name in ("handlers.validation", "handlers.processing"))
    execution = {"id": "bench", "started_at": "2026-01-01T00:00:00Z"}

    def pay() -> None:
        recorded = validation.handler({"request": _make_request(), "execution": execution}, None)
        payment = {key: recorded[key] for key in ("transaction_id", "record_id")}
        outcome = processing.handler({"action": "process", "execution": execution, **payment}, None)
        assert outcome["status"] == "COMPLETED"  # noqa: S101 - a failed payment must not be measured

    return pay


def make_reference_payer() -> Callable[[], None]:
    validation, processing = (importlib.import_module(f"lambda_{name}") for name in ("validation", "processing"))

    def pay() -> None:
        request = _make_request()
        validated = validation.lambda_handler(request, None)
        outcome = processing.lambda_handler(request | {"validation_result": validated}, None)
        assert outcome["processing_status"] == "COMPLETED"  # noqa: S101 - a payment that fails is not to be measured

    return pay


def _make_request() -> dict[str, Any]:
    return EXAMPLES[0].request(f"BENCH-{uuid.uuid4().hex}")


def _count_calls() -> None:
    send = URLLib3Session.send

    def send_and_count(self: URLLib3Session, request: Any) -> Any:
        response = send(self, request)
        calls["calls"] += 1
        calls["bytes"] += len(request.body or b"") + len(response.content)
        return response

    URLLib3Session.send = send_and_count  # type: ignore[method-assign]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

"""What a customer does not wait for when a function starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from adapters import clients

from scripts.common.paths import ROOT


def test_a_client_is_created_without_a_look_at_other_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # Another loader may have looked before, and has kept what it found.
    monkeypatch.setattr(clients, "_LOADER", clients._Loader())
    folders, list_folder = set(), os.listdir

    def watch_folder(path: str) -> list[str]:
        folders.add(Path(path).name)
        return list_folder(path)

    monkeypatch.setattr(os, "listdir", watch_folder)
    clients.create_client("sqs", connect_seconds=1, read_seconds=1, attempts=1)
    assert folders == {"sqs"}


def test_validation_starts_without_what_only_processing_needs() -> None:
    code = "import sys; from handlers import validation; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "lambda")}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    loaded = set(answer.stdout.split())
    assert {"payments.receive", "adapters.dynamodb"} <= loaded
    assert not loaded & {"payments.ports", "adapters.measured_gateway", "adapters.metrics"}

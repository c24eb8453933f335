"""`invoke.sh` runs the sources of the functions on the tables of the emulator, with the events of docs/events."""

import json

import pytest
from click.testing import CliRunner

from scripts.deployer.cli import invoke
from scripts.local import choose_target
from tests.e2e.conftest import Platform
from tests.emitted import ROOT

pytestmark = pytest.mark.e2e
EVENTS = ROOT / "docs" / "events"


def test_the_functions_run_with_the_documented_events(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_target, "reach_environment", lambda *_, **__: platform.target)
    run = CliRunner().invoke
    validated = run(invoke.main, ["validation", str(EVENTS / "validation.json")])
    assert validated.exit_code == 0, validated.output
    assert "payment validated" in validated.stderr
    assert "validation took" in validated.stderr
    answer = json.loads(validated.stdout)
    assert answer["status"] == "PENDING"
    processed = run(invoke.main, ["processing", "-"], input=json.dumps({"action": "process", **answer}))
    assert processed.exit_code == 0, processed.output
    assert platform.read_item(answer["transaction_id"])["status"] == {"S": "COMPLETED"}
    reconciled = run(invoke.main, ["reconciliation", str(EVENTS / "reconciliation.json")])
    assert (reconciled.exit_code, json.loads(reconciled.stdout)["errors"]) == (0, 0), reconciled.output
    refused = run(invoke.main, ["processing", "-"], input="{}")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["errorType"] == "MalformedRequest"
    assert refused.stderr.endswith("invoke: processing failed, as the answer says\n")

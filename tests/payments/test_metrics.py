"""The metrics in the functions' log lines, as AWS's own runtime client writes them."""

import json
import logging
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from adapters.measured_gateway import MeasuredGateway
from adapters.metrics import METRICS, NAMESPACE, count_payment, embed_metrics
from awslambdaric.lambda_runtime_log_utils import JsonFormatter
from handlers import processing, reconciliation
from payments.errors import LedgerUnavailable
from payments.payment import Status
from payments.ports import Charged, Declined, NotCharged, Unknown
from payments.request import PAYMENT_METHODS

from scripts.local.metrics import metrics_of_line
from tests.fakes import ScriptedGateway
from tests.payments.test_dynamodb import PAYMENT
from tests.workflow import Workflow, request

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
UNITS = {"Count", "Seconds", "Milliseconds"}


@pytest.fixture(autouse=True)
def log_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def format_log_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [JsonFormatter().format(record) for record in caplog.records]


def list_metric_values(caplog: pytest.LogCaptureFixture, metric: str, *dimensions: str) -> list[tuple[Any, ...]]:
    """Return ``(*dimensions, value)`` of each datum of a metric that has these dimensions and the environment."""
    return [
        (*(datum.dimensions[name] for name in dimensions), datum.value)
        for line in format_log_lines(caplog)
        for datum in metrics_of_line(line, [])
        if datum.name == metric and set(datum.dimensions) == {"Environment", *dimensions}
    ]


@pytest.mark.parametrize(
    ("script", "changes", "outcome", "attempts"),
    [
        ([Charged("r")], {}, "COMPLETED", [1]),
        ([NotCharged("away"), Charged("r")], {}, "COMPLETED", [2]),
        ([Declined("no")], {}, "DECLINED", [1]),
        ([NotCharged("away")] * 4, {}, "FAILED", [4]),
        ([Unknown("lost")] * 9, {}, "UNKNOWN", [1]),
        ([], {"payment_amount": -1}, "REJECTED", []),
    ],
)
def test_a_payment_is_counted_once_by_its_outcome(
    workflow: Workflow, caplog: pytest.LogCaptureFixture, script: Any, changes: Any, outcome: str, attempts: Any
) -> None:
    workflow.gateway = ScriptedGateway(script=script)
    workflow.pay(request(**changes))
    assert list_metric_values(caplog, "Payments", "Outcome") == [(outcome, 1.0)]
    assert list_metric_values(caplog, "Payments", "Outcome", "PaymentMethod") == [(outcome, "credit_card", 1.0)]
    assert list_metric_values(caplog, "Attempts") == [(float(attempt),) for attempt in attempts]


def test_a_replay_is_not_counted(workflow: Workflow, caplog: pytest.LogCaptureFixture) -> None:
    workflow.pay(request(), name="1")
    workflow.pay(request(), name="2")
    assert list_metric_values(caplog, "Payments", "Outcome") == [("COMPLETED", 1.0)]


@pytest.mark.parametrize(
    ("script", "outcome"),
    [([Charged("r")], "COMPLETED"), ([NotCharged("away")] * 4, "FAILED"), ([Unknown("lost")] * 9, "UNKNOWN")],
)
def test_a_repeated_invocation_is_not_counted_again(
    workflow: Workflow, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, script: Any, outcome: str
) -> None:
    once = processing.handler

    def lose_answer(event: Any, context: Any) -> Any:
        once(event, context)
        return once(event, context)

    monkeypatch.setattr(processing, "handler", lose_answer)
    workflow.gateway = ScriptedGateway(script=script)
    workflow.pay(request())
    assert list_metric_values(caplog, "Payments", "Outcome") == [(outcome, 1.0)]


def test_a_request_without_an_id_is_counted_as_failed(workflow: Workflow, caplog: pytest.LogCaptureFixture) -> None:
    workflow.pay({"payment_amount": 1})
    assert list_metric_values(caplog, "Payments", "Outcome", "PaymentMethod") == [("FAILED", "none", 1.0)]


def test_a_conflict_is_counted_without_the_payment_that_has_the_id(
    workflow: Workflow, caplog: pytest.LogCaptureFixture
) -> None:
    workflow.pay(request(), name="1")
    caplog.clear()
    workflow.pay(request(payment_amount=7), name="2")
    assert list_metric_values(caplog, "Payments", "Outcome", "PaymentMethod") == [("FAILED", "none", 1.0)]


def test_an_unknown_payment_method_is_no_dimension(workflow: Workflow, caplog: pytest.LogCaptureFixture) -> None:
    """A request could put payment data there; the values of a dimension are an enumeration."""
    workflow.pay(request(payment_method="4111 1111 1111 1111"))
    assert list_metric_values(caplog, "Payments", "Outcome", "PaymentMethod") == [("REJECTED", "none", 1.0)]


def test_the_number_of_metrics_stays_small() -> None:
    values = {"Outcome": 10, "PaymentMethod": len(PAYMENT_METHODS) + 1, "Operation": 3}
    dimension_sets = [names for metric in METRICS.values() for names in metric.dimension_sets]
    assert sum(math.prod(values[name] for name in names) for names in dimension_sets) < 100


@pytest.mark.parametrize("answer", [Charged("secret"), Declined("secret"), NotCharged("secret"), Unknown("secret")])
def test_a_gateways_call_is_measured_and_its_answer_passed_on(
    workflow: Workflow, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    workflow.gateway = MeasuredGateway(ScriptedGateway(script=[answer] * 9))
    workflow.pay(request())
    ((operation, milliseconds), *_) = list_metric_values(caplog, "GatewayLatency", "Operation")
    assert operation == "charge"
    assert milliseconds >= 0
    answers = [json.loads(line) for line in format_log_lines(caplog) if "gateway answered" in line]
    assert answers[0]["answer"] == type(answer).__name__
    assert "secret" not in json.dumps(answers)


def test_a_metric_has_the_embedded_metric_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html"""
    monkeypatch.setenv("ENVIRONMENT", "test")
    line = count_payment("COMPLETED", "credit_card", Attempts=2)
    metadata = line.pop("_aws")
    assert set(metadata) == {"Timestamp", "CloudWatchMetrics"}
    assert isinstance(metadata["Timestamp"], int)
    assert metadata["Timestamp"] > 1_600_000_000_000  # milliseconds
    for directive in metadata["CloudWatchMetrics"]:
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        assert directive["Namespace"] == NAMESPACE
        for names in directive["Dimensions"]:
            assert 1 <= len(names) <= 30
            assert all(isinstance(line[name], str) and 1 <= len(line[name]) <= 1024 for name in names)
        for metric in directive["Metrics"]:
            assert metric["Unit"] in UNITS
            assert isinstance(line[metric["Name"]], int | float)


def test_a_run_that_cannot_measure_the_backlog_counts_an_error_and_does_not_fail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Lambda would repeat a failed run, and the heartbeat would miss a run that settled all payments."""

    def read_open_times(_: object) -> list[float]:
        raise LedgerUnavailable("batch_get_item: ThrottlingException")

    monkeypatch.setenv("GATEWAY_REQUESTS_PER_SECOND", "0")
    monkeypatch.setenv("CUSTOMER_DATA_DAYS", "0")
    tables = SimpleNamespace(list_overdue_ids=lambda *_: iter(()), read_open_times=read_open_times)
    monkeypatch.setattr(reconciliation, "get_ledger", lambda: tables)
    assert reconciliation.handler({}, None) == {"overdue": 0, "settled": 0, "open": 0, "errors": 1, "erased": 0}
    assert "reconciliation finished" in caplog.messages
    assert list_metric_values(caplog, "ReconciliationErrors") == [(1.0,)]
    # A missing age is not an age of 0.
    assert list_metric_values(caplog, "OldestOpenPaymentAge") == list_metric_values(caplog, "OpenPayments") == []


def test_a_missing_environment_name_does_not_fail_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENVIRONMENT", raising=False)
    assert embed_metrics({"Attempts": 1})["Environment"] == "unknown"


def test_a_line_without_values_is_no_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "_aws" not in embed_metrics({})


def test_a_refused_refund_is_not_counted_as_a_completed_payment() -> None:
    refunding, unknown, completed, review = (
        replace(PAYMENT, status=status)
        for status in (Status.REFUNDING, Status.UNKNOWN, Status.COMPLETED, Status.REVIEW)
    )
    assert reconciliation._count_outcome(refunding, completed) == {}
    assert reconciliation._count_outcome(refunding, review)["Payments"] == 1
    assert reconciliation._count_outcome(unknown, completed)["Payments"] == 1


@pytest.mark.parametrize("event", [{"action": "refnud"}, {"action": 7}])
def test_an_unknown_action_is_refused_and_reconciles_nothing(event: dict[str, Any]) -> None:
    answer = reconciliation.handler(event, None)
    assert (answer["refused"], answer["detail"][:11]) == ("MalformedRequest", "action must")

"""Runs payments on the AWS emulator, and draws docs/dashboard.svg: ``python -m scripts.pictures.demo_run``.

An ordinary mix of payments, then a gateway that is down, then the ordinary mix again. All values are measured. Five
minutes of the alarms take three seconds, and so do those of the picture: an hour on it took 36 seconds.
"""

import ast
import io
import itertools
import json
import operator
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from scripts.common.files import write_file
from scripts.common.paths import ROOT
from scripts.common.target import Target
from scripts.deployer.deploy import deploy
from scripts.deployer.deployment_options import DeploymentOptions
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.session import Session
from scripts.local import server, target
from stacks import names, settings

from . import dashboard

PICTURE = ROOT / "docs" / "dashboard.svg"
ENVIRONMENT = "local"
SCALE = 0.01
PERIOD_SECONDS = 300 * SCALE
MINUTE = 60 * SCALE
# The length of each part in minutes, and of a hundred payments how many have which cents: the simulator acts on these.
ORDINARY = {0: 90, 1: 6, 2: 2, 7: 2}
GATEWAY_DOWN = {3: 50, 6: 25, 0: 25}
PARTS = ((60, ORDINARY), (20, GATEWAY_DOWN), (60, ORDINARY))
CONCURRENT_PAYMENTS = 3


def main() -> None:
    server.isolate_from_user_configuration()
    with server.run_server(wait_scale=0.05, alarm_scale=SCALE) as running:
        platform = target.emulator_target(running)
        options = DeploymentOptions(ENVIRONMENT, settings.load(ENVIRONMENT), settings.load_bootstrap())
        report = ConsoleReporter(Console(file=io.StringIO()))
        outputs = deploy(Session(options, platform, report, confirm=lambda *_: True)).outputs
        started_at = datetime.now(UTC)
        states = _run_payments(platform, outputs["StepFunctionsStateMachineArn"])
        body = _dashboard_body(platform)
        picture = dashboard.draw_dashboard(body, _measure_series(platform, body, started_at), states)
    write_file(PICTURE, picture.encode())
    print(f"{PICTURE.relative_to(ROOT)} written")


def _run_payments(platform: Target, machine: str) -> dict[str, str]:
    """Run all parts, and return the states of the alarms at the end of the part in which the gateway is down."""
    stepfunctions, numbers = platform.client("stepfunctions"), itertools.count(1)
    ended, states, running = threading.Event(), {}, deque[str]()
    heart = threading.Thread(target=_reconcile_on_schedule, args=(platform, ended))
    heart.start()
    try:
        for minutes, mix in PARTS:
            deadline = time.monotonic() + minutes * MINUTE
            while time.monotonic() < deadline:
                request = json.dumps(_make_request(next(numbers), mix))
                started = stepfunctions.start_execution(stateMachineArn=machine, input=request)
                running.append(started["executionArn"])
                while len(running) >= CONCURRENT_PAYMENTS:
                    _wait_for_execution(stepfunctions, running.popleft())
            if mix is GATEWAY_DOWN:
                states = _alarm_states(platform)
        for execution in running:
            _wait_for_execution(stepfunctions, execution)
    finally:
        ended.set()
        heart.join()
    return states


def _make_request(number: int, mix: dict[int, int]) -> dict[str, Any]:
    """Return a request; each hundred have the mix, in an order that looks random: 37 and 100 have no common divisor."""
    hundred = [cents for cents, times in mix.items() for _ in range(times)]
    return {
        "transaction_id": f"PAY-{number}",
        "payment_amount": (15000 + hundred[number * 37 % 100]) / 100,
        "payment_method": ("credit_card", "debit_card", "credit_card", "digital_wallet")[number % 4],
        "customer_id": "CUST-1",
    }


def _wait_for_execution(stepfunctions: Any, execution: str) -> None:
    deadline = time.monotonic() + 60
    while stepfunctions.describe_execution(executionArn=execution)["status"] == "RUNNING":
        if time.monotonic() > deadline:
            raise SystemExit(f"{execution} does not end")
        time.sleep(0.02)


def _reconcile_on_schedule(platform: Target, ended: threading.Event) -> None:
    """Invoke reconciliation like the schedule, every five minutes of the alarms' time."""
    client = platform.client("lambda")
    function = names.in_environment(names.RECONCILIATION.name, ENVIRONMENT)
    while not ended.wait(PERIOD_SECONDS):
        client.invoke(FunctionName=function, Qualifier=names.LIVE, Payload=b"{}")


def _alarm_states(platform: Target) -> dict[str, str]:
    alarms = platform.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}


def _dashboard_body(platform: Target) -> dict[str, Any]:
    name = names.in_environment(names.DASHBOARD, ENVIRONMENT)
    body: dict[str, Any] = json.loads(platform.client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"])
    return body


def _measure_series(platform: Target, body: dict[str, Any], started_at: datetime) -> dashboard.Series:
    cloudwatch, ended = platform.client("cloudwatch"), datetime.now(UTC)
    lines = [line for widget in body["widgets"] for line in widget["properties"].get("metrics", [])]
    lines_by_id = {line[-1]["id"]: line for line in lines if "id" in line[-1]}
    periods = int((ended - started_at).total_seconds() / PERIOD_SECONDS)

    def measured(line: dashboard.Metric) -> Iterator[tuple[int, float]]:
        """Yield the values by the number of their period."""
        namespace, metric, *dimensions, options = line
        stat = options["stat"]
        kind = "ExtendedStatistics" if stat.startswith("p") else "Statistics"
        query = {"Namespace": namespace, "MetricName": metric, kind: [stat]}
        query["Dimensions"] = [
            {"Name": name, "Value": value} for name, value in zip(dimensions[::2], dimensions[1::2], strict=True)
        ]
        for n in range(periods):
            start = started_at + timedelta(seconds=n * PERIOD_SECONDS)
            end = start + timedelta(seconds=PERIOD_SECONDS)
            statistics: Any = cloudwatch.get_metric_statistics(**query, StartTime=start, EndTime=end, Period=86_400)
            for point in statistics["Datapoints"]:
                yield n, float(point["ExtendedStatistics"][stat] if kind.startswith("E") else point[stat])

    def series(line: dashboard.Metric) -> dashboard.Points:
        if "expression" in line[-1]:
            values = {id_: dict(measured(source)) for id_, source in lines_by_id.items()}
            points = [(n, evaluate_expression(line[-1]["expression"], n, values)) for n in range(periods)]
        else:
            points = list(measured(line))
        return [(started_at + timedelta(minutes=5 * n), value) for n, value in points if value is not None]

    return series


_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


def evaluate_expression(expression: str, period: int, values: dict[str, dict[int, float]]) -> float | None:
    """Evaluate CloudWatch's metric math, as far as the dashboard uses it. Returns None where it has no value.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
    """

    def value(node: ast.expr) -> float | None:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return values[name].get(period)
            case ast.Call(func=ast.Name(id="FILL"), args=[ast.Name(id=name), ast.Constant(value=filled)]):
                return values[name].get(period, float(str(filled)))
            case ast.BinOp(left=first, op=op, right=second):
                a, b = value(first), value(second)
                undefined = a is None or b is None or (isinstance(op, ast.Div) and not b)
                return None if undefined else _OPERATORS[type(op)](a, b)  # type: ignore[arg-type]
        raise ValueError(f"metric math that is not understood here: {expression}")

    return value(ast.parse(expression, mode="eval").body)


if __name__ == "__main__":
    main()

"""The dashboard as a run on the AWS emulator left it: ``python -m scripts.pictures.demo_run`` draws docs/dashboard.svg.

Payments of an ordinary mix, then a gateway that is away, then ordinary again. Five minutes of the alarms take three
seconds, and so do those of the picture: what it shows as an hour took 36 seconds. What it shows was measured.
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

from scripts.common.paths import ROOT
from scripts.common.target import Target
from scripts.deployer.deploy import deploy
from scripts.deployer.order import Order
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.local import server, target
from stacks import names, settings

from . import dashboard

PICTURE = ROOT / "docs" / "dashboard.svg"
ENVIRONMENT = "local"
SCALE = 0.01
PERIOD_SECONDS = 300 * SCALE
MINUTE = 60 * SCALE
# Minutes of each part, and what the simulator makes of the payments in it: cents, by how many of a hundred.
ORDINARY = {0: 90, 1: 6, 2: 2, 7: 2}
AWAY = {3: 50, 6: 25, 0: 25}
PARTS = ((60, ORDINARY), (20, AWAY), (60, ORDINARY))
AT_ONCE = 3


def main() -> None:
    server.isolate_from_user_configuration()
    with server.run_server(wait_scale=0.05, alarm_scale=SCALE) as running:
        platform = target.emulator_target(running)
        order = Order(ENVIRONMENT, settings.load(ENVIRONMENT), settings.load_bootstrap())
        outputs = deploy(order, platform, ConsoleReporter(Console(file=io.StringIO())), confirm=lambda *_: True).outputs
        began = datetime.now(UTC)
        states = _run(platform, outputs["StepFunctionsStateMachineArn"])
        body = _body(platform)
        drawn = dashboard.render(body, _series(platform, body, began), states)
    PICTURE.write_text(drawn)
    print(f"{PICTURE.relative_to(ROOT)} written")


def _run(platform: Target, machine: str) -> dict[str, str]:
    """All parts, one after the other; the states of the alarms in the middle of the trouble."""
    stepfunctions, numbers = platform.client("stepfunctions"), itertools.count(1)
    ended, states, running = threading.Event(), {}, deque[str]()
    heart = threading.Thread(target=_reconcile, args=(platform, ended))
    heart.start()
    try:
        for minutes, mix in PARTS:
            until = time.monotonic() + minutes * MINUTE
            while time.monotonic() < until:
                request = json.dumps(_request(next(numbers), mix))
                started = stepfunctions.start_execution(stateMachineArn=machine, input=request)
                running.append(started["executionArn"])
                while len(running) >= AT_ONCE:
                    _wait(stepfunctions, running.popleft())
            if mix is AWAY:
                states = _states(platform)
        for execution in running:
            _wait(stepfunctions, execution)
    finally:
        ended.set()
        heart.join()
    return states


def _request(number: int, mix: dict[int, int]) -> dict[str, Any]:
    """Each hundred have the mix, in an order that looks like none: 37 and 100 have no divisor in common."""
    hundred = [cents for cents, times in mix.items() for _ in range(times)]
    return {
        "transaction_id": f"PAY-{number}",
        "payment_amount": (15000 + hundred[number * 37 % 100]) / 100,
        "payment_method": ("credit_card", "debit_card", "credit_card", "digital_wallet")[number % 4],
        "customer_id": "CUST-1",
    }


def _wait(stepfunctions: Any, execution: str) -> None:
    deadline = time.monotonic() + 60
    while stepfunctions.describe_execution(executionArn=execution)["status"] == "RUNNING":
        if time.monotonic() > deadline:
            raise SystemExit(f"{execution} does not end")
        time.sleep(0.02)


def _reconcile(platform: Target, ended: threading.Event) -> None:
    """As the schedule does, every five minutes of the alarms' time."""
    client = platform.client("lambda")
    function = names.in_environment(names.RECONCILIATION_FUNCTION, ENVIRONMENT)
    while not ended.wait(PERIOD_SECONDS):
        client.invoke(FunctionName=function, Qualifier=names.LIVE, Payload=b"{}")


def _states(platform: Target) -> dict[str, str]:
    alarms = platform.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}


def _body(platform: Target) -> dict[str, Any]:
    name = names.in_environment(names.DASHBOARD, ENVIRONMENT)
    body: dict[str, Any] = json.loads(platform.client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"])
    return body


def _series(platform: Target, body: dict[str, Any], began: datetime) -> dashboard.Series:
    cloudwatch, ended = platform.client("cloudwatch"), datetime.now(UTC)
    lines = [line for widget in body["widgets"] for line in widget["properties"].get("metrics", [])]
    named = {line[-1]["id"]: line for line in lines if "id" in line[-1]}
    periods = int((ended - began).total_seconds() / PERIOD_SECONDS)

    def measured(line: dashboard.Metric) -> Iterator[tuple[int, float]]:
        """By the number of the period."""
        namespace, metric, *dimensions, options = line
        stat = options["stat"]
        kind = "ExtendedStatistics" if stat.startswith("p") else "Statistics"
        about = {"Namespace": namespace, "MetricName": metric, kind: [stat]}
        about["Dimensions"] = [
            {"Name": name, "Value": value} for name, value in zip(dimensions[::2], dimensions[1::2], strict=True)
        ]
        for n in range(periods):
            start = began + timedelta(seconds=n * PERIOD_SECONDS)
            end = start + timedelta(seconds=PERIOD_SECONDS)
            points: Any = cloudwatch.get_metric_statistics(**about, StartTime=start, EndTime=end, Period=86_400)
            for point in points["Datapoints"]:
                yield n, float(point["ExtendedStatistics"][stat] if kind.startswith("E") else point[stat])

    def series(line: dashboard.Metric) -> dashboard.Points:
        if "expression" in line[-1]:
            values = {name: dict(measured(of)) for name, of in named.items()}
            found = [(n, calculated(line[-1]["expression"], n, values)) for n in range(periods)]
        else:
            found = list(measured(line))
        return [(began + timedelta(minutes=5 * n), value) for n, value in found if value is not None]

    return series


_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


def calculated(expression: str, period: int, values: dict[str, dict[int, float]]) -> float | None:
    """CloudWatch's metric math, as much of it as the dashboard uses; None where it has no value.

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
            case ast.BinOp(left=left, op=op, right=right):
                a, b = value(left), value(right)
                nothing = a is None or b is None or (isinstance(op, ast.Div) and not b)
                return None if nothing else _OPERATORS[type(op)](a, b)  # type: ignore[arg-type]
        raise ValueError(f"metric math that is not understood here: {expression}")

    return value(ast.parse(expression, mode="eval").body)


if __name__ == "__main__":
    main()

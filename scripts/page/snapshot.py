"""What the page shows, read from the platform. It shows no more of a payment than `scripts/payments.sh`."""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

from payments.request import is_transaction_id

from scripts.common.errors import UserError
from scripts.common.states import shorten_name
from scripts.deployer.deployment_options import stack_name
from scripts.deployer.stack import describe_stack
from scripts.local.examples import Example
from scripts.operator.batch import Batch
from scripts.operator.dead_letter_queue import hold_letters, read_letters
from scripts.operator.dead_letters import DeadLetter
from scripts.operator.execution_names import is_express, is_redrive
from scripts.operator.executions import Execution, read_execution
from scripts.operator.express_executions import read_recent_executions
from scripts.operator.json_output import to_json
from scripts.operator.payment_lists import list_recent_payments
from scripts.operator.payment_requests import read_arguments
from scripts.operator.platform import Platform
from scripts.operator.records import Record, format_time, hide_card_numbers
from scripts.operator.redrives import Redrives
from scripts.operator.story import read_story

# Far more than a demonstration sends; the counts are of these.
MOST_COUNTED = 10_000
MOST_LISTED = 20
MOST_REDRIVES = 5
# Executions whose path is read; of those that run at once, fewer.
MOST_EXECUTIONS = 100
MOST_RUNNING = 30
# How far back the log of the Express workflow is read.
RECENT_SECONDS = 15 * 60


class NotDeployedYet(UserError):
    """The platform is being deployed."""


class Source:
    """Reads the platform that ``reach`` returns, and reaches it again after an error.

    One thread calls ``take_snapshot`` and ``refresh_letters``; any thread may call the other methods.
    """

    def __init__(self, reach: Callable[[], Platform]) -> None:
        self._reach = reach
        self._platform: Platform | None = None
        self._reach_lock = threading.Lock()
        # Reading letters hides them from everybody else for a moment.
        self._queue_lock = threading.RLock()
        self._letters: list[DeadLetter] = []
        self._queue_state: object = None
        self._ended_executions: OrderedDict[str, Execution] = OrderedDict()
        self._failed_executions: tuple[str, ...] = ()

    def take_snapshot(self) -> dict[str, Any]:
        """Return what the page shows, equal while nothing changes. Raises ``UserError`` and ``AWS_ERRORS``.

        While nothing happens it costs five calls: two lists of executions, a scan of the table, and the alarms.
        """
        platform = self.reach_platform()
        running, executions = self._read_executions(platform)
        payments = list_recent_payments(platform, limit=MOST_COUNTED)
        pending = (execution for execution in executions if execution.states and not execution.has_ended)
        states = {execution.transaction_id: shorten_name(execution.states[-1]) for execution in pending}
        newest = sorted(payments, key=lambda payment: payment.created_at, reverse=True)[:MOST_LISTED]
        payments_by_id = {payment.transaction_id: payment for payment in payments}
        redrives = _find_redrives(executions)
        return {
            "environment": platform.environment,
            "counts": dict(sorted(Counter(payment.status for payment in payments).items())),
            "running": running,
            "executions": [_describe_execution(execution) for execution in executions],
            "payments": [
                _describe_payment(payment)
                | {
                    "state": states.get(payment.transaction_id, ""),
                    "redrive": redrives.get(payment.transaction_id, ""),
                }
                for payment in newest
            ],
            "redrives": [
                {"payment": payment.transaction_id, "status": payment.status, "redrive": execution_status}
                for transaction_id, execution_status in list(redrives.items())[:MOST_REDRIVES]
                if (payment := payments_by_id.get(transaction_id))
            ],
            "alarms": _read_alarms(platform),
            "letters": [
                _describe_letter(letter, payments_by_id.get(letter.transaction_id))
                | {"redrive": redrives.get(letter.transaction_id, "")}
                for letter in self._letters
            ],
        }

    def refresh_letters(self) -> bool:
        """Read the dead letters if the queue has changed, which hides them for a second; return whether it has."""
        platform = self.reach_platform()
        counts = platform.client("sqs").get_queue_attributes(
            QueueUrl=platform.dead_letter_queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        # If one letter replaced another, the count is the same, but another execution has failed.
        queue_state = (sum(int(count) for count in counts.values()), self._failed_executions)
        if queue_state == self._queue_state or not self._queue_lock.acquire(blocking=False):
            return False
        try:
            self._letters = read_letters(platform)
        finally:
            self._queue_lock.release()
        self._queue_state = queue_state
        return True

    @contextmanager
    def reserve_letters(self) -> Iterator[None]:
        """Leave the letters visible to the caller inside the ``with`` block."""
        with self._queue_lock:
            yield

    def read_story(self, transaction_id: str) -> dict[str, Any]:
        """Return ``{"payment", "notifications", "timeline"}``. Raises ``UserError`` if the payment is not recorded."""
        story = read_story(self.reach_platform(), transaction_id)
        return {
            "payment": _describe_payment(story.payment),
            "notifications": story.notifications,
            "timeline": [to_json(entry) for entry in story.timeline],
        }

    def start_payment(self, example: Example, run: str) -> str:
        """Start a payment of the example and return its transaction id."""
        transaction_id, amount, method, customer, currency = map(str, example.request(run).values())
        request = read_arguments(transaction_id, amount, method, customer, currency)
        (result,) = Batch(self.reach_platform(), [request]).send_requests()
        if not result.is_newly_sent:
            raise UserError(f"{result.transaction_id}: {result.comment or result.status}")
        return result.transaction_id

    def redrive_letter(self, letter_id: str) -> str:
        """Redrive a dead letter and return the outcome. Raises ``UserError`` with the reason if it is not possible."""
        platform = self.reach_platform()
        with self._queue_lock:
            self._queue_state = None
            with hold_letters(platform, is_selected=lambda letter: letter.letter_id == letter_id) as letters:
                if not letters:
                    raise UserError("this dead letter was redriven or cleared, or somebody else is about to")
                outcome = Redrives(platform).redrive_letter(letters[0])
            # A new list, because another thread may be reading the old one.
            self._letters = [letter for letter in self._letters if letter.letter_id != letter_id]
        return f"{letters[0].transaction_id}: {'redriven' if ' arn:' in outcome else outcome}"

    def forget_platform(self) -> None:
        """Reach the platform again after an error, because another emulator may run then."""
        self._platform, self._queue_state = None, None

    def reach_platform(self) -> Platform:
        """Return the platform. Raises ``NotDeployedYet`` while it is being deployed, ``UserError`` if there is none."""
        with self._reach_lock:
            if self._platform is None:
                platform = self._reach()
                # Not `platform.outputs`, which keeps what it read first: a new stack has no outputs.
                if not describe_stack(platform.client("cloudformation"), stack_name(platform.environment)).outputs:
                    raise NotDeployedYet(f"the platform is not deployed in {platform.environment} yet")
                self._platform = platform
            return self._platform

    def _read_executions(self, platform: Platform) -> tuple[str, list[Execution]]:
        """Return the number of running executions, or "N or more"; and these and the newest ones, oldest first."""
        stepfunctions, machine = platform.client("stepfunctions"), platform.outputs["StepFunctionsStateMachineArn"]
        if is_express(machine):
            return self._read_express_executions(platform)
        # One page of each: no paginator, which would read them all.
        response = stepfunctions.list_executions(
            stateMachineArn=machine, maxResults=MOST_EXECUTIONS, statusFilter="RUNNING"
        )
        running = response["executions"]
        count = f"{len(running)} or more" if "nextToken" in response else str(len(running))
        newest = stepfunctions.list_executions(stateMachineArn=machine, maxResults=MOST_EXECUTIONS)["executions"]
        dates = {execution["executionArn"]: execution["startDate"] for execution in (*running, *newest)}
        for execution in running[MOST_RUNNING:]:
            del dates[execution["executionArn"]]
        executions = []
        for arn in sorted(dates, key=lambda arn: (dates[arn], arn)):
            history = self._ended_executions.get(arn) or read_execution(stepfunctions, arn)
            if history.has_ended:  # it no longer changes
                self._ended_executions[arn] = history
            executions.append(history)
        while len(self._ended_executions) > 2 * MOST_EXECUTIONS:
            self._ended_executions.popitem(last=False)
        self._failed_executions = tuple(
            execution.execution_arn for execution in executions if execution.status == "FAILED"
        )
        return count, executions

    def _read_express_executions(self, platform: Platform) -> tuple[str, list[Execution]]:
        """Return the same of Express executions, which no call lists: those of the last minutes of their log."""
        executions = read_recent_executions(platform, time.time() - RECENT_SECONDS)
        running = [execution for execution in executions if not execution.has_ended]
        newest = sorted(executions, key=lambda execution: execution.moments[0].at)[-MOST_EXECUTIONS:]
        self._failed_executions = tuple(execution.execution_arn for execution in newest if execution.status == "FAILED")
        return str(len(running)), newest


def _find_redrives(executions: list[Execution]) -> dict[str, str]:
    """Return the status of each redriven payment's latest redrive by the payment's id, the newest first."""
    redrives: dict[str, str] = {}
    for execution in reversed(executions):
        if is_transaction_id(execution.transaction_id) and is_redrive(execution.name, execution.transaction_id):
            redrives.setdefault(execution.transaction_id, execution.status)
    return redrives


def _describe_execution(execution: Execution) -> dict[str, Any]:
    """Return the path of the execution through the states; of its input, only a valid transaction id."""
    return {
        "id": hide_card_numbers(execution.name),
        "payment": execution.transaction_id if is_transaction_id(execution.transaction_id) else "",
        "path": list(execution.states),
        "status": execution.status,
    }


def _describe_payment(payment: Record) -> dict[str, Any]:
    return {
        "id": payment.transaction_id,
        "status": payment.status,
        "amount": payment.amount,
        "method": payment.payment_method.replace("_", " "),
        "attempts": payment.attempts,
        "why": ", ".join(payment.reasons) or payment.failure,
        "reference": payment.gateway_reference,
        "created_at": payment.created_at,
        "updated_at": payment.updated_at,
    }


def _read_alarms(platform: Platform) -> list[dict[str, str]]:
    """Return the alarms by name, each with its section of the runbook."""
    # By default, DescribeAlarms leaves out composite alarms.
    pages = platform.client("cloudwatch").get_paginator("describe_alarms")
    alarms: list[Any] = []
    for page in pages.paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"]):
        alarms += [*page.get("MetricAlarms", ()), *page.get("CompositeAlarms", ())]
    described = []
    for alarm in sorted(alarms, key=itemgetter("AlarmName")):
        meaning, _, to_do = alarm.get("AlarmDescription", "").partition(". What to do: ")
        name, since = alarm["AlarmName"].removesuffix(f"-{platform.environment}"), alarm["StateUpdatedTimestamp"]
        described.append(
            {"name": name, "state": alarm["StateValue"], "since": format_time(since), "what": meaning, "to_do": to_do}
        )
    return described


def _describe_letter(letter: DeadLetter, payment: Record | None) -> dict[str, Any]:
    """Describe the letter, which was read earlier, with the payment's status in this snapshot."""
    letter = letter.with_status_of(payment)
    return {
        "id": letter.letter_id,
        "payment": letter.transaction_id,
        "error": letter.error,
        "state": shorten_name(letter.state),
        "current_status": letter.current_status,
        "at": letter.timestamp,
        "explanation": letter.explanation,
        "advice": letter.advice,
        "can_be_redriven": letter.is_redrivable,
    }

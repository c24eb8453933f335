"""What the page shows, read from the platform. No more of a payment than `scripts/payments.sh` tells of it."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from payments.money import Money
from payments.request import is_transaction_id

from scripts.common.errors import UserError
from scripts.deployer.order import stack_name
from scripts.deployer.stack import describe
from scripts.local.examples import EXAMPLES, Example
from scripts.operator import dead_letter_queue, payment_requests
from scripts.operator.batch import Batch
from scripts.operator.dead_letters import Letter
from scripts.operator.executions import SHORT, Execution, read
from scripts.operator.payment_lists import recent
from scripts.operator.platform import Platform
from scripts.operator.records import Record, hidden, instant
from scripts.operator.redrives import Redrives
from scripts.operator.story import story_of

# All of a demonstration's, and far more; the counts are of these.
MOST_PAYMENTS = 10_000
LISTED = 20
# Executions of which the way is known; more that run at once are only counted.
FOLLOWED = 100
MOST_RUNNING = 30
_SERVICES = ("cloudformation", "cloudwatch", "dynamodb", "lambda", "logs", "sqs", "stepfunctions")


class NotYet(UserError):
    """The platform is being deployed."""


class Source:
    """Reads the platform that ``reach`` finds, and looks for it again when it was gone.

    One thread calls ``snapshot`` and ``letters_changed``; any may call the others.
    """

    def __init__(self, reach: Callable[[], Platform]) -> None:
        self._reach = reach
        self._platform: Platform | None = None
        self._reaching = threading.Lock()
        # Who receives letters hides them from everybody else for a moment.
        self._queue = threading.RLock()
        self._letters: list[Letter] = []
        self._seen: object = None
        self._ended: OrderedDict[str, Execution] = OrderedDict()
        self._failed: tuple[str, ...] = ()

    def snapshot(self) -> dict[str, Any]:
        """All that the page shows; the same while nothing changes. Raises ``UserError`` and ``AWS_ERRORS``.

        Two lists of executions, what is new of each, a scan of the table, the alarms: five calls where nothing happens.
        """
        platform = self.platform()
        running, executions = self._executions(platform)
        payments = recent(platform, limit=MOST_PAYMENTS)
        at = {one.transaction_id: one.states[-1] for one in executions if not one.ended and one.states}
        shown = sorted(payments, key=lambda one: one.created_at, reverse=True)[:LISTED]
        now = {one.transaction_id: one for one in payments}
        return {
            "environment": platform.environment,
            "counts": dict(sorted(Counter(one.status for one in payments).items())),
            "running": running,
            "executions": [_execution(one) for one in executions],
            "payments": [_payment(one) | {"state": SHORT.get(at.get(one.transaction_id, ""), "")} for one in shown],
            "alarms": _alarms(platform),
            "letters": [_letter(one, now.get(one.transaction_id)) for one in self._letters],
        }

    def letters_changed(self) -> bool:
        """Read the dead letters, if the queue tells that there are others; whether it does.

        That hides them for a second, and takes as long, so it is not done for nothing.
        """
        platform = self.platform()
        counted = platform.client("sqs").get_queue_attributes(
            QueueUrl=platform.dead_letters_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        # One may have come as another went: then another execution has failed.
        seen = (sum(int(value) for value in counted.values()), self._failed)
        if seen == self._seen or not self._queue.acquire(blocking=False):
            return False
        try:
            self._letters = dead_letter_queue.read(platform)
        finally:
            self._queue.release()
        self._seen = seen
        return True

    @contextmanager
    def letters_left_alone(self) -> Iterator[None]:
        """Nobody here hides letters from who reads them inside."""
        with self._queue:
            yield

    def story(self, transaction_id: str) -> dict[str, Any]:
        """``{"payment": {...}, "told": [...], "timeline": [{"at", "source", "what", "detail", "bad"}]}``.

        Raises ``UserError`` for a payment that is not recorded.
        """
        story = story_of(self.platform(), transaction_id)
        return {
            "payment": _payment(story.payment),
            "told": story.told,
            "timeline": [
                {"at": one.at, "source": one.source, "what": one.what, "detail": one.detail, "bad": one.bad}
                for one in story.timeline
            ],
        }

    def pay(self, example: Example, run: str) -> str:
        """Start the example; the payment's id."""
        asked = example.request(run)
        request = payment_requests.from_arguments(
            asked["transaction_id"],
            str(example.amount),
            asked["payment_method"],
            asked["customer_id"],
            asked["currency"],
        )
        (result,) = Batch(self.platform(), [request]).send()
        if not result.sent:
            raise UserError(f"{result.transaction_id}: {result.said or result.status}")
        return result.transaction_id

    def redrive(self, letter_id: str) -> str:
        """Send the letter's payment through the workflow again; what was done. Raises ``UserError`` with why not."""
        platform = self.platform()
        with self._queue:
            self._seen = None
            with dead_letter_queue.held(platform, wanted=lambda letter: letter.letter_id == letter_id) as found:
                if not found:
                    raise UserError("this dead letter was redriven or cleared, or somebody else is about to")
                done = Redrives(platform).redrive(found[0])
            # Another list: the old one may be read at this moment.
            self._letters = [letter for letter in self._letters if letter.letter_id != letter_id]
        return f"{found[0].transaction_id}: {done.partition(' arn:')[0]}"

    def forget(self) -> None:
        """After an error: who answers next may be another."""
        self._platform, self._seen = None, None

    def platform(self) -> Platform:
        """Raises ``NotYet`` while it is being deployed, and ``UserError`` where there is none."""
        with self._reaching:
            if self._platform is None:
                found = self._reach()
                for service in _SERVICES:
                    found.client(service)  # made before other threads ask for them: making them is not for several
                # The platform keeps its outputs once it has read them, and has none while it is made.
                if not describe(found.client("cloudformation"), stack_name(found.environment)).outputs:
                    raise NotYet(f"the platform is not deployed in {found.environment} yet")
                self._platform = found
            return self._platform

    def _executions(self, platform: Platform) -> tuple[str, list[Execution]]:
        """How many run, in words where there are more than are asked for; and the newest, oldest first, with those."""
        stepfunctions = platform.client("stepfunctions")
        ask = {"stateMachineArn": platform.outputs["StepFunctionsStateMachineArn"], "maxResults": FOLLOWED}
        answer = stepfunctions.list_executions(statusFilter="RUNNING", **ask)
        running = answer["executions"]
        count = f"{len(running)} or more" if "nextToken" in answer else str(len(running))
        newest = stepfunctions.list_executions(**ask)["executions"]
        dates = {one["executionArn"]: one["startDate"] for one in (*running, *newest)}
        for one in running[MOST_RUNNING:]:
            del dates[one["executionArn"]]
        found = []
        for arn in sorted(dates, key=lambda arn: (dates[arn], arn)):
            execution = self._ended.get(arn) or read(stepfunctions, arn)
            if execution.ended:  # and so it stays
                self._ended[arn] = execution
            found.append(execution)
        while len(self._ended) > 2 * FOLLOWED:
            self._ended.popitem(last=False)
        self._failed = tuple(one.execution_arn for one in found if one.status == "FAILED")
        return count, found


def examples() -> list[dict[str, str]]:
    return [
        {"name": one.name, "what": one.description, "amount": str(Money.parse(one.amount, one.currency))}
        for one in EXAMPLES
    ]


def _execution(execution: Execution) -> dict[str, Any]:
    """Its way through the states; what it was started with is in no field but a checked id's."""
    known = is_transaction_id(execution.transaction_id)
    return {
        "id": hidden(execution.name),
        "payment": execution.transaction_id if known else "",
        "path": list(execution.states),
        "tries": max(execution.tries.values(), default=0),
        "status": execution.status,
    }


def _payment(payment: Record) -> dict[str, Any]:
    return {
        "id": payment.transaction_id,
        "status": payment.status,
        "amount": payment.amount,
        "method": payment.method.replace("_", " "),
        "attempts": payment.attempt,
        "why": ", ".join(payment.reasons) or payment.failure,
        "reference": payment.gateway_reference,
        "created_at": payment.created_at,
        "updated_at": payment.updated_at,
    }


def _alarms(platform: Platform) -> list[dict[str, str]]:
    """Each with the section of the runbook that says what to do."""
    # Unless they are asked for, the composite ones are left out.
    kinds = ["MetricAlarm", "CompositeAlarm"]
    found = []
    for page in platform.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmTypes=kinds):
        for alarm in (*page.get("MetricAlarms", ()), *page.get("CompositeAlarms", ())):
            what, _, to_do = str(alarm.get("AlarmDescription", "")).partition(". What to do: ")
            found.append(
                {
                    "name": alarm["AlarmName"].removesuffix(f"-{platform.environment}"),
                    "state": alarm["StateValue"],
                    "since": instant(alarm["StateUpdatedTimestamp"]),
                    "what": what,
                    "to_do": to_do,
                }
            )
    return sorted(found, key=lambda one: one["name"])


def _letter(letter: Letter, payment: Record | None) -> dict[str, Any]:
    """The payment is asked at every look: a letter that has been read says what it was then."""
    now = replace(letter, now=payment.status if payment else "")
    return {
        "id": now.letter_id,
        "payment": now.transaction_id,
        "error": now.error,
        "state": SHORT.get(now.state, now.state),
        "now": now.now,
        "at": now.timestamp,
        "explanation": now.explanation,
        "advice": now.advice,
        "can_be_redriven": now.can_be_redriven,
    }

"""The services in memory, as the adapters call them; each call passes ``Faults`` and can fail there.

DynamoDB has conditional writes, transactions and the sparse index; the gateway has idempotency keys and lookups that
make "not charged" final; functions and the workflow both use the topic and the queue.
"""

import json
from collections.abc import Callable
from typing import Any

from adapters.dynamodb import DynamoDBLedger
from botocore.exceptions import ClientError, ReadTimeoutError
from payments.ports import (
    GATEWAY_SECONDS,
    Charge,
    Charged,
    NotCharged,
    NotRefunded,
    Outcome,
    Refunded,
    RefundOutcome,
    Unknown,
)

from tests.asl import StatesError
from tests.prove.faults import GATEWAY_FAULTS, READ_FAULTS, SERVICE_FAULTS, WORKFLOW_FAULTS, Crash, Fault, Faults
from tests.service_models import follow_model

# The outcome of every call to a gateway that never answers.
SILENCE = Unknown("silence")
# How long the gateway remembers a key, in seconds.
DAY = 24 * 60 * 60


@follow_model("dynamodb")
class FakeDynamoDB:
    """The operations of the client that the adapter uses, with the conditions that it writes."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.payments: dict[str, dict[str, Any]] = {}
        # The index is eventually consistent: if it lags, it still lists payments that are no longer overdue.
        self.index_lags = False
        self.steps: dict[tuple[str, int], dict[str, Any]] = {}

    def get_item(self, *, TableName: str, Key: dict[str, Any], ConsistentRead: bool) -> dict[str, Any]:
        assert (TableName, ConsistentRead) == ("transactions", True)

        def read_item() -> dict[str, Any]:
            item = self.payments.get(Key["transaction_id"]["S"])
            return {"Item": _copy(item)} if item else {}

        return self._call_with_faults("get_item", read_item)

    def query(self, *, TableName: str, IndexName: str, ExpressionAttributeValues: dict[str, Any], **_: Any) -> Any:
        assert (TableName, IndexName) == ("transactions", "open-payments")
        shard = ExpressionAttributeValues[":shard"]["N"]
        measured = ":now" not in ExpressionAttributeValues
        time = float("inf") if measured else float(ExpressionAttributeValues[":now"]["N"])

        def list_items() -> dict[str, Any]:
            items = [
                {"transaction_id": item["transaction_id"]}
                for item in self.payments.values()
                if (self.index_lags and shard == "0")
                or (item.get("open_shard", {}).get("N") == shard and float(item["overdue_at"]["N"]) <= time)
            ]
            return {"Items": items}

        if measured:  # the measurement at the end of a run, whose faults change nothing
            return list_items()
        # Of the empty shards, only the first can fail.
        return self._call_with_faults("query", list_items) if shard == "0" or list_items()["Items"] else list_items()

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:
        transaction_ids = [key["transaction_id"]["S"] for key in RequestItems["transactions"]["Keys"]]
        items = map(self.payments.get, transaction_ids)
        return {"Responses": {"transactions": [item for item in items if item]}}

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> dict[str, Any]:
        (state, step) = (item["Put"] for item in TransactItems)
        assert (state["TableName"], step["TableName"]) == ("transactions", "ledger")

        def write_both() -> dict[str, Any]:
            stored_item = self.payments.get(state["Item"]["transaction_id"]["S"])
            key = (step["Item"]["transaction_id"]["S"], int(step["Item"]["sequence"]["N"]))
            failed, no_reason = "ConditionalCheckFailed", {"Code": "None"}
            reasons = [no_reason, no_reason]
            if not _is_condition_met(state, stored_item):
                reasons[0] = {"Code": failed, "Item": _copy(stored_item)}
            if step["ConditionExpression"] == "attribute_not_exists(transaction_id)" and key in self.steps:
                reasons[1] = {"Code": failed}
            if reasons != [no_reason, no_reason]:
                raise _client_error("TransactionCanceledException", CancellationReasons=reasons)
            self.payments[key[0]] = _copy(state["Item"])
            self.steps[key] = _copy(step["Item"])
            return {}

        return self._call_with_faults("transact_write_items", write_both)

    def _call_with_faults(self, name: str, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        is_write = name == "transact_write_items"
        throttled, possible = (THROTTLED_WRITE, SERVICE_FAULTS) if is_write else (THROTTLED_READ, READ_FAULTS)
        return self._faults.call(f"dynamodb.{name}", possible, do, throttled=throttled, timeout=NO_RESPONSE)


class FakeGateway:
    """A gateway with idempotency keys: money moves once per key, and a lookup that finds nothing voids the key."""

    request_version = 1

    def __init__(
        self, faults: Faults, behaviour: Callable[[Charge], Outcome | None], clock: Callable[[], float]
    ) -> None:
        self._faults, self._behaviour, self._clock = faults, behaviour, clock
        self._first_seen: dict[str, float] = {}
        # Every charge and refund, in order.
        self.movements: list[tuple[str, str]] = []
        self._answers: dict[str, Outcome] = {}
        self._void: set[str] = set()
        self._refunds: dict[str, Refunded] = {}
        # The start of each charge in progress, by key, and how many charges began during another.
        self._under_way: dict[str, float] = {}
        self.at_once = 0
        self._late: list[Callable[[], object]] = []

    def charge(self, charge: Charge) -> Outcome:
        outcome = self._call_with_faults("charge", lambda: self._do_charge(charge), NotCharged("rate limited"))
        self._under_way[charge.idempotency_key] = self._clock()
        self._faults.switch("gateway.charge answers")
        del self._under_way[charge.idempotency_key]
        return outcome

    def lookup(self, charge: Charge) -> Outcome:
        return self._call_with_faults("lookup", lambda: self._do_lookup(charge), Unknown("rate limited"))

    def close(self, charge: Charge) -> Outcome:
        return self._call_with_faults("close", lambda: self._do_close(charge), Unknown("rate limited"))

    def refund(self, charge: Charge, reference: str) -> RefundOutcome:
        return self._call_with_faults("refund", lambda: self._do_refund(charge, reference), Unknown("rate limited"))

    def let_late_effects_happen(self) -> None:
        while self._late:
            self._late.pop(0)()

    def count_moves(self, kind: str, transaction_id: str) -> int:
        """Return the number of charges or refunds of a payment, under all of its keys."""
        return self.movements.count((kind, transaction_id))

    def _look_up_key(self, charge: Charge) -> str:
        """Return the charge's key, after forgetting what happened under it more than a day ago, as Stripe does."""
        key = charge.idempotency_key
        if self._forget_if_old(key):
            self._answers.pop(key, None)
            self._void.discard(key)
        return key

    def _forget_if_old(self, key: str) -> bool:
        is_forgotten = self._clock() - self._first_seen.setdefault(key, self._clock()) > DAY
        if is_forgotten:
            self._first_seen[key] = self._clock()
        return is_forgotten

    def _do_charge(self, charge: Charge) -> Outcome:
        key = self._look_up_key(charge)
        if key in self._void:
            return NotCharged("cancelled")
        # By the gateway's contract, a call takes no longer than this.
        self.at_once += self._under_way.get(key, 0) > self._clock() - GATEWAY_SECONDS
        if key not in self._answers:
            outcome = self._behaviour(charge)
            if isinstance(outcome, NotCharged | Unknown):
                return outcome  # nothing happened, so nothing is remembered
            if outcome is None:
                self.movements.append(("charge", charge.transaction_id))
                outcome = Charged(f"ref-{key}")
            self._answers[key] = outcome
        return self._answers[key]

    def _do_lookup(self, charge: Charge) -> Outcome:
        if self._behaviour(charge) is SILENCE:
            return SILENCE
        if charge.key_expired:  # a search, which proves nothing if it finds nothing
            has_moved = ("charge", charge.transaction_id) in self.movements
            return Charged(f"ref-{charge.idempotency_key}") if has_moved else Unknown("the key is forgotten")
        key = self._look_up_key(charge)
        if key not in self._answers:
            self._void.add(key)
            return NotCharged("no such charge, and there will be none")
        return self._answers[key]

    def _do_close(self, charge: Charge) -> Outcome:
        if self._behaviour(charge) is SILENCE:
            return SILENCE
        if ("charge", charge.transaction_id) in self.movements:
            return Charged(f"ref-{charge.idempotency_key}")
        self._void.add(self._look_up_key(charge))
        return NotCharged("nothing is open, and nothing will be")

    def _do_refund(self, charge: Charge, reference: str) -> RefundOutcome:
        """Refund once per key, which is forgotten like any other; with a forgotten key, only look up the refund."""
        key = f"{charge.idempotency_key}-refund"
        if charge.key_expired:
            has_moved = ("refund", charge.transaction_id) in self.movements
            return Refunded(f"refund-{reference}") if has_moved else Unknown("the key is forgotten")
        if self._forget_if_old(key):
            self._refunds.pop(key, None)
        if ("charge", charge.transaction_id) not in self.movements:
            return NotRefunded("no such charge")
        if key not in self._refunds:
            self.movements.append(("refund", charge.transaction_id))
            self._refunds[key] = Refunded(f"refund-{reference}")
        return self._refunds[key]

    def _call_with_faults(self, name: str, do: Callable[[], Any], throttled: Any) -> Any:
        fault = self._faults.next(f"gateway.{name}", GATEWAY_FAULTS)
        if fault is Fault.THROTTLED:
            return throttled
        if fault is Fault.TIMEOUT:
            return Unknown("timeout")
        if fault in (Fault.TIMEOUT_LATE, Fault.CRASH_LATE):
            # The request arrives later, when nobody waits for it.
            self._late.append(do)
            if fault is Fault.CRASH_LATE:
                raise Crash(name)
            return Unknown("timeout")
        result = do()
        if fault is Fault.TIMEOUT_WITH_EFFECT:
            return Unknown("timeout")
        if fault is Fault.CRASH_AFTER:
            raise Crash(name)
        return result


@follow_model("secretsmanager")
class FakeSecrets:
    """The gateway's API key, which a function reads before it calls the gateway."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def get_secret_value(self, *, SecretId: str) -> dict[str, Any]:
        assert SecretId == "arn:secret"
        throttled, timeout = _client_error("ThrottlingException"), ReadTimeoutError(endpoint_url="secretsmanager")
        read_secret = lambda: {"SecretString": json.dumps({"api_key": "sk_test"})}  # noqa: E731
        return self._faults.call("secretsmanager.get", READ_FAULTS, read_secret, throttled=throttled, timeout=timeout)


@follow_model("sns", {"publish_from_workflow": "publish"})
class FakeTopic:
    """The published notices as subscribers receive them, with their outcomes."""

    def __init__(self, faults: Faults, judge: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        """``judge`` is called with the arguments of each effective publication, just before its effect."""
        self._faults, self._judge_notice = faults, judge
        self.notices: list[dict[str, Any]] = []

    def publish(self, *, Message: str, MessageAttributes: dict[str, Any], **_: Any) -> dict[str, Any]:
        throttled, timeout = _client_error("ThrottlingException"), ReadTimeoutError(endpoint_url="sns")
        publish = lambda: self._publish(Message, MessageAttributes)  # noqa: E731
        self._faults.call("sns.publish", SERVICE_FAULTS, publish, throttled=throttled, timeout=timeout)
        return {"MessageId": "1"}

    def publish_from_workflow(self, arguments: dict[str, Any]) -> dict[str, Any]:
        throttled, timeout = StatesError("SNS.AmazonSNSException"), StatesError("States.Timeout")
        publish = lambda: self._publish(arguments["Message"], arguments["MessageAttributes"])  # noqa: E731
        self._faults.call("workflow.publish", WORKFLOW_FAULTS, publish, throttled=throttled, timeout=timeout)
        return {"MessageId": "1"}

    def _publish(self, message: str, attributes: dict[str, Any]) -> None:
        self._judge_notice({"Message": message, "MessageAttributes": attributes})
        self.notices.append(json.loads(message) | {"outcome": attributes["outcome"]["StringValue"]})


@follow_model("sqs", {"send_from_workflow": "send_message"})
class FakeQueue:
    """The queue of dead letters."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.letters: list[dict[str, Any]] = []

    def send_message(self, *, MessageBody: str, **_: Any) -> dict[str, Any]:
        throttled, timeout = _client_error("RequestThrottled"), ReadTimeoutError(endpoint_url="sqs")
        send = lambda: self.letters.append(json.loads(MessageBody))  # noqa: E731
        self._faults.call("sqs.send_message", SERVICE_FAULTS, send, throttled=throttled, timeout=timeout)
        return {"MessageId": "1"}

    def send_from_workflow(self, arguments: dict[str, Any]) -> dict[str, Any]:
        throttled, timeout = StatesError("SQS.RequestThrottledException"), StatesError("States.Timeout")
        send = lambda: self.letters.append(json.loads(arguments["MessageBody"]))  # noqa: E731
        self._faults.call("workflow.send_message", WORKFLOW_FAULTS, send, throttled=throttled, timeout=timeout)
        return {"MessageId": "1"}


def _is_condition_met(write: dict[str, Any], stored_item: dict[str, Any] | None) -> bool:
    match write["ConditionExpression"]:
        case DynamoDBLedger.NOT_RECORDED:
            return stored_item is None
        case DynamoDBLedger.UNCHANGED:
            values = write["ExpressionAttributeValues"]
            expected = {"status": values[":status"], "sequence": values[":sequence"]}
            return stored_item is not None and expected.items() <= stored_item.items()
    raise AssertionError(write["ConditionExpression"])


def _copy(item: dict[str, Any]) -> dict[str, Any]:
    """Return a deep copy of an item, whose attribute values hold strings and booleans."""
    return {name: dict(attribute_value) for name, attribute_value in item.items()}


def _client_error(code: str, **details: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": 400}, **details}
    return ClientError(response, "operation")


# These errors are raised repeatedly, because creating an error takes longer than most calls.
THROTTLED_READ = _client_error("ProvisionedThroughputExceededException")
THROTTLED_WRITE = _client_error(
    "TransactionCanceledException", CancellationReasons=[{"Code": "ThrottlingError"}, {"Code": "ThrottlingError"}]
)
NO_RESPONSE = ReadTimeoutError(endpoint_url="dynamodb")

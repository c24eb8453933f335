"""What must hold after each life, judged from outside: by the tables, the gateway and the notices that were received.

For each transaction, the last notice states the final status, and every notice was true when it was sent. Notices about
executions state nothing about a payment and are left out.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

UNTRUE = "notices untrue"
LAST_DIFFERS = "last notice differs from final status"
DOUBLE = "double charges"
LOST_OR_STUCK = "lost or stuck payments"
REFUNDED_MORE = "refunded more than charged"
NOT_NOTIFIED = "failures not notified, or notified twice"
KINDS = (DOUBLE, LOST_OR_STUCK, NOT_NOTIFIED, UNTRUE, LAST_DIFFERS, REFUNDED_MORE)

OPEN = frozenset({"PENDING", "PROCESSING", "UNKNOWN", "REFUNDING"})
CHARGED = frozenset({"COMPLETED", "REFUNDING", "REFUNDED"})
NOT_CHARGED = frozenset({"REJECTED", "DECLINED", "ACTION_REQUIRED", "FAILED"})
FINAL = NOT_CHARGED | {"COMPLETED", "REFUNDED", "REVIEW"}
# Statuses that need no notice unless an earlier notice stated another status.
SILENT = frozenset({"COMPLETED", "REFUNDED"})
# Statuses whose payments a function or a person may still have to send or to find by its customer.
NEED_A_CUSTOMER = OPEN - {"REFUNDING"} | {"REVIEW"}
NEED_A_LETTER = frozenset({"FAILED", "REVIEW"})


@dataclass(frozen=True)
class Notice:
    """A notice as it was sent; ``untrue`` says what was wrong with it at that moment."""

    transaction_id: str
    notice_id: str
    outcome: str
    untrue: str = ""


@dataclass(frozen=True)
class Finding:
    kind: str
    text: str


def judge_notice(arguments: Mapping[str, Any], world: Any) -> Notice | None:
    """Return the notice that is being published, judged by the present state, or None for one about an execution.

    ``arguments`` are those of Publish, which the workflow and the functions send alike.
    """
    message, attributes = json.loads(arguments["Message"]), arguments["MessageAttributes"]
    outcome = str(attributes["outcome"]["StringValue"])
    transaction_id = message.get("transaction_id", "")
    if message.get("kind") == "execution" or outcome == "EXECUTION_FAILED" or not transaction_id:
        return None
    notice_id = str(message["notice_id"])
    return Notice(transaction_id, notice_id, outcome, _find_untruth(transaction_id, notice_id, outcome, world) or "")


def _find_untruth(transaction_id: str, notice_id: str, outcome: str, world: Any) -> str | None:
    """Return why a notice is untrue at this moment, or None."""
    if outcome in NOT_CHARGED and world.gateway.count_moves("charge", transaction_id):
        return f"{notice_id} states {outcome}, and the customer is charged"
    statuses = statuses_of(transaction_id, world)
    subject, _, number = notice_id.rpartition(":")
    if subject != transaction_id or not number.isdigit():
        # It names no write, so it may state only UNKNOWN or the present status.
        if outcome != "UNKNOWN" and statuses[-1:] != [outcome]:
            return f"{notice_id} states {outcome}, and the ledger says {(statuses or ['nothing'])[-1]}"
        return None
    sequence = int(number)
    if sequence > len(statuses):
        return f"{notice_id} names a write that does not exist"
    return _find_contradiction(notice_id, outcome, statuses[sequence - 1], statuses[sequence:])


def _find_contradiction(notice_id: str, outcome: str, status: str, later_statuses: list[str]) -> str | None:
    """Return how the write that set ``status``, or a later one, contradicts its notice."""
    if outcome != status and not (outcome == "UNKNOWN" and status in OPEN):
        return f"{notice_id} states {outcome}, and that write says {status}"
    contradictions = [final for final in later_statuses if final in FINAL and final != outcome]
    if outcome in FINAL and contradictions:
        return f"{notice_id} states {outcome}, and the ledger says {contradictions[-1]} since"
    return None


def statuses_of(transaction_id: str, world: Any) -> list[str]:
    """Return the status after each write of the ledger, in order."""
    steps = sorted((n, step) for (key, n), step in world.dynamodb.steps.items() if key == transaction_id)
    return [step["status"]["S"] for _, step in steps]


def find_violations(world: Any, received_notices: list[Notice]) -> Iterator[Finding]:
    """Yield everything that is wrong after a life in which subscribers received these notices."""
    for notice in received_notices:
        if notice.untrue:
            yield Finding(UNTRUE, notice.untrue)
    transaction_ids = {notice.transaction_id for notice in received_notices} | set(world.dynamodb.payments)
    for transaction_id in sorted(transaction_ids):
        item = world.dynamodb.payments.get(transaction_id)
        status = item["status"]["S"] if item else "nothing"
        yield from _check_money(transaction_id, status, world)
        yield from _check_last_notice(transaction_id, status, received_notices)
        if item and status in NEED_A_CUSTOMER and "customer_id" not in item:
            yield Finding(LOST_OR_STUCK, f"{transaction_id} is {status}, and its customer is erased")
        letters = [letter for letter in world.queue.letters if letter.get("transaction_id") == transaction_id]
        if status in NEED_A_LETTER and not letters:
            yield Finding(LOST_OR_STUCK, f"{transaction_id} is {status}, without a dead letter")


def find_repetitions(world: Any, received_notices: list[Notice]) -> Iterator[Finding]:
    """Yield each notice and each dead letter of a payment that was sent more than once."""
    sent = Counter(f"notice {notice.notice_id}" for notice in received_notices)
    sent.update(f"dead letter {letter['notice_id']}" for letter in world.queue.letters)
    for name, count in sent.items():
        if count > 1:
            yield Finding(NOT_NOTIFIED, f"{name} was sent {count} times")


def _check_money(transaction_id: str, status: str, world: Any) -> Iterator[Finding]:
    charges, refunds = (world.gateway.count_moves(kind, transaction_id) for kind in ("charge", "refund"))
    if charges > 1:
        yield Finding(DOUBLE, f"{transaction_id} is charged {charges} times")
    if refunds > charges:
        yield Finding(REFUNDED_MORE, f"{transaction_id} is charged {charges} times and refunded {refunds} times")
    if status in OPEN:
        yield Finding(LOST_OR_STUCK, f"{transaction_id} is still {status}")
    elif status in CHARGED and not charges:
        yield Finding(LOST_OR_STUCK, f"{transaction_id} is {status}, and was never charged")
    elif (status in NOT_CHARGED or status == "nothing") and charges:
        yield Finding(LOST_OR_STUCK, f"{transaction_id} is {status}, and was charged")
    if (status == "REFUNDED" and not refunds) or (status == "COMPLETED" and refunds):
        yield Finding(LOST_OR_STUCK, f"{transaction_id} is {status}, and was refunded {refunds} times")


def _check_last_notice(transaction_id: str, status: str, received_notices: list[Notice]) -> Iterator[Finding]:
    """Compare the status with the last notice; subscribers ignore a notice whose id they know."""
    first_of_each = {notice.notice_id: notice.outcome for notice in reversed(received_notices)}
    order = dict.fromkeys(notice.notice_id for notice in received_notices if notice.transaction_id == transaction_id)
    outcomes = [first_of_each[notice_id] for notice_id in order]
    if not outcomes:
        if status not in SILENT:
            yield Finding(LAST_DIFFERS, f"{transaction_id} is {status}, and nobody was notified")
    elif outcomes[-1] != status:
        yield Finding(LAST_DIFFERS, f"{transaction_id} is {status}, and subscribers last heard {outcomes[-1]}")

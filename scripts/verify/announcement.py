"""Announces what a run will do: payments, notifications, temporary resources, minutes, and the price."""

from collections.abc import Iterator, Sequence

from .run import Run
from .runner import Group
from .samples import make_samples

# List prices in US dollars of us-east-1, as of July 2025. Other Regions cost up to twice that; no free tier is counted.
PRICES = {
    # https://aws.amazon.com/step-functions/pricing/
    "state transitions": 0.025 / 1_000,
    # https://aws.amazon.com/lambda/pricing/ a request, and half a second with 256 MB
    "function calls": 0.20 / 1_000_000 + 0.0000166667 * 0.125,
    # https://aws.amazon.com/dynamodb/pricing/on-demand/
    "table writes": 0.625 / 1_000_000,
    # https://aws.amazon.com/sqs/pricing/ and https://aws.amazon.com/sns/pricing/
    "messages": 0.50 / 1_000_000,
    # https://aws.amazon.com/kms/pricing/
    "key uses": 0.03 / 10_000,
    # https://aws.amazon.com/cloudwatch/pricing/
    "API calls": 0.01 / 1_000,
    # https://aws.amazon.com/xray/pricing/
    "traces": 5.00 / 1_000_000,
}
PRICES_AS_OF = "July 2025"
# https://aws.amazon.com/backup/pricing/ a gigabyte of warm storage for an hour, a 730th of a month.
BACKUP_GB_HOUR = 0.10 / 730


def estimate_price(run: Run, groups: Sequence[Group]) -> float:
    """Return the approximate price of the run in US dollars."""
    names = {group.name for group in groups}
    total = 400 * PRICES["API calls"]
    if run.read_only:
        return total
    if "payments" in names:
        payments = make_samples(run.settings)
        # A payment that fails passes nine states, and its retries.
        transitions = sum(4 + 5 * sample.leaves_letter + sample.process_runs for sample in [*payments, payments[0]])
        calls = 3 * len(payments) + transitions
        total += transitions * PRICES["state transitions"] + calls * PRICES["function calls"]
        # A transaction writes an item and a ledger entry, each at twice the price of a write.
        total += 4 * calls * PRICES["table writes"] + 10 * calls * PRICES["key uses"] + len(payments) * PRICES["traces"]
    if "alarms" in names:
        per_change = PRICES["messages"] + PRICES["key uses"] + 2 * PRICES["API calls"]
        total += 2 * _count_notifying_alarms(run) * per_change
    if "backups" in names and run.settings["BackupRetentionDays"] != "0":
        total += _ledger_gigabytes(run) * BACKUP_GB_HOUR
    return total


def estimate_minutes(run: Run, groups: Sequence[Group]) -> int:
    """Return the approximate minutes of a run on AWS, decided by the longest of the concurrent groups."""
    names = {group.name for group in groups}
    total = 2.0 if "stacks" in names else 0.5
    waits = {"payments": 1.0, "alarms": 1.0, "schedule": 6.0, "reconciliation": 1.0, "backups": 5.0}
    if run.settings["BackupRetentionDays"] == "0":
        del waits["backups"]
    if not run.read_only:
        total += max((minutes for name, minutes in waits.items() if name in names), default=0)
    return max(1, round(total))


def announce_run(run: Run, groups: Sequence[Group]) -> list[str]:
    """Return the lines of the announcement."""
    target = run.platform.target
    scope = f"{run.tree.stack.name} in account {target.account}, {target.region}: {len(groups)} groups of checks"
    head = f"{scope}, about {estimate_minutes(run, groups)} min, {_format_price(estimate_price(run, groups))}"
    if target.endpoint_url:
        head = f"{scope} on the AWS emulator: about 1 min, up to 7 if it was deployed just now; at no cost"
    if run.read_only:
        return [head, f"Nothing is written ({run.read_only_reason})."]
    if not (writes := list(_list_writes(run, groups))):
        return [head, "It writes nothing."]
    return [head, "It will", *(f"  - {line}" for line in writes)]


def _list_writes(run: Run, groups: Sequence[Group]) -> Iterator[str]:
    names = {group.name for group in groups}
    if "payments" in names:
        samples = make_samples(run.settings)
        notified = [sample for sample in samples if sample.status != "COMPLETED"]
        yield (
            f"start {len(samples) + 1} executions of payments {run.name}-*. The payments stay in the tables, because "
            f"the ledger is append-only; their dead letters are deleted. Subscribers are notified of up to "
            f"{len(notified)} of them. Those that fail set off alarms (failures, errors, dead letters), which notify, "
            "and may page, every subscriber: do not deploy until the alarms are OK again"
        )
    if "reconciliation" in names and run.settings["Gateway"] == "simulator":
        yield "leave one more payment open, set its times back, and run reconciliation"
    if any(group.needs_mailbox for group in groups):
        yield f"subscribe a temporary queue, payment-verify-{run.id}, to the topic, and delete it at the end"
    if "alarms" in names:
        yield (
            f"set {_count_notifying_alarms(run)} alarms to ALARM and back: this notifies, and may page, every "
            "subscriber twice for each"
        )
    if "schedule" in names and "undeliverable event" not in run.gaps:
        yield (
            "give the schedule's rule a second target that refuses its event, and remove it: the event's dead letter "
            "may set off an alarm"
        )
    if "backups" in names and run.settings["BackupRetentionDays"] != "0":
        yield "back up the ledger, and delete the backup"


def _format_price(cost: float) -> str:
    amount = "less than $0.01" if cost < 0.01 else f"about ${cost:.2f}"
    return f"{amount} (list prices of us-east-1, {PRICES_AS_OF})"


def _count_notifying_alarms(run: Run) -> int:
    alarms = run.select_resources("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    return sum(bool(alarm.properties.get("AlarmActions")) for alarm in alarms)


def _ledger_gigabytes(run: Run) -> float:
    ledger = run.expected["Data/PaymentLedger"]
    described = run.client("dynamodb").describe_table(TableName=ledger.physical_id)
    return float(described["Table"].get("TableSizeBytes", 0)) / 1e9

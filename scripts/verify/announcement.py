"""What a run does, said before it does it: payments, notifications, temporary resources, minutes, and the price."""

from collections.abc import Sequence

from .place import Place
from .runner import Group
from .samples import samples

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
# https://aws.amazon.com/backup/pricing/ warm storage, for an hour of the 730 of a month, a gigabyte.
BACKUP_GB_HOUR = 0.10 / 730


def price(place: Place, groups: Sequence[Group]) -> float:
    """About what the run costs, in US dollars."""
    names = {group.name for group in groups}
    total = 400 * PRICES["API calls"]
    if place.read_only:
        return total
    if "payments" in names:
        sent = samples(place.settings)
        # Nine states of one that fails, and the retries.
        transitions = sum(4 + 5 * sample.leaves_letter + sample.attempts for sample in [*sent, sent[0]])
        calls = 3 * len(sent) + transitions
        total += transitions * PRICES["state transitions"] + calls * PRICES["function calls"]
        # A transaction writes an item and its entry of the ledger, at twice the price each.
        total += 4 * calls * PRICES["table writes"] + 10 * calls * PRICES["key uses"] + len(sent) * PRICES["traces"]
    if "alarms" in names:
        total += 2 * len(_alarms(place)) * (PRICES["messages"] + PRICES["key uses"] + 2 * PRICES["API calls"])
    if "backups" in names and place.settings["BackupRetentionDays"] != "0":
        total += _ledger_gigabytes(place) * BACKUP_GB_HOUR
    return total


def minutes(place: Place, groups: Sequence[Group]) -> int:
    """About how long it takes on AWS, in minutes: the longest of what runs at the same time."""
    names = {group.name for group in groups}
    total = 2.0 if "stacks" in names else 0.5
    waits = {"payments": 1.0, "alarms": 1.0, "schedule": 6.0, "reconciliation": 1.0, "backups": 5.0}
    if place.settings["BackupRetentionDays"] == "0":
        del waits["backups"]
    if not place.read_only:
        total += max((seconds for name, seconds in waits.items() if name in names), default=0)
    return max(1, round(total))


def lines(place: Place, groups: Sequence[Group]) -> list[str]:
    """What is said before anything is written."""
    target, names = place.platform.target, {group.name for group in groups}
    where = f"{place.tree.stack.name} in account {target.account}, {target.region}: {len(groups)} groups of checks"
    head = f"{where}, about {minutes(place, groups)} min, {_price_in_words(price(place, groups))}"
    if target.endpoint_url:
        head = f"{where} on the AWS emulator: about 1 min, up to 7 if it was deployed just now; at no cost"
    if place.read_only:
        return [head, f"Nothing is written ({place.read_only_reason})."]
    writes = []
    if "payments" in names:
        notified = [sample for sample in samples(place.settings) if sample.status != "COMPLETED"]
        writes.append(
            f"start {len(samples(place.settings)) + 1} executions of payments {place.run_name}-*. The payments stay in "
            f"the tables, because the ledger is append-only; their dead letters are deleted. Subscribers are notified "
            f"of up to {len(notified)} of them. Those that fail set off alarms (failures, errors, dead letters), which "
            f"notify, and may page, every subscriber: do not deploy until the alarms are OK again"
        )
    if "reconciliation" in names and place.settings["Gateway"] == "simulator":
        writes.append("leave one more payment open, set its times back, and run reconciliation")
    if any(group.needs_mailbox for group in groups):
        writes.append(
            f"subscribe a temporary queue, payment-verify-{place.run_id}, to the topic, and delete it at the end"
        )
    if "alarms" in names:
        writes.append(
            f"set {len(_alarms(place))} alarms to ALARM and back: this notifies, and may page, every subscriber "
            "twice for each"
        )
    if "schedule" in names and "undeliverable event" not in place.gaps:
        writes.append(
            "give the schedule's rule a second target that refuses its event, and remove it: the event's dead letter "
            "may set off an alarm"
        )
    if "backups" in names and place.settings["BackupRetentionDays"] != "0":
        writes.append("back up the ledger, and delete the backup")
    if not writes:
        return [head, "It writes nothing."]
    return [head, "It will", *(f"  - {line}" for line in writes)]


def _price_in_words(cost: float) -> str:
    shown = "less than $0.01" if cost < 0.01 else f"about ${cost:.2f}"
    return f"{shown} (list prices of us-east-1, {PRICES_AS_OF})"


def _alarms(place: Place) -> list[str]:
    kinds = place.of_type("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    return [alarm.path for alarm in kinds if alarm.properties.get("AlarmActions")]


def _ledger_gigabytes(place: Place) -> float:
    ledger = next(table for table in place.of_type("AWS::DynamoDB::Table") if table.path.endswith("PaymentLedger"))
    described = place.client("dynamodb").describe_table(TableName=ledger.physical_id)
    return float(described["Table"].get("TableSizeBytes", 0)) / 1e9

"""Every policy of the platform, statement by statement, as it was read last: statements.txt.

Other tests ask what a policy shall do and shall not. This one notices what nobody thought to ask: an action, a name, a
principal or a condition more, in any document of any resource. UPDATE_GOLDEN=1 writes the file, to be read before it is
committed.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.stacks.access import World

GOLDEN = Path(__file__).with_name("statements.txt")


def documents(value: Any, path: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Whatever has statements, wherever it stands."""
    if isinstance(value, dict):
        if isinstance(value.get("Statement"), list):
            yield path, value["Statement"]
        for key, item in value.items():
            yield from documents(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from documents(item, f"{path}.{index}")


def describe_statements(world: World) -> str:
    lines = []
    for path in world.resources:
        for where, statements in documents(world.properties(path), path):
            lines.append(where)
            for statement in statements:
                lines.append(f"  {statement.get('Sid', '')} {statement.get('Effect', '')}".rstrip())
                for key, value in statement.items():
                    if key not in ("Sid", "Effect"):
                        values = value if isinstance(value, list) else [value]
                        texts = [one if isinstance(one, str) else json.dumps(one, sort_keys=True) for one in values]
                        lines += [f"    {key}: {text}" for text in texts]
    return "\n".join(lines) + "\n"


def test_every_statement_is_as_it_was_read_last(world: World) -> None:
    now = describe_statements(world)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(now, encoding="utf-8")
    assert now == GOLDEN.read_text(encoding="utf-8"), f"{GOLDEN} says otherwise; UPDATE_GOLDEN=1 writes it"


def test_a_permission_to_invoke_is_the_schedules_alone(world: World) -> None:
    (permission,) = world.of_type("AWS::Lambda::Permission").values()
    assert (permission["Action"], permission["Principal"]) == ("lambda:InvokeFunction", "events.amazonaws.com")


def test_each_key_is_as_each_other_and_its_alias_is_its_own(world: World) -> None:
    keys, aliases = world.of_type("AWS::KMS::Key"), world.of_type("AWS::KMS::Alias")
    assert len(keys) == len(aliases) == 6
    for path, key in keys.items():
        own = {"Description", "EnableKeyRotation", "KeyPolicy", "PendingWindowInDays", "Tags"}
        assert (set(key), key["EnableKeyRotation"]) == (own, True), path
        assert world.resources[f"{path}Alias"].properties["TargetKeyId"] == f"${{{path}}}"


def test_payment_data_flows_nowhere_else(world: World) -> None:
    """A stream of a table, or another subscriber, would carry what the search for marks cannot see."""
    for path, table in world.of_type("AWS::DynamoDB::Table").items():
        assert not {"StreamSpecification", "KinesisStreamSpecification"} & set(table), path
    assert len(world.of_type("AWS::SNS::Subscription")) == 1
    for path, group in world.of_type("AWS::Logs::LogGroup").items():
        identifiers = {
            one.rsplit("/", 1)[-1] for one in group["DataProtectionPolicy"]["Statement"][1]["DataIdentifier"]
        }
        cards = {"CreditCardNumber", "CreditCardExpiration", "CreditCardSecurityCode", "EmailAddress"}
        assert identifiers >= cards, path
        assert len([one for one in identifiers if one.startswith("BankAccountNumber-")]) == 6, path

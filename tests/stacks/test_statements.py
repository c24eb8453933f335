"""Every policy of the platform, statement by statement, as it was last reviewed: statements.txt.

Other tests check what a policy allows and denies. This one notices any other change of an action, resource, principal
or condition in a document of any resource. UPDATE_GOLDEN=1 writes the file; review it before you commit it.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.emitted import how_to_update
from tests.stacks.access import World

GOLDEN = Path(__file__).with_name("statements.txt")


def find_documents(value: Any, path: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each list of statements at any depth, with its path."""
    if isinstance(value, dict):
        if isinstance(value.get("Statement"), list):
            yield path, value["Statement"]
        for key, item in value.items():
            yield from find_documents(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find_documents(item, f"{path}.{index}")


def describe_statements(world: World) -> str:
    lines = []
    for path in world.resources:
        for place, statements in find_documents(world.properties(path), path):
            lines.append(place)
            for statement in statements:
                lines.append(f"  {statement.get('Sid', '')} {statement.get('Effect', '')}".rstrip())
                for key, value in statement.items():
                    if key not in ("Sid", "Effect"):
                        values = value if isinstance(value, list) else [value]
                        texts = [item if isinstance(item, str) else json.dumps(item, sort_keys=True) for item in values]
                        lines += [f"    {key}: {text}" for text in texts]
    return "\n".join(lines) + "\n"


def test_every_statement_is_as_it_was_last_reviewed(world: World) -> None:
    text = describe_statements(world)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), how_to_update(GOLDEN, "last_reviewed")


def test_no_service_invokes_a_function_by_its_policy(world: World) -> None:
    assert not world.of_type("AWS::Lambda::Permission")


def test_all_keys_have_the_same_properties_and_an_alias_each(world: World) -> None:
    keys, aliases = world.of_type("AWS::KMS::Key"), world.of_type("AWS::KMS::Alias")
    assert len(keys) == len(aliases) == 6
    for path, key in keys.items():
        names = {"Description", "EnableKeyRotation", "KeyPolicy", "PendingWindowInDays", "Tags"}
        assert (set(key), key["EnableKeyRotation"]) == (names, True), path
        assert world.resources[f"{path}Alias"].properties["TargetKeyId"] == f"${{{path}}}"


def test_payment_data_has_no_other_destination(world: World) -> None:
    """A stream of a table, or another subscriber, would receive payment data unnoticed by the end-to-end tests."""
    for path, table in world.of_type("AWS::DynamoDB::Table").items():
        assert not {"StreamSpecification", "KinesisStreamSpecification"} & set(table), path
    assert len(world.of_type("AWS::SNS::Subscription")) == 1

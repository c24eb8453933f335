"""SECURITY.md names a proof for each promise; each has to be there."""

import re

import pytest

from stacks import settings
from tests.emitted import ROOT

SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
# What is promised for prod only.
LESS = SECURITY.split("## Where dev and staging promise less")[1].split("\n## ")[0]


@pytest.mark.parametrize("proof", sorted(set(re.findall(r"`(tests/[^`]+)`", SECURITY))))
def test_the_proof_is_there(proof: str) -> None:
    path, _, name = proof.partition("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE), proof


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z]+)`", SECURITY))))
def test_the_command_is_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), target


def test_every_promise_has_a_proof() -> None:
    promises = SECURITY.replace(LESS, "")
    rows = [line for line in promises.splitlines() if line.startswith("|") and not re.match(r"\|(-|\s*Promise)", line)]
    assert len(rows) > 15
    assert [row for row in rows if "`" not in row.split("|")[2]] == []


# What an environment has less of than prod

OTHERS = ("dev", "staging")


def values(environment: str) -> dict[str, object]:
    parameters = settings.load(environment)
    loaded: dict[str, object] = {one.name: parameters[one.parameter_name] for one in settings.all_settings()}
    return loaded | settings.load_rollout(environment)


def test_every_difference_from_prod_is_named() -> None:
    differences = {}
    for name, value in values("prod").items():
        if others := [environment for environment in OTHERS if values(environment)[name] != value]:
            differences[name] = ", ".join(others)
    table = {}
    for names, environments in re.findall(r"^\| (`[^|]+`) \| ([a-z, ]+) \|", LESS, re.MULTILINE):
        table |= dict.fromkeys(re.findall(r"`(\w+)`", names), environments)
    assert table == differences


def test_only_dev_logs_what_executions_contain() -> None:
    """In `local` the AWS emulator writes no such log."""
    logging = {name for name in ("prod", *OTHERS) if values(name)["workflow_log_execution_data"] == "true"}
    assert logging == {"dev"}
    promise = next(line for line in SECURITY.splitlines() if line.startswith("| Nothing that identifies a customer"))
    assert "in dev" in promise
    assert "`workflow_log_execution_data`" in promise

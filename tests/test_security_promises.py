"""SECURITY.md names a proof for each promise, and each proof exists."""

import re

import pytest

from stacks import settings
from tests.emitted import ROOT

SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
WEAKER_ENVIRONMENTS = ("dev", "staging")
# The section on what dev and staging promise less than prod.
WEAKER_PROMISES = SECURITY.split("## Where dev and staging promise less")[1].split("\n## ")[0]


@pytest.mark.parametrize("proof", sorted(set(re.findall(r"`(tests/[^`]+)`", SECURITY))))
def test_every_named_proof_exists(proof: str) -> None:
    path, _, name = proof.partition("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE), proof


def test_every_promise_has_a_proof() -> None:
    promises = SECURITY.replace(WEAKER_PROMISES, "")
    rows = [line for line in promises.splitlines() if line.startswith("|") and not re.match(r"\|(-|\s*Promise)", line)]
    assert len(rows) > 15
    assert [row for row in rows if "`" not in row.split("|")[2]] == []


def read_settings(environment: str) -> dict[str, object]:
    parameters = settings.load(environment)
    loaded: dict[str, object] = {
        setting.name: parameters[setting.parameter_name] for setting in settings.all_settings()
    }
    return loaded | settings.load_rollout(environment)


def test_every_difference_from_prod_is_named() -> None:
    differences = {}
    for name, value in read_settings("prod").items():
        if weaker := [environment for environment in WEAKER_ENVIRONMENTS if read_settings(environment)[name] != value]:
            differences[name] = ", ".join(weaker)
    table = {}
    for names, environments in re.findall(r"^\| (`[^|]+`) \| ([a-z, ]+) \|", WEAKER_PROMISES, re.MULTILINE):
        table |= dict.fromkeys(re.findall(r"`(\w+)`", names), environments)
    assert table == differences, "SECURITY.md, the table of settings that differ from prod, is not true any more"


def test_only_dev_logs_what_executions_contain() -> None:
    """The environment `local` is left out: the AWS emulator writes no such log."""
    logging = {
        name for name in ("prod", *WEAKER_ENVIRONMENTS) if read_settings(name)["workflow_log_execution_data"] == "true"
    }
    assert logging == {"dev"}
    promise = next(line for line in SECURITY.splitlines() if line.startswith("| Nothing that identifies a customer"))
    assert "in dev" in promise
    assert "`workflow_log_execution_data`" in promise

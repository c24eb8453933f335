"""SECURITY.md names a proof for each promise; each has to be there."""

import re

import pytest

from tests.emitted import ROOT

SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("proof", sorted(set(re.findall(r"`(tests/[^`]+)`", SECURITY))))
def test_the_proof_is_there(proof: str) -> None:
    path, _, name = proof.partition("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE), proof


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z]+)`", SECURITY))))
def test_the_command_is_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), target


def test_every_promise_has_a_proof() -> None:
    rows = [line for line in SECURITY.splitlines() if line.startswith("|") and not re.match(r"\|(-|\s*Promise)", line)]
    assert len(rows) > 15
    assert [row for row in rows if "`" not in row.split("|")[2]] == []

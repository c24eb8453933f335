"""Weak names and functions with too many branches fail `make lint`."""

from pathlib import Path

import pytest

from scripts import complexity, weak_names


@pytest.mark.parametrize(("name", "exit_code"), [("payment", 0), ("made", 1)])
def test_a_weak_name_fails_the_check(name: str, exit_code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    binding = weak_names.Binding(name, "variable", Path(__file__), 1)
    monkeypatch.setattr(weak_names, "read_bindings", lambda _: [binding])
    assert weak_names.main([__file__]) == exit_code


@pytest.mark.parametrize(("branches", "exit_code"), [(14, 0), (15, 1)])
def test_a_function_with_too_many_branches_fails(
    branches: int, exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source.py"
    source.write_text("def decide(value):\n" + "    if value: value()\n" * branches)
    monkeypatch.setattr(complexity, "list_sources", lambda: [source])
    assert complexity.main() == exit_code

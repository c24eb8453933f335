"""What every part of the tests may ask for."""

from typing import Any

import pytest

from tests.emitted import NESTED, ROOT, load_template


@pytest.fixture(scope="session")
def templates() -> dict[str, dict[str, Any]]:
    """The parent and the nested templates, by name."""
    return {name: load_template(name) for name in ("parent", *NESTED)}


@pytest.fixture(scope="session")
def reference() -> str:
    """Names and outputs of the system as it was asked for."""
    return (ROOT / "tests" / "reference.txt").read_text()

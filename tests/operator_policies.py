"""The IAM policies of docs/operators.md, with the placeholders replaced."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.emitted import ROOT

TEXT = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")


def policies(values: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """By the title of the section."""
    filled = TEXT
    for placeholder, value in values.items():
        filled = re.sub(rf"\b{placeholder}\b", value, filled)
    return {
        title: json.loads(block)
        for title, block in re.findall(r"^## ([^\n]+)\n[^#]*?```json\n(.*?)```", filled, re.M | re.S)
    }

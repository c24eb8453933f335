"""The interpreter's text functions answer what JSONata 2 answered when the cases were recorded."""

import json
from typing import Any

import pytest
from jsonata.jexception import JException

from tests.emitted import ROOT
from tests.jsonata2 import Expression, with_nulls

CASES: list[dict[str, Any]] = json.loads((ROOT / "tests" / "jsonata2.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(f"{case['expression']} {case.get('x')}")[:100])
def test_the_answer_is_that_of_jsonata_2(case: dict[str, Any]) -> None:
    bindings = {"x": with_nulls(case.get("x"))}
    if "error" in case:
        with pytest.raises(JException) as raised:
            Expression(case["expression"]).evaluate(None, bindings)
        assert raised.value.error == case["error"]
        return
    answer = Expression(case["expression"]).evaluate(None, bindings)
    # 1 is not true, and None is undefined: null is the text "null" here.
    assert (type(answer), answer) == (type(case.get("answer")), case.get("answer"))

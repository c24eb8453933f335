"""The emitted YAML reads back as the value that was emitted."""

from typing import Any

import cfn_flip
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stacks import emit


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "A"},
        {"Condition": "A"},
        {"Fn::GetAtt": ["A", "B"]},
        {"Fn::GetAtt": ["A", "Outputs.B"]},
        {"Fn::GetAtt": ["A", {"Ref": "B"}]},
        {"Fn::Sub": "a ${B}"},
        {"Fn::Sub": "two\nlines ${B}\n"},
        {"Fn::Sub": ["a ${B}", {"B": {"Ref": "C"}}]},
        {"Fn::Join": [" ", ["a", {"Ref": "B"}]]},
        {"Fn::If": ["A", {"Ref": "AWS::NoValue"}, []]},
        {"Fn::Base64": {"Fn::Sub": "a"}},
        {"Fn::GetAZs": {"Ref": "AWS::Region"}},
        {"Fn::ImportValue": {"Fn::Sub": "a"}},
        {"Fn::Not": [{"Fn::Equals": [{"Ref": "A"}, ""]}]},
        {"Fn::Select": [0, {"Fn::Split": [",", {"Ref": "A"}]}]},
        {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": "s3://x"}}},
        {"Key": ["1e3", "0o17", "089", "0123456789", "2012-10-17", "yes", "null", "~", "", " a", "true", "1_0", ".5"]},
        {"Condition": {"StringEquals": {"a:b": "c"}}},
        {"a": {}, "b": [], "c": None, "d": 1.5, "e": True},
    ],
)
def test_intrinsic_functions_and_ambiguous_strings_read_back(value: Any) -> None:
    text = emit.to_yaml({"X": value})
    assert cfn_flip.load(text)[0] == {"X": value}


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60))
def test_any_text_reads_back(text: str) -> None:
    assert yaml.safe_load(emit.to_yaml({"X": text})) == {"X": text}


def test_a_number_in_quotes_stays_a_string_for_every_reader() -> None:
    assert emit.to_yaml({"X": "089"}) == "X: '089'\n"

"""Texts that are templates, as CloudFormation reads them, and texts that are none."""

import pytest

from scripts.common.errors import UserError
from scripts.common.templates import parse_template


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("Version: 2010-09-09", {"Version": "2010-09-09"}),
        ("Name: !Sub a-${B}", {"Name": {"Fn::Sub": "a-${B}"}}),
        ("Arn: !GetAtt A.Arn", {"Arn": {"Fn::GetAtt": ["A", "Arn"]}}),
        ("1: {true: 2}", {"1": {"True": 2}}),
        ('{"Name": "ü"}', {"Name": "ü"}),
    ],
)
def test_a_template_has_plain_values_and_long_forms(text: str, template: object) -> None:
    assert parse_template(text) == template


def test_each_caller_gets_a_template_of_its_own() -> None:
    text = "Resources: {Queue: {Type: AWS::SQS::Queue}}"
    parse_template(text)["Resources"].clear()
    assert list(parse_template(text)["Resources"]) == ["Queue"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a", "it is no mapping"),
        ("[]", "it is no mapping"),
        ("A: &x {B: 1}\nC:\n  <<: *x", r"it has a hash merge \(<<\)"),
        ("A: 1\nA: 2", "it has the key A twice"),
        ("A: [", "in line 2"),
        ("[" * 100_000, ""),
        ("A: !!binary aGk=", "bytes"),
        ("A: !!set {a, b}", "set"),
        ("A: !!int x", "int"),
        ("A: !!timestamp x", ""),
        ("A: !!bool x", ""),
        ('A: !!float ""', ""),
        ("? [a]\n: 1", ""),
    ],
)
def test_a_text_that_is_no_template_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"^not a template.*{reason}"):
        parse_template(text)

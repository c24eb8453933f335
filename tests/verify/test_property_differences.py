"""A difference is named, and equal values in different forms are no difference."""

from typing import Any

import pytest

from scripts.verify.property_differences import find_differences, find_policy_differences

KEY_ID = "0b1d5a34-8f8e-4ad7-9a1c-8a0a4d0c1f11"
KEY_ARN = f"arn:aws:kms:eu-west-1:123456789012:key/{KEY_ID}"
ALLOW = {"Sid": "Send", "Effect": "Allow", "Action": ["sqs:SendMessage", "sqs:GetQueueUrl"], "Resource": ["a"]}


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("14", 14),
        ("2", 2.0),
        (False, "false"),
        ("true", True),
        (KEY_ARN, KEY_ID),
        (KEY_ID, KEY_ARN),
        ({"Mode": "Active"}, {"Mode": "Active", "Added": "by AWS"}),
        ([{"a": 1}, {"b": 2}], [{"b": 2}, {"a": 1}]),
        (None, []),
        ("", None),
    ],
)
def test_equal_values_in_different_forms_are_no_difference(expected: Any, actual: Any) -> None:
    assert find_differences({"Property": expected}, {"Property": actual}) == []


@pytest.mark.parametrize(
    ("expected", "actual", "line"),
    [
        ("30", 14, "Property is 14, must be 30"),
        (True, "false", "Property is false, must be true"),
        (KEY_ARN, None, f"Property is not set, must be {KEY_ARN}"),
        ([{"a": 1}], [{"a": 1}, {"b": 2}], 'Property is [{"a": 1}, {"b": 2}], must be [{"a": 1}]'),
        (None, ["inline"], 'Property is ["inline"], must be not set'),
        (0, 1, "Property is 1, must be 0"),
        ({"Mode": "Active", "b": 1}, {"Mode": "PassThrough", "b": 1}, "Property.Mode is PassThrough, must be Active"),
        ("123456789012", "123456789013", "Property is 123456789013, must be 123456789012"),
    ],
)
def test_a_difference_names_the_actual_and_the_expected_value(expected: Any, actual: Any, line: str) -> None:
    assert find_differences({"Property": expected}, {"Property": actual}) == [line]


OTHER_TAGS = {"Owner": "me", "aws:cloudformation:stack-name": "s"}


@pytest.mark.parametrize(
    "tags",
    [
        OTHER_TAGS,
        [{"Key": key, "Value": value} for key, value in OTHER_TAGS.items()],
        [{"key": key, "value": value} for key, value in OTHER_TAGS.items()],
        [{"TagValue": value, "TagKey": key} for key, value in OTHER_TAGS.items()],
    ],
    ids=["map", "IAM", "Step Functions", "KMS"],
)
def test_missing_tags_are_named_and_tags_of_cloudformation_are_ignored(tags: Any) -> None:
    expected = {"Tags": [{"Key": "Owner", "Value": "PaymentTeam"}, {"Key": "Environment", "Value": "dev"}]}
    assert find_differences(expected, {"Tags": tags}) == ["Tags lack Owner=PaymentTeam, Environment=dev"]


@pytest.mark.parametrize(
    ("statement", "lines"),
    [
        ({}, []),
        ({"Action": ["sqs:GetQueueUrl", "SQS:SendMessage"]}, []),
        ({"Action": "sqs:SendMessage"}, ["Send lacks Action sqs:GetQueueUrl"]),
        ({"Action": [*ALLOW["Action"], "sqs:*"]}, ["Send has Action sqs:* that the template does not have"]),
        ({"Sid": "Other"}, ["statement Other is not in the template", "statement Send is missing"]),
        (
            {"Condition": {"StringEquals": {"k": "v"}}},
            ['Send: Condition is {"StringEquals": {"k": ["v"]}}, must be not set'],
        ),
    ],
)
def test_a_policy_difference_names_the_statement_and_the_action(statement: dict[str, Any], lines: list[str]) -> None:
    assert find_policy_differences({"Statement": [ALLOW]}, {"Statement": [ALLOW | statement]}) == lines


def test_both_forms_of_everybody_and_of_the_account_are_equal() -> None:
    root = {"AWS": "arn:aws:iam::123456789012:root"}
    for expected, actual in (("*", {"AWS": "*"}), (root, {"AWS": ["123456789012"]})):
        assert (
            find_policy_differences(
                {"Statement": [ALLOW | {"Principal": expected}]}, {"Statement": [ALLOW | {"Principal": actual}]}
            )
            == []
        )


@pytest.mark.parametrize("statements", [[ALLOW | {"Principal": "*"}, ALLOW], [ALLOW, ALLOW | {"Principal": "*"}]])
def test_a_second_statement_with_the_same_sid_is_reported(statements: list[dict[str, Any]]) -> None:
    lines = find_policy_differences({"Statement": [ALLOW]}, {"Statement": statements})
    assert "statement Send is present 2 times, must be 1" in lines


@pytest.mark.parametrize("name", ["RedrivePolicy", "FilterPolicy"])
def test_a_policy_without_statements_is_compared_as_a_value(name: str) -> None:
    assert find_differences({name: {"to": "a"}}, {name: {"to": "b"}}) == [f"{name}.to is b, must be a"]
    assert find_differences({name: {"to": "a"}}, {name: {}}) == [f"{name}.to is not set, must be a"]
    assert find_differences({}, {name: {"to": "b"}}) == [f'{name} is {{"to": "b"}}, must be not set']

"""Nobody but the stack's subscriber, confirmed, learns of payments; a run knows its own queue and no other."""

from types import SimpleNamespace

import pytest

from scripts.deployer.stack import Stack, StackTree
from scripts.verify import notifications
from scripts.verify.expected import Expected
from scripts.verify.results import Status, run
from tests.verify.places import ACCOUNT, REGION, ROOT, place_of

TOPIC = Expected("Data/Notifications", "AWS::SNS::Topic", f"arn:aws:sns:{REGION}:{ACCOUNT}:topic", {})
ON_CALL = ("email", "on-call@example.com", f"{TOPIC.physical_id}:1")


def queue(name: str, account: str = ACCOUNT, region: str = REGION) -> str:
    return f"arn:aws:sqs:{region}:{account}:{name}"


OURS = ("sqs", queue("payment-verify-ours"), f"{TOPIC.physical_id}:2")


def look(*subscriptions: tuple[str, str, str], endpoint: str = ON_CALL[1]) -> tuple[Status, str]:
    listed = [dict(zip(("Protocol", "Endpoint", "SubscriptionArn"), each, strict=True)) for each in subscriptions]
    # In two pages: a hundred at a time is what SNS lists.
    pages = [{"Subscriptions": listed[:1]}, {"Subscriptions": listed[1:]}]
    sns = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=lambda **_: pages))
    parameters = {"NotificationEndpoint": endpoint, "NotificationProtocol": "email"}
    tree = StackTree(Stack(ROOT, "UPDATE_COMPLETE", "arn:root", parameters))
    place = place_of({"sns": sns}, TOPIC, tree=tree)
    place.mailbox = SimpleNamespace(arn=OURS[1])
    check = run("notifications", "subscribers", notifications._subscribers, place)
    return check.status, check.seen


def test_the_subscriber_of_the_stack_and_the_queue_of_this_run_are_expected() -> None:
    assert look(OURS, ON_CALL) == (Status.OK, "on-call@example.com, confirmed")


@pytest.mark.parametrize("arn", ["PendingConfirmation", "Deleted"])
def test_one_that_has_not_confirmed_is_told_nothing(arn: str) -> None:
    status, seen = look(OURS, (*ON_CALL[:2], arn))
    assert (status, "has not confirmed" in seen) == (Status.FAILED, True)


def test_a_missing_subscription_and_no_subscriber_differ() -> None:
    assert look(OURS) == (Status.FAILED, "on-call@example.com is not subscribed")
    assert look(OURS, endpoint="")[0] is Status.SKIPPED


@pytest.mark.parametrize(
    ("protocol", "endpoint"),
    [
        ("sqs", queue("payment-verify-ours", account="999999999999")),
        ("sqs", queue("payment-verify-ours", region="us-east-1")),
        ("https", "https://example.com/hook:payment-verify-1"),
        ("https", queue("payment-verify-1")),
        ("sms", OURS[1]),
        ("email-json", ON_CALL[1]),
        ("lambda", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:payment-verify-1"),
    ],
)
def test_whoever_is_named_like_a_queue_of_a_run_is_uninvited(protocol: str, endpoint: str) -> None:
    status, seen = look(OURS, ON_CALL, (protocol, endpoint, "arn:theirs"))
    assert (status, seen) == (Status.FAILED, f"{endpoint} is subscribed to the topic, and not by the stack")


def test_a_queue_that_another_run_left_is_named_with_the_command_that_removes_it() -> None:
    left_behind = queue("payment-verify-0000")
    status, seen = look(OURS, ON_CALL, ("sqs", left_behind, "arn:left"))
    assert status is Status.FAILED
    for words in (
        left_behind,
        "aws sns unsubscribe --region eu-west-1 --subscription-arn arn:left",
        "aws sqs delete-queue",
        "--queue-name payment-verify-0000",
    ):
        assert words in seen

"""The topic has the stack's confirmed subscriber and the queue of this run, and no others."""

from types import SimpleNamespace

import pytest

from scripts.deployer.stack import Stack, StackTree
from scripts.verify import notifications
from scripts.verify.expected import Expected
from scripts.verify.results import Status, run_check
from tests.verify.runs import ACCOUNT, REGION, ROOT, make_run

TOPIC = Expected("Data/Notifications", "AWS::SNS::Topic", f"arn:aws:sns:{REGION}:{ACCOUNT}:topic", {})
ON_CALL = ("email", "on-call@example.com", f"{TOPIC.physical_id}:1")


def queue_arn(name: str, account: str = ACCOUNT, region: str = REGION) -> str:
    return f"arn:aws:sqs:{region}:{account}:{name}"


MAILBOX = ("sqs", queue_arn("payment-verify-this"), f"{TOPIC.physical_id}:2")


def run_subscribers_check(*subscriptions: tuple[str, str, str], endpoint: str = ON_CALL[1]) -> tuple[Status, str]:
    listed = [dict(zip(("Protocol", "Endpoint", "SubscriptionArn"), entry, strict=True)) for entry in subscriptions]
    # SNS lists a hundred on a page; here there are two pages.
    pages = [{"Subscriptions": listed[:1]}, {"Subscriptions": listed[1:]}]
    sns = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=lambda **_: pages))
    parameters = {"NotificationEndpoint": endpoint, "NotificationProtocol": "email"}
    tree = StackTree(Stack(ROOT, "UPDATE_COMPLETE", "arn:root", parameters))
    run = make_run({"sns": sns}, TOPIC, tree=tree)
    run.mailbox = SimpleNamespace(arn=MAILBOX[1])
    check = run_check("notifications", "subscribers", notifications.check_subscribers, run)
    return check.status, check.observation


def test_the_subscriber_of_the_stack_and_the_queue_of_this_run_are_expected() -> None:
    assert run_subscribers_check(MAILBOX, ON_CALL) == (Status.OK, "on-call@example.com, confirmed")


@pytest.mark.parametrize("arn", ["PendingConfirmation", "Deleted"])
def test_an_unconfirmed_subscription_fails(arn: str) -> None:
    status, observation = run_subscribers_check(MAILBOX, (*ON_CALL[:2], arn))
    assert (status, "has not confirmed" in observation) == (Status.FAILED, True)


def test_a_missing_subscription_and_no_subscriber_differ() -> None:
    assert run_subscribers_check(MAILBOX) == (Status.FAILED, "on-call@example.com is not subscribed")
    assert run_subscribers_check(MAILBOX, endpoint="")[0] is Status.SKIPPED


@pytest.mark.parametrize(
    ("protocol", "endpoint"),
    [
        ("sqs", queue_arn("payment-verify-this", account="999999999999")),
        ("sqs", queue_arn("payment-verify-this", region="us-east-1")),
        ("https", "https://example.com/hook:payment-verify-1"),
        ("https", queue_arn("payment-verify-1")),
        ("sms", MAILBOX[1]),
        ("email-json", ON_CALL[1]),
        ("lambda", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:payment-verify-1"),
    ],
)
def test_an_endpoint_that_is_only_named_like_the_queue_of_a_run_is_uninvited(protocol: str, endpoint: str) -> None:
    status, observation = run_subscribers_check(MAILBOX, ON_CALL, (protocol, endpoint, "arn:uninvited"))
    assert (status, observation) == (Status.FAILED, f"{endpoint} is subscribed to the topic, and not by the stack")


def test_a_queue_that_another_run_left_is_named_with_the_command_that_removes_it() -> None:
    left_behind = queue_arn("payment-verify-0000")
    status, observation = run_subscribers_check(MAILBOX, ON_CALL, ("sqs", left_behind, "arn:left"))
    assert status is Status.FAILED
    for words in (
        left_behind,
        "aws sns unsubscribe --region eu-west-1 --subscription-arn arn:left",
        "aws sqs delete-queue",
        "--queue-name payment-verify-0000",
    ):
        assert words in observation

"""The live page in Chromium, with the platform on the AWS emulator behind it."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from scripts.common.errors import UserError
from scripts.local import server, target
from scripts.operator.platform import Platform as Operated
from scripts.page.server import Page as Served
from scripts.page.server import serve_page
from tests.e2e.conftest import ENVIRONMENT, Platform, deploy_platform

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

# Chromium reconnects every second, and a payment takes less than two seconds here.
TIMEOUT_MILLISECONDS = 20_000


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with server.run_server(wait_scale=0.02, alarm_scale=0.1) as running:
        yield deploy_platform(target.emulator_target(running))


def reach_platform(platform: Platform) -> Operated:
    return Operated(ENVIRONMENT, platform.target, "somebody")


@pytest.fixture(scope="module")
def page_server(platform: Platform) -> Iterator[Served]:
    with serve_page(lambda: reach_platform(platform)) as page:
        yield page


@pytest.fixture
def live_page(page: "Page", page_server: Served) -> "Page":
    return open_page(page, page_server)


def open_page(page: "Page", page_server: Served) -> "Page":
    page.set_default_timeout(TIMEOUT_MILLISECONDS)
    page.goto(page_server.url)
    page.locator("#connection[data-state=live]").wait_for()
    page.locator("#environment").get_by_text("local").wait_for()
    return page


def start_payment(page: "Page", description: str) -> str:
    """Press the button of an example and return the payment's transaction id."""
    before = page.locator("#paid").inner_text()
    page.locator("#examples").get_by_role("button", name=description).click()
    page.wait_for_function("before => document.getElementById('paid').textContent !== before", arg=before)
    message = page.locator("#paid").inner_text()
    assert message.startswith("sent "), message
    return message.removeprefix("sent ")


def find_row(page: "Page", transaction_id: str) -> "Locator":
    return page.locator("#payments tr").filter(has_text=transaction_id)


def wait_for_status(page: "Page", transaction_id: str, status: str) -> None:
    find_row(page, transaction_id).locator(".status").get_by_text(status, exact=True).wait_for()


def find_letter(page: "Page", transaction_id: str) -> "Locator":
    return page.locator("#letters li").filter(has_text=transaction_id)


def send_letter(platform: Platform, body: dict[str, str]) -> None:
    sqs = platform.client("sqs")
    queue = sqs.get_queue_url(QueueName=f"payment-dlq-{ENVIRONMENT}")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(body))


@contextmanager
def disable_retries(platform: Platform) -> Iterator[None]:
    """Let a payment fail for good where it would have been retried."""
    workflow, arn = platform.client("stepfunctions"), platform.outputs["StepFunctionsStateMachineArn"]
    original = workflow.describe_state_machine(stateMachineArn=arn)["definition"]
    changed = json.loads(original)
    changed["States"]["ProcessPayment"]["Retry"] = []
    workflow.update_state_machine(stateMachineArn=arn, definition=json.dumps(changed))
    try:
        yield
    finally:
        workflow.update_state_machine(stateMachineArn=arn, definition=original)


def test_a_payment_arrives_in_its_state_and_completes(live_page: "Page") -> None:
    from playwright.sync_api import expect

    completed = live_page.locator("#counts > div").filter(has_text="COMPLETED").locator("dd")
    through = live_page.locator("[data-state=PaymentComplete] .passed")
    counts = [int(count.text_content() or 0) for count in (completed, through)]
    transaction_id = start_payment(live_page, "a slow gateway")
    live_page.locator("[data-state=ProcessPayment].busy").wait_for()
    find_row(live_page, transaction_id).get_by_text("in Process").wait_for()
    wait_for_status(live_page, transaction_id, "COMPLETED")
    live_page.locator("[data-state=ProcessPayment]:not(.busy)").wait_for()
    text = find_row(live_page, transaction_id).inner_text()
    assert [part for part in ("80.07 USD", "credit card") if part not in text] == []
    for locator, count in zip((completed, through), counts, strict=True):
        expect(locator).to_have_text(str(count + 1), timeout=TIMEOUT_MILLISECONDS)


def test_a_failed_payment_is_redriven_by_the_button_and_completes(live_page: "Page", platform: Platform) -> None:
    with disable_retries(platform):
        transaction_id = start_payment(live_page, "gateway unavailable twice, then back")
        wait_for_status(live_page, transaction_id, "FAILED")
        find_letter(live_page, transaction_id).wait_for()
    text = find_letter(live_page, transaction_id).inner_text()
    assert "GatewayUnavailable in Process" in text
    assert "the gateway was unavailable on every attempt; nothing was charged" in text
    assert "now FAILED: a redrive will try it again" in text
    find_letter(live_page, transaction_id).get_by_role("button", name="Redrive").click()
    wait_for_status(live_page, transaction_id, "COMPLETED")
    find_letter(live_page, transaction_id).wait_for(state="detached")
    assert f"{transaction_id}: started" in live_page.locator("#redriven").inner_text()

    find_row(live_page, transaction_id).get_by_role("button", name=transaction_id).click()
    story = live_page.get_by_role("dialog", name=transaction_id)
    story.get_by_text("PROCESSING → COMPLETED").wait_for()
    text = story.inner_text()
    assert "dead letter sent" in text
    assert text.index("dead letter sent") < text.index("FAILED → PENDING") < text.index("PROCESSING → COMPLETED")
    assert "CUST-12345" not in live_page.content()
    live_page.keyboard.press("Escape")
    story.wait_for(state="hidden")


def test_a_letter_of_another_request_is_not_redriven_and_the_page_says_why(
    live_page: "Page", platform: Platform
) -> None:
    transaction_id = start_payment(live_page, "an ordinary payment")
    wait_for_status(live_page, transaction_id, "COMPLETED")
    conflict = {"transaction_id": transaction_id, "error": "IdempotencyConflict", "timestamp": "9"}
    send_letter(platform, conflict | {"state": "ValidatePayment"})
    advice = "the id belongs to another payment; it cannot be redriven"
    find_letter(live_page, transaction_id).locator(".advice").get_by_text(f"now COMPLETED: {advice}").wait_for()
    button = find_letter(live_page, transaction_id).get_by_role("button", name="Redrive")
    assert button.is_disabled()
    assert button.get_attribute("title") == advice
    # As if it was pressed just before the page learned that it cannot be redriven.
    button.evaluate("button => { button.disabled = false; button.click(); }")
    alert = find_letter(live_page, transaction_id).get_by_role("alert")
    alert.get_by_text(advice).wait_for()
    assert button.is_disabled()


def test_hostile_markup_is_shown_as_text(live_page: "Page", platform: Platform) -> None:
    hostile = "<img src=x onerror=document.title='run'>"
    dynamodb = platform.client("dynamodb")
    send_letter(platform, {"transaction_id": hostile, "error": hostile, "state": hostile, "timestamp": "9"})
    seconds = {"N": f"{time.time():.3f}"}
    item = {"transaction_id": {"S": hostile}, "status": {"S": hostile}, "payment_method": {"S": hostile}}
    item |= {"created_at": seconds, "updated_at": seconds, "failure": {"S": hostile}}
    dynamodb.put_item(TableName=platform.outputs["DynamodbTableName"], Item=item)
    try:
        find_letter(live_page, hostile).wait_for()
        find_row(live_page, hostile).wait_for()
        assert hostile in live_page.locator("#counts").inner_text()
        find_row(live_page, hostile).get_by_role("button", name=hostile).click()
        live_page.locator("#story-head").get_by_text(hostile).first.wait_for()
        assert live_page.locator("img").count() == 0
        assert live_page.title() == "Payments"
    finally:
        dynamodb.delete_item(TableName=platform.outputs["DynamodbTableName"], Key={"transaction_id": {"S": hostile}})
    find_row(live_page, hostile).wait_for(state="detached")


def test_a_phone_scrolls_vertically_only(live_page: "Page") -> None:
    live_page.set_viewport_size({"width": 390, "height": 844})
    transaction_id = start_payment(live_page, "response lost, confirmed not charged")
    wait_for_status(live_page, transaction_id, "FAILED")
    find_letter(live_page, transaction_id).wait_for()
    find_row(live_page, transaction_id).get_by_role("button", name=transaction_id).click()
    live_page.locator("#timeline li").first.wait_for()
    # The longest message of the page.
    live_page.evaluate("connection('lost', 'connection lost: its server has ended, or is busy; looking again')")
    assert live_page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [390, 390]
    for place in ("header", "#payments", "#payments td:first-child", "#letters", "#story", "#timeline .what"):
        box = live_page.locator(place).first.bounding_box()
        assert box
        assert (box["x"] >= 0, box["x"] + box["width"] <= 390, box["width"] > 300) == (True, True, True), place


def test_a_ringing_alarm_comes_first(live_page: "Page", platform: Platform) -> None:
    send_letter(platform, {"transaction_id": "T-1"})
    rule = f"ALARM(alarm-dead-letters-{ENVIRONMENT})"
    platform.client("cloudwatch").put_composite_alarm(AlarmName=f"of-others-{ENVIRONMENT}", AlarmRule=rule)
    ringing = live_page.locator("#ringing li").filter(has_text="alarm-dead-letters")
    ringing.wait_for()
    assert "The dead-letter queue holds payments that failed after all retries" in ringing.inner_text()
    assert "what to do: docs/runbook.md#alarm-dead-letters" in ringing.inner_text()
    assert re.fullmatch(r"\d+ of \d\d in ALARM", live_page.locator("#alarms-count").inner_text())
    live_page.locator("#quiet summary").click()
    live_page.locator("#alarms li").first.wait_for()
    live_page.locator("#ringing li, #alarms li").filter(has_text="of-others").wait_for()


def test_a_lost_server_is_reported_and_the_next_one_is_followed(page: "Page", platform: Platform) -> None:
    def list_threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread not in before]

    before = threading.enumerate()
    with serve_page(lambda: reach_platform(platform)) as first:
        open_page(page, first)
        assert list_threads()
    # The threads of the feed, of the server and of the open page have ended.
    assert list_threads() == []
    page.locator("#connection[data-state=lost]").get_by_text("connection lost").wait_for()
    port = int(first.url.rsplit(":", 1)[1].strip("/"))
    with serve_page(lambda: reach_platform(platform), port):
        page.locator("#connection[data-state=live]").wait_for()
        # With the token of the new server.
        wait_for_status(page, start_payment(page, "an ordinary payment"), "COMPLETED")


def test_a_problem_is_shown_in_one_line_until_it_is_over(page: "Page", platform: Platform) -> None:
    errors: list[Any] = [UserError("the AWS emulator is not running")]

    def reach_later() -> Operated:
        if errors:
            raise errors[0]
        return reach_platform(platform)

    with serve_page(reach_later) as served:
        page.goto(served.url)
        page.get_by_role("alert").get_by_text("the AWS emulator is not running").wait_for()
        errors.clear()
        page.locator("#counts > div").get_by_text("COMPLETED").wait_for()
        page.locator("#environment").get_by_text("local").wait_for()
        assert page.locator("#problem").inner_text() == ""

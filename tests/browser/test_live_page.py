"""The page of payments as somebody sees it: in Chromium, with the platform on the AWS emulator behind it."""

import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from scripts.common.errors import UserError
from scripts.local import server, target
from scripts.operator.platform import Platform as Operated
from scripts.page.server import Page as Served
from scripts.page.server import serve_page
from tests.e2e.conftest import ENVIRONMENT, Platform, deployed

from .conftest import watched_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

# Chromium looks for a server that has gone every second, a payment of the simulator takes less than two here.
SECONDS = 20_000


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with server.run_server(wait_scale=0.02, alarm_scale=0.1) as running:
        yield deployed(target.emulator_target(running))


def reach(platform: Platform) -> Operated:
    return Operated(ENVIRONMENT, platform.target, "somebody")


@pytest.fixture(scope="module")
def served(platform: Platform) -> Iterator[Served]:
    with serve_page(lambda: reach(platform)) as page:
        yield page


@pytest.fixture
def live(page: "Page", served: Served) -> "Page":
    return opened(page, served)


def opened(page: "Page", served: Served) -> "Page":
    page.set_default_timeout(SECONDS)
    page.goto(served.url)
    page.locator("#connection[data-state=live]").wait_for()
    page.locator("#environment").get_by_text("local").wait_for()
    return page


def pay(page: "Page", what: str) -> str:
    """Press a button of the page; the payment's id."""
    before = page.locator("#paid").inner_text()
    page.locator("#examples").get_by_role("button", name=what).click()
    page.wait_for_function("before => document.getElementById('paid').textContent !== before", arg=before)
    said = page.locator("#paid").inner_text()
    assert said.startswith("sent "), said
    return said.removeprefix("sent ")


def row(page: "Page", transaction_id: str) -> "Locator":
    return page.locator("#payments tr").filter(has_text=transaction_id)


def is_now(page: "Page", transaction_id: str, status: str) -> None:
    row(page, transaction_id).locator(".status").get_by_text(status, exact=True).wait_for()


def letter(page: "Page", transaction_id: str) -> "Locator":
    return page.locator("#letters li").filter(has_text=transaction_id)


def count(page: "Page", status: str) -> int:
    return int(page.locator("#counts > div").filter(has_text=status).locator("dd").inner_text())


def came_to(page: "Page", state: str) -> int:
    return int(page.locator(f"[data-state={state}] .passed").text_content() or 0)


def leave_a_letter(platform: Platform, body: dict[str, str]) -> None:
    sqs = platform.client("sqs")
    queue = sqs.get_queue_url(QueueName=f"payment-dlq-{ENVIRONMENT}")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(body))


@contextmanager
def a_workflow_that_tries_once(platform: Platform) -> Iterator[None]:
    """A gateway that is away for two attempts is then away for good."""
    workflow, arn = platform.client("stepfunctions"), platform.outputs["StepFunctionsStateMachineArn"]
    whole = workflow.describe_state_machine(stateMachineArn=arn)["definition"]
    less = json.loads(whole)
    less["States"]["ProcessPayment"]["Retry"] = []
    workflow.update_state_machine(stateMachineArn=arn, definition=json.dumps(less))
    try:
        yield
    finally:
        workflow.update_state_machine(stateMachineArn=arn, definition=whole)


def test_a_payment_arrives_and_completes(live: "Page") -> None:
    completed, through = count(live, "COMPLETED"), came_to(live, "PaymentComplete")
    paid = pay(live, "an ordinary payment")
    is_now(live, paid, "COMPLETED")
    assert "150.00 USD" in row(live, paid).inner_text()
    assert "credit card" in row(live, paid).inner_text()
    assert count(live, "COMPLETED") == completed + 1
    live.wait_for_function(
        "n => Number(document.querySelector('[data-state=PaymentComplete] .passed').textContent) === n",
        arg=through + 1,
    )


def test_while_it_runs_it_is_shown_in_its_state(live: "Page") -> None:
    paid = pay(live, "a slow gateway")
    live.locator("[data-state=ProcessPayment].busy").wait_for()
    row(live, paid).get_by_text("in Process").wait_for()
    is_now(live, paid, "COMPLETED")
    live.locator("[data-state=ProcessPayment]:not(.busy)").wait_for()


def test_one_that_fails_is_redriven_by_the_button_and_completes(live: "Page", platform: Platform) -> None:
    with a_workflow_that_tries_once(platform):
        paid = pay(live, "gateway unavailable twice, then back")
        is_now(live, paid, "FAILED")
        letter(live, paid).wait_for()
    told = letter(live, paid).inner_text()
    assert "GatewayUnavailable in Process" in told
    assert "the gateway was unavailable on every attempt; nothing was charged" in told
    assert "now FAILED: a redrive will try it again" in told
    letter(live, paid).get_by_role("button", name="Redrive").click()
    is_now(live, paid, "COMPLETED")
    letter(live, paid).wait_for(state="detached")
    assert f"{paid}: started" in live.locator("#redriven").inner_text()

    row(live, paid).get_by_role("button", name=paid).click()
    story = live.get_by_role("dialog", name=paid)
    story.get_by_text("PROCESSING → COMPLETED").wait_for()
    text = story.inner_text()
    assert "dead letter sent" in text
    assert text.index("dead letter sent") < text.index("FAILED → PENDING") < text.index("PROCESSING → COMPLETED")
    assert "CUST-12345" not in live.content()
    live.keyboard.press("Escape")
    story.wait_for(state="hidden")


def test_a_letter_of_another_request_is_not_redriven_and_the_page_says_why(live: "Page", platform: Platform) -> None:
    paid = pay(live, "an ordinary payment")
    is_now(live, paid, "COMPLETED")
    conflict = {"transaction_id": paid, "error": "IdempotencyConflict", "state": "ValidatePayment", "timestamp": "9"}
    leave_a_letter(platform, conflict)
    why = "the id belongs to another payment; it cannot be redriven"
    letter(live, paid).locator(".advice").get_by_text(f"now COMPLETED: {why}").wait_for()
    button = letter(live, paid).get_by_role("button", name="Redrive")
    assert button.is_disabled()
    assert button.get_attribute("title") == why
    # As one is pressed that could still be redriven when the page looked last.
    button.evaluate("button => { button.disabled = false; button.click(); }")
    said = letter(live, paid).get_by_role("alert")
    said.get_by_text(why).wait_for()
    assert button.is_disabled()


def test_what_is_written_anywhere_is_shown_as_text(live: "Page", platform: Platform) -> None:
    hostile = "<img src=x onerror=document.title='run'>"
    dynamodb = platform.client("dynamodb")
    leave_a_letter(platform, {"transaction_id": hostile, "error": hostile, "state": hostile, "timestamp": "9"})
    now = {"N": f"{time.time():.3f}"}
    item = {"transaction_id": {"S": hostile}, "status": {"S": hostile}, "payment_method": {"S": hostile}}
    item |= {"created_at": now, "updated_at": now, "failure": {"S": hostile}}
    dynamodb.put_item(TableName=platform.outputs["DynamodbTableName"], Item=item)
    try:
        letter(live, hostile).wait_for()
        row(live, hostile).wait_for()
        assert hostile in live.locator("#counts").inner_text()
        row(live, hostile).get_by_role("button", name=hostile).click()
        live.locator("#story-head").get_by_text(hostile).first.wait_for()
        assert live.locator("img").count() == 0
        assert live.title() == "Payments"
    finally:
        dynamodb.delete_item(TableName=platform.outputs["DynamodbTableName"], Key={"transaction_id": {"S": hostile}})
    row(live, hostile).wait_for(state="detached")


def test_a_telephone_has_to_be_scrolled_down_only(live: "Page") -> None:
    live.set_viewport_size({"width": 390, "height": 844})
    paid = pay(live, "response lost, confirmed not charged")
    is_now(live, paid, "FAILED")
    letter(live, paid).wait_for()
    row(live, paid).get_by_role("button", name=paid).click()
    live.locator("#timeline li").first.wait_for()
    # What it says of a server that has gone is the longest.
    live.evaluate("connection('lost', 'connection lost: its server has ended, or is busy; looking again')")
    assert live.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [390, 390]
    for place in ("header", "#payments", "#payments td:first-child", "#letters", "#story", "#timeline .what"):
        box = live.locator(place).first.bounding_box()
        assert box
        assert (box["x"] >= 0, box["x"] + box["width"] <= 390, box["width"] > 300) == (True, True, True), place


def test_two_who_look_see_the_same(live: "Page", served: Served, browser: "Browser") -> None:
    with watched_page(browser) as other:
        opened(other, served)
        paid = pay(live, "declined by the gateway")
        for one in (live, other):
            is_now(one, paid, "DECLINED")


def test_an_alarm_that_rings_comes_first(live: "Page", platform: Platform) -> None:
    leave_a_letter(platform, {"transaction_id": "T-1"})
    rule = f"ALARM(alarm-dead-letters-{ENVIRONMENT})"
    platform.client("cloudwatch").put_composite_alarm(AlarmName=f"of-others-{ENVIRONMENT}", AlarmRule=rule)
    ringing = live.locator("#ringing li").filter(has_text="alarm-dead-letters")
    ringing.wait_for()
    assert "The dead-letter queue holds payments that failed after all retries" in ringing.inner_text()
    assert "what to do: docs/runbook.md#alarm-dead-letters" in ringing.inner_text()
    assert re.fullmatch(r"\d+ of \d\d in ALARM", live.locator("#alarms-count").inner_text())
    live.locator("#quiet summary").click()
    live.locator("#alarms li").first.wait_for()
    live.locator("#ringing li, #alarms li").filter(has_text="of-others").wait_for()


def test_it_says_that_its_server_has_gone_and_goes_on_with_the_next(page: "Page", platform: Platform) -> None:
    def of_the_page() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread not in before]

    before = threading.enumerate()
    with serve_page(lambda: reach(platform)) as first:
        opened(page, first)
        assert of_the_page()
    # All have ended: the feed's, the server's, and that of the page which was open.
    assert of_the_page() == []
    page.locator("#connection[data-state=lost]").get_by_text("connection lost").wait_for()
    port = int(first.url.rsplit(":", 1)[1].strip("/"))
    with serve_page(lambda: reach(platform), port):
        page.locator("#connection[data-state=live]").wait_for()
        # With the token of the new one.
        is_now(page, pay(page, "an ordinary payment"), "COMPLETED")


def test_it_says_in_a_line_what_is_wrong_and_when_it_is_over(page: "Page", platform: Platform) -> None:
    broken: list[Any] = [UserError("the AWS emulator is not running")]

    def reached() -> Operated:
        if broken:
            raise broken[0]
        return reach(platform)

    with serve_page(reached) as served:
        page.goto(served.url)
        page.get_by_role("alert").get_by_text("the AWS emulator is not running").wait_for()
        broken.clear()
        page.locator("#counts > div").get_by_text("COMPLETED").wait_for()
        page.locator("#environment").get_by_text("local").wait_for()
        assert page.locator("#problem").inner_text() == ""


def test_a_story_of_a_payment_that_is_not_recorded_says_so(live: "Page") -> None:
    missing = f"T-{uuid.uuid4().hex[:8]}"
    answer = live.evaluate("async id => (await fetch(`/payments/${id}`)).json()", missing)
    assert answer["problem"].startswith(f"{missing} is not recorded in local")

"""The live page in Chromium, with the platform on the AWS emulator behind it."""

import json
import re
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from scripts.common.errors import UserError
from scripts.local import server, target
from scripts.operator.platform import Platform as Operated
from scripts.page.server import Page as Served
from scripts.page.server import serve_page
from tests.e2e.conftest import ENVIRONMENT, Platform, deploy_platform

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

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


def test_a_failed_payment_is_redriven_by_the_button_and_completes(live_page: "Page") -> None:
    transaction_id = start_payment(live_page, "gateway down, back for a redrive")
    wait_for_status(live_page, transaction_id, "FAILED")
    find_letter(live_page, transaction_id).wait_for()
    text = find_letter(live_page, transaction_id).inner_text()
    assert "GatewayUnavailable in Process" in text
    assert "the gateway was unavailable on every attempt; nothing was charged" in text
    assert "now FAILED: a redrive will try it again" in text
    assert re.search(r"\d\d:\d\d UTC", text)
    find_letter(live_page, transaction_id).get_by_role("button", name="Redrive").click()
    wait_for_status(live_page, transaction_id, "COMPLETED")
    find_letter(live_page, transaction_id).wait_for(state="detached")
    assert live_page.locator("#redriven").inner_text() == f"{transaction_id}: redriven"
    result = live_page.locator("#redrives li").filter(has_text=transaction_id)
    result.get_by_text("redriven: it has its outcome now").wait_for()
    row = find_row(live_page, transaction_id)
    assert [word for word in ("COMPLETED", "redriven", "150.11 USD") if word not in row.inner_text()] == []
    # Four of the first execution, and one of the redrive.
    assert row.locator("td").nth(4).inner_text() == "5"

    row.get_by_role("button", name=transaction_id).click()
    story = live_page.get_by_role("dialog", name=transaction_id)
    story.get_by_text("PROCESSING → COMPLETED").wait_for()
    text = story.inner_text()
    assert "5 attempts" in text
    assert "dead letter sent" in text
    assert text.index("dead letter sent") < text.index("FAILED → PENDING") < text.index("PROCESSING → COMPLETED")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d UTC", story.locator("#timeline li").first.inner_text())
    assert "CUST-12345" not in live_page.content()
    live_page.keyboard.press("Escape")
    story.wait_for(state="hidden")


def test_a_redrive_that_fails_again_says_so_wherever_the_payment_is_shown(live_page: "Page") -> None:
    transaction_id = start_payment(live_page, "response lost, never charged, even redriven")
    wait_for_status(live_page, transaction_id, "FAILED")
    find_letter(live_page, transaction_id).get_by_role("button", name="Redrive").click()
    result = live_page.locator("#redrives li").filter(has_text=transaction_id)
    result.get_by_text("redriven: it failed again, and left a new dead letter").wait_for()
    wait_for_status(live_page, transaction_id, "FAILED")
    find_row(live_page, transaction_id).get_by_text("redriven, failed again").wait_for()
    advice = "now FAILED: its last redrive failed, too; a redrive will try it again"
    find_letter(live_page, transaction_id).locator(".advice").get_by_text(advice).wait_for()


def test_a_letter_that_somebody_else_has_cleared_is_reported(live_page: "Page", platform: Platform) -> None:
    transaction_id = start_payment(live_page, "response lost, never charged, even redriven")
    button = find_letter(live_page, transaction_id).get_by_role("button", name="Redrive")
    button.wait_for()
    sqs = platform.client("sqs")
    sqs.purge_queue(QueueUrl=sqs.get_queue_url(QueueName=f"payment-dlq-{ENVIRONMENT}")["QueueUrl"])
    # As if it was pressed just before the page learned that.

    def answer_late(route: "Route") -> None:
        button.wait_for(state="detached")
        route.continue_()

    live_page.route("**/redrive", answer_late)
    button.click()
    expected = f"{transaction_id}: this dead letter was redriven or cleared, or somebody else is about to"
    live_page.locator("#redriven.bad").get_by_text(expected).wait_for()


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
    transaction_id = start_payment(live_page, "response lost, never charged, even redriven")
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
    assert re.search(r"in ALARM since \d\d:\d\d UTC", ringing.inner_text())
    assert re.fullmatch(r"\d+ of \d\d in ALARM", live_page.locator("#alarms-count").inner_text())
    live_page.locator("#quiet summary").click()
    live_page.locator("#alarms li").first.wait_for()
    live_page.locator("#ringing li, #alarms li").filter(has_text="of-others").wait_for()


def test_the_runbook_opens_at_the_section_of_an_alarm(live_page: "Page", platform: Platform) -> None:
    send_letter(platform, {"transaction_id": "T-2"})
    link = live_page.locator("#ringing").get_by_role("link", name="docs/runbook.md#alarm-dead-letters")
    with live_page.expect_popup() as popup:
        link.click()
    runbook = popup.value
    runbook.wait_for_load_state()
    for width in (390, 1280):
        runbook.set_viewport_size({"width": width, "height": 844})
        assert runbook.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
    heading = runbook.locator(":target")
    assert (heading.inner_text(), heading.bounding_box()["y"] < 100) == ("alarm-dead-letters", True)  # type: ignore[index]
    runbook.get_by_role("link", name="SECURITY.md").first.click()
    runbook.get_by_role("heading", level=1).wait_for()
    assert runbook.url.endswith("/SECURITY.md")


def test_no_number_covers_the_name_of_its_state(live_page: "Page") -> None:
    """The page counts a hundred executions at most."""
    covered = """() => [...document.querySelectorAll(".state")].filter(state => {
      const [name, count] = [".name", ".passed"].map(part => state.querySelector(part));
      count.textContent = "100";
      return name.getBBox().x + name.getBBox().width + 2 > count.getBBox().x;
    }).map(state => state.dataset.state)"""
    assert live_page.evaluate(covered) == []
    live_page.set_viewport_size({"width": 390, "height": 844})
    assert live_page.evaluate(covered) == []


def test_a_phone_shows_that_the_state_machine_goes_on_until_its_end_is_seen(live_page: "Page") -> None:
    hint, frame = live_page.locator("#flow-hint"), live_page.locator("#flow-frame")
    live_page.set_viewport_size({"width": 1280, "height": 900})
    hint.wait_for(state="hidden")
    live_page.set_viewport_size({"width": 390, "height": 844})
    hint.get_by_text("swipe sideways to see the other states").wait_for()
    end = live_page.locator("[data-state=PaymentFailed] rect")
    end.scroll_into_view_if_needed()
    frame.evaluate("frame => frame.scrollTo(frame.scrollWidth, 0)")
    live_page.locator("#flow-frame:not(.more)").wait_for()
    box = end.bounding_box()
    assert box
    assert box["x"] + box["width"] <= 390


# The texts whose contrast with what is behind them is lower than WCAG 2.1 asks at level AA: 4.5, and 3 for large ones.
# https://www.w3.org/TR/WCAG21/#contrast-minimum
FIND_FAINT_TEXTS = """
() => {
  const parse = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = ([r, g, b, a], below) => [r, g, b].map((part, n) => part * a + below[n] * (1 - a));
  const luminance = color => color.slice(0, 3).map(part => part / 255)
    .map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4)
    .reduce((sum, part, n) => sum + part * [.2126, .7152, .0722][n], 0);
  const behind = element => {
    if (!element) return [255, 255, 255];
    const rect = element.matches("g.state, g.now") && element.querySelector(":scope > rect, :scope > circle");
    const color = parse(rect ? getComputedStyle(rect).fill : getComputedStyle(element).backgroundColor);
    return color[3] === 1 ? color : over(color, behind(element.parentElement));
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join("");
    const style = getComputedStyle(element);
    if (!words || !element.checkVisibility({ visibilityProperty: true }) || element.closest(":disabled")) continue;
    const color = parse(element instanceof SVGElement ? style.fill : style.color), ground = behind(element);
    color[3] *= Number(style.opacity);
    const [light, dark] = [luminance(over(color, ground)), luminance(ground)].sort((a, b) => b - a);
    const ratio = (light + .05) / (dark + .05), size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) faint.push(`${words} ${ratio.toFixed(2)}`);
  }
  return faint;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_texts_are_readable(live_page: "Page", platform: Platform, scheme: Any) -> None:
    live_page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    transaction_id = start_payment(live_page, "response lost, never charged, even redriven")
    wait_for_status(live_page, start_payment(live_page, "declined by the gateway"), "DECLINED")
    find_letter(live_page, transaction_id).wait_for()
    live_page.locator("#ringing li").first.wait_for()
    live_page.locator("#quiet summary").click()
    assert live_page.evaluate(FIND_FAINT_TEXTS) == []
    find_row(live_page, transaction_id).get_by_role("button", name=transaction_id).click()
    live_page.locator("#timeline li").first.wait_for()
    assert live_page.evaluate(FIND_FAINT_TEXTS) == []
    live_page.goto(live_page.url.split("#")[0] + "docs/runbook.md")
    assert live_page.evaluate(FIND_FAINT_TEXTS) == []
    live_page.evaluate("document.querySelector('p').style.color = '#8888'")
    assert [text.split()[0] for text in live_page.evaluate(FIND_FAINT_TEXTS)] == ["What", "prod"]


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

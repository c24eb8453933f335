"""``make pictures``: the page of payments as docs/pictures/page.png, of a platform on the AWS emulator."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.local import server, target
from scripts.operator.platform import Platform
from scripts.page.server import serve_page
from tests.e2e.conftest import ENVIRONMENT, deployed
from tests.emitted import ROOT

from .conftest import CHROMIUM, FLAGS

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURE = ROOT / "docs" / "pictures" / "page.png"
# Payments that have ended when the picture is taken, and those that are running then.
ENDED_EXAMPLES = (
    *("an ordinary payment", "declined by the gateway", "gateway stays unavailable", "a currency without minor units"),
    *(
        "above the amount limit",
        "response lost, confirmed not charged",
        "an ordinary payment",
        "high-value bank transfer",
    ),
    *("charged, but the response was lost", "an ordinary payment"),
)
RUNNING_EXAMPLES = (
    "gateway unavailable twice, then back",
    "a slow gateway",
    "gateway stays unavailable",
    "an ordinary payment",
)


def main(picture: Path = PICTURE) -> None:
    from playwright.sync_api import sync_playwright

    server.isolate_from_user_configuration()
    with server.run_server(wait_scale=0.2) as running, sync_playwright() as driver:
        platform = Platform(ENVIRONMENT, deployed(target.emulator_target(running)).target, "picture")
        platform.invoke_reconciliation({"action": "reconcile"})
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=os.geteuid() != 0)
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        with serve_page(lambda: platform) as served:
            page.goto(served.url)
            page.locator("#environment").get_by_text("local").wait_for()
            _start_payments(page, ENDED_EXAMPLES)
            page.wait_for_function("document.querySelectorAll('#payments .open').length === 0")
            page.locator("#letters li").nth(1).wait_for()
            # The emulator evaluates alarms every five seconds.
            page.locator("#ringing li").first.wait_for()
            _start_payments(page, RUNNING_EXAMPLES)
            # Wait until the last of them moves.
            page.locator("#dots circle").first.wait_for(state="attached")
            page.wait_for_timeout(900)
            picture.parent.mkdir(parents=True, exist_ok=True)
            page.mouse.move(0, 0)
            page.screenshot(path=picture)
        browser.close()


def _start_payments(page: "Page", examples: tuple[str, ...]) -> None:
    for description in examples:
        before = page.locator("#paid").inner_text()
        page.locator("#examples").get_by_role("button", name=description).click()
        page.wait_for_function("before => document.getElementById('paid').textContent !== before", arg=before)


if __name__ == "__main__":
    main()

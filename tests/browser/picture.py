"""``make pictures``: the page of payments as docs/pictures/page.png, of a platform on the AWS emulator."""

from pathlib import Path
from typing import TYPE_CHECKING

from scripts.local import server, target
from scripts.local.examples import EXAMPLES
from scripts.operator.platform import Platform
from scripts.page.server import serve_page
from tests.e2e.conftest import ENVIRONMENT, deploy_platform
from tests.emitted import ROOT

from .conftest import launch_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURE = ROOT / "docs" / "pictures" / "page.png"
# Payments that have ended when the picture is taken, and those that are running then.
ENDED_EXAMPLES = ["plain", "no-funds", "gateway-down", "yen", "too-much", "never-charged"]
ENDED_EXAMPLES += ["plain", "suspicious", "lost-answer", "plain"]
RUNNING_EXAMPLES = ["hiccup", "slow", "gateway-down", "plain"]
DESCRIPTIONS = {example.name: example.description for example in EXAMPLES}


def main(picture: Path = PICTURE) -> None:
    server.isolate_from_user_configuration()
    with server.run_server(wait_scale=0.2) as running, launch_chromium() as browser:
        platform = Platform(ENVIRONMENT, deploy_platform(target.emulator_target(running)).target, "picture")
        platform.invoke_reconciliation({"action": "reconcile"})
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


def _start_payments(page: "Page", examples: list[str]) -> None:
    for name in examples:
        before = page.locator("#paid").inner_text()
        page.locator("#examples").get_by_role("button", name=DESCRIPTIONS[name]).click()
        page.wait_for_function("before => document.getElementById('paid').textContent !== before", arg=before)


if __name__ == "__main__":
    main()

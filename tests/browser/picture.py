"""``make pictures``: the page of payments, of a platform on the AWS emulator, at two sizes and in two colours."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scripts.local import server, target
from scripts.local.examples import EXAMPLES
from scripts.operator.platform import Platform
from scripts.page.server import serve_page
from tests.e2e.conftest import ENVIRONMENT, deploy_platform
from tests.emitted import ROOT

from .conftest import launch_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

Scheme = Literal["light", "dark"]
FOLDER = ROOT / "docs" / "pictures"
# Name -> width and height of the window, and the colours that the reader prefers.
PICTURES: dict[str, tuple[int, int, Scheme]] = {
    "page": (1280, 900, "light"),
    "page-dark": (1280, 900, "dark"),
    "page-phone": (390, 844, "light"),
    "page-phone-dark": (390, 844, "dark"),
}
# Payments that have ended when the picture is taken, and those that are running then.
ENDED_EXAMPLES = ["plain", "no-funds", "gateway-down", "yen", "too-much", "never-charged"]
ENDED_EXAMPLES += ["plain", "suspicious", "gateway-down", "lost-answer"]
RUNNING_EXAMPLES = ["hiccup", "slow", "gateway-down", "plain"]
DESCRIPTIONS = {example.name: example.description for example in EXAMPLES}


def main(folder: Path = FOLDER) -> None:
    server.isolate_from_user_configuration()
    with server.run_server(wait_scale=0.2) as running, launch_chromium() as browser:
        platform = Platform(ENVIRONMENT, deploy_platform(target.emulator_target(running)).target, "picture")
        platform.invoke_reconciliation({"action": "reconcile"})
        with serve_page(lambda: platform) as served:
            pages = {}
            for name, (width, height, scheme) in PICTURES.items():
                pages[name] = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                pages[name].goto(served.url)
                pages[name].locator("#environment").get_by_text("local").wait_for()
            _show_payments(pages["page"])
            folder.mkdir(parents=True, exist_ok=True)
            for name, page in pages.items():
                # A telephone shows the state machine and the newest payments at once, below the buttons.
                page.evaluate("innerWidth < 560 && scrollTo(0, document.querySelector('#flow-title').offsetTop - 70)")
                page.mouse.move(0, 0)
                page.screenshot(path=folder / f"{name}.png")


def _show_payments(page: "Page") -> None:
    """Send payments until one was redriven, two dead letters wait, an alarm rings, and others are on their way."""
    _start_payments(page, ENDED_EXAMPLES)
    page.wait_for_function("document.querySelectorAll('#payments .open').length === 0")
    page.locator("#letters li").nth(2).wait_for()
    page.locator("#letters li").filter(has_text="gateway-down").first.get_by_role("button", name="Redrive").click()
    page.locator("#redrives").get_by_text("it has its outcome now").wait_for()
    page.locator("#letters li").nth(2).wait_for(state="detached")
    # The emulator evaluates alarms every five seconds.
    page.locator("#ringing li").first.wait_for()
    _start_payments(page, RUNNING_EXAMPLES)
    # Wait until the last of them moves.
    page.locator("#dots circle").first.wait_for(state="attached")
    page.wait_for_timeout(900)


def _start_payments(page: "Page", examples: list[str]) -> None:
    for name in examples:
        before = page.locator("#paid").inner_text()
        page.locator("#examples").get_by_role("button", name=DESCRIPTIONS[name]).click()
        page.wait_for_function("before => document.getElementById('paid').textContent !== before", arg=before)


if __name__ == "__main__":
    main()

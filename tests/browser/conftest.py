"""A page in a headless Chromium that reaches only this machine; `make browser-test` installs what it needs."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.emitted import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MERMAID = ROOT / ".venv" / "browser" / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"
# No requests of the browser itself.
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nothing else resolves, should it try anyway.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
)
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def pytest_sessionstart() -> None:
    if CHROMIUM is None or not MERMAID.exists():
        pytest.exit("Chromium, its driver or Mermaid is not there: `make browser-test` installs or names it", 1)


@contextmanager
def launch_chromium() -> Iterator["Browser"]:
    """Return a browser with a temporary profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Chromium's sandbox refuses root, the user in a container.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    with launch_chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    with open_watched_page(browser) as page:
        yield page


@contextmanager
def open_watched_page(browser: "Browser") -> Iterator["Page"]:
    """Open a blank page as wide as GitHub's column; fail if it uses the network, or if a script fails."""
    context = browser.new_context(viewport={"width": 850, "height": 1000})
    foreign_urls: list[str] = []
    script_errors: list[str] = []

    def route_request(route: "Route") -> None:
        if is_on_this_machine(route.request.url):
            route.continue_()
        else:
            foreign_urls.append(route.request.url)
            route.abort()

    context.route("**/*", route_request)
    page = context.new_page()
    page.on("pageerror", lambda error: script_errors.append(str(error)))
    yield page
    context.close()
    assert not foreign_urls, f"asked of the network: {foreign_urls}"
    assert not script_errors, f"scripts failed: {script_errors}"


def is_on_this_machine(url: str) -> bool:
    address = urlsplit(url)
    return address.scheme in ("file", "data", "blob", "about") or address.hostname in LOOPBACK

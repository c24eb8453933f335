"""A page in a headless Chromium that reaches nothing but this machine; `make browser-test` sets up what it needs."""

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
# What a browser does of its own accord is no part of a test.
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nor does it find anybody else, should it try beside the page.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
)
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def pytest_sessionstart() -> None:
    if CHROMIUM is None or not MERMAID.exists():
        pytest.exit("Chromium, its driver or Mermaid is not there: `make browser-test` installs or names it", 1)


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Each start has a profile of its own, which goes with it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Chromium's sandbox refuses root, which is who runs in a container.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    with watched_page(browser) as page:
        yield page


@contextmanager
def watched_page(browser: "Browser") -> Iterator["Page"]:
    """A blank page as wide as GitHub's column. It fails when it asks the network, and when its scripts fail."""
    context = browser.new_context(viewport={"width": 850, "height": 1000})
    outside: list[str] = []
    broken: list[str] = []

    def pass_on(route: "Route") -> None:
        if is_here(route.request.url):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    context.route("**/*", pass_on)
    page = context.new_page()
    page.on("pageerror", lambda error: broken.append(str(error)))
    yield page
    context.close()
    assert not outside, f"asked of the network: {outside}"
    assert not broken, f"scripts failed: {broken}"


def is_here(url: str) -> bool:
    where = urlsplit(url)
    return where.scheme in ("file", "data", "blob", "about") or where.hostname in LOOPBACK

"""The page that the other tests get: nothing outside of this machine is asked."""

from typing import TYPE_CHECKING

import pytest

from .conftest import is_here, watched_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize(
    "url", ["file:///a.svg", "data:text/plain,a", "about:blank", "http://localhost:1/", "http://[::1]/"]
)
def test_this_machine(url: str) -> None:
    assert is_here(url)


@pytest.mark.parametrize("url", ["https://example.com/", "http://localhost.example.com/", "wss://example.com/"])
def test_others(url: str) -> None:
    assert not is_here(url)


def test_what_asks_another_is_refused_and_fails(browser: "Browser") -> None:
    with (
        pytest.raises(AssertionError, match=r"asked of the network: \['http://example.com/a.png'\]"),
        watched_page(browser) as page,
    ):
        page.set_content('<img src="http://example.com/a.png">')


def test_a_script_that_fails_fails(browser: "Browser") -> None:
    with (
        pytest.raises(AssertionError, match=r"scripts failed: .*nothing is not defined"),
        watched_page(browser) as page,
    ):
        page.set_content("<script>nothing()</script>")

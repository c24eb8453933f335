"""The page of the other tests reaches nothing outside this machine."""

from typing import TYPE_CHECKING

import pytest

from .conftest import is_on_this_machine, open_watched_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize(
    "url", ["file:///a.svg", "data:text/plain,a", "about:blank", "http://localhost:1/", "http://[::1]/"]
)
def test_urls_of_this_machine_are_allowed(url: str) -> None:
    assert is_on_this_machine(url)


@pytest.mark.parametrize("url", ["https://example.com/", "http://localhost.example.com/", "wss://example.com/"])
def test_other_urls_are_foreign(url: str) -> None:
    assert not is_on_this_machine(url)


def test_a_foreign_request_is_refused_and_fails(browser: "Browser") -> None:
    with (
        pytest.raises(AssertionError, match=r"asked of the network: \['http://example.com/a.png'\]"),
        open_watched_page(browser) as page,
    ):
        page.set_content('<img src="http://example.com/a.png">')


def test_a_script_error_fails(browser: "Browser") -> None:
    with (
        pytest.raises(AssertionError, match=r"scripts failed: .*nothing is not defined"),
        open_watched_page(browser) as page,
    ):
        page.set_content("<script>nothing()</script>")

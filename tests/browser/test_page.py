"""The page of the other tests reaches nothing outside this machine."""

from typing import TYPE_CHECKING

import pytest

from .conftest import is_on_this_machine, open_watched_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser


LOCAL_URLS = ("file:///a.svg", "data:text/plain,a", "about:blank", "http://localhost:1/", "http://[::1]/")
FOREIGN_URLS = ("https://example.com/", "http://localhost.example.com/", "wss://example.com/")


@pytest.mark.parametrize("url", LOCAL_URLS + FOREIGN_URLS)
def test_urls_of_this_machine_are_told_from_foreign_ones(url: str) -> None:
    assert is_on_this_machine(url) is (url in LOCAL_URLS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('<img src="http://example.com/a.png">', r"asked of the network: \['http://example.com/a.png'\]"),
        ("<script>nothing()</script>", r"scripts failed: .*nothing is not defined"),
    ],
)
def test_a_foreign_request_or_a_script_error_fails(browser: "Browser", content: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message), open_watched_page(browser) as page:
        page.set_content(content)

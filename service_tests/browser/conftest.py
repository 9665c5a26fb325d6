"""Chromium per file, a demo service per session, and a page that must report no error.

The browser ends with each file: Playwright runs an event loop in this thread, in which tests of other files could not
start theirs.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from service_tests.support.nextup_process import run_service

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from service_tests.browser.open_page import OpenPage

DEMO_URL = "DEMO_URL"
"""Variable with the address of a running demo, such as that of `make serve`; without it one is trained and started."""


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a service with the demo."""
    if url := os.environ.get(DEMO_URL):
        yield url.rstrip("/")
        return
    folder = tmp_path_factory.mktemp("page")
    with run_service(folder, "--demo", "--artifact", str(folder / "artifact")) as service:
        yield service.url


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from service_tests.browser.chromium import open_browser

    with open_browser() as chromium:
        yield chromium


@pytest.fixture
def opened(browser: "Browser", demo: str) -> Iterator["OpenPage"]:
    """A wide, light page, which may report no error: no exception, no violation of its policy, no failed call."""
    from service_tests.browser.open_page import open_context

    with open_context(browser, demo) as page:
        yield page
        assert page.errors == []


@pytest.fixture
def user(demo: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A user of this test alone, with the first two parts of a series and the first of another one."""
    name = f"page {request.node.name}"[:100]
    store_events(demo, name, "harbour-letters-1", "lantern-coast-1", "lantern-coast-2")
    yield name
    httpx.delete(f"{demo}/users/{name}", timeout=60)


def store_events(url: str, user: str, *items: str) -> None:
    """Store one event per item, a day apart."""
    events = [
        {"user_id": user, "item_id": item, "timestamp": 1_743_530_400 + 86_400 * day} for day, item in enumerate(items)
    ]
    response = httpx.post(f"{url}/events", json={"events": events}, timeout=60)
    assert response.status_code == 202, response.text

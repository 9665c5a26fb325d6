"""One page of the service in Chromium, with everything that it reports to the console."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

TIMEOUT_MS = 30_000
"""Of a wait for the page: much longer than any of them takes on an idle machine."""


@dataclass
class OpenPage:
    """A page, and its errors: exceptions, violations of its policy, and calls that failed."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)

    def open(self, address: str = "") -> None:
        self.page.goto(f"{self.url}/{address}")

    def open_user(self, user: str, more: str = "") -> Locator:
        """Open the recommendations of a user, and wait for the cards."""
        self.open(f"?user={user}{more}")
        self.wait_for_answer()
        return self.cards

    @property
    def cards(self) -> Locator:
        return self.page.locator("#cards > li")

    def wait_for_answer(self) -> None:
        expect(self.page.locator("#cards:not([aria-busy])")).to_have_count(1)
        expect(self.page.locator("#outcome")).to_contain_text("by ")

    def read_items(self) -> list[str]:
        """Item ids of the cards, by rank."""
        items: list[str] = self.cards.evaluate_all("cards => cards.map(card => card.dataset.item)")
        return items

    def read_announcement(self) -> str:
        return str(self.page.locator("#announcement").inner_text())


@contextmanager
def open_context(
    browser: Browser, url: str, *, width: int = 1400, scheme: Any = "light", **options: Any
) -> Iterator[OpenPage]:
    """Open a page with its own storage; `options` are those of a browser context of Playwright."""
    expect.set_options(timeout=TIMEOUT_MS)
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, locale="en-GB", timezone_id="UTC", **options
    )
    context.set_default_timeout(TIMEOUT_MS)
    try:
        opened = OpenPage(context.new_page(), url)
        opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.page.on("console", lambda message: _keep_error(opened, message))
        yield opened
    finally:
        context.close()


def _keep_error(opened: OpenPage, message: Any) -> None:
    if message.type in ("error", "warning"):
        opened.errors.append(message.text)

"""The page by keyboard alone: every action is reached with Tab, and none needs a pointer."""

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

pytest.importorskip("playwright", reason="pip install -e '.[browser]'")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from service_tests.browser.open_page import OpenPage

pytestmark = [pytest.mark.optional, pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(400)]
MAX_STEPS = 60
DESCRIBE = """(() => { const e = document.activeElement; const r = e.getBoundingClientRect();
  const s = getComputedStyle(e);
  return { name: e.getAttribute('aria-label') || (e.labels && e.labels[0]?.textContent.trim()) || e.textContent.trim(),
           outline: s.outlineStyle, width: r.width }; })()"""


def move_to(page: "Page", name: str) -> None:
    """Press Tab until the element of this accessible name has the focus."""
    visited = []
    for _ in range(MAX_STEPS):
        page.keyboard.press("Tab")
        focus = page.evaluate(DESCRIBE)
        visited.append(focus["name"])
        if focus["name"].startswith(name):
            assert focus["outline"] != "none", f"the focus on {name!r} is not visible"
            return
    raise AssertionError(f"{name!r} is not reached with Tab: {visited}")


def test_skip_link_passes_the_header(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.className") == "skip"
    opened.page.keyboard.press("Enter")
    assert opened.page.evaluate("document.activeElement.id") == "main"
    assert quote(user) in opened.page.url, "the state stays in the address"


def test_item_is_chosen_and_hidden_by_keyboard(opened: "OpenPage", user: str) -> None:
    cards = opened.open_user(quote(user))
    page = opened.page
    title = cards.first.locator("h3").inner_text()
    move_to(page, f"Choose {title}")
    page.keyboard.press("Enter")
    expect(cards.first.locator("h3")).not_to_have_text(title)
    opened.wait_for_answer()
    second = cards.first.locator("h3").inner_text()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == f"Choose {second}"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(cards.first.locator("h3")).not_to_have_text(second)
    expect(page.locator("#hidden-items")).to_contain_text("1 hidden item")


def test_forms_and_folds_work_by_keyboard(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    page = opened.page
    move_to(page, "User")
    page.keyboard.press("Control+A")
    page.keyboard.type("ben")
    page.keyboard.press("Enter")
    expect(page.locator("#announcement")).to_have_text("10 recommendations for ben.")
    move_to(page, "Filters")
    page.keyboard.press("Enter")
    move_to(page, "Another category")
    page.keyboard.type("sea")
    page.keyboard.press("Enter")
    expect(page.locator("#cards .category").first).to_have_text("sea")
    assert page.evaluate("document.activeElement.id") == "category", "the focus stays in the field"


@pytest.mark.parametrize("view", ["Items", "Compare", "Live", "Experiments"])
def test_views_open_by_keyboard(view: str, opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    move_to(opened.page, view)
    opened.page.keyboard.press("Enter")
    expect(opened.page.get_by_role("link", name=view, exact=True)).to_have_attribute("aria-current", "page")
    expect(opened.page.locator("main > section:visible")).to_have_count(1)


def test_scheme_changes_by_keyboard_and_is_kept(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    page = opened.page
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    move_to(page, "Color scheme: auto")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.reload()
    opened.wait_for_answer()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark

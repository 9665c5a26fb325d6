"""Every view in both schemes at three widths: no violation that axe finds, and nothing wider than the screen."""

import re
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="pip install -e '.[browser]'")
pytest.importorskip("axe_playwright_python", reason="pip install -e '.[browser]'")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from service_tests.browser.open_page import OpenPage, open_context

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.optional, pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(400)]
WIDTHS = (390, 768, 1400)
VIEWS = {
    "recommend": ("?user=ada", "#cards > li:nth-child(10)"),
    "pasted": ("?k=3#h=lantern-coast-1", "#cards > li:nth-child(3)"),
    "item": ("?view=item&user=ada&item=lantern-coast-2", ".about-item"),
    "compare": ("?view=compare&user=ada", "#right-list > li"),
    "live": ("?view=live", "#live-body > *"),
    "experiments": ("?view=experiments", "#experiments-body > *"),
    "problem": ("?view=item&item=not-an-item", "#item-body .empty"),
}


def show_everything(page: OpenPage, address: str, selector: str) -> None:
    """Open a view and all its foldable parts."""
    page.open(address)
    expect(page.page.locator(selector).first).to_be_visible()
    page.page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    if selector.startswith("#cards"):
        page.wait_for_answer()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_view_has_no_violation_and_fits_every_screen(view: str, scheme: str, browser: "Browser", demo: str) -> None:
    # axe is a script of the test: the policy of the page would block it, and other tests check the policy.
    with open_context(browser, demo, scheme=scheme, bypass_csp=True, reduced_motion="reduce") as page:
        show_everything(page, *VIEWS[view])
        for width in WIDTHS:
            page.page.set_viewport_size({"width": width, "height": 900})
            overflow = page.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert overflow <= 0, f"{overflow} pixels wider than {width}"
            results = Axe().run(page.page)
            assert results.violations_count == 0, f"{width}: {results.generate_report()}"


def test_longest_id_fits_every_screen(browser: "Browser", demo: str) -> None:
    with open_context(browser, demo) as page:
        page.open(f"?view=item&item=lantern-coast-2&user={'x' * 128}")
        expect(page.page.get_by_role("button", name="Choose for xxx")).to_be_visible()
        for width in WIDTHS:
            page.page.set_viewport_size({"width": width, "height": 900})
            overflow = page.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert overflow <= 0, f"{overflow} pixels wider than {width}"


def test_recommendations_are_first_on_a_phone(browser: "Browser", demo: str) -> None:
    with open_context(browser, demo, width=390) as page:
        page.open_user("ada")
        answer, history = (page.page.locator(f".{name}").bounding_box() for name in ("answer", "history"))
        assert answer is not None
        assert history is not None
        assert answer["y"] + answer["height"] <= history["y"]
        assert page.cards.first.bounding_box()["y"] < 450, "the first card is on the first screen"


def test_wide_table_scrolls_by_itself_on_a_phone(browser: "Browser", demo: str) -> None:
    names = ("control", "new")
    variants = [{"name": name, "share": 0.5, "version": "20261128-101500-" * 3, "ready": True} for name in names]
    rate = {"value": 0.0921, "low": 0.085, "high": 0.0995}
    figures = [
        {"name": name, "answers_shown": 11980, "answers_clicked": 1103, "click_through": rate, "conversion": None}
        for name in names
    ]
    state = {"name": "home", "phase": "running", "started_at": "2026-11-20T10:15:00Z", "variants": variants}
    clicks = {"status": "undecided", "differences": list[str]()}
    with open_context(browser, demo, width=390, bypass_csp=True) as page:
        page.page.route(re.compile("/experiments$"), lambda route: route.fulfill(json={"experiments": [state]}))
        result = {**state, "figures": figures, "clicks": clicks, "conversions": clicks}
        page.page.route(re.compile("/experiments/home$"), lambda route: route.fulfill(json=result))
        sample = f'nextup_feedback_total{{kind="impression",model_version="{"v" * 60}",served_by="model"}} 7.0'
        page.page.route(re.compile("/metrics$"), lambda route: route.fulfill(body=sample, content_type="text/plain"))
        page.open("?view=experiments")
        expect(page.page.get_by_text("9.2 % (8.5 to 10.0)").first).to_be_attached()
        panels = page.page.locator("#view-experiments .panel")
        expect(panels).to_have_count(2)
        assert max(box["x"] + box["width"] for panel in panels.all() if (box := panel.bounding_box())) <= 390
        table = page.page.locator("#experiments-body .scroller")
        assert table.evaluate("table => table.scrollWidth > table.clientWidth"), "the table is narrower than expected"
        assert Axe().run(page.page).violations_count == 0


def test_reduced_motion_moves_nothing(browser: "Browser", demo: str) -> None:
    with open_context(browser, demo, reduced_motion="reduce") as page:
        page.open_user("gus")
        page.cards.first.get_by_role("button", name="Hide").click()
        expect(page.page.locator("#hidden-items")).to_be_visible()
        assert page.page.evaluate("document.getAnimations().length") == 0

"""The page without an endpoint, without a service, and with a version that is not in memory."""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

pytest.importorskip("playwright", reason="pip install -e '.[browser]'")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from service_tests.browser.open_page import OpenPage

pytestmark = [pytest.mark.optional, pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(400)]
NOT_FOUND = {"status": 404, "content_type": "application/problem+json", "body": '{"status": 404, "detail": "no"}'}


def forget_errors(page: "OpenPage", text: str) -> None:
    """Remove the errors that a test has caused; all others still fail it."""
    page.errors[:] = [error for error in page.errors if text not in error]


def test_parts_without_an_endpoint_are_hidden(opened: "OpenPage", user: str) -> None:
    for pattern in ("/users\\?", "/overview$", "/followers", "/items\\?"):
        opened.page.route(re.compile(pattern), lambda route: route.fulfill(**NOT_FOUND))
    opened.open_user(quote(user))
    expect(opened.page.get_by_role("button", name="Surprise me")).to_be_hidden()
    expect(opened.page.locator("#model")).to_contain_text("NDCG@10")
    opened.cards.first.locator("h3 a").click()
    expect(opened.page.locator("section[aria-label='Neighbors']")).to_be_visible()
    expect(opened.page.locator("section[aria-label='Often next']")).to_have_count(0)
    opened.page.get_by_label("Title or id").fill("harbour-letters-3")
    opened.page.get_by_role("button", name="Search").click()
    expect(opened.page.locator("#item-title")).to_have_text("The Harbour Letters 3")
    opened.page.get_by_role("link", name="Live").click()
    expect(opened.page.locator("#live-body")).to_contain_text("no overview")
    expect(opened.page.locator("#problem")).to_be_hidden()
    forget_errors(opened, "404")


def test_recommendations_are_shown_while_redis_is_away(opened: "OpenPage", user: str) -> None:
    detail = "Redis operation 'read' failed"
    unavailable = {"status": 503, "content_type": "application/problem+json", "body": f'{{"detail": "{detail}"}}'}
    for pattern in ("/users\\?", "/users/.*/history$"):
        opened.page.route(re.compile(pattern), lambda route: route.fulfill(**unavailable))
    opened.open_user(quote(user))
    expect(opened.cards).to_have_count(10)
    expect(opened.page.locator("#history-note")).to_have_text(f"not read: {detail}")
    expect(opened.page.locator("#problem")).to_be_hidden()
    opened.open(f"?view=live&user={quote(user)}")
    expect(opened.page.locator("#live-body > *").first).to_be_visible()
    opened.page.unroute_all()
    opened.open_user(quote(user))
    expect(opened.page.locator("#timeline > *")).not_to_have_count(0)
    forget_errors(opened, "503")


def test_service_that_does_not_answer_is_reported_until_it_does(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    before = opened.read_items()
    opened.page.route("**/events", lambda route: route.abort())
    opened.cards.first.get_by_role("button", name="Choose").click()
    expect(opened.page.locator("#problem")).to_contain_text("The service does not answer")
    assert opened.read_items() == before
    opened.page.unroute("**/events")
    opened.cards.first.get_by_role("button", name="Choose").click()
    expect(opened.page.locator("#problem")).to_be_hidden()
    expect(opened.page.locator(f"#cards > [data-item='{before[0]}']")).to_have_count(0)
    forget_errors(opened, "ERR_FAILED")


def test_title_that_was_not_read_is_read_again_when_it_is_needed_later(opened: "OpenPage", user: str) -> None:
    opened.page.clock.install()
    statuses: list[int] = []

    def answer(route: Any) -> None:
        statuses.append(503)
        route.fulfill(status=503, content_type="application/problem+json", body='{"detail": "away"}')

    opened.page.route("**/items/harbour-letters-1", answer)
    opened.open_user(quote(user), "&k=1")
    link = opened.page.locator("#timeline a[data-item='harbour-letters-1']").first
    expect(link).to_have_text("harbour-letters-1")
    expect(opened.page.locator("#timeline a[data-item='lantern-coast-2']").first).to_have_text("The Lantern Coast 2")
    opened.page.get_by_role("button", name="Recommend", exact=True).click()
    opened.page.wait_for_load_state("networkidle")
    assert len(statuses) == 1, "not at each need"
    opened.page.unroute_all()
    opened.page.clock.fast_forward(6000)
    opened.page.get_by_role("button", name="Recommend", exact=True).click()
    expect(link).to_have_text("The Harbour Letters 1")
    forget_errors(opened, "503")


@pytest.mark.parametrize("was_ready", [False, True])
def test_version_that_is_not_in_memory_is_reported_on_its_side(was_ready: bool, opened: "OpenPage", user: str) -> None:
    """The page asks no version that is not in memory; one that has left memory since is refused."""

    def add_version(route: Any) -> None:
        response = route.fetch()
        body = response.json()
        stored = {**body["models"][0], "version": "20200101-000000", "active": False, "ready": was_ready}
        route.fulfill(response=response, json={**body, "models": [stored, *body["models"]]})

    opened.page.route(re.compile("/models$"), add_version)
    opened.open(f"?view=compare&user={quote(user)}&right=version:20200101-000000")
    expect(opened.page.locator("#right-note")).to_contain_text("'20200101-000000' is not in memory")
    expect(opened.page.locator("#left-list > li")).to_have_count(10)
    expect(opened.page.locator("#overlap > *")).to_have_count(0)
    if was_ready:
        forget_errors(opened, "409")


def test_answer_of_an_older_request_does_not_replace_a_newer_one(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    waiting: list[Any] = []

    def delay(route: Any) -> None:
        if "emil" in (route.request.post_data or ""):
            waiting.append(route)
        else:
            route.continue_()

    opened.page.route("**/recommend", delay)
    for name in ("emil", "ben"):
        opened.page.locator("#user").fill(name)
        opened.page.get_by_role("button", name="Recommend", exact=True).click()
    expect(opened.page.locator("#announcement")).to_have_text("10 recommendations for ben.")
    newer = opened.read_items()
    with opened.page.expect_response("**/recommend"):
        waiting.pop().continue_()
    opened.page.wait_for_load_state("networkidle")
    assert opened.read_items() == newer
    expect(opened.page.locator("#announcement")).to_have_text("10 recommendations for ben.")

"""The view of recommendations in Chromium: every action, and what it changes in the list."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

pytest.importorskip("playwright", reason="pip install -e '.[browser]'")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from service_tests.browser.open_page import OpenPage

pytestmark = [pytest.mark.optional, pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(400)]


def test_cards_show_rank_title_categories_score_and_reasons(opened: "OpenPage", user: str, demo: str) -> None:
    cards = opened.open_user(quote(user))
    body = {"user_id": user, "k": 10, "explain": True}
    answer = httpx.post(f"{demo}/recommend", json=body, timeout=60).json()
    assert opened.read_items() == [item["item_id"] for item in answer["items"]]
    first, item = cards.first, answer["items"][0]
    expect(first.locator("h3")).to_have_text(item["title"])
    expect(first.locator(".category")).to_have_text(item["categories"])
    expect(first.locator(".rank")).to_contain_text("1")
    reasons = [reason for reason in item["because"] if reason["weight"] >= 0.005]
    assert len(reasons) > 0
    expect(first.locator(".reason")).to_have_count(len(reasons))
    expect(first.locator(".reason .weight").first).to_have_text(f"{round(reasons[0]['weight'] * 100)} %")
    expect(first.locator(".reason a").first).to_have_text(re.compile("The "))


def test_outcome_has_the_times_of_the_service(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    text = opened.page.locator("#outcome").inner_text()
    assert re.search(r"by model · [\d.]+ ms in the service", text)
    stages = opened.page.locator("#outcome .stage").all_inner_texts()
    total = float(re.findall(r"([\d.]+) ms in", text)[0])
    parts = [float(re.findall(r"([\d.]+) ms", stage)[0]) for stage in stages]
    assert len(parts) >= 4
    assert total == pytest.approx(sum(parts), abs=0.1 * len(parts))


def test_chosen_item_joins_the_history_and_the_list_moves(opened: "OpenPage", user: str, demo: str) -> None:
    cards = opened.open_user(quote(user))
    before = opened.read_items()
    opened.page.evaluate(
        "window.announcements = []; new MutationObserver(() => window.announcements.push("
        "document.querySelector('#announcement').textContent)).observe("
        "document.querySelector('#announcement'), {childList: true})"
    )
    card = cards.nth(1)
    title = card.locator("h3").inner_text()
    card.get_by_role("button", name=f"Choose {title}").click()
    expect(opened.page.locator(f"#cards > [data-item='{before[1]}']")).to_have_count(0)
    opened.wait_for_answer()
    history = httpx.get(f"{demo}/users/{quote(user)}/history", timeout=60).json()["events"]
    assert [event["item_id"] for event in history][-1] == before[1]
    answer = httpx.post(f"{demo}/recommend", json={"user_id": user}, timeout=60).json()
    assert opened.read_items() == [item["item_id"] for item in answer["items"]]
    expect(opened.page.locator("#timeline a").first).to_have_text(title)
    focused = opened.page.evaluate(
        "[document.activeElement.dataset.action, document.activeElement.closest('li').dataset.item]"
    )
    assert focused == ["choose", opened.read_items()[1]], "the focus stays at its place of the list"
    assert opened.page.evaluate("window.announcements.filter(Boolean).length") == 1
    assert opened.read_announcement().startswith(f"{title} joined the history of {user}.")
    changed = [item for rank, item in enumerate(opened.read_items()) if item not in before[rank : rank + 1]]
    assert opened.page.locator("#cards .change").count() == len(changed)


def test_hidden_item_leaves_the_list_until_it_is_shown_again(opened: "OpenPage", user: str) -> None:
    cards = opened.open_user(quote(user))
    before = opened.read_items()
    cards.first.get_by_role("button", name="Hide").click()
    expect(cards.first).to_have_attribute("data-item", before[1])
    expect(opened.page.locator("#hidden-items")).to_contain_text("1 hidden item")
    opened.page.get_by_role("button", name="Show again").click()
    expect(cards.first).to_have_attribute("data-item", before[0])
    assert opened.read_items() == before


def test_pages_have_no_item_twice(opened: "OpenPage", user: str) -> None:
    cards = opened.open_user(quote(user), "&k=7")
    for count in (14, 21):
        opened.page.get_by_role("button", name="Next page").click()
        expect(cards).to_have_count(count)
    items = opened.read_items()
    assert len(set(items)) == 21
    expect(cards.nth(20).locator(".rank")).to_contain_text("21")
    assert opened.page.evaluate("document.activeElement.closest('li').dataset.item") == items[14]


def test_filters_restrict_the_answer_and_are_in_the_address(opened: "OpenPage", user: str) -> None:
    cards = opened.open_user(quote(user))
    opened.page.locator("#filters summary").click()
    opened.page.get_by_label("Another category").fill("space")
    opened.page.get_by_role("button", name="Add").click()
    expect(cards.first.locator(".category")).to_have_text("space")
    assert set(opened.page.locator("#cards .category").all_inner_texts()) == {"space"}
    assert "category=space" in opened.page.url
    expect(opened.page.locator("#filter-count")).to_have_text("1")
    opened.page.reload()
    expect(cards.first.locator(".category")).to_have_text("space")
    opened.page.locator("#filters summary").click()
    opened.page.get_by_label("space").uncheck()
    opened.page.get_by_label("Items of the history too").check()
    opened.page.get_by_role("button", name="Apply").click()
    expect(cards.first.locator(".category")).not_to_have_text("space")
    assert "seen=1" in opened.page.url
    opened.page.get_by_role("button", name="Clear").click()
    expect(opened.page.locator("#filter-count")).to_be_hidden()
    assert "seen" not in opened.page.url


def test_filter_of_an_attribute_can_leave_no_item(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    opened.page.locator("#filters summary").click()
    opened.page.get_by_label("Attribute").fill("price")
    opened.page.get_by_label("Value").fill("5")
    opened.page.get_by_role("button", name="Apply").click()
    expect(opened.page.locator("#no-cards")).to_be_visible()
    expect(opened.page.locator("#outcome")).to_contain_text("the filters leave no item")


@pytest.fixture
def sizes(demo: str) -> Iterator[dict[str, object]]:
    """Sizes of two items of the live catalogue, a number and the text that spells it."""
    values = {"saffron-table-1": 5, "saffron-table-2": "5"}
    items = [{"item_id": item, "attributes": {"size": value}} for item, value in values.items()]
    httpx.put(f"{demo}/items", json={"items": items}, timeout=60).raise_for_status()
    yield values
    for item in values:
        httpx.delete(f"{demo}/items/{item}", timeout=60)


def test_number_of_a_filter_matches_texts_too_unless_it_is_quoted(
    opened: "OpenPage", user: str, sizes: dict[str, object]
) -> None:
    cards = opened.open_user(quote(user))
    opened.page.locator("#filters summary").click()
    opened.page.get_by_label("Attribute").fill("size")
    opened.page.get_by_label("Comparison").select_option("eq")
    for value, expected in (("5", set(sizes)), ('"5"', {"saffron-table-2"})):
        opened.page.get_by_label("Value").fill(value)
        opened.page.get_by_role("button", name="Apply").click()
        expect(cards).to_have_count(len(expected))
        assert set(opened.read_items()) == expected


def test_filter_that_cannot_be_read_is_reported(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    page = opened.page
    page.locator("#filters > summary").click()
    page.get_by_label("Attribute").fill("unit price")
    page.get_by_label("Value").fill("50")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#problem")).to_contain_text('"unit price lte 50" cannot be read')
    expect(page.get_by_label("Attribute")).to_have_value("unit price")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.locator("#problem")).to_be_hidden()


@pytest.mark.parametrize(
    ("attribute", "value", "problem"),
    [
        ("price", "", "needs its name and a value"),
        ("", "50", "needs its name and a value"),
        ("price", "cheap", '"cheap" is neither a number nor a time'),
    ],
)
def test_filter_that_cannot_be_read_is_reported_and_not_dropped(
    attribute: str, value: str, problem: str, opened: "OpenPage", user: str
) -> None:
    opened.open_user(quote(user))
    page = opened.page
    address = page.url
    page.locator("#filters > summary").click()
    page.get_by_label("Attribute").fill(attribute)
    page.get_by_label("Value").fill(value)
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#problem")).to_contain_text(problem)
    expect(page.get_by_label("Attribute")).to_have_value(attribute)
    expect(page.get_by_label("Value")).to_have_value(value)
    assert page.url == address


@pytest.mark.parametrize("name", [".", "..", "%2e%2e", "../models", "a/b", "a?b", "a#b", "a%2Fb"])
def test_user_of_the_address_changes_no_path(name: str, opened: "OpenPage") -> None:
    paths: list[str] = []
    opened.page.on("request", lambda request: paths.append(request.url.removeprefix(opened.url)))
    cards = opened.open_user(quote(name, safe=""))
    expect(cards).to_have_count(10)
    expect(opened.page.locator("#user")).to_have_value(name)
    expect(opened.page.locator("#history-note")).to_have_text(
        "no events yet" if name not in (".", "..") else re.compile("not read: .* cannot be part of an address")
    )
    called = {path.partition("?")[0] for path in paths} - {"/", "/recommend", "/users", "/models", "/overview"}
    history = {f"/users/{quote(name, safe='')}/history"} if name not in (".", "..") else set()
    assert {path for path in called if not path.startswith("/page/")} == history
    assert opened.page.evaluate("new URLSearchParams(location.search).get('user')") == name


@pytest.mark.parametrize("item", [".", ".."])
def test_item_of_the_address_changes_no_path(item: str, opened: "OpenPage") -> None:
    opened.open(f"?view=item&item={item}")
    expect(opened.page.locator("#item-body")).to_contain_text("Neither the model nor the live catalogue has this item")


def test_empty_user_is_reported_and_changes_nothing(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    address = opened.page.url
    opened.page.locator("#user").fill(" ")
    opened.page.get_by_role("button", name="Recommend", exact=True).click()
    expect(opened.page.locator("#problem")).to_have_text("Type a user, or paste a history.")
    assert opened.page.url == address


def test_empty_pasted_history_is_reported(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    opened.page.get_by_text("Paste a history").click()
    opened.page.locator("#pasted").fill(" \n")
    opened.page.get_by_role("button", name="Use this history").click()
    expect(opened.page.locator("#problem")).to_have_text("Paste at least one item id.")


def test_pasted_history_is_used_and_not_stored(opened: "OpenPage", user: str, demo: str) -> None:
    cards = opened.open_user(quote(user))
    opened.page.get_by_text("Paste a history").click()
    opened.page.get_by_label("Item ids, oldest first").fill("lantern-coast-1\nlantern-coast-2")
    opened.page.get_by_role("button", name="Use this history").click()
    expect(opened.page.locator("#history-note")).to_contain_text("2 items, pasted")
    expect(cards.first).to_have_attribute("data-item", "lantern-coast-3")
    assert "#h=lantern-coast-1" in opened.page.url, "the fragment is not sent to the service"
    cards.first.get_by_role("button", name="Choose").click()
    expect(opened.page.locator("#history-note")).to_contain_text("3 items, pasted")
    history = httpx.get(f"{demo}/users/{quote(user)}/history", timeout=60).json()
    assert len(history["events"]) == 3, "only what the fixture stored"
    opened.page.get_by_role("button", name="Back to the stored one").click()
    expect(opened.page.locator("#history-note")).to_contain_text("3 events on 3 days")


def test_explanations_can_be_turned_off(opened: "OpenPage", user: str) -> None:
    cards = opened.open_user(quote(user))
    opened.page.locator("#options summary").click()
    opened.page.get_by_label("Explain each item").uncheck()
    expect(opened.page.locator("#cards .reason")).to_have_count(0)
    expect(cards).to_have_count(10)


def test_impressions_and_clicks_are_counted_on_request(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    opened.page.locator("#options summary").click()
    opened.page.get_by_label("Count impressions and clicks").check()
    with opened.page.expect_response("**/events") as impressions:
        opened.page.get_by_role("button", name="Recommend", exact=True).click()
    assert impressions.value.json()["ignored"] == 10
    with opened.page.expect_response("**/events") as choice:
        opened.cards.first.get_by_role("button", name="Choose").click()
    assert [result["status"] for result in choice.value.json()["results"]] == ["stored", "duplicate"]
    opened.wait_for_answer()
    opened.page.get_by_role("link", name="Experiments").click()
    cells = opened.page.locator("#click-through tbody tr").first.locator("td")
    assert int(cells.first.inner_text().replace(",", "")) >= 10, "impressions"
    assert int(cells.nth(1).inner_text().replace(",", "")) >= 1, "clicks"


def test_unknown_user_gets_popular_items_and_the_reason(opened: "OpenPage") -> None:
    opened.open_user("a-user-without-events")
    expect(opened.page.locator("#outcome")).to_contain_text("by popularity (this user has no history)")
    expect(opened.page.locator("#history-note")).to_have_text("no events yet")


def test_titles_are_text_and_never_markup(opened: "OpenPage", user: str, demo: str) -> None:
    title = "<img src=x onerror=document.title='broken'> & <b>bold</b>"
    item = {"items": [{"item_id": "lantern-coast-3", "title": title}]}
    assert httpx.patch(f"{demo}/items", json=item, timeout=60).status_code == 200
    try:
        opened.open_user(quote(user))
        expect(opened.page.locator("#cards > [data-item='lantern-coast-3'] h3")).to_have_text(title)
        assert opened.page.locator("#cards img, #cards b").count() == 0
    finally:
        httpx.delete(f"{demo}/items/lantern-coast-3", timeout=60)


def test_back_button_returns_to_the_user_before(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    opened.page.get_by_label("User", exact=True).first.fill("ben")
    opened.page.get_by_role("button", name="Recommend", exact=True).click()
    expect(opened.page).to_have_url(re.compile(r"\?user=ben"))
    opened.page.go_back()
    expect(opened.page.locator("#history-note")).to_contain_text("3 events on 3 days")
    assert opened.page.locator("#user").input_value() == user

"""Items, comparison, live figures and experiments in Chromium."""

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

pytest.importorskip("playwright", reason="pip install -e '.[browser]'")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Route

    from service_tests.browser.open_page import OpenPage

pytestmark = [pytest.mark.optional, pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(400)]


def fetch(url: str, **body: object) -> dict[str, object]:
    response = httpx.post(url, json=body, timeout=60) if body else httpx.get(url, timeout=60)
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


def test_header_names_version_preset_age_and_figures(opened: "OpenPage", user: str, demo: str) -> None:
    opened.open_user(quote(user))
    strip = opened.page.locator("#model")
    (version,) = [entry for entry in fetch(f"{demo}/models")["models"] if entry["active"]]  # type: ignore[attr-defined]
    expect(strip).to_contain_text(version["version"])
    expect(strip).to_contain_text(version["preset"])
    expect(strip).to_contain_text(re.compile("trained.* ago"))
    expect(strip).to_contain_text(f"{version['figures']['ndcg@10']:.4f}")
    baselines = fetch(f"{demo}/overview")["figures"]["baselines"] or {}  # type: ignore[index]
    expect(strip.locator(".baseline")).to_have_count(len(baselines))


def test_item_shows_neighbors_popularity_and_followers(opened: "OpenPage", user: str, demo: str) -> None:
    item = "lantern-coast-2"
    opened.open(f"?view=item&item={item}&user={quote(user)}")
    expect(opened.page.locator("#item-title")).to_have_text("The Lantern Coast 2")
    neighbors = [entry["item_id"] for entry in fetch(f"{demo}/similar", item_id=item, k=10)["items"]]  # type: ignore[attr-defined]
    neighbor_links = opened.page.locator("section[aria-label='Neighbors'] a")
    assert neighbor_links.evaluate_all("links => links.map(link => link.dataset.item)") == neighbors
    answer = fetch(f"{demo}/items/{item}/followers?k=10")
    expect(opened.page.locator("#item-body .facts")).to_contain_text(f"rank {answer['popularity']['rank']}")  # type: ignore[index]
    followers = opened.page.locator("section[aria-label='Often next'] a")
    listed = [entry["item_id"] for entry in answer["followers"]]  # type: ignore[attr-defined]
    assert followers.evaluate_all("links => links.map(link => link.dataset.item)") == listed
    neighbor_links.first.click()
    expect(opened.page).to_have_url(re.compile(f"item={neighbors[0]}"))
    expect(opened.page.locator("#item-title")).to_be_focused()
    opened.page.get_by_role("button", name=f"Choose for {user}").click()
    expect(opened.page.locator("#announcement")).to_contain_text("joined the history")


@pytest.fixture
def new_item(demo: str, user: str) -> Iterator[str]:
    """An item that only the live catalogue has, in the history of the user."""
    items = [{"item_id": "new-1", "title": "A New One"}]
    httpx.put(f"{demo}/items", json={"items": items}, timeout=60).raise_for_status()
    events = [{"user_id": user, "item_id": item} for item in ("new-1", "gone-1")]
    httpx.post(f"{demo}/events", json={"events": events}, timeout=60).raise_for_status()
    yield "new-1"
    httpx.delete(f"{demo}/items/new-1", timeout=60)


def test_item_without_training_has_no_neighbors_and_the_reason(opened: "OpenPage", new_item: str) -> None:
    opened.open(f"?view=item&item={new_item}")
    expect(opened.page.locator("#item-title")).to_have_text("A New One")
    expect(opened.page.locator("#item-body .facts")).to_contain_text("not in the training")
    expect(opened.page.locator("#item-body")).to_contain_text("was not trained on this item")
    expect(opened.page.locator("section[aria-label='Neighbors']")).to_have_count(0)


def test_history_with_unknown_items_asks_for_no_missing_one(opened: "OpenPage", user: str, new_item: str) -> None:
    opened.open_user(quote(user))
    expect(opened.page.locator(f"#timeline a[data-item='{new_item}']")).to_have_text("A New One")
    expect(opened.page.locator("#timeline a[data-item='gone-1']")).to_have_text("gone-1")
    expect(opened.page.locator("#timeline a[data-item='lantern-coast-2']")).to_have_text("The Lantern Coast 2")
    opened.open("?user=x#h=gone-1&h=new-1")
    expect(opened.page.locator(f"#timeline a[data-item='{new_item}']")).to_have_text("A New One")


@pytest.mark.parametrize("is_pasted", [False, True])
def test_history_with_more_unknown_items_than_an_answer_lists_asks_for_no_missing_one(
    is_pasted: bool, opened: "OpenPage", demo: str, user: str
) -> None:
    items = [f"gone-{number}" for number in range(130)]
    events = [{"user_id": user, "item_id": item, "timestamp": 1_743_700_000 + n} for n, item in enumerate(items)]
    httpx.post(f"{demo}/events", json={"events": events}, timeout=60).raise_for_status()
    opened.open(f"?user={quote(user)}" + (f"#h={'&h='.join(items)}" if is_pasted else ""))
    opened.wait_for_answer()
    expect(opened.page.locator("#outcome")).to_contain_text("at least 100 unknown items in the history")
    newest_day = [*items, "lantern-coast-2"]  # is open; the other days are folded
    expect(opened.page.locator("#timeline a")).to_have_count(len(items if is_pasted else newest_day))
    expect(opened.page.locator("#timeline a[data-item='gone-129']")).to_have_text("gone-129")
    opened.page.wait_for_load_state("networkidle")


def test_titles_of_a_long_history_are_read_when_they_come_into_view(opened: "OpenPage", demo: str) -> None:
    items = httpx.get(f"{demo}/items", params={"limit": 100}, timeout=60).json()["items"]
    reads: list[str] = []
    opened.page.on("request", lambda request: reads.append(request.url) if "/items/" in request.url else None)
    opened.open(f"?user=x#h={'&h='.join(item['item_id'] for item in items)}")
    opened.wait_for_answer()
    links = opened.page.locator("#timeline a")
    expect(links).to_have_count(100)
    expect(links.first).to_have_text(items[-1]["title"])
    opened.page.wait_for_load_state("networkidle")
    assert 0 < len(reads) < 70, "not those below the screen"
    expect(links.last).to_have_text(items[0]["item_id"])
    links.last.scroll_into_view_if_needed()
    expect(links.last).to_have_text(items[0]["title"])
    assert len(reads) < 100


def test_search_finds_items_by_title_and_id(opened: "OpenPage") -> None:
    opened.open("?view=item")
    field = opened.page.get_by_label("Title or id")
    for text in ("the lantern co", "LANTERN-COAST"):
        field.fill(text)
        matches = opened.page.locator("#match-list > li")
        expect(matches).to_have_count(5)
        titles = sorted(matches.locator("a").all_inner_texts())
        assert titles == [f"The Lantern Coast {part}" for part in range(1, 6)]
    field.fill("no such text")
    expect(opened.page.locator("#matches-note")).to_contain_text("no item")
    field.fill("Saffron Table 3")
    expect(opened.page.locator("#match-list > li")).to_have_count(1)
    opened.page.locator("#match-list a").first.click()
    expect(opened.page.locator("#item-title")).to_have_text("The Saffron Table 3")


def test_users_are_completed_and_surprise_shows_another_one(opened: "OpenPage", user: str) -> None:
    opened.open_user(quote(user))
    field = opened.page.locator("#user")
    field.fill("chl")
    expect(opened.page.locator("#users option")).to_have_count(1)
    assert opened.page.locator("#users option").get_attribute("value") == "chloe"
    opened.page.get_by_role("button", name="Surprise me").click()
    expect(opened.page).not_to_have_url(re.compile(quote(user).replace("%20", r"\+")))
    opened.wait_for_answer()
    expect(opened.cards.first).to_be_visible()


@pytest.fixture
def placement(demo: str) -> Iterator[str]:
    url = f"{demo}/placements/page-test"
    httpx.put(url, json={"categories": ["sea"]}, timeout=60).raise_for_status()
    yield "page-test"
    httpx.delete(url, timeout=60)


def test_comparison_shows_overlap_and_what_only_one_side_has(opened: "OpenPage", user: str, placement: str) -> None:
    opened.open(f"?view=compare&user={quote(user)}")
    page = opened.page
    page.get_by_label("Left").select_option("version:")
    page.get_by_label("Right").select_option("version:")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("group", name="Overlap at 10: 100 %")).to_be_visible()
    expect(page.locator("#left-list .only")).to_have_count(0)
    page.get_by_label("Right").select_option(f"placement:{placement}")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#right-title")).to_have_text(placement)
    sides = [page.locator(f"#{side}-list > li") for side in ("left", "right")]
    first, second = (side.evaluate_all("rows => rows.map(row => row.dataset.item)") for side in sides)
    share = round(100 * len(set(first) & set(second)) / 10)
    expect(page.get_by_role("group", name=f"Overlap at 10: {share} %")).to_be_visible()
    expect(page.locator("#right-list .only")).to_have_count(len(set(second) - set(first)))
    page.reload()
    expect(page.locator("#right-title")).to_have_text(placement)


STORED = "20200101-000000-00000000"


@pytest.fixture
def stored_version(opened: "OpenPage") -> str:
    """A version that the page is told of, as one that was published and is in no memory."""
    return list_version(opened, ready=False)


@pytest.fixture
def ready_version(opened: "OpenPage") -> str:
    """A version that the page is told of, as one that an experiment has in memory."""
    return list_version(opened, ready=True)


def list_version(opened: "OpenPage", *, ready: bool) -> str:
    def add_version(route: "Route") -> None:
        answer = route.fetch()
        models = answer.json()
        models["models"].append({**models["models"][0], "version": STORED, "active": False, "ready": ready})
        route.fulfill(response=answer, json=models)

    opened.page.route(re.compile("/models$"), add_version)
    return STORED


def test_comparison_begins_with_a_placement_rather_than_a_version_that_cannot_answer(
    opened: "OpenPage", user: str, placement: str, stored_version: str
) -> None:
    opened.open(f"?view=compare&user={quote(user)}")
    expect(opened.page.locator("#right-list > li")).to_have_count(10)
    expect(opened.page.get_by_label("Right")).to_have_value(f"placement:{placement}")
    option = opened.page.get_by_label("Right").locator(f"option[value='version:{stored_version}']")
    expect(option).to_be_disabled()
    expect(opened.page.locator("#compare-note")).to_have_text(
        "1 stored version cannot answer now; an experiment or a shadow version brings others into memory."
    )


def test_comparison_of_services_whose_versions_are_all_in_memory_has_no_note(opened: "OpenPage", user: str) -> None:
    opened.open(f"?view=compare&user={quote(user)}")
    expect(opened.page.locator("#right-list > li")).to_have_count(10)
    expect(opened.page.locator("#compare-note")).to_be_hidden()


def test_comparison_begins_with_another_version_in_memory(
    opened: "OpenPage", user: str, placement: str, ready_version: str
) -> None:
    opened.page.route(re.compile("/recommend$"), ask_serving_version)
    opened.open(f"?view=compare&user={quote(user)}")
    expect(opened.page.locator("#right-list > li")).to_have_count(10)
    expect(opened.page.get_by_label("Right")).to_have_value(f"version:{ready_version}")


def ask_serving_version(route: "Route") -> None:
    """Let the serving version answer for the one that the demo does not have."""
    body = route.request.post_data_json
    route.continue_(post_data=json.dumps({name: value for name, value in body.items() if name != "version"}))


def test_live_view_shows_rates_latency_sources_memory_and_redis(opened: "OpenPage", user: str, demo: str) -> None:
    opened.open_user(quote(user))
    opened.page.get_by_role("link", name="Live").click()
    for name in ("requests per second", "p50", "p99"):
        expect(opened.page.get_by_role("group", name=name, exact=True)).to_be_visible()
    expect(opened.page.locator("svg.spark").first).to_be_visible()
    expect(opened.page.get_by_role("heading", name="Who answered")).to_be_visible()
    rows = opened.page.locator("table tbody tr")
    expect(rows).to_have_count(len(fetch(f"{demo}/overview")["memory"]))  # type: ignore[arg-type]
    expect(opened.page.get_by_text("per user")).to_be_visible()


def test_experiment_shows_its_variants_and_click_through(opened: "OpenPage", demo: str) -> None:
    url = f"{demo}/experiments/page-test"
    body = {"variants": [{"name": "control", "share": 0.5}, {"name": "again", "share": 0.5}]}
    httpx.put(url, json=body, timeout=60).raise_for_status()
    try:
        opened.open("?view=experiments")
        rows = opened.page.locator("#experiments-body tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text("50 %")
        expect(opened.page.locator("#experiments-body h3")).to_have_text("page-test")
    finally:
        httpx.delete(url, timeout=60)

"""A day of a shop over HTTP, against two workers and two versions: catalogue, rules, pages, clicks, an experiment."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service_tests.support.nextup_process import RunningService, read_samples, run_service
from service_tests.support.versions import publish_versions, write_tiny_artifacts
from service_tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.process]

FOLLOW_S = 60.0
ROUND = 8
"""Requests on new connections, which the supervisor hands to the two workers by turns."""
SHOWN = 450
"""Answers with an impression per variant, enough for a comparison."""


@dataclass(frozen=True)
class Shop:
    """What the shop's own servers do."""

    service: RunningService
    versions: Sequence[str]

    def call(self, method: str, path: str, body: Any = None, *, status: int = 200) -> dict[str, Any]:
        response = httpx.request(method, f"{self.service.url}{path}", json=body, timeout=30)
        assert response.status_code == status, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def recommend(self, **body: Any) -> list[str]:
        answer = self.call("POST", "/recommend", {"user_id": "anna"} | body)
        return [item["item_id"] for item in answer["items"]]

    def wait_for_all(self, holds: Callable[[list[str]], bool], description: str, **body: Any) -> None:
        """Wait until the answers of both workers are as expected; a refusal is not."""

        def holds_everywhere() -> bool:
            return all(holds(self.recommend(**body)) for _ in range(ROUND))

        wait_until(holds_everywhere, FOLLOW_S, description, ignored=AssertionError)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    artifacts = write_tiny_artifacts(tmp_path / "artifacts", 1, 2)
    versions = publish_versions(tmp_path / "models", *artifacts)
    with run_service(tmp_path / "data", "--artifact", str(tmp_path / "models"), "--workers", "2") as service:
        yield Shop(service, versions)


def test_day_of_a_shop(shop: Shop) -> None:
    open_the_shop(shop)
    sell_out_at_noon(shop)
    filter_by_price(shop)
    read_three_pages(shop)
    promote_in_the_evening(shop)
    attribute_clicks(shop)
    run_an_experiment(shop)


def open_the_shop(shop: Shop) -> None:
    """Prices for all products, a new one, and a customer with a history."""
    items = [
        {"item_id": f"i{number}", "attributes": {"price": number, "brand": f"b{number % 4}"}} for number in range(1, 61)
    ]
    new = {"item_id": "new-lamp", "title": "Lamp", "categories": ["even"], "attributes": {"price": 5}}
    results = shop.call("PUT", "/items", {"items": [*items, new]})["results"]
    assert {result["status"] for result in results} == {"created"}
    assert shop.call("GET", "/items/new-lamp")["title"] == "Lamp"
    events = [{"user_id": "anna", "item_id": f"i{number}"} for number in (1, 2)]
    assert {result["status"] for result in shop.call("POST", "/events", {"events": events}, status=202)["results"]} == {
        "stored"
    }
    shop.wait_for_all(lambda answer: len(answer) == 10 and not {"i1", "i2"} & set(answer), "a first answer")


def sell_out_at_noon(shop: Shop) -> None:
    """The best product is sold out: no worker recommends it, and it is back when it is delivered."""
    best = shop.recommend()[0]
    shop.call("PATCH", "/items", {"items": [{"item_id": best, "available": False}]})
    shop.wait_for_all(lambda answer: best not in answer and len(answer) == 10, "the product is sold out")
    similar = shop.call("POST", "/similar", {"item_id": "i1", "k": 50})["items"]
    assert best not in [item["item_id"] for item in similar]
    shop.call("PATCH", "/items", {"items": [{"item_id": best, "available": True}]})
    shop.wait_for_all(lambda answer: answer[0] == best, "the product is back")


def filter_by_price(shop: Shop) -> None:
    cheap = {"all": [{"attribute": "price", "lte": 20}, {"not": {"attribute": "brand", "eq": "b0"}}]}
    answer = shop.recommend(filter=cheap, k=30)
    expected = {f"i{number}" for number in range(3, 21) if number % 4}
    assert set(answer) - {"new-lamp"} == expected
    problem = shop.call(
        "POST", "/recommend", {"user_id": "anna", "filter": {"attribute": "price", "lt": "a"}}, status=422
    )
    assert problem["errors"][0]["field"] == "filter.lt"


def read_three_pages(shop: Shop) -> None:
    """No item comes twice, although an event arrives between the pages."""
    body: dict[str, Any] = {"user_id": "anna", "k": 15, "paginate": True}
    pages = []
    for number in range(3):
        answer = shop.call("POST", "/recommend", body)
        pages += [item["item_id"] for item in answer["items"]]
        shop.call("POST", "/events", {"events": [{"user_id": "anna", "item_id": f"i{number + 10}"}]}, status=202)
        body = {"cursor": answer["next_cursor"]}
    assert len(pages) == len(set(pages)) == 45


def promote_in_the_evening(shop: Shop) -> None:
    """A placement promotes a brand and limits brands; both workers follow, and a wrong filter is refused by name."""
    promoted = {"attribute": "brand", "eq": "b3"}
    settings = {
        "k": 8,
        "promote": [{"filter": promoted, "slots": 2, "positions": [1, 5]}],
        "limit_per": {"brand": 3},
        "boost": [{"filter": {"attribute": "price", "gt": 50}, "add": 0.5}],
    }
    shop.call("PUT", "/placements/home", settings)

    def is_arranged(answer: list[str]) -> bool:
        brands = [int(item_id[1:]) % 4 for item_id in answer if item_id.startswith("i")]
        return len(answer) == 8 and brands[0] == brands[4] == 3 and all(brands.count(brand) <= 3 for brand in range(4))

    shop.wait_for_all(is_arranged, "the placement", placement="home")
    wrong = settings | {"boost": [{"filter": {"all": [{"attribute": "price", "above": 1}]}, "add": 1}]}
    problem = shop.call("PUT", "/placements/home", wrong, status=422)
    assert problem["errors"][0]["field"].startswith("boost.0.filter.all.0")


def attribute_clicks(shop: Shop) -> None:
    """An impression and a click are counted for the version that answered, each once."""
    answer = shop.call("POST", "/recommend", {"user_id": "anna"})
    facts = {"user_id": "anna", "recommendation_id": answer["recommendation_id"], "position": 1}
    events = [
        {**facts, "item_id": answer["items"][0]["item_id"], "type": kind, "event_id": f"{kind}-1"}
        for kind in ("impression", "click")
    ]
    for _ in range(2):
        shop.call("POST", "/events", {"events": events}, status=202)

    def count() -> dict[str, float]:
        samples = read_samples(shop.service.url, "nextup_feedback_total")
        return {
            kind: sum(n for labels, n in samples.items() if f"'{kind}'" in labels) for kind in ("impression", "click")
        }

    wait_until(lambda: count() == {"impression": 1, "click": 1}, FOLLOW_S, lambda: f"feedback: {count()}")


def run_an_experiment(shop: Shop) -> None:
    """Users of the second version click more often: it wins, and serves all users afterwards."""
    second = shop.versions[1]
    variants = [{"name": "control", "share": 0.5}, {"name": "new", "share": 0.5, "version": second}]
    shop.call("PUT", "/experiments/home", {"variants": variants})
    wait_until(
        lambda: all(
            variant["ready"] for _ in range(ROUND) for variant in shop.call("GET", "/experiments/home")["variants"]
        ),
        FOLLOW_S,
        lambda: str([shop.call("GET", "/experiments/home") for _ in range(2)]),
    )
    with httpx.Client(base_url=shop.service.url, timeout=30) as client:
        for first_user in range(0, 2 * SHOWN, 50):
            users = [f"u{number}" for number in range(first_user, first_user + 50)]
            requests = [{"user_id": user, "history": ["i7"], "k": 1} for user in users]
            answers = client.post("/recommend/batch", json={"requests": requests}).json()["responses"]
            send_feedback(client, users, answers)

    def is_decided() -> bool:
        return bool(shop.call("GET", "/experiments/home")["clicks"]["status"] == "decided")

    wait_until(is_decided, FOLLOW_S, lambda: str(shop.call("GET", "/experiments/home")))
    assert shop.call("POST", "/experiments/home/conclude", {})["winner"] == "new"
    wait_until(
        lambda: (
            {shop.call("POST", "/recommend", {"user_id": "anna"})["model_version"] for _ in range(ROUND)} == {second}
        ),
        FOLLOW_S,
        "every worker serves the winner",
    )


def send_feedback(client: httpx.Client, users: Sequence[str], answers: Sequence[dict[str, Any]]) -> None:
    """Send an impression per answer, and clicks of two in three users of the new version, of one in six others."""
    events = []
    for number, (user, answer) in enumerate(zip(users, answers, strict=True)):
        clicks = number % 3 > 0 if answer["experiment"]["variant"] == "new" else number % 6 == 0
        facts = {"user_id": user, "item_id": answer["items"][0]["item_id"]}
        facts["recommendation_id"] = answer["recommendation_id"]
        events += [facts | {"type": kind} for kind in ("impression", *(["click"] if clicks else []))]
    response = client.post("/events", json={"events": events})
    assert response.status_code == 202, response.text

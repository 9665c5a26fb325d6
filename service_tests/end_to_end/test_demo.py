"""`nextup serve --demo`: recommendations whose quality is visible from the titles."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service_tests.support.nextup_process import RunningService, run_service

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("demo")
    with run_service(folder, "--demo", "--artifact", str(folder / "artifact")) as running:
        yield running


def recommend(service: RunningService, **body: Any) -> list[str]:
    response = httpx.post(f"{service.url}/recommend", json=body, timeout=60).json()
    assert response["served_by"] == "model"
    return [item["item_id"] for item in response["items"]]


@pytest.mark.parametrize(("user", "next_part"), [("ada", "harbour-letters-3"), ("ben", "silent-convoy-4")])
def test_next_part_of_a_series_ranks_first(user: str, next_part: str, demo: RunningService) -> None:
    assert recommend(demo, user_id=user)[0] == next_part


def test_event_moves_the_recommendation_to_the_following_part(demo: RunningService) -> None:
    body = {"events": [{"user_id": "dev", "item_id": "caravan-envoys-2"}]}
    assert recommend(demo, user_id="dev")[0] == "caravan-envoys-2"
    assert httpx.post(f"{demo.url}/events", json=body, timeout=60).json()["stored"] == 1
    assert recommend(demo, user_id="dev")[0] == "caravan-envoys-3"


def test_most_recommendations_match_the_recent_genre(demo: RunningService) -> None:
    response = httpx.post(f"{demo.url}/recommend", json={"user_id": "emil", "explain": True}, timeout=60).json()
    assert sum(item["categories"] == ["sea"] for item in response["items"]) >= 5


def test_demo_artifact_is_small_and_accurate(demo: RunningService) -> None:
    (version,) = httpx.get(f"{demo.url}/models", timeout=60).json()["models"]
    assert version["figures"]["ndcg@10"] > 0.45
    assert sum(version["bytes"][part] for part in ("embedding", "encoder", "head")) < 1_000_000

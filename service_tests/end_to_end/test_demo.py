"""`nextup serve --demo`: from nothing to an answer that a person can judge."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service_tests.support.nextup_process import RunningService, run_service


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("demo")
    with run_service(folder, "--demo", "--artifact", str(folder / "artifact")) as running:
        yield running


def recommended(served: RunningService, **body: Any) -> list[str]:
    answer = httpx.post(f"{served.url}/recommend", json=body).json()
    assert answer["served_by"] == "model"
    return [item["item_id"] for item in answer["items"]]


@pytest.mark.parametrize(("user", "next_part"), [("ada", "harbour-letters-3"), ("ben", "silent-convoy-4")])
def test_the_next_part_of_a_series_comes_first(user: str, next_part: str, demo: RunningService) -> None:
    assert recommended(demo, user_id=user)[0] == next_part


def test_taking_it_moves_on_to_the_part_after_it(demo: RunningService) -> None:
    taken = {"events": [{"user_id": "dev", "item_id": "caravan-envoys-2"}]}
    assert recommended(demo, user_id="dev")[0] == "caravan-envoys-2"
    assert httpx.post(f"{demo.url}/events", json=taken).json()["stored"] == 1
    assert recommended(demo, user_id="dev")[0] == "caravan-envoys-3"


def test_most_of_an_answer_is_of_the_genre_of_late(demo: RunningService) -> None:
    answer = httpx.post(f"{demo.url}/recommend", json={"user_id": "emil", "explain": True}).json()
    assert sum(item["categories"] == ["sea"] for item in answer["items"]) >= 5


def test_the_artifact_is_small_and_good(demo: RunningService) -> None:
    (version,) = httpx.get(f"{demo.url}/models").json()["models"]
    assert version["figures"]["ndcg@10"] > 0.45
    assert sum(version["bytes"][part] for part in ("embedding", "encoder", "head")) < 1_000_000

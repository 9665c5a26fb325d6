"""POST /recommend and /recommend/batch: whose history, which items, and what is said about both."""

from collections.abc import Callable
from typing import Any

import pytest

from app.recommend.schemas import BatchResponse, RecommendResponse
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


async def test_an_unknown_user_gets_popular_items_and_is_told_why(
    service: Service, new_user: Callable[[], str]
) -> None:
    answer = await service.recommend(user_id=new_user(), k=4)
    assert ids(answer) == ["i1", "i2", "i3", "i4"]
    assert (answer["served_by"], answer["reason"]) == ("popularity", "unknown_user")
    assert (answer["history_length"], answer["history_version"]) == (0, 0)


async def test_three_events_change_the_very_next_answer(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    await service.post_events(user, "i7", "i8")
    before = await service.recommend(user_id=user)
    await service.post_events(user, "i30", "i31", "i32")
    after = await service.recommend(user_id=user)
    assert before["served_by"] == after["served_by"] == "model"
    assert (before["history_length"], after["history_length"]) == (2, 5)
    assert (before["history_version"], after["history_version"]) == (2, 5)
    assert before["items"] != after["items"]
    assert not {"i7", "i8", "i30", "i31", "i32"} & set(ids(after)), "seen items are left out"


async def test_a_given_history_gives_what_the_same_stored_history_gives(
    service: Service, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await service.post_events(user, "i7", "i8", "i9")
    stored = await service.recommend(user_id=user, k=20)
    given = await service.recommend(history=["i7", "i8", "i9"], k=20)
    assert given["items"] == stored["items"]
    assert given["history_version"] is None


async def test_given_both_the_given_history_is_used_and_nothing_is_stored(
    service: Service, new_user: Callable[[], str]
) -> None:
    user = new_user()
    both = await service.recommend(user_id=user, history=["i5"])
    assert both["items"] == (await service.recommend(history=["i5"]))["items"]
    assert (await service.recommend(user_id=user))["history_version"] == 0


async def test_a_history_without_known_items_gets_popular_items(service: Service) -> None:
    for history in (["who", "knows"], []):
        answer = await service.recommend(history=history, k=3)
        assert ids(answer) == ["i1", "i2", "i3"]
        assert (answer["served_by"], answer["reason"]) == ("popularity", "no_known_items")


async def test_unknown_items_are_named_and_skipped(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    await service.post_events(user, "i7", "stranger", "i8", "other", "stranger")
    stored = await service.recommend(user_id=user)
    assert stored["unknown_items"] == ["stranger", "other"]
    assert stored["history_length"] == 5
    assert stored["items"] == (await service.recommend(history=["i7", "i8"]))["items"]
    given = await service.recommend(history=["i7", "stranger", "i8", "stranger"])
    assert given["unknown_items"] == ["stranger"]


async def test_at_most_a_hundred_unknown_items_are_named(service: Service) -> None:
    answer = await service.recommend(history=["i7", *(f"x{number}" for number in range(500))])
    assert answer["unknown_items"] == [f"x{number}" for number in range(100)]


async def test_filters_leave_k_items_as_long_as_there_are_k(service: Service) -> None:
    answer = await service.recommend(history=["i1", "i3"], k=50, categories=["odd"], exclude=["i5", "unheard"])
    odd = {f"i{number}" for number in range(1, 61, 2)}
    assert set(ids(answer)) == odd - {"i1", "i3", "i5"}
    few = await service.recommend(history=["i1"], candidates=["i9", "i1", "unheard", "i20"], categories=["even", "low"])
    assert set(ids(few)) == {"i9", "i20"}
    assert ids(await service.recommend(history=["i1"], categories=["no such"])) == []


async def test_seen_items_come_back_when_asked_for(service: Service) -> None:
    everything = await service.recommend(history=["i1", "i2"], k=60, exclude_seen=False)
    assert len(everything["items"]) == 60
    assert len((await service.recommend(history=["i1", "i2"], k=60))["items"]) == 58


async def test_items_seen_longer_ago_than_the_model_looks_are_left_out_too(service: Service) -> None:
    history = [f"i{number}" for number in range(1, 60)]  # the tiny model looks at 40
    assert ids(await service.recommend(history=history, k=60)) == ["i60"]


async def test_scores_fall(service: Service) -> None:
    scores = [item["score"] for item in (await service.recommend(history=["i4"], k=60))["items"]]
    assert scores == sorted(scores, reverse=True)


async def test_a_version_that_is_not_reached_is_a_conflict(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    reached = (await service.post_events(user, "i7"))["results"][-1]["history_version"]
    assert (await service.recommend(user_id=user, min_history_version=reached))["history_version"] == reached
    response = await service.http.post("/recommend", json={"user_id": user, "min_history_version": reached + 1})
    assert response.status_code == 409
    assert response.json()["title"] == "History is behind"


async def test_integers_are_read_as_text(service: Service, new_user: Callable[[], str]) -> None:
    answer = await service.recommend(user_id=12345, history=[7, "i7"])
    assert answer["unknown_items"] == ["7"]


async def test_an_explained_answer_has_titles_and_categories(service: Service) -> None:
    answer = await service.recommend(history=["i4"], k=1, candidates=["i9"], explain=True)
    item = answer["items"][0]
    assert (item["title"], item["categories"]) == ("Item number 9", ["odd", "low"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"k": 5}, "user_id or history"),
        ({"user_id": "u", "k": 0}, "k"),
        ({"user_id": "u", "k": 101}, "k: at most 100"),
        ({"user_id": "", "k": 1}, "user_id"),
        ({"user_id": "u" * 129}, "user_id"),
        ({"user_id": True}, "user_id"),
        ({"history": ["i1", ""]}, "history.1"),
        ({"history": "i1"}, "history"),
        ({"user_id": "u", "candidates": [None]}, "candidates.0"),
        ({"user_id": "u", "min_history_version": -1}, "min_history_version"),
        ({"user_id": "u", "kk": 3}, "kk"),
    ],
)
async def test_a_wrong_field_is_named(body: dict[str, Any], field: str, service: Service) -> None:
    response = await service.http.post("/recommend", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert field in response.json()["detail"]


async def test_a_lone_surrogate_is_a_wrong_field_and_not_a_crash(service: Service) -> None:
    headers = {"content-type": "application/json"}
    response = await service.http.post("/recommend", content=b'{"user_id": "\\ud800"}', headers=headers)
    assert response.status_code == 422


async def test_a_batch_answers_each_request_on_its_own(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    await service.post_events(user, "i7")
    requests: list[Any] = [
        {"user_id": user, "k": 3},
        {"k": 3},
        "nonsense",
        {"history": ["i7"], "k": 3},
        {"user_id": user, "k": 999},
    ]
    response = await service.http.post("/recommend/batch", json={"requests": requests})
    answers = response.json()["responses"]
    assert [answer["status"] for answer in answers] == [200, 422, 422, 200, 422]
    assert answers[0]["items"] == answers[3]["items"] == (await service.recommend(user_id=user, k=3))["items"]
    BatchResponse.model_validate(response.json(), extra="forbid")


@pytest.mark.parametrize("count", [0, 257])
async def test_a_batch_has_1_to_256_requests(count: int, service: Service) -> None:
    response = await service.http.post("/recommend/batch", json={"requests": [{"history": ["i1"]}] * count})
    assert response.status_code == 422


async def test_similar_items_leave_out_the_item_and_what_is_excluded(service: Service) -> None:
    response = await service.http.post("/similar", json={"item_id": "i5", "k": 100, "exclude": ["i6"]})
    assert {item["item_id"] for item in response.json()["items"]} == {f"i{n}" for n in range(1, 61)} - {"i5", "i6"}
    odd = await service.http.post("/similar", json={"item_id": "i5", "k": 3, "categories": ["odd"], "explain": True})
    assert all("odd" in item["categories"] for item in odd.json()["items"])
    missing = await service.http.post("/similar", json={"item_id": "unheard"})
    assert (missing.status_code, missing.json()["title"]) == (404, "Not found")


async def test_answers_have_the_declared_shape_and_nothing_else(service: Service) -> None:
    answer = await service.recommend(history=["i4", "unheard"], explain=True)
    RecommendResponse.model_validate(answer, extra="forbid")


async def test_the_stages_are_timed(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    await service.post_events(user, "i7")
    response = await service.http.post("/recommend", json={"user_id": user})
    stages = [part.split(";dur=")[0] for part in response.headers["server-timing"].split(", ")]
    assert stages == ["store", "queue", "encode", "score", "respond"]
    for stage in stages:
        assert await service.read_metric(f'nextup_stage_duration_seconds_count{{stage="{stage}"}}') >= 1

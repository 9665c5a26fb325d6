"""POST /recommend, /recommend/batch and /similar: histories, filters, fallbacks and their reasons."""

from collections.abc import Callable
from typing import Any

import pytest

from app.recommend.batch_schemas import BatchResponse
from app.recommend.schemas import RecommendResponse
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


def get_ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


async def test_unknown_user_gets_popular_items_with_reason(service: Service, new_user: Callable[[], str]) -> None:
    answer = await service.recommend(user_id=new_user(), k=4)
    assert get_ids(answer) == ["i1", "i2", "i3", "i4"]
    assert (answer["served_by"], answer["reason"]) == ("popularity", "unknown_user")
    assert (answer["history_length"], answer["history_version"]) == (0, 0)


async def test_three_events_change_the_next_answer(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    await service.post_events(user, "i7", "i8")
    before = await service.recommend(user_id=user)
    await service.post_events(user, "i30", "i31", "i32")
    after = await service.recommend(user_id=user)
    assert before["served_by"] == after["served_by"] == "model"
    assert (before["history_length"], after["history_length"]) == (2, 5)
    assert (before["history_version"], after["history_version"]) == (2, 5)
    assert before["items"] != after["items"]
    assert not {"i7", "i8", "i30", "i31", "i32"} & set(get_ids(after)), "seen items are excluded"


async def test_request_history_equals_the_same_stored_history(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    await service.post_events(user, "i7", "i8", "i9")
    stored = await service.recommend(user_id=user, k=20)
    from_request = await service.recommend(history=["i7", "i8", "i9"], k=20)
    assert from_request["items"] == stored["items"]
    assert from_request["history_version"] is None


async def test_request_history_overrides_stored_history_and_is_not_stored(
    service: Service, new_user: Callable[[], str]
) -> None:
    user = new_user()
    both = await service.recommend(user_id=user, history=["i5"])
    assert both["items"] == (await service.recommend(history=["i5"]))["items"]
    assert (await service.recommend(user_id=user))["history_version"] == 0


async def test_history_without_known_items_gets_popular_items(service: Service) -> None:
    for history in (["unknown", "missing"], []):
        answer = await service.recommend(history=history, k=3)
        assert get_ids(answer) == ["i1", "i2", "i3"]
        assert (answer["served_by"], answer["reason"]) == ("popularity", "no_known_items")


async def test_unknown_items_are_reported_and_skipped(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    await service.post_events(user, "i7", "unknown", "i8", "other", "unknown")
    stored = await service.recommend(user_id=user)
    assert stored["unknown_items"] == ["unknown", "other"]
    assert stored["history_length"] == 5
    assert stored["items"] == (await service.recommend(history=["i7", "i8"]))["items"]
    from_request = await service.recommend(history=["i7", "unknown", "i8", "unknown"])
    assert from_request["unknown_items"] == ["unknown"]


async def test_at_most_100_unknown_items_are_reported(service: Service) -> None:
    answer = await service.recommend(history=["i7", *(f"x{number}" for number in range(500))])
    assert answer["unknown_items"] == [f"x{number}" for number in range(100)]


async def test_filters_return_k_items_if_k_are_eligible(service: Service) -> None:
    answer = await service.recommend(history=["i1", "i3"], k=50, categories=["odd"], exclude=["i5", "missing"])
    odd = {f"i{number}" for number in range(1, 61, 2)}
    assert set(get_ids(answer)) == odd - {"i1", "i3", "i5"}
    few = await service.recommend(history=["i1"], candidates=["i9", "i1", "missing", "i20"], categories=["even", "low"])
    assert set(get_ids(few)) == {"i9", "i20"}
    assert get_ids(await service.recommend(history=["i1"], categories=["no such"])) == []


async def test_seen_items_are_returned_on_request(service: Service) -> None:
    everything = await service.recommend(history=["i1", "i2"], k=60, exclude_seen=False)
    assert len(everything["items"]) == 60
    assert len((await service.recommend(history=["i1", "i2"], k=60))["items"]) == 58


async def test_seen_items_beyond_the_models_window_are_excluded(service: Service) -> None:
    history = [f"i{number}" for number in range(1, 60)]  # the tiny model reads the last 40
    assert get_ids(await service.recommend(history=history, k=60)) == ["i60"]


async def test_scores_descend(service: Service) -> None:
    scores = [item["score"] for item in (await service.recommend(history=["i4"], k=60))["items"]]
    assert scores == sorted(scores, reverse=True)


async def test_min_history_version_not_reached_is_a_conflict(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    reached = (await service.post_events(user, "i7"))["results"][-1]["history_version"]
    assert (await service.recommend(user_id=user, min_history_version=reached))["history_version"] == reached
    response = await service.http.post("/recommend", json={"user_id": user, "min_history_version": reached + 1})
    assert response.status_code == 409
    assert response.json()["title"] == "History is behind"


async def test_integer_ids_are_converted_to_text(service: Service, new_user: Callable[[], str]) -> None:
    answer = await service.recommend(user_id=12345, history=[7, "i7"])
    assert answer["unknown_items"] == ["7"]


@pytest.mark.parametrize(
    ("include", "fields"),
    [([], {}), (["title"], {"title": "Item number 9"}), (["categories"], {"categories": ["odd", "low"]})],
)
async def test_items_have_the_included_fields(service: Service, include: list[str], fields: dict[str, Any]) -> None:
    answer = await service.recommend(history=["i4"], k=1, candidates=["i9"], include=include)
    (item,) = answer["items"]
    assert item == {"item_id": "i9", "score": item["score"], **fields}
    assert "explained_by" not in answer


async def test_explained_items_rest_on_items_of_the_history(service: Service) -> None:
    history = ["i4", "i20", "missing", "i33", "i4", "i8"]
    answer = await service.recommend(history=history, k=5, explain=True)
    assert answer["explained_by"] == "removal"
    for item in answer["items"]:
        assert (item["title"], item["categories"][0] in ("odd", "even")) == (f"Item number {item['item_id'][1:]}", True)
        assert item["nearest"]["item_id"] in {*history} - {"missing"}
        assert -1 <= item["nearest"]["similarity"] <= 1.001
        assert {reason["item_id"] for reason in item["because"]} <= {*history} - {"missing"}
        assert sum(reason["weight"] for reason in item["because"]) <= 1.001
    first = answer["items"][0]
    assert first["because"], "the best item must rest on something"
    top_reason = first["because"][0]
    without = await service.recommend(
        history=[item for item in history if item != top_reason["item_id"]],
        candidates=[first["item_id"]],
        exclude_seen=False,
        k=1,
    )
    expected = pytest.approx(top_reason["score_drop"], abs=1e-3)
    assert first["score"] - without["items"][0]["score"] == expected


async def test_explained_answers_are_counted_and_timed(service: Service) -> None:
    names = ('nextup_explanations_total{result="removal"}', "nextup_explanation_seconds_count")
    before = [await service.read_metric(name) for name in names]
    await service.recommend(history=["i4"], k=2, explain=True)
    await service.recommend(history=["i4"], k=2)
    await service.recommend(history=["missing"], k=2, explain=True)
    assert [await service.read_metric(name) for name in names] == [value + 1 for value in before]


async def test_popular_items_have_no_explanation(service: Service) -> None:
    answer = await service.recommend(history=["missing"], k=2, explain=True)
    assert (answer["served_by"], answer["explained_by"]) == ("popularity", "unsupported")
    assert all("because" not in item for item in answer["items"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"k": 5}, "user_id or history"),
        ({"user_id": "u", "k": 0}, "k"),
        ({"user_id": "u", "k": 101}, "k: must be at most 100"),
        ({"user_id": "", "k": 1}, "user_id"),
        ({"user_id": "u" * 129}, "user_id"),
        ({"user_id": True}, "user_id"),
        ({"history": ["i1", ""]}, "history.1"),
        ({"history": "i1"}, "history"),
        ({"user_id": "u", "candidates": [None]}, "candidates.0"),
        ({"user_id": "u", "min_history_version": -1}, "min_history_version"),
        ({"user_id": "u", "include": ["score"]}, "include.0"),
        ({"user_id": "u", "kk": 3}, "kk"),
    ],
)
async def test_error_names_the_invalid_field(body: dict[str, Any], field: str, service: Service) -> None:
    response = await service.http.post("/recommend", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert field in response.json()["detail"]


async def test_lone_surrogate_is_an_invalid_field(service: Service) -> None:
    headers = {"content-type": "application/json"}
    response = await service.http.post("/recommend", content=b'{"user_id": "\\ud800"}', headers=headers)
    assert response.status_code == 422


async def test_batch_answers_each_request_separately(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    await service.post_events(user, "i7")
    requests: list[Any] = [
        {"user_id": user, "k": 3},
        {"k": 3},
        "invalid",
        {"history": ["i7"], "k": 3},
        {"user_id": user, "k": 999},
    ]
    response = await service.http.post("/recommend/batch", json={"requests": requests})
    answers = response.json()["responses"]
    assert [answer["status"] for answer in answers] == [200, 422, 422, 200, 422]
    assert answers[0]["items"] == answers[3]["items"] == (await service.recommend(user_id=user, k=3))["items"]
    BatchResponse.model_validate(response.json(), extra="forbid")


@pytest.mark.parametrize("count", [0, 257])
async def test_batch_rejects_fewer_than_1_or_more_than_256_requests(count: int, service: Service) -> None:
    response = await service.http.post("/recommend/batch", json={"requests": [{"history": ["i1"]}] * count})
    assert response.status_code == 422


async def test_similar_items_exclude_the_item_and_the_excluded_items(service: Service) -> None:
    response = await service.http.post("/similar", json={"item_id": "i5", "k": 100, "exclude": ["i6"]})
    assert {item["item_id"] for item in response.json()["items"]} == {f"i{n}" for n in range(1, 61)} - {"i5", "i6"}
    odd = await service.http.post(
        "/similar", json={"item_id": "i5", "k": 3, "categories": ["odd"], "include": ["categories"]}
    )
    assert all("odd" in item["categories"] for item in odd.json()["items"])
    missing = await service.http.post("/similar", json={"item_id": "missing"})
    assert (missing.status_code, missing.json()["title"]) == (404, "Not found")


async def test_answer_has_exactly_the_declared_fields(service: Service) -> None:
    answer = await service.recommend(history=["i4", "missing"], explain=True)
    RecommendResponse.model_validate(answer, extra="forbid")


async def test_stages_are_measured(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    await service.post_events(user, "i7")
    response = await service.http.post("/recommend", json={"user_id": user})
    stages = [part.split(";dur=")[0] for part in response.headers["server-timing"].split(", ")]
    assert stages == ["store", "queue", "encode", "score", "respond"]
    for stage in stages:
        assert await service.read_metric(f'nextup_stage_duration_seconds_count{{stage="{stage}"}}') >= 1

"""`rotate` of /recommend: what was shown to the user and not clicked comes later, exactly, and only when asked for."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from app.errors import StoreUnavailable
from app.inference.servable import Servable
from app.stores.impressions import ImpressionStore
from app.stores.keys import PLACEMENT_KEYS
from app.stores.redis.client import RedisClient
from models.catalogue.item_key import ItemKeys
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
ROTATE = {"minutes": 60, "penalty": 20}


def get_ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


async def send(service: Service, user: str, answer: dict[str, Any], **kinds: Sequence[str]) -> None:
    """Send events of items of an answer, by type."""
    event = {"user_id": user, "recommendation_id": answer["recommendation_id"]}
    events = [event | {"item_id": item_id, "type": kind} for kind, items in kinds.items() for item_id in items]
    response = await service.http.post("/events", json={"events": events})
    assert response.status_code == 202, response.text


@pytest.fixture
async def user(service: Service, new_user: Callable[[], str]) -> str:
    name = new_user()
    await service.post_events(name, "i50")
    return name


async def test_shown_items_come_later_unless_they_were_clicked(service: Service, user: str) -> None:
    body = {"user_id": user, "k": 60, "exclude_seen": False}
    plain = await service.recommend(**body)
    first = get_ids(plain)[:6]
    assert await service.recommend(**body, rotate=ROTATE) | VOLATILE == plain | VOLATILE, "nothing was shown"
    await send(service, user, plain, impression=first, buy=first[2:3])
    # The purchase is in the history now, so that scores are other ones.
    scores = {item["item_id"]: item["score"] for item in (await service.recommend(**body))["items"]}
    lowered = set(first) - {first[2]}
    for penalty in (0, 0.25, 1.0, 20):
        expected = {item_id: score - penalty * (item_id in lowered) for item_id, score in scores.items()}
        order = sorted(expected, key=lambda item_id: (-expected[item_id], int(item_id[1:])))
        for k in (1, 5, 60):
            answer = await service.recommend(**body | {"k": k}, rotate={"minutes": 60, "penalty": penalty})
            assert get_ids(answer) == order[:k]
            for item in answer["items"]:
                assert item["score"] == pytest.approx(expected[item["item_id"]], abs=1e-5)
    assert lowered.isdisjoint(get_ids(await service.recommend(user_id=user, k=50, rotate=ROTATE)))


VOLATILE = {"recommendation_id": None}


async def test_rotation_joins_other_rules_pages_and_placements(
    service: Service, user: str, redis_client: RedisClient
) -> None:
    plain = await service.recommend(user_id=user, k=50)
    shown = get_ids(plain)[:6]
    await send(service, user, plain, impression=shown)
    rules: dict[str, Any] = {"limit_per": {"categories": 20}, "rotate": ROTATE}
    assert set(shown).isdisjoint(get_ids(await service.recommend(user_id=user, k=10, **rules)))
    page = await service.recommend(user_id=user, k=5, rotate=ROTATE, paginate=True)
    next_page = await service.recommend(cursor=page["next_cursor"], rotate=ROTATE)
    assert set(shown).isdisjoint(get_ids(page) + get_ids(next_page))
    response = await service.http.post("/recommend", json={"cursor": page["next_cursor"]})
    assert [error["field"] for error in response.json()["errors"]] == ["rotate"]
    assert (await service.http.put("/placements/home", json={"rotate": ROTATE})).status_code == 200
    assert set(shown).isdisjoint(get_ids(await service.recommend(user_id=user, placement="home")))
    assert get_ids(await service.recommend(user_id=user, placement="home", rotate=None))[0] == shown[0]
    await redis_client.delete(*PLACEMENT_KEYS)


async def test_rotation_is_for_the_user_of_the_request(
    service: Service, user: str, new_user: Callable[[], str]
) -> None:
    history = {"history": ["i50"], "rotate": ROTATE}
    answer = await service.recommend(**history)
    await send(service, user, answer, impression=get_ids(answer))
    assert get_ids(await service.recommend(**history)) == get_ids(answer), "no user"
    assert get_ids(await service.recommend(**history, user_id=new_user())) == get_ids(answer)
    assert set(get_ids(answer)).isdisjoint(get_ids(await service.recommend(**history, user_id=user)))
    assert (await service.http.delete(f"/users/{user}")).status_code == 200
    assert get_ids(await service.recommend(**history, user_id=user)) == get_ids(answer)


async def test_sources_without_the_model_rotate(
    service: Service, user: str, new_user: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = new_user()
    popular = await service.recommend(user_id=stranger, k=3)
    plain = await service.recommend(user_id=user, k=20)
    for name, answer in ((stranger, popular), (user, plain)):
        await send(service, name, answer, impression=get_ids(answer)[:3])
    assert popular["served_by"] == "popularity"
    assert set(get_ids(popular)).isdisjoint(get_ids(await service.recommend(user_id=stranger, k=3, rotate=ROTATE)))

    def fail(*_: object) -> None:
        raise RuntimeError("out of the ordinary")

    monkeypatch.setattr(Servable, "run_batch", fail)
    answer = await service.recommend(user_id=user, k=10, rotate=ROTATE)
    assert answer["served_by"] == "cache"
    assert get_ids(answer) == get_ids(plain)[3:13]


async def test_only_requests_that_rotate_read_impressions(
    service: Service, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    users: list[str] = []
    read_shown = ImpressionStore.read_shown

    async def count_and_read(store: ImpressionStore, user_id: str, since_s: float, deadline: float) -> ItemKeys:
        users.append(user_id)
        return await read_shown(store, user_id, since_s, deadline)

    monkeypatch.setattr(ImpressionStore, "read_shown", count_and_read)
    for body in ({"user_id": user}, {"user_id": user, "diversity": 0.2}, {"history": ["i1"], "rotate": ROTATE}):
        await service.recommend(**body)
    assert users == []
    await service.recommend(user_id=user, rotate=ROTATE)
    assert users == [user]


async def test_answer_does_not_rotate_while_impressions_cannot_be_read(
    service: Service, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = get_ids(await service.recommend(user_id=user))
    await send(service, user, await service.recommend(user_id=user), impression=plain)

    async def fail(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(ImpressionStore, "read_shown", fail)
    answer = await service.recommend(user_id=user, rotate=ROTATE)
    assert (get_ids(answer), answer["served_by"]) == (plain, "model")


@pytest.mark.parametrize(
    ("rotate", "field"),
    [
        ({"minutes": 0}, "rotate.minutes"),
        ({"minutes": 11}, "rotate.minutes"),
        ({"minutes": 5, "penalty": -1}, "rotate.penalty"),
        ({"penalty": 1}, "rotate.minutes"),
        ({"minutes": 5, "hours": 1}, "rotate.hours"),
    ],
)
async def test_wrong_rotation_is_named(
    rotate: dict[str, Any], field: str, service_with: Callable[..., AbstractAsyncContextManager[Service]]
) -> None:
    async with service_with(impression_minutes=10, model_process="in_process") as service:
        large = {"exclude": ["x" * 100] * 50}
        for body in ({}, large):
            response = await service.http.post("/recommend", json={"user_id": "ada", "rotate": rotate, **body})
            assert [error["field"] for error in response.json()["errors"]] == [field]
        response = await service.http.put("/placements/wrong", json={"rotate": rotate})
        assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize("rotate", [None, ROTATE])
async def test_large_bodies_may_rotate(rotate: dict[str, Any] | None, service: Service, user: str) -> None:
    body = {"user_id": user, "exclude": [7, *["x" * 100] * 50]}  # an integer is for the route
    answer = await service.recommend(**body, rotate=rotate)
    assert get_ids(answer) == get_ids(await service.recommend(user_id=user))


async def test_nothing_is_remembered_without_a_lifetime(
    service_with: Callable[..., AbstractAsyncContextManager[Service]], user: str, redis_client: RedisClient
) -> None:
    async with service_with(impression_minutes=0) as service:
        answer = await service.recommend(user_id=user)
        await send(service, user, answer, impression=get_ids(answer))
        assert not await redis_client.exists(b"n:{%b}:impressions" % user.encode())
        response = await service.http.post("/recommend", json={"user_id": user, "rotate": ROTATE})
        assert "NEXTUP_IMPRESSION_MINUTES" in response.json()["detail"]

"""Failover load over HTTP: /events and /recommend, with the responses that each allows while the store is down."""

from collections.abc import Callable, Sequence

import httpx
import pytest

from service_tests.failures.fail_over import CallFailed, Load

FIRST_S = 1_700_000_000
ITEMS = 60
"""Items of the tiny artifact."""


def make_http_load(http: httpx.AsyncClient, users: Sequence[str], answers: dict[tuple[str, ...], list[str]]) -> Load:
    """Make a load with one writer per user, so that a history version determines its events.

    `answers` collects the recommended items by history.
    """

    async def send(user: str, number: int) -> None:
        response = await http.post("/events", json={"events": [make_event(user, number)]})
        if response.status_code == 503:
            assert int(response.headers["retry-after"]) >= 1
            raise CallFailed(f"events: 503 {response.json()['title']}")
        assert response.status_code == 202, response.text
        assert response.json()["results"][0]["status"] in ("stored", "duplicate"), response.text

    async def read(user: str, count_sent: Callable[[], int], acknowledged: int) -> str:
        response = await http.post("/recommend", json={"user_id": user, "k": 10, "exclude_seen": False})
        if response.status_code == 503:
            assert int(response.headers["retry-after"]) >= 1
            raise CallFailed(f"recommend: 503 {response.json()['title']}")
        assert response.status_code == 200, response.text
        answer = response.json()
        assert len(answer["items"]) == 10
        if answer["served_by"] in ("cache", "popularity") and answer["reason"] in ("store_unavailable", "overloaded"):
            return f"{answer['served_by']}, {answer['reason']}"
        version = answer["history_version"]
        if not acknowledged <= version <= count_sent():
            numbers = await read_history(http, user)
            pytest.fail(
                f"{user}: {answer}, but {acknowledged} events were acknowledged and {count_sent()} sent; "
                f"its history is now {numbers}"
            )
        assert answer["served_by"] == ("model" if version else "popularity"), answer
        if version:
            history = tuple(map(get_item, range(version)))
            items = [item["item_id"] for item in answer["items"]]
            if answers.setdefault(history, items) != items:
                numbers = await read_history(http, user)
                pytest.fail(f"{user}: {answer} differs from {answers[history]}; its history is now {numbers}")
        return str(answer["served_by"])

    return Load(users, send, read)


def get_item(number: int) -> str:
    return f"i{number % ITEMS + 1}"


def make_event(user: str, number: int) -> dict[str, object]:
    return {
        "user_id": user,
        "item_id": get_item(number),
        "timestamp": FIRST_S + number,
        "event_id": f"{user}e{number}",
    }


async def recommend(http: httpx.AsyncClient, **body: object) -> list[str]:
    response = await http.post("/recommend", json={"k": 10, "exclude_seen": False, **body})
    assert response.json()["served_by"] == "model", response.text
    return [item["item_id"] for item in response.json()["items"]]


async def read_history(http: httpx.AsyncClient, user: str) -> list[int]:
    """Read the numbers of the user's stored events, in history order."""
    events = (await http.get(f"/users/{user}/history")).json()["events"]
    return [event["timestamp"] // 1000 - FIRST_S for event in events]

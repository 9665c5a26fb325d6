"""Synthetic users of a running service: their ids, histories, requests and events.

Ids begin with `traffic-`, which separates them from real users (`app/synthetic_users.py`). Items are those that the
service recommends to a user without a history.
"""

import http.client
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from app.bench.load.profile import LoadProfile
from app.bench.load.requests import build_read_bodies, build_write_bodies
from app.bench.serve.rounds import Target
from app.synthetic_users import TRAFFIC_PREFIX

MAX_ITEMS = 100
MAX_HISTORY = 40
EVENTS_PER_REQUEST = 500
NUM_BODIES = 2_000
REQUEST_TIMEOUT_S = 10.0
ROUND_S = 30.0


def build_traffic_profile(
    target: Target,
    *,
    num_users: int,
    rate: float,
    write_share: float,
    connections: int,
    k: int,
    seed: int,
    seconds: float = ROUND_S,
    timeout_s: float = REQUEST_TIMEOUT_S,
) -> LoadProfile:
    """Give the users histories and build the profile of one round; ValueError if the service does not respond."""
    events_path = target.path.removesuffix("/recommend") + "/events"
    target = replace(target, events_path=events_path)
    rng = random.Random(seed)  # noqa: S311 - load, not a secret
    users, items = make_user_ids(num_users), fetch_popular_items(target)
    seed_histories(target, users, items, rng)
    reads, writes = build_request_bodies(users, items, k, rng)
    return LoadProfile(
        host=target.host,
        port=target.port,
        path=target.path,
        bodies=reads,
        connections=connections,
        warm_up_s=0.0,
        seconds=seconds,
        timeout_s=timeout_s,
        rate=rate,
        events_path=events_path,
        events=writes,
        write_share=write_share,
    )


def make_user_ids(count: int) -> list[str]:
    return [f"{TRAFFIC_PREFIX}{number}" for number in range(count)]


def fetch_popular_items(target: Target) -> list[str]:
    """Fetch the items for a user without a history; ValueError if the service does not respond or has no items."""
    response = _post(target, target.path, {"history": [], "k": MAX_ITEMS}, HTTPStatus.OK)
    items = [str(item["item_id"]) for item in response["items"]]
    if not items:
        raise ValueError(f"{target.host}:{target.port} recommends no items to users without a history")
    return items


def seed_histories(target: Target, users: Sequence[str], items: Sequence[str], rng: random.Random) -> None:
    """Write a few events for each user, so that the model serves their requests."""
    events = [
        {"user_id": user, "item_id": rng.choice(items)} for user in users for _ in range(rng.randint(2, MAX_HISTORY))
    ]
    for batch in (events[start : start + EVENTS_PER_REQUEST] for start in range(0, len(events), EVENTS_PER_REQUEST)):
        _post(target, target.events_path or "/events", {"events": batch}, HTTPStatus.ACCEPTED)


def build_request_bodies(
    users: Sequence[str], items: Sequence[str], k: int, rng: random.Random
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Build bodies of reads and of writes; the n-th user is sampled with weight 1 / n."""
    weights = [1 / rank for rank in range(1, len(users) + 1)]
    sampled_users = rng.choices(users, weights, k=NUM_BODIES)
    return build_read_bodies(sampled_users, k), build_write_bodies(sampled_users, rng.choices(items, k=NUM_BODIES))


def split_into_rounds(seconds: float, max_round_s: float) -> Iterator[float]:
    """Yield lengths of rounds that sum to `seconds`; endlessly if it is 0."""
    remaining_s = seconds
    while seconds == 0 or remaining_s > 0:
        yield max_round_s if seconds == 0 else min(max_round_s, remaining_s)
        remaining_s -= max_round_s


def _post(target: Target, path: str, body: dict[str, Any], expected_status: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection(target.host, target.port, timeout=REQUEST_TIMEOUT_S)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    except OSError as error:
        raise ValueError(f"{target.host}:{target.port} does not respond: {error}") from error
    finally:
        connection.close()
    if response.status != expected_status:
        raise ValueError(
            f"{target.host}:{target.port}{path} responded with {response.status}: {content.decode()[:200]}"
        )
    parsed: dict[str, Any] = json.loads(content)
    return parsed

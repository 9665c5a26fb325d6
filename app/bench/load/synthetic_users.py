"""Made-up visitors of a running service: who they are, what they did before, and what they ask and do.

Their ids begin with `traffic-`, so that they are told from people. It knows the bodies of the API, and of the catalogue
what the service itself recommends to strangers.
"""

import http.client
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from app.bench.load.traffic import build_read_bodies, build_write_bodies
from app.bench.serve.rounds import Target

PREFIX = "traffic-"
MAX_ITEMS = 100
LONGEST_HISTORY = 40
EVENTS_AT_ONCE = 500
PATIENCE_S = 10.0


def make_user_ids(count: int) -> list[str]:
    return [f"{PREFIX}{number}" for number in range(count)]


def fetch_popular_items(target: Target) -> list[str]:
    """What the service gives to who has no history; ValueError if it cannot be asked or has no items."""
    answer = _asked(target, target.path, {"history": [], "k": MAX_ITEMS}, 200)
    items = [str(item["item_id"]) for item in answer["items"]]
    if not items:
        raise ValueError(f"{target.host}:{target.port} recommends nothing to strangers")
    return items


def seed_histories(target: Target, users: Sequence[str], items: Sequence[str], rng: random.Random) -> None:
    """Some events for each, so that the model is asked about them."""
    events = [
        {"user_id": user, "item_id": rng.choice(items)}
        for user in users
        for _ in range(rng.randint(2, LONGEST_HISTORY))
    ]
    for some in (events[at : at + EVENTS_AT_ONCE] for at in range(0, len(events), EVENTS_AT_ONCE)):
        _asked(target, target.events_path or "/events", {"events": some}, 202)


def build_request_bodies(
    users: Sequence[str], items: Sequence[str], k: int, rng: random.Random, count: int = 2_000
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Bodies of reads and of writes. Few come often: the n-th of them by 1 / n."""
    weights = [1 / place for place in range(1, len(users) + 1)]
    asking = rng.choices(users, weights, k=count)
    return build_read_bodies(asking, k), build_write_bodies(asking, rng.choices(items, k=count))


def rounds(seconds: float, longest: float) -> Iterator[float]:
    """Lengths of rounds that make up `seconds`; without end for 0."""
    left = seconds
    while seconds == 0 or left > 0:
        yield longest if seconds == 0 else min(longest, left)
        left -= longest


def _asked(target: Target, path: str, body: dict[str, Any], wanted: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection(target.host, target.port, timeout=PATIENCE_S)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    except OSError as error:
        raise ValueError(f"{target.host}:{target.port} does not answer: {error}") from error
    finally:
        connection.close()
    if response.status != wanted:
        raise ValueError(f"{target.host}:{target.port}{path} answers {response.status}: {text.decode()[:200]}")
    answer: dict[str, Any] = json.loads(text)
    return answer

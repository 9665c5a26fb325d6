"""Load a log over HTTP, event by event in random order: bytes per user, and histories against a reference.

    python -m service_tests.end_to_end.load_event_by_event LOG --artifact DIR [--event-ids] [--checkout DIR]

prints one JSON line. A call has at most one event of a user, so every history grows event by event. Every user has one
client, so the order of arrival is known and `ReferenceHistory` is exact, also for events of equal time. `--checkout`
measures the code of another working copy, such as an older commit.
"""

import argparse
import http.client
import json
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from app.stores.records import NewEvent
from service_tests.app.stores.reference_history import ReferenceHistory
from service_tests.support.nextup_process import run_service
from service_tests.support.redis_processes import RedisProcess

CLIENTS, USERS_PER_CALL = 8, 50
MAX_EVENTS = 1000
"""Default of NEXTUP_HISTORY_MAX_EVENTS."""
TIMEOUT_S = 60.0
MAX_TRIES, RETRY_S = 20, 0.5


def read_events(log: Path, users: int | None, *, event_ids: bool) -> dict[str, list[NewEvent]]:
    """Read the events of the first `users` users in random order, with ids as of a clock and a random part if asked."""
    rows = pl.read_parquet(log).select(
        pl.col("user_id").cast(pl.String),
        pl.col("item_id").cast(pl.String),
        (pl.col("timestamp").cast(pl.Float64) * 1000).round().cast(pl.Int64),
    )
    numbers = random.Random(1)
    events: dict[str, list[NewEvent]] = defaultdict(list)
    for user, item, timestamp_ms in rows.unique(maintain_order=True).iter_rows():
        event_id = f"{numbers.getrandbits(128):032x}" if event_ids else None
        events[user].append(NewEvent(user, item, timestamp_ms, event_id))
    chosen = dict(list(events.items())[:users])
    for history in chosen.values():
        numbers.shuffle(history)
    return chosen


def to_dict(event: NewEvent) -> dict[str, Any]:
    fields: dict[str, Any] = {"user_id": event.user_id, "item_id": event.item_id, "timestamp": event.timestamp_ms}
    return fields if event.event_id is None else fields | {"event_id": event.event_id}


def post_events(connection: http.client.HTTPConnection, body: str) -> list[dict[str, Any]]:
    """Post events, again while the store is busy, which stores none of them twice."""
    for tries_left in reversed(range(MAX_TRIES)):
        connection.request("POST", "/events", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        if response.status == 202:
            results: list[dict[str, Any]] = json.loads(content)["results"]
            return results
        if response.status != 503 or not tries_left:
            raise AssertionError(f"{response.status}: {content[:500]!r}")
        time.sleep(RETRY_S)
    raise AssertionError("no try is left")


def send_events(host: str, users: Sequence[str], events: dict[str, list[NewEvent]]) -> dict[str, int]:
    """Send the events of the users in turn, a call for every USERS_PER_CALL of them; count the results by status."""
    statuses: dict[str, int] = defaultdict(int)
    connection = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
    for turn in range(max(len(events[user]) for user in users)):
        events_of_turn = [to_dict(events[user][turn]) for user in users if turn < len(events[user])]
        for first in range(0, len(events_of_turn), USERS_PER_CALL):
            body = json.dumps({"events": events_of_turn[first : first + USERS_PER_CALL]})
            for result in post_events(connection, body):
                statuses[result["status"]] += 1
    connection.close()
    return statuses


def count_different_histories(url: str, events: dict[str, list[NewEvent]]) -> int:
    different = 0
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
        for user, arrivals in events.items():
            reference = ReferenceHistory(MAX_EVENTS)
            for event in arrivals:
                reference.append([event])
            answer = client.get(f"/users/{user}/history").raise_for_status().json()
            stored = [(event["item_id"], event["timestamp"]) for event in answer["events"]]
            expected = [(entry.item_id, entry.timestamp_ms) for entry in reference.read_history()]
            different += (stored, answer["history_version"]) != (expected, reference.version)
    return different


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    events = read_events(arguments.log, arguments.users, event_ids=arguments.event_ids)
    redis = RedisProcess(folder / "redis", {"appendonly": "no", "save": ""})
    variables = {"NEXTUP_REDIS_URL": f"redis://127.0.0.1:{redis.port}", "NEXTUP_EVENT_LOG": "off"}
    if arguments.checkout:
        variables["PYTHONPATH"] = str(arguments.checkout)
    try:
        with (
            redis.connect() as client,
            run_service(
                folder / "data", "--artifact", str(arguments.artifact), cwd=arguments.checkout, **variables
            ) as service,
        ):
            used_before = client.info("memory")["used_memory"]
            started_at = time.monotonic()
            users = list(events)
            with ThreadPoolExecutor(CLIENTS) as threads:
                host = service.url.removeprefix("http://")
                groups = [users[first::CLIENTS] for first in range(min(CLIENTS, len(users)))]
                tallies = list(threads.map(lambda group: send_events(host, group, events), groups))
            seconds = time.monotonic() - started_at
            used = client.info("memory")["used_memory"] - used_before
            different = count_different_histories(service.url, events)
    finally:
        redis.stop()
    statuses: dict[str, int] = defaultdict(int)
    for tally in tallies:
        for status, count in tally.items():
            statuses[status] += count
    return {
        "users": len(events),
        "events": sum(map(len, events.values())),
        "event_ids": arguments.event_ids,
        "results": dict(statuses),
        "events_per_s": round(sum(statuses.values()) / seconds),
        "bytes_per_user": round(used / len(events)),
        "bytes_per_event": round(used / statuses["stored"], 1),
        "different_histories": different,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", type=Path, help="Parquet file with user_id, item_id and timestamp in seconds")
    parser.add_argument("--artifact", type=Path, required=True, help="a model of that log, which knows its items")
    parser.add_argument("--users", type=int, help="load only the first users of the log")
    parser.add_argument("--event-ids", action="store_true", help="every event carries an event_id")
    parser.add_argument("--checkout", type=Path, help="working copy that is measured (default: this one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nextup-load-") as folder:
        print(json.dumps(measure(arguments, Path(folder))))


if __name__ == "__main__":
    main()

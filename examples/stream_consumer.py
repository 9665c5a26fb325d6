"""Orders of a Redis Stream become events of nextup: one per product of an order.

    python examples/stream_consumer.py redis://127.0.0.1:6379

An order is acknowledged after the service has stored its events. If it is delivered again, its events have the same
ids, and so no further effect. `nextup consume` does this for messages that are events already.
"""

import json
import sys
from collections.abc import Iterator
from threading import Event as StopFlag
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

import nextup
from nextup.requests import Event

STREAM, GROUP, CONSUMER = "orders", "nextup", "consumer-1"
SERVICE = "http://127.0.0.1:8000"
BATCH_SIZE, WAIT_MS = 200, 1000


def list_events(message_id: str, order: dict[str, Any]) -> Iterator[Event]:
    """Yield an event per product; ids come from the message, so that they are the same on each delivery."""
    for number, product in enumerate(order["products"]):
        yield {
            "user_id": str(order["customer"]),
            "item_id": str(product),
            "timestamp": int(message_id.partition("-")[0]),
            "type": "buy",
            "event_id": f"{STREAM}-{message_id}-{number}",
        }


def consume(redis: Redis, client: nextup.Client, stop: StopFlag) -> None:
    """Read orders until `stop` is set; first those that an earlier run did not acknowledge."""
    try:
        redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    position = "0"
    while not stop.is_set():
        reply: Any = redis.xreadgroup(GROUP, CONSUMER, {STREAM: position}, count=BATCH_SIZE, block=WAIT_MS)
        messages = reply[0][1] if reply else []
        if not messages:
            position = ">"
            continue
        if position != ">":
            position = messages[-1][0]
        store(redis, client, messages, stop)


def store(redis: Redis, client: nextup.Client, messages: list[Any], stop: StopFlag) -> None:
    """Send the events of messages until the service has them, then acknowledge the messages."""
    events: list[Event] = []
    for message_id, fields in messages:
        try:
            events.extend(list_events(message_id, json.loads(fields["order"])))
        except (ValueError, KeyError, TypeError) as error:
            print(f"order {message_id} is skipped: {error!r}", file=sys.stderr)
    for start in range(0, len(events), 1000):
        while not stop.is_set():
            try:
                answer = client.ingest_events(events=events[start : start + 1000])
            except nextup.InvalidRequest as error:
                print(f"no event is valid: {error}", file=sys.stderr)
                break
            except nextup.NextupError as error:
                print(f"trying again: {error}", file=sys.stderr)
                stop.wait(1.0)
            else:
                print(f"{answer.stored} stored, {answer.duplicate} known, {answer.invalid} invalid", flush=True)
                break
    if not stop.is_set():
        redis.xack(STREAM, GROUP, *(message_id for message_id, _ in messages))


if __name__ == "__main__":
    with nextup.Client(SERVICE) as service:
        consume(Redis.from_url(sys.argv[1], decode_responses=True), service, StopFlag())

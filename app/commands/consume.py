"""`nextup consume`: store the events of a Redis Stream or a Kafka topic until a signal arrives."""

import asyncio
import json
import logging.config
import os
import signal
import socket
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack

from app.cli.listening import Address, bind_listener
from app.commands.options.consume import ConsumeOptions
from app.environment import STORE_SETTINGS, load_settings
from app.events.service import EventService
from app.feedback.counter import FeedbackCounter
from app.feedback.impressions import ImpressionRecorder
from app.history_types import HistoryTypes
from app.settings import Settings, get_plain_value
from app.signing_keys import load_signing_keys
from app.stores.live_items import LiveItemStore
from app.stores.session import open_store, redis_url
from app.streaming.consumer import Consumer
from app.streaming.dead_letters import DeadLetterFile
from app.streaming.metrics_server import serve_metrics
from app.streaming.source import EventSource
from app.telemetry.deferred_metrics import flush_periodically
from app.telemetry.logs import log_config
from app.telemetry.metrics import StoreMetrics

log = logging.getLogger("nextup")

USED_SETTINGS = STORE_SETTINGS | {"stream_url", "metrics_key", "log_format", "drain_s"}
STORE_TIMEOUT_S = 5.0
"""Timeout of a store operation: longer than the service's, because no caller waits; the batch is repeated after it."""
RESULTS = ("stored", "duplicate", "late", "ignored")


def run(arguments: ConsumeOptions) -> int:
    # Process 1 of a container ignores SIGTERM without a handler; nothing is in hand before the loop sets its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = load_settings(USED_SETTINGS)
    check_options(arguments)
    logging.config.dictConfig(log_config(settings.log_format))
    with bind_listener(arguments.metrics_host, arguments.metrics_port) as listener, redis_url(settings) as url:
        source = build_source(arguments, settings, url)
        started_at = time.monotonic()
        counts = asyncio.run(consume(source, arguments, settings, url, listener))
    seconds = time.monotonic() - started_at
    result = {name: counts[name] for name in ("messages", *RESULTS, "dead_letters")}
    print(f"{counts['messages']:,} messages, {counts['stored']:,} stored, {counts['dead_letters']:,} dead letters")
    print(json.dumps(result | {"seconds": round(seconds, 2)}))
    return 0


def check_options(arguments: ConsumeOptions) -> None:
    """ValueError for options that are missing for this kind of source."""
    if arguments.source == "kafka":
        for name in ("brokers", "topic"):
            if not getattr(arguments, name):
                raise ValueError(f"--{name} is missing; `nextup consume kafka` needs --brokers and --topic")
    for name in ("stream", "field", "group"):
        if not getattr(arguments, name):
            raise ValueError(f"--{name} must not be empty")


def build_source(arguments: ConsumeOptions, settings: Settings, store_url: str) -> EventSource:
    if arguments.source == "kafka":
        from app.streaming.kafka_properties import build_consumer_properties, read_properties
        from app.streaming.kafka_source import KafkaSource  # needs the extra

        assert arguments.brokers is not None
        assert arguments.topic is not None
        more = read_properties(arguments.properties) if arguments.properties is not None else {}
        properties = build_consumer_properties(arguments.brokers, arguments.group, arguments.start, more)
        return KafkaSource(arguments.topic, properties)
    from app.streaming.redis_source import RedisStreamSource

    return RedisStreamSource(
        get_plain_value(settings.stream_url) or store_url,
        arguments.stream,
        group=arguments.group,
        consumer=arguments.consumer or socket.gethostname(),
        field=arguments.field,
        start=arguments.start,
        claim_idle_s=arguments.claim_idle,
    )


async def consume(
    source: EventSource, arguments: ConsumeOptions, settings: Settings, url: str, listener: socket.socket
) -> Counter[str]:
    """Consume until SIGTERM or SIGINT, and return the number of messages by result."""
    path = arguments.dead_letters or settings.data_dir / "dead-letters.jsonl"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(flush_periodically())
        store = await stack.enter_async_context(
            open_store(url, settings, timeout_s=STORE_TIMEOUT_S, observer=StoreMetrics())
        )
        stack.push_async_callback(source.close)
        await source.open()
        signing_keys = load_signing_keys(get_plain_value(settings.signing_keys), settings.data_dir)
        feedback = FeedbackCounter.from_settings(store.client, settings, signing_keys)
        items = LiveItemStore(store.client, wait_s=STORE_TIMEOUT_S, max_items=settings.catalogue_max_items)
        stack.push_async_callback(items.close)
        impressions = ImpressionRecorder.from_settings(store.client, settings)
        types = HistoryTypes(settings.history_types)
        consumer = Consumer(
            source,
            EventService(store, None, types, feedback=feedback, items=items, impressions=impressions),
            DeadLetterFile(path, arguments.dead_letter_mb * 1_000_000),
            batch_size=arguments.batch,
            drain_s=settings.drain_s,
            idle_s=arguments.until_idle,
        )
        _handle_signals(consumer)
        await stack.enter_async_context(serve_metrics(listener, settings, store))
        log.info("consuming %s into the store; metrics at %s/metrics", source.name, Address.from_listener(listener))
        await consumer.run()
        log.info("stopped; messages that are not acknowledged will be delivered again")
    return consumer.counts


def _handle_signals(consumer: Consumer) -> None:
    """Stop on the first signal; a second one ends the process immediately."""
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        consumer.stop()
        loop.remove_signal_handler(number)
        signal.signal(number, lambda *_: os._exit(128 + number))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)

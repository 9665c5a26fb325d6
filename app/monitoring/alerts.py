"""A few symptom-based alerts, each on a symptom that affects callers or their data.

Every alert has a section in docs/runbook.md.
"""

from app.monitoring import limits
from app.monitoring.promql import quantile, rate, ratio
from app.monitoring.rules import Alert, RecordingRule, TimeScale
from app.monitoring.store import CATALOGUE_AGE, LOG_AGE
from app.monitoring.streaming import OLDEST_AGE

FIVE_MINUTES, MINUTE, HALF_MINUTE = 300, 60, 30
CALLER_ROUTES = 'route!~"/livez|/healthz|/readyz|/metrics"'
"""Routes that callers use; /readyz answers 503 by design."""
DEGRADED_REASONS = 'reason=~"no_known_items|overloaded|model_unavailable|store_unavailable"'
"""Reasons of fallbacks, without `unknown_user`: new users get popular items by design."""
SHED_REASONS = 'reason=~"overloaded|deadline_unmeetable|deadline"'


def make_recording_rules(scale: TimeScale) -> tuple[RecordingRule, ...]:
    window = scale.format_duration(FIVE_MINUTES)
    shed = rate("nextup_rejected_total", window=window, matchers=SHED_REASONS)
    run = rate("nextup_batch_size_sum", window=window)
    return (
        RecordingRule(
            "nextup:http_errors:share5m",
            ratio(
                rate("nextup_http_requests_total", window=window, matchers=f'code=~"5..",{CALLER_ROUTES}'),
                rate("nextup_http_requests_total", window=window, matchers=CALLER_ROUTES),
            ),
        ),
        RecordingRule(
            "nextup:recommend_seconds:p99_5m",
            quantile(0.99, "nextup_http_request_duration_seconds", window=window, matchers='route="/recommend"')
            + " >= 0 or vector(0)",  # NaN without traffic, which is healthy
        ),
        RecordingRule("nextup:queries_shed:share5m", ratio(shed, f"({shed} + {run})")),
        RecordingRule(
            "nextup:recommendations_fallback:share5m",
            ratio(
                rate("nextup_recommendations_total", window=window, matchers=DEGRADED_REASONS),
                rate("nextup_recommendations_total", window=window),
            ),
        ),
    )


def make_alerts(scale: TimeScale) -> tuple[Alert, ...]:
    return (
        *_make_request_alerts(),
        *_make_process_alerts(scale),
        *_make_resource_alerts(),
        *_make_event_log_alerts(scale),
        *_make_follower_alerts(),
        *_make_consumer_alerts(scale),
    )


def _make_request_alerts() -> tuple[Alert, ...]:
    return (
        Alert(
            "NextupAbsent",
            '(sum(up{job="nextup"}) or vector(0))',
            "< 1",
            MINUTE,
            "page",
            "Prometheus cannot scrape any nextup instance; the service is down or unreachable. "
            "Check /livez and restart it.",
        ),
        Alert(
            "NextupErrors",
            "nextup:http_errors:share5m",
            f"> {limits.ERROR_SHARE}",
            MINUTE,
            "page",
            "More than 5 % of requests fail with a 5xx status. Find the route and status on the Overview dashboard.",
        ),
        Alert(
            "NextupSlow",
            "nextup:recommend_seconds:p99_5m",
            f"> {limits.SLOW_S}",
            FIVE_MINUTES,
            "page",
            "p99 latency of POST /recommend exceeds half of the default deadline. "
            "Find the slow stage on the Latency by stage dashboard.",
        ),
        Alert(
            "NextupShedding",
            "nextup:queries_shed:share5m",
            f"> {limits.SHED_SHARE}",
            MINUTE,
            "page",
            "The model is overloaded and sheds more than 1 % of its queries. Add workers or reduce the load.",
        ),
        Alert(
            "NextupFallback",
            "nextup:recommendations_fallback:share5m",
            f"> {limits.FALLBACK_SHARE}",
            FIVE_MINUTES,
            "ticket",
            "More than 10 % of recommendations come from the cache, item neighbours or popular items, not counting "
            "those of new users. Find the reason on the Model and quality dashboard.",
        ),
    )


def _make_process_alerts(scale: TimeScale) -> tuple[Alert, ...]:
    shed = rate("nextup_rejected_total", window=scale.format_duration(MINUTE), matchers=SHED_REASONS)
    window = scale.format_duration(FIVE_MINUTES)
    return (
        Alert(
            "NextupModelStalled",
            "(time() - max(nextup_last_batch_timestamp_seconds))",
            f"> {scale.format_seconds(limits.STALLED_S)}",
            HALF_MINUTE,
            "page",
            "Queries are waiting but the model finishes no batch; it hangs or has no CPU time. Restart the service.",
            condition=f"max(nextup_queue_depth) > 0 or {shed} > 0",
        ),
        Alert(
            "NextupRestarting",
            f'(sum(increase(nextup_restarts_total{{reason!="requested"}}[{window}])) or vector(0))',
            f"> {limits.RESTARTS}",
            MINUTE,
            "ticket",
            "Processes of the service end or hang again and again; requests may be lost or answered without the model. "
            "The log gives the cause of each.",
        ),
        Alert(
            "NextupApiKeysRejected",
            "max(nextup_api_keys_file_rejected)",
            "> 0",
            MINUTE,
            "ticket",
            "NEXTUP_API_KEYS_FILE has changed and cannot be used, so revoked keys are still valid. "
            "The log gives the cause.",
        ),
    )


def _make_resource_alerts() -> tuple[Alert, ...]:
    return (
        Alert(
            "NextupStoreDown",
            "min(nextup_store_up)",
            "< 1",
            HALF_MINUTE,
            "page",
            "Redis does not respond; recommendations are cached answers or popular items, and events are rejected. "
            "Restore Redis.",
        ),
        Alert(
            "NextupCircuitOpen",
            "max(nextup_circuit_state)",
            "> 0",
            MINUTE,
            "page",
            "The store or the model of an instance fails or answers too late, so that it is not used; recommendations "
            "come from other sources, and without the store events are rejected. Find the cause in the log.",
        ),
        Alert(
            "NextupMemoryNearLimit",
            'max(process_resident_memory_bytes{job="nextup"} / nextup_memory_limit_bytes)',
            f"> {limits.MEMORY_SHARE}",
            FIVE_MINUTES,
            "ticket",
            "The service uses more than 90 % of its memory limit and may be OOM-killed. "
            "Raise the limit or run fewer workers.",
        ),
        Alert(
            "NextupStoreMemoryNearLimit",
            "max(nextup_store_memory_bytes / (nextup_store_memory_limit_bytes > 0) or nextup_store_memory_limit_bytes)",
            f"> {limits.MEMORY_SHARE}",
            FIVE_MINUTES,
            "ticket",
            "Redis uses more than 90 % of maxmemory and will reject events when it is full. "
            "Raise maxmemory or keep shorter histories.",
        ),
    )


def _make_event_log_alerts(scale: TimeScale) -> tuple[Alert, ...]:
    return (
        Alert(
            "NextupEventLogStalled",
            LOG_AGE,
            f"> {scale.format_seconds(limits.LOG_AGE_S)}",
            MINUTE,
            "ticket",
            "The event log is not archived; it grows in Redis. Restore the folder of the archive or the archiver.",
        ),
        Alert(
            "NextupEventLogNearLimit",
            "max(nextup_event_log_longest_stream_entries / (nextup_event_log_limit_entries > 0) or "
            "nextup_event_log_limit_entries)",
            f"> {limits.LOG_SHARE}",
            MINUTE,
            "page",
            "The event log in Redis is half full; when it is full, events are rejected or lost. "
            "Restore the folder of the archive or the archiver.",
        ),
    )


def _make_follower_alerts() -> tuple[Alert, ...]:
    return (
        Alert(
            "NextupCatalogueStale",
            f"({CATALOGUE_AGE} or vector(0))",
            f"> {limits.CATALOGUE_AGE_S}",
            MINUTE,
            "ticket",
            "A process does not read the live catalogue; items that are sold out since then are recommended. Restore "
            "Redis.",
        ),
        Alert(
            "NextupVersionMissing",
            "(max(nextup_resident_versions_missing) or vector(0))",
            "> 0",
            FIVE_MINUTES,
            "ticket",
            "A version of the experiment, or the shadow version, cannot be loaded; the serving version answers its "
            "users. The log has the reason.",
        ),
    )


def _make_consumer_alerts(scale: TimeScale) -> tuple[Alert, ...]:
    letters = f'increase(nextup_consumer_messages_total{{result="dead_letter"}}[{scale.format_duration(FIVE_MINUTES)}])'
    return (
        Alert(
            "NextupConsumerStalled",
            f"({OLDEST_AGE} or vector(0))",
            f"> {limits.MESSAGE_AGE_S}",
            MINUTE,
            "page",
            "A consumer cannot store the events that it has read; they wait in the source. Restore Redis.",
        ),
        Alert(
            "NextupDeadLetters",
            f"(sum({letters}) or vector(0))",
            "> 0",
            MINUTE,
            "ticket",
            "A consumer put messages aside that cannot be stored. The reason is in its dead-letters.jsonl.",
        ),
    )

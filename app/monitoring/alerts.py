"""A few symptom-based alerts, each on a symptom that affects callers or their data.

Every alert has a section in docs/runbook.md.
"""

from app.monitoring import limits
from app.monitoring.promql import quantile, rate, ratio
from app.monitoring.rules import Alert, RecordingRule, TimeScale

FIVE_MINUTES, MINUTE, HALF_MINUTE = 300, 60, 30
CALLER_ROUTES = 'route!~"/livez|/healthz|/readyz|/metrics"'
"""Routes that callers use; /readyz answers 503 by design."""
DEGRADED_REASONS = 'reason=~"no_known_items|overloaded|model_unavailable|store_unavailable"'
"""Fallbacks for known users; new users get popular items by design."""
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
    shed = rate("nextup_rejected_total", window=scale.format_duration(MINUTE), matchers=SHED_REASONS)
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
            "More than 10 % of recommendations fall back to popular items for users with a history. "
            "Find the reason on the Model and quality dashboard.",
        ),
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
            "NextupStoreDown",
            "min(nextup_store_up)",
            "< 1",
            HALF_MINUTE,
            "page",
            "Redis does not respond; recommendations fall back to popular items and events are rejected. "
            "Restore Redis.",
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

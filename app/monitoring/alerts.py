"""When somebody should look: few alerts, each a symptom that callers or their data feel, each with a section in
docs/runbook.md.
"""

from app.monitoring import limits
from app.monitoring.promql import quantile, rate, share
from app.monitoring.rules import Alert, Clock, Recording

FIVE_MINUTES, MINUTE, HALF_MINUTE = 300, 60, 30
HEALTH = 'route!~"/livez|/healthz|/readyz|/metrics"'
"""Not asked by callers; /readyz says 503 by design."""
TROUBLE = 'reason=~"no_known_items|overloaded|model_unavailable|store_unavailable"'
"""Fallbacks of known users; new ones rightly get popular items."""
REFUSED = 'reason=~"overloaded|late|deadline"'


def recordings(clock: Clock) -> tuple[Recording, ...]:
    window = clock(FIVE_MINUTES)
    refused = rate("nextup_rejected_total", window=window, where=REFUSED)
    run = rate("nextup_batch_size_sum", window=window)
    return (
        Recording(
            "nextup:http_errors:share5m",
            share(
                rate("nextup_http_requests_total", window=window, where=f'code=~"5..",{HEALTH}'),
                rate("nextup_http_requests_total", window=window, where=HEALTH),
            ),
        ),
        Recording(
            "nextup:recommend_seconds:p99_5m",
            quantile(0.99, "nextup_http_request_duration_seconds", window=window, where='route="/recommend"')
            + " >= 0 or vector(0)",  # nothing asked is not a number, and no trouble
        ),
        Recording("nextup:queries_shed:share5m", share(refused, f"({refused} + {run})")),
        Recording(
            "nextup:recommendations_fallback:share5m",
            share(
                rate("nextup_recommendations_total", window=window, where=TROUBLE),
                rate("nextup_recommendations_total", window=window),
            ),
        ),
    )


def alerts(clock: Clock) -> tuple[Alert, ...]:
    refused = rate("nextup_rejected_total", window=clock(MINUTE), where=REFUSED)
    return (
        Alert(
            "NextupAbsent",
            '(sum(up{job="nextup"}) or vector(0))',
            "< 1",
            MINUTE,
            "page",
            "Prometheus reaches no nextup.",
        ),
        Alert(
            "NextupErrors",
            "nextup:http_errors:share5m",
            f"> {limits.ERROR_SHARE}",
            MINUTE,
            "page",
            "More than one request in twenty is answered with an error of ours.",
        ),
        Alert(
            "NextupSlow",
            "nextup:recommend_seconds:p99_5m",
            f"> {limits.SLOW_S}",
            FIVE_MINUTES,
            "page",
            "One recommendation in a hundred takes longer than half of the deadline.",
        ),
        Alert(
            "NextupShedding",
            "nextup:queries_shed:share5m",
            f"> {limits.SHED_SHARE}",
            MINUTE,
            "page",
            "The model gets more than it can do, and refuses queries.",
        ),
        Alert(
            "NextupFallback",
            "nextup:recommendations_fallback:share5m",
            f"> {limits.FALLBACK_SHARE}",
            FIVE_MINUTES,
            "ticket",
            "Many users with a history get popular items and not their own.",
        ),
        Alert(
            "NextupModelStalled",
            "(time() - max(nextup_last_batch_timestamp_seconds))",
            f"> {clock.seconds(limits.STALLED_S)}",
            HALF_MINUTE,
            "page",
            "Queries come, and the model finishes no batch.",
            also=f"max(nextup_queue_depth) > 0 or {refused} > 0",
        ),
        Alert(
            "NextupStoreDown",
            "min(nextup_store_up)",
            "< 1",
            HALF_MINUTE,
            "page",
            "Redis does not answer: popular items for everybody, and no events are taken.",
        ),
        Alert(
            "NextupMemoryNearLimit",
            'max(process_resident_memory_bytes{job="nextup"} / nextup_memory_limit_bytes)',
            f"> {limits.MEMORY_SHARE}",
            FIVE_MINUTES,
            "ticket",
            "The service is about to be ended by the kernel for want of memory.",
        ),
        Alert(
            "NextupStoreMemoryNearLimit",
            "max(nextup_store_memory_bytes / (nextup_store_memory_limit_bytes > 0) or nextup_store_memory_limit_bytes)",
            f"> {limits.MEMORY_SHARE}",
            FIVE_MINUTES,
            "ticket",
            "Redis is about to refuse events for want of memory.",
        ),
    )

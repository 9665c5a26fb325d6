"""Dashboard "Overview": service health, and where to look next."""

from app.monitoring import limits
from app.monitoring.panels import Dashboard, Panel, Row, Series, make_quantile_panels
from app.monitoring.promql import or_zero, rate


def _make_tile(title: str, description: str, unit: str, expr: str, bad_above: float | None = None) -> Panel:
    return Panel(title, description, unit, (Series(expr, title),), kind="stat", width=4, bad_above=bad_above)


HEALTH = Row(
    "Health",
    (
        Panel(
            "Up",
            "Instances that Prometheus can scrape.",
            "short",
            (Series('sum(up{job="nextup"})', "up"),),
            kind="stat",
            width=4,
            bad_below=1,
        ),
        _make_tile(
            "Errors",
            "Share of requests answered 5xx, over five minutes.",
            "percentunit",
            "nextup:http_errors:share5m",
            limits.ERROR_SHARE,
        ),
        _make_tile(
            "99th percentile",
            "Latency of POST /recommend, over five minutes.",
            "s",
            "nextup:recommend_seconds:p99_5m",
            limits.SLOW_S,
        ),
        _make_tile(
            "Shed",
            "Share of the model's queries rejected under load, over five minutes.",
            "percentunit",
            "nextup:queries_shed:share5m",
            limits.SHED_SHARE,
        ),
        _make_tile(
            "Fallback",
            "Share of recommendations served by popularity for users with a history, over five minutes.",
            "percentunit",
            "nextup:recommendations_fallback:share5m",
            limits.FALLBACK_SHARE,
        ),
        _make_tile(
            "Alerts",
            "Alerts firing now; docs/runbook.md has a section for each.",
            "short",
            or_zero('count(ALERTS{alertstate="firing"})'),
            1,
        ),
    ),
)

REQUESTS = Row(
    "Requests",
    (
        Panel(
            "Requests",
            "Requests answered per second, by route.",
            "reqps",
            (Series(rate("nextup_http_requests_total", "route"), "{{route}}"),),
            width=12,
            stacked=True,
        ),
        Panel(
            "Errors",
            "5xx responses per second, by route and status.",
            "reqps",
            (
                Series(
                    or_zero(rate("nextup_http_requests_total", "route, code", matchers='code=~"5.."')),
                    "{{route}} {{code}}",
                ),
            ),
            width=12,
        ),
        *make_quantile_panels(
            "Latency from the first byte of a request to the last byte of its response, by route.",
            "nextup_http_request_duration_seconds",
            "route",
        ),
    ),
)

RESPONSES = Row(
    "Responses and saturation",
    (
        Panel(
            "Recommendations",
            "Recommendations per second, by source and reason. The reason is empty when the model served it.",
            "reqps",
            (Series(rate("nextup_recommendations_total", "served_by, reason"), "{{served_by}} {{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Shed",
            "Queries per second that the model did not run, by reason: queue full (overloaded), deadline cannot be met "
            "(deadline_unmeetable), deadline expired in the queue (deadline), shutdown (draining), rate limit (rate).",
            "reqps",
            (Series(rate("nextup_rejected_total", "reason"), "{{reason}}"),),
        ),
        Panel(
            "Queue",
            "Queries waiting for the model. Brief peaks are batching; steady growth is overload.",
            "short",
            (Series("sum(nextup_queue_depth)", "waiting"),),
        ),
    ),
)

OVERVIEW = Dashboard("overview", "Overview", (HEALTH, REQUESTS, RESPONSES))

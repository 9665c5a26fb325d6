"""The first dashboard: is it well, and if not, where to look."""

from app.monitoring import limits
from app.monitoring.panels import Dashboard, Panel, Query, Row
from app.monitoring.promql import QUANTILES, or_zero, quantile, rate


def _tile(title: str, told: str, unit: str, expr: str, bad_above: float | None = None) -> Panel:
    return Panel(title, told, unit, (Query(expr, title),), kind="stat", width=4, bad_above=bad_above)


WELL = Row(
    "Is it well?",
    (
        Panel(
            "Up",
            "Services that Prometheus reaches.",
            "short",
            (Query('sum(up{job="nextup"})', "up"),),
            kind="stat",
            width=4,
            bad_below=1,
        ),
        _tile(
            "Errors",
            "Share of requests answered 5xx, five minutes.",
            "percentunit",
            "nextup:http_errors:share5m",
            limits.ERROR_SHARE,
        ),
        _tile(
            "99th percentile",
            "Of POST /recommend, five minutes.",
            "s",
            "nextup:recommend_seconds:p99_5m",
            limits.SLOW_S,
        ),
        _tile(
            "Shed",
            "Share of the model's queries that were refused, five minutes.",
            "percentunit",
            "nextup:queries_shed:share5m",
            limits.SHED_SHARE,
        ),
        _tile(
            "Fallback",
            "Share of answers by popularity although the user is known, five minutes.",
            "percentunit",
            "nextup:recommendations_fallback:share5m",
            limits.FALLBACK_SHARE,
        ),
        _tile(
            "Alerts",
            "Firing now; docs/runbook.md has a section for each.",
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
            "Answered per second, by route.",
            "reqps",
            (Query(rate("nextup_http_requests_total", "route"), "{{route}}"),),
            width=12,
            stacked=True,
        ),
        Panel(
            "Errors",
            "Answers 5xx per second, by route and status.",
            "reqps",
            (
                Query(
                    or_zero(rate("nextup_http_requests_total", "route, code", where='code=~"5.."')),
                    "{{route}} {{code}}",
                ),
            ),
            width=12,
        ),
        *(
            Panel(
                name,
                "Of the time from the first byte of a request to the last of its answer, by route.",
                "s",
                (Query(quantile(share, "nextup_http_request_duration_seconds", "route"), "{{route}}"),),
            )
            for share, name in QUANTILES.items()
        ),
    ),
)

ANSWERS = Row(
    "Answers and saturation",
    (
        Panel(
            "Answers",
            "Recommendations per second, by who gave them and why. An empty reason is the model's own.",
            "reqps",
            (Query(rate("nextup_recommendations_total", "served_by, reason"), "{{served_by}} {{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Shed",
            "Queries per second that the model did not run, by reason: the queue is full (overloaded), they would be "
            "too late or are (late, deadline), the service ends (draining).",
            "reqps",
            (Query(rate("nextup_rejected_total", "reason"), "{{reason}}"),),
        ),
        Panel(
            "Queue",
            "Queries that wait for the model. Above 0 now and then is batching; growing is overload.",
            "short",
            (Query("sum(nextup_queue_depth)", "waiting"),),
        ),
    ),
)

OVERVIEW = Dashboard("overview", "Overview", (WELL, REQUESTS, ANSWERS))

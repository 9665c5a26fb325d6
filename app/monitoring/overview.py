"""Dashboard "Overview": service health, and where to look next."""

from app.monitoring import limits
from app.monitoring.alerts import make_recording_rules
from app.monitoring.panels import Dashboard, Panel, Row, Series, make_quantile_panels
from app.monitoring.promql import or_zero, rate
from app.monitoring.rules import TimeScale

RULES = {rule.name: rule.expr for rule in make_recording_rules(TimeScale())}
"""Queries of the alerts. Tiles evaluate them again, because recorded values have no job and no instance."""


def _make_tile(title: str, description: str, unit: str, expr: str, bad_above: float, alert: str = "") -> Panel:
    series = (Series(expr, title),)
    return Panel(title, description, unit, series, kind="stat", width=4, bad_above=bad_above, alert=alert)


HEALTH = Row(
    "Health",
    (
        Panel(
            "Up",
            "Instances that Prometheus can scrape.",
            "short",
            (Series(or_zero("sum(up)"), "up"),),
            kind="stat",
            width=4,
            bad_below=1,
            alert="NextupAbsent",
        ),
        _make_tile(
            "Errors",
            "Share of requests answered 5xx, over five minutes.",
            "percentunit",
            RULES["nextup:http_errors:share5m"],
            limits.ERROR_SHARE,
            "NextupErrors",
        ),
        _make_tile(
            "99th percentile",
            "Latency of POST /recommend, over five minutes.",
            "s",
            RULES["nextup:recommend_seconds:p99_5m"],
            limits.SLOW_S,
            "NextupSlow",
        ),
        _make_tile(
            "Shed",
            "Share of the model's queries rejected under load, over five minutes.",
            "percentunit",
            RULES["nextup:queries_shed:share5m"],
            limits.SHED_SHARE,
            "NextupShedding",
        ),
        _make_tile(
            "Fallback",
            "Share of recommendations served by popularity for users with a history, over five minutes.",
            "percentunit",
            RULES["nextup:recommendations_fallback:share5m"],
            limits.FALLBACK_SHARE,
            "NextupFallback",
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
        Panel(
            "Restarts",
            "Processes per second that ended and were started again: the embedded Redis and the model process.",
            "cps",
            (Series(rate("nextup_restarts_total", "process, reason"), "{{process}} {{reason}}"),),
            alert="NextupRestarting",
        ),
        Panel(
            "Circuits",
            "State of the circuit breakers of store and model: 0 closed, 1 half open, 2 open. While one is not closed, "
            "recommendations come from the cache, item neighbours or popularity.",
            "short",
            (Series("max by (circuit) (nextup_circuit_state)", "{{circuit}}"),),
            alert="NextupCircuitOpen",
        ),
    ),
)

OVERVIEW = Dashboard("overview", "Overview", (HEALTH, REQUESTS, RESPONSES))

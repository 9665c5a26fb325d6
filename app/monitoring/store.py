"""Dashboard "Store and events": Redis and event ingestion."""

from app.monitoring.memory import USERS
from app.monitoring.panels import Dashboard, Panel, Row, Series, make_quantile_panels
from app.monitoring.promql import QUANTILES, or_zero, quantile, rate

STORE = Row(
    "Store",
    (
        Panel(
            "Up",
            "1 while Redis responds. Otherwise recommendations fall back to popularity and events are rejected.",
            "short",
            (Series("min(nextup_store_up)", "up"),),
            kind="stat",
            width=4,
            bad_below=1,
        ),
        Panel("Users", "Keys divided by two.", "short", (Series(USERS, "users"),), kind="stat", width=4),
        Panel(
            "Operations",
            "Operations per second, by kind. One `recent` reads the histories of many requests in one round trip.",
            "ops",
            (Series(rate("nextup_store_duration_seconds_count", "operation"), "{{operation}}"),),
        ),
        Panel(
            "Errors",
            "Failed operations per second, by kind.",
            "ops",
            (Series(or_zero(rate("nextup_store_errors_total", "operation")), "{{operation}}"),),
        ),
        *make_quantile_panels(
            "Duration of an operation, including the wait for a connection.",
            "nextup_store_duration_seconds",
            "operation",
        ),
    ),
)

EVENTS = Row(
    "Events",
    (
        Panel(
            "Events",
            "Events per second by outcome. Duplicates are retries; late events are older than everything retained.",
            "cps",
            (Series(rate("nextup_events_total", "result"), "{{result}}"),),
            width=12,
        ),
        Panel(
            "Time to visibility",
            "Time from receiving events until the next recommendation takes them into account.",
            "s",
            tuple(
                Series(quantile(fraction, "nextup_event_visible_seconds"), name) for fraction, name in QUANTILES.items()
            ),
            width=12,
        ),
    ),
)

STORE_AND_EVENTS = Dashboard("store", "Store and events", (STORE, EVENTS))
